//! The words that templates may use: what is in scope, filters, tests and functions, and the fields of a record.
//!
//! Invariant: the engine registers every filter, test and function named here; a test over there holds it to that.

/// Names in scope in every template of a flow.
pub const SCOPE: &[&str] = &["inputs", "steps", "vars", "run", "flow", "secrets"];

/// The fields of a step's record.
pub const RECORD_FIELDS: &[&str] =
    &["status", "success", "skipped", "cached", "attempts", "error", "output", "started_at", "duration_ms", "cost"];

/// Reading one of these of a step makes the reader watch its failure.
pub const WATCHED_FIELDS: &[&str] = &["success", "status", "skipped", "error"];

/// Filters of templates.
pub const FILTERS: &[&str] = &[
    "abs",
    "attr",
    "b64decode",
    "b64encode",
    "batch",
    "bool",
    "capitalize",
    "chain",
    "chunk",
    "count",
    "csv",
    "currency",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "flatten",
    "float",
    "format",
    "format_datetime",
    "from_csv",
    "fromjson",
    "group_by",
    "groupby",
    "hmac_sha256",
    "indent",
    "int",
    "items",
    "jmespath",
    "join",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "parse_datetime",
    "pprint",
    "regex_find",
    "regex_replace",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "sha256",
    "slice",
    "slugify",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate_tokens",
    "unique",
    "upper",
    "urlencode",
    "zip",
];

/// Tests (`is defined`).
pub const TESTS: &[&str] = &[
    "boolean",
    "defined",
    "divisibleby",
    "endingwith",
    "eq",
    "equalto",
    "escaped",
    "even",
    "false",
    "filter",
    "float",
    "ge",
    "greaterthan",
    "gt",
    "in",
    "int",
    "integer",
    "iterable",
    "le",
    "lessthan",
    "lower",
    "lt",
    "mapping",
    "ne",
    "none",
    "number",
    "odd",
    "safe",
    "sameas",
    "sequence",
    "startingwith",
    "string",
    "test",
    "true",
    "undefined",
    "upper",
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
];

/// Functions.
pub const FUNCTIONS: &[&str] = &["dict", "namespace", "range"];

/// Names that MiniJinja itself gives inside blocks and macros.
pub(crate) const BLOCK_NAMES: &[&str] = &["loop", "self", "super", "caller", "varargs", "kwargs"];

/// The statuses that a step's `status` can have.
pub(crate) fn statuses() -> impl Iterator<Item = &'static str> + Clone {
    domain::StepStatus::ALL.iter().map(|status| status.as_str())
}
