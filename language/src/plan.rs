//! «CONTRACT» The plan: a checked flow in the form the engine runs. Steps and groups are indexes, every dependency and
//! main-input candidate is explicit, every default is filled in.
//!
//! Invariant: a plan exists only for a flow without errors; its dependencies have no cycle; indexes are in range and
//! follow the written order.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalogue::{DataKind, Effect};
use crate::json_schema::Compiled;

/// A step's place in [`Plan::steps`].
pub type StepIndex = usize;
/// A group's place in [`Plan::groups`].
pub type GroupIndex = usize;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub name: Option<String>,
    pub description: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// `None`: any object and any files are taken.
    pub inputs: Option<Vec<InputPlan>>,
    /// JSON Schema 2020-12 of the call's inputs; files are `{"file_id": ...}` objects.
    pub input_schema: Value,
    /// JSON Schema 2020-12 of the outputs as far as it is known.
    pub output_schema: Value,
    /// Templates by output name. `None`: the output of the last written unskipped step; a group gives a map.
    pub outputs: Option<Map<String, Value>>,
    /// Templates, evaluated once at the run's start in written order.
    pub vars: Map<String, Value>,
    /// Jinja macros by name; those of an imported library as `library.name`. Templates call them by that name.
    #[serde(default)]
    pub macros: BTreeMap<String, String>,
    /// Functions by name; those of an imported library as `library.name`. Templates call them by that name.
    #[serde(default)]
    pub functions: BTreeMap<String, FunctionPlan>,
    /// Text files of the folder that templates may load (`prompts/x.j2`), by path.
    pub files: BTreeMap<String, String>,
    /// The steps of `steps` first, then compensations, then those of `on_error`, then those of `finally`
    /// (see [`StepPlan::phase`]).
    pub steps: Vec<StepPlan>,
    pub groups: Vec<GroupPlan>,
    pub fail_fast: bool,
    /// What the run may cost with all its children.
    #[serde(default)]
    pub max_cost: Option<MaxCost>,
    /// How many runs of this flow may execute at the same time.
    #[serde(default)]
    pub concurrency: Option<ConcurrencyPlan>,
    #[serde(default)]
    pub save: Save,
    pub timeout_ms: Option<u64>,
    /// `defaults.model`.
    pub model: Option<String>,
    /// Input and output fields to index.
    pub search: Vec<String>,
    /// `endpoint.max_wait`, 60 s unless said.
    pub max_wait_ms: u64,
    /// `endpoint.on_disconnect: cancel`.
    pub cancel_on_disconnect: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputPlan {
    pub name: String,
    pub kind: InputKind,
    pub required: bool,
    pub default: Option<Value>,
    pub description: Option<String>,
    /// JSON Schema of this one input.
    pub schema: Value,
    /// Media types or extensions a file input takes; empty: any.
    pub accept: Vec<String>,
    pub max_bytes: Option<u64>,
    /// `schema`, compiled at the first call.
    #[serde(skip)]
    pub(crate) compiled: Compiled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    String,
    Integer,
    Number,
    Boolean,
    Object,
    Array,
    File,
    Enum,
    /// A raw JSON Schema.
    Schema,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    /// A compensation is called `<step>:compensate`, which nobody can write.
    pub name: String,
    #[serde(default)]
    pub phase: Phase,
    /// 1-based line of the step in its file.
    pub line: u32,
    pub description: Option<String>,
    pub executor: String,
    /// As written: strings may hold templates. Without the main input where that is left out.
    pub config: Map<String, Value>,
    /// 1-based lines of config values, by JSON pointer, for errors at run time.
    pub config_lines: BTreeMap<String, u32>,
    /// Where the main input comes from when config leaves it out.
    pub main_input: Option<MainInputPlan>,
    pub needs: Vec<Need>,
    pub condition: Option<Expression>,
    pub run_if: RunIf,
    /// Steps whose `success`, `status`, `skipped` or `error` the condition reads.
    pub watches: Vec<StepIndex>,
    pub group: Option<GroupIndex>,
    pub retry: RetryPolicy,
    pub timeout_ms: Option<u64>,
    pub total_timeout_ms: Option<u64>,
    pub first_token_timeout_ms: Option<u64>,
    /// `None` where only the run can tell (a child flow named by a template): treated as unsafe.
    pub effect: Option<Effect>,
    pub on_error: OnError,
    /// Tried in this order before `on_error` has its say (`on_error: {fallback: [...]}`).
    #[serde(default)]
    pub fallbacks: Vec<FallbackPlan>,
    pub on_skip: OnSkip,
    /// What happens when nobody knows whether an unsafe attempt had its effect.
    #[serde(default)]
    pub on_unknown: OnUnknown,
    /// Makes one step many items.
    #[serde(default)]
    pub for_each: Option<ForEachPlan>,
    /// Runs the step (each item of it) again until a condition holds.
    #[serde(default)]
    pub repeat: Option<RepeatPlan>,
    /// The step in this plan that undoes this one when the run fails.
    #[serde(default)]
    pub compensation: Option<StepIndex>,
    #[serde(default)]
    pub cache: Option<CachePlan>,
    /// What the step takes from a pool of the tenant while an attempt executes.
    #[serde(default)]
    pub resources: Option<ResourcePlan>,
    /// How many attempts of this step may execute at the same time, over all runs.
    #[serde(default)]
    pub concurrency: Option<ConcurrencyPlan>,
}

