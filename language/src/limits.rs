//! The named limits of the language, in one table. The docs' table is made from it.
//!
//! Invariant: every bound that the parser or the checker enforces stands here, and nowhere else.

/// Bytes of `flow.yaml`.
pub const YAML_BYTES: usize = 256 * 1024;
/// Nodes of the YAML tree, copies made by aliases included.
pub const YAML_NODES: usize = 20_000;
/// Depth of the YAML tree.
pub const YAML_DEPTH: usize = 64;
/// Aliases in one file.
pub const YAML_ALIASES: usize = 100;
/// Bytes of text that aliases may copy.
pub const YAML_COPIED_BYTES: usize = 1024 * 1024;
/// Steps of a flow.
pub const STEPS: usize = 500;
/// Groups of a flow.
pub const GROUPS: usize = 100;
/// Declared inputs, outputs or variables.
pub const FIELDS: usize = 200;
/// Characters of a name.
pub const NAME_CHARS: usize = 64;
/// Files beside `flow.yaml`.
pub const FILES: usize = 100;
/// Bytes of one file beside `flow.yaml`.
pub const FILE_BYTES: usize = 256 * 1024;
/// Bytes of all files beside `flow.yaml`.
pub const FOLDER_BYTES: usize = 2 * 1024 * 1024;
/// Operators, look-ups and calls that one template expression may chain or nest.
pub const EXPRESSION_OPERATORS: usize = 400;
/// `{% elif %}` branches in one template: each is one level deeper in the tree.
pub const ELIF_BRANCHES: usize = 100;
/// Names, filters and functions in all templates of a folder together, a file counted for each step that uses it.
pub const TEMPLATE_WORDS: usize = 100_000;
/// Regular expressions in all JSON Schemas of a flow.
pub const PATTERNS: usize = 200;
/// What a JSON Schema with references may try on one place of a value.
pub const SCHEMA_LOOKS: usize = 500;
/// Problems that are reported for one folder.
pub const PROBLEMS: usize = 200;
/// Tries of one step.
pub const ATTEMPTS: u64 = 100;
/// Other ways to do one step.
pub const FALLBACKS: usize = 10;
/// Items of a `for_each` that does not say `max_items`.
pub const ITEMS: u32 = 10_000;
/// The most that `max_items` may say.
pub const MOST_ITEMS: u64 = 100_000;
/// Iterations of a `repeat` that says neither `max_iterations` nor `interval`.
pub const DEFAULT_ITERATIONS: u32 = 100;
/// The most that `max_iterations` may say.
pub const ITERATIONS: u64 = 10_000;
/// How long a `repeat` goes on that does not say `max_duration`, in milliseconds.
pub const REPEAT_MS: u64 = 3_600_000;
/// Places of a concurrency limit, units of a pool.
pub const PLACES: u64 = 100_000;
/// The most that `max_cost` may say, in US dollars.
pub const DOLLARS: f64 = 1_000_000.0;
/// Bytes of one Python function.
pub const FUNCTION_BYTES: usize = 64 * 1024;
/// Flows that a flow extends or imports, directly or not.
pub const NEIGHBOURS: usize = 32;
/// How deep flows may extend, import and call each other.
pub const DEPTH: usize = 8;
/// Runs below one root: those that it starts, and those that they start.
pub const TREE_RUNS: usize = 10_000;
/// The longest time that a flow may name, in milliseconds: 30 days.
pub const LONGEST_MS: u64 = 30 * 24 * 3_600_000;
/// How long a synchronous call waits when `endpoint.max_wait` is left out, in milliseconds.
pub const MAX_WAIT_MS: u64 = 60_000;

/// One row of the docs' table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    pub what: &'static str,
    pub value: usize,
    pub unit: &'static str,
}

const fn row(what: &'static str, value: usize, unit: &'static str) -> Limit {
    Limit { what, value, unit }
}

/// All limits, for the docs.
pub const TABLE: &[Limit] = &[
    row("`flow.yaml`", YAML_BYTES, "bytes"),
    row("YAML nodes, copies by aliases included", YAML_NODES, "nodes"),
    row("YAML nesting", YAML_DEPTH, "levels"),
    row("YAML aliases", YAML_ALIASES, "aliases"),
    row("text copied by YAML aliases", YAML_COPIED_BYTES, "bytes"),
    row("steps of a flow", STEPS, "steps"),
    row("groups of a flow", GROUPS, "groups"),
    row("declared inputs, outputs or variables, each", FIELDS, "fields"),
    row("a name", NAME_CHARS, "characters"),
    row("files beside `flow.yaml`", FILES, "files"),
    row("one file beside `flow.yaml`", FILE_BYTES, "bytes"),
    row("all files beside `flow.yaml`", FOLDER_BYTES, "bytes"),
    row("operators, look-ups and calls in one template expression", EXPRESSION_OPERATORS, "operators"),
    row("`{% elif %}` branches in one template", ELIF_BRANCHES, "branches"),
    row("names, filters and functions in all templates", TEMPLATE_WORDS, "uses"),
    row("regular expressions in a flow's JSON Schemas", PATTERNS, "patterns"),
    row("subschemas that a JSON Schema with references tries on one place of a value", SCHEMA_LOOKS, "subschemas"),
    row("problems reported at once", PROBLEMS, "problems"),
    row("attempts of one step", ATTEMPTS as usize, "attempts"),
    row("fallbacks of one step", FALLBACKS, "fallbacks"),
    row("items of a `for_each` without `max_items`", ITEMS as usize, "items"),
    row("`max_items`", MOST_ITEMS as usize, "items"),
    row("iterations of a `repeat` without `max_iterations` and `interval`", DEFAULT_ITERATIONS as usize, "iterations"),
    row("`max_iterations`", ITERATIONS as usize, "iterations"),
    row("`limit` of a concurrency limit, `units` of a pool", PLACES as usize, "places"),
    row("`max_cost`", DOLLARS as usize, "US dollars"),
    row("one function", FUNCTION_BYTES, "bytes"),
    row("flows that one flow extends or imports, directly or not", NEIGHBOURS, "flows"),
    row("flows that extend, import or call each other in a line", DEPTH, "flows"),
    row("runs that a run starts, and those that they start", TREE_RUNS, "runs"),
];
