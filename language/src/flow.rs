//! The flow as it was written: every declared thing with its place, in written order.
//!
//! Invariant: what stands here has the right shape; whether its names mean something is the checker's business. The
//! JSON Schema of flow files is generated from these types.

mod run;
mod shape;
mod step;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::node::Node;
use crate::plan::{InputKind, Join, MaxCost, Save};
use crate::source::Span;

pub use run::{Cache, Concurrency, Function, Macro, Resources};
pub use step::{Compensate, Fallback, Repeat, Retry, Step, StepOnError};

use shape::{CacheFile, Duration, InputFile, InputWord, JoinFile, MaxCostFile};

/// A value with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    pub value: T,
    pub span: Span,
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A flow file.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Flow {
    /// The flow's name; optional, because the folder or the URL names it.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]{0,63}$"), with = "Option<String>")]
    pub name: Option<Located<String>>,
    /// What the flow is for, in a sentence or two.
    pub description: Option<String>,
    /// Free labels for finding and filtering.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub labels: BTreeMap<String, String>,
    /// Input and output fields by which runs can be searched.
    #[schemars(with = "Option<Vec<String>>")]
    pub search: Vec<Located<String>>,
    /// Another flow that this one changes: mappings are merged, steps by their name.
    pub extends: Option<Located<String>>,
    /// What of the other flow is left out: steps by name, anything else by path (`inputs.note`).
    #[schemars(with = "Option<Vec<String>>")]
    pub remove: Vec<Located<String>>,
    /// Flows whose functions, macros and prompt files can be used under their names.
    #[schemars(with = "Option<Vec<String>>")]
    pub imports: Vec<Located<String>>,
    /// What a call must and may give. Left out: any object and any files.
    #[schemars(with = "Option<BTreeMap<String, Input>>")]
    pub inputs: Option<Vec<Input>>,
    /// Templates of the answer by name. Left out: the output of the last step that was not skipped.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub outputs: Option<Vec<Named>>,
    /// Values computed once at the start, each from the inputs and the variables before it.
    #[schemars(with = "Option<BTreeMap<String, serde_json::Value>>")]
    pub vars: Vec<Named>,
    /// What steps inherit.
    #[schemars(with = "Option<Defaults>")]
    pub defaults: Defaults,
    /// Python that templates may call, by name.
    #[schemars(with = "Option<BTreeMap<String, Function>>")]
    pub functions: Vec<Function>,
    /// Jinja macros that templates may call, by name: `{% macro name(...) %}...{% endmacro %}`.
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub macros: Vec<Macro>,
    /// What the flow does.
    #[schemars(length(min = 1, max = 500))]
    pub steps: Vec<Step>,
    /// What undoes steps, made of their `compensate`.
    #[schemars(skip)]
    pub compensations: Vec<Step>,
    /// Steps that run when the flow fails, with `error` and `failed_step` in scope.
    #[schemars(with = "Option<Vec<Step>>")]
    pub on_error: Vec<Step>,
    /// Steps that run at the very end, also after a failure, a cancel and a timeout.
    #[schemars(with = "Option<Vec<Step>>")]
    pub finally: Vec<Step>,
    /// Settings of parallel groups, by name.
    #[schemars(with = "Option<BTreeMap<String, Group>>")]
    pub groups: Vec<Group>,
    /// Cancel the other branches when one fails.
    #[schemars(with = "Option<bool>")]
    pub fail_fast: bool,
    /// The whole run's time limit.
    #[schemars(with = "Option<Duration>")]
    pub timeout: Option<u64>,
    /// What a run may cost with all its children, in US dollars.
    #[schemars(with = "Option<MaxCostFile>")]
    pub max_cost: Option<MaxCost>,
    /// How many runs of the flow may execute at the same time.
    pub concurrency: Option<Concurrency>,
    /// Which runs are stored; `all` unless said.
    pub save: Option<Located<Save>>,
    /// How calls are answered.
    #[schemars(with = "Option<Endpoint>")]
    pub endpoint: Endpoint,
    /// Where the mapping stands.
    #[schemars(skip)]
    pub span: Span,
}

impl Flow {
    /// All steps in the order of the plan: the flow's own, what undoes them, the handlers of failures, those of the end.
    #[must_use]
    pub fn all_steps(&self) -> Vec<&Step> {
        self.steps.iter().chain(&self.compensations).chain(&self.on_error).chain(&self.finally).collect()
    }
}

/// A name with the value written for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub name: String,
    pub name_span: Span,
    pub value: Node,
}

/// What steps inherit.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Defaults {
    /// See `retry` of a step.
    pub retry: Option<Retry>,
    /// The time limit of one attempt.
    #[schemars(with = "Option<Duration>")]
    pub timeout: Option<u64>,
    /// Whether outputs are kept for the next time; off unless said.
    #[schemars(with = "Option<CacheFile>")]
    pub cache: Option<Cache>,
    /// The model of LLM steps that name none: `connection/model`.
    pub model: Option<String>,
}

/// Settings of a parallel group.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Group {
    #[schemars(skip)]
    pub name: Located<String>,
    /// When the group has succeeded; `all` unless said.
    #[schemars(with = "Option<JoinFile>")]
    pub join: Option<Join>,
    /// What the other members do when one fails; `continue` unless said.
    pub on_error: Option<GroupOnError>,
    /// How many members run at the same time.
    #[schemars(range(min = 1))]
    pub max_parallel: Option<u32>,
    /// The time limit of all members together.
    #[schemars(with = "Option<Duration>")]
    pub timeout: Option<u64>,
    /// What the members may cost together, in US dollars.
    #[schemars(with = "Option<MaxCostFile>")]
    pub max_cost: Option<MaxCost>,
    #[schemars(skip)]
    pub join_span: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum GroupOnError {
    Continue,
    CancelRest,
}

/// How calls are answered.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Endpoint {
    /// How long a synchronous call waits before it is answered with 202; 60 s unless said.
    #[schemars(with = "Option<Duration>")]
    pub max_wait: Option<u64>,
    /// What happens to the run when the caller goes away.
    pub on_disconnect: Option<OnDisconnect>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum OnDisconnect {
    Continue,
    Cancel,
}

/// A declared input. A bare type name (`text: string`) is short for `{type: string}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub name: Located<String>,
    pub kind: InputKind,
    pub required: Option<bool>,
    pub default: Option<Node>,
    pub description: Option<String>,
    pub examples: Vec<Node>,
    /// `minimum`, `pattern` ... as JSON Schema keywords.
    pub bounds: Vec<(String, Node)>,
    pub values: Vec<Node>,
    pub accept: Vec<String>,
    pub max_bytes: Option<u64>,
    /// The raw schema.
    pub schema: Option<Node>,
    pub span: Span,
}

impl JsonSchema for Input {
    fn schema_name() -> Cow<'static, str> {
        "Input".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let word = generator.subschema_for::<InputWord>();
        let object = generator.subschema_for::<InputFile>();
        json_schema!({ "anyOf": [word, object] })
    }
}