/// When a step has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Main,
    /// After a failure, in reverse order of completion of the steps they undo.
    Compensation { of: StepIndex },
    /// After the compensations, with `error` and `failed_step` in scope.
    OnError,
    /// At the very end, also after a cancel and a timeout; `error` and `failed_step` are null after a success.
    Finally,
}

/// Another way to do a step when the one before failed. Its attempts count anew, under a key of their own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FallbackPlan {
    pub line: u32,
    pub executor: String,
    pub config: Map<String, Value>,
    pub config_lines: BTreeMap<String, u32>,
    pub main_input: Option<MainInputPlan>,
    /// `None`: any failure.
    pub class: Option<FailureClass>,
    pub retry: RetryPolicy,
    pub effect: Option<Effect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    ContentPolicy,
    ContextWindow,
    RateLimited,
    /// Whatever none of the others stands for.
    Other,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForEachPlan {
    /// The list: a literal array, or a string that is one expression in braces. That of a compensation gives `{value,
    /// output}` of each item that succeeded.
    pub list: Value,
    pub line: u32,
    /// What templates call the item, with `as`; `item` unless said. `page.value` is the element, `page.index` its place
    /// from 0, and `page` by itself its element.
    pub name: Option<String>,
    pub max_parallel: Option<u32>,
    pub max_items: u32,
    pub on_item_error: OnItemError,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnItemError {
    /// One failed item fails the step; the others are cancelled.
    #[default]
    Fail,
    /// `{results, errors}`: null at failed places.
    Collect,
    /// `{results, indexes}`: the successes alone.
    Drop,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RepeatPlan {
    /// Sees `output` and `iteration` (counts from 1).
    pub until: Expression,
    pub max_iterations: u32,
    pub interval_ms: u64,
    pub max_duration_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CachePlan {
    pub mode: CacheMode,
    /// `None`: as long as the store keeps it.
    pub ttl_ms: Option<u64>,
    pub scope: CacheScope,
    pub tags: Vec<String>,
    /// Also for LLM steps with a temperature above 0.
    pub force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheMode {
    #[default]
    On,
    Off,
    ReadOnly,
    WriteOnly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheScope {
    #[default]
    Flow,
    Tenant,
    Run,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePlan {
    pub pool: String,
    pub units: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConcurrencyPlan {
    pub limit: u32,
    /// A template over the inputs; places are counted by its value.
    pub key: Option<String>,
    pub on_limit: OnLimit,
    pub max_wait_ms: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLimit {
    #[default]
    Queue,
    Reject,
    Skip,
    ReplaceOldest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxCost {
    pub nano_usd: i64,
    pub on_exceeded: OnExceeded,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExceeded {
    #[default]
    Fail,
    /// The step goes on with its next fallback.
    Fallback,
    /// A person with the right to do so lets it go on.
    Approve,
}

/// What of a run is stored. `none` only for synchronous flows without waits, unsafe steps or compensation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Save {
    #[default]
    All,
    Failed,
    None,
}

/// Python that templates may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionPlan {
    pub description: Option<String>,
    /// The source, `def <name>(...)` on its top level.
    pub implementation: String,
    /// 1-based line of the source's first line in its file.
    pub line: u32,
}

/// A boolean or list expression without its braces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expression {
    pub source: String,
    pub line: u32,
}

/// One thing a step waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    pub target: Target,
    /// Why, one or more; a skip travels over all but `Order` and reads of status fields.
    pub why: Vec<NeedKind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    Step(StepIndex),
    Group(GroupIndex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NeedKind {
    /// Named in `depends_on`.
    Declared,
    /// An output of it is read by a template.
    ReadOutput,
    /// Only `success`, `status`, `skipped`, `error`, `attempts` ... of its record is read.
    ReadRecord,
    /// A candidate of the main input.
    MainInput,
    /// Written above, nothing else.
    Order,
}

/// Where a left-out main input is looked for, in this order; the first source that has a value wins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainInputPlan {
    pub field: String,
    pub kind: DataKind,
    /// A list takes a value from every source that has one.
    pub list: bool,
    /// Whether the step fails when no source has a value. A skip travels over the steps among the sources only if none
    /// of the later sources (`Input`, `OnlyFile`, `OnlyText`) has a value either.
    pub required: bool,
    pub sources: Vec<Source>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A step that succeeded; `field` of its output, or all of it.
    Step { step: StepIndex, field: Option<String> },
    /// A declared input.
    Input { name: String },
    /// The only file among the call's inputs, in a flow without declared inputs.
    OnlyFile,
    /// The only string among the call's inputs, in a flow without declared inputs.
    OnlyText,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPlan {
    pub name: String,
    pub line: u32,
    pub members: Vec<StepIndex>,
    pub join: Join,
    pub cancel_rest_on_error: bool,
    pub max_parallel: Option<u32>,
    pub timeout_ms: Option<u64>,
    /// What the members may cost together.
    #[serde(default)]
    pub max_cost: Option<MaxCost>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Join {
    All,
    Any,
    AtLeast(u32),
    AllSettled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunIf {
    AllSuccess,
    AnySuccess,
    AllSettled,
    AnyFailed,
    Always,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    Fail,
    Continue,
    /// Succeeds with this value (a template).
    Value(Value),
    /// A person repairs and resumes.
    Attention,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnSkip {
    /// Travels over declared dependencies and reads of outputs when all of them were skipped.
    Default,
    Continue,
    Cascade,
    Fail,
}

/// The outcome of an unsafe attempt is not known: a person decides, or the author did beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnUnknown {
    #[default]
    Attention,
    Retry,
    Fail,
}

/// Retry is data: the delays are computed by the engine from the attempt's number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Counts the first attempt.
    pub max_attempts: u32,
    pub backoff: Backoff,
    pub initial_delay_ms: u64,
    pub factor: f64,
    pub max_delay_ms: u64,
    pub jitter: Jitter,
    pub max_elapsed_ms: u64,
    /// Failure kinds or codes that are retried besides (`retry_on`) or never (`no_retry_on`).
    pub retry_on: Vec<String>,
    pub no_retry_on: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    Constant,
    Linear,
    Exponential,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    Full,
    Equal,
    None,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            backoff: Backoff::Exponential,
            initial_delay_ms: 1_000,
            factor: 2.0,
            max_delay_ms: 60_000,
            jitter: Jitter::Full,
            max_elapsed_ms: 15 * 60 * 1_000,
            retry_on: Vec::new(),
            no_retry_on: Vec::new(),
        }
    }
}
