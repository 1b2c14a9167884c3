//! The flow as it was written: every declared thing with its place, in written order.
//!
//! Invariant: what stands here has the right shape; whether its names mean something is the checker's business. The
//! JSON Schema of flow files is generated from these types.

mod shape;

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::catalogue::Effect;
use crate::node::Node;
use crate::plan::{Backoff, InputKind, Jitter, Join, OnSkip, OnUnknown, RunIf};
use crate::source::Span;

use shape::{Condition, Duration, InputFile, InputWord, JoinFile, OnErrorFile, OneOrMany};

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
    /// What the flow does.
    #[schemars(length(min = 1, max = 500))]
    pub steps: Vec<Step>,
    /// Settings of parallel groups, by name.
    #[schemars(with = "Option<BTreeMap<String, Group>>")]
    pub groups: Vec<Group>,
    /// Cancel the other branches when one fails.
    #[schemars(with = "Option<bool>")]
    pub fail_fast: bool,
    /// The whole run's time limit.
    #[schemars(with = "Option<Duration>")]
    pub timeout: Option<u64>,
    /// Whether the run is stored; only `all` in this version.
    pub save: Option<Save>,
    /// How calls are answered.
    #[schemars(with = "Option<Endpoint>")]
    pub endpoint: Endpoint,
    /// Where the mapping stands.
    #[schemars(skip)]
    pub span: Span,
    /// Functions and macros by name, as far as templates may call them.
    #[schemars(skip)]
    pub callables: Vec<String>,
}

/// A name with the value written for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    pub name: String,
    pub name_span: Span,
    pub value: Node,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "snake_case")]
pub enum Save {
    All,
}

/// One step.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Step {
    /// The step's name; its record is `steps.<name>`.
    #[schemars(regex(pattern = r"^[a-z][a-z0-9_]{0,63}$"), with = "String")]
    pub name: Located<String>,
    /// What the step is for; the instruction of an LLM step without a prompt.
    pub description: Option<String>,
    /// What the step does.
    pub executor: Located<String>,
    /// The executor's settings; strings may hold templates.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub config: Option<Node>,
    /// Steps and groups to wait for. Left out: what is written above. `[]`: nothing.
    #[schemars(with = "Option<OneOrMany>")]
    pub depends_on: Option<Vec<Located<String>>>,
    /// Steps of one group start together.
    pub parallel_group: Option<Located<String>>,
    /// Whether the step runs; evaluated once, when it is its turn.
    #[schemars(with = "Option<Condition>")]
    pub condition: Option<Node>,
    /// How the steps before must have ended.
    pub run_if: Option<RunIf>,
    /// How often and how long failures are tried again.
    pub retry: Option<Retry>,
    /// The time limit of one attempt.
    #[schemars(with = "Option<Duration>")]
    pub timeout: Option<u64>,
    /// The time limit of the step with all its attempts and waits.
    #[schemars(with = "Option<Duration>")]
    pub total_timeout: Option<u64>,
    /// How long an LLM step may take to its first token.
    #[schemars(with = "Option<Duration>")]
    pub first_token_timeout: Option<u64>,
    /// What running the step twice does to the outside world.
    pub effect: Option<Effect>,
    /// What happens when nobody knows whether an unsafe attempt had its effect.
    pub on_unknown: Option<OnUnknown>,
    /// What happens when the step fails.
    #[schemars(with = "Option<OnErrorFile>")]
    pub on_error: Option<StepOnError>,
    /// What the steps after do when this one is skipped.
    pub on_skip: Option<OnSkip>,
    /// Where the mapping stands.
    #[schemars(skip)]
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum StepOnError {
    Fail,
    Continue,
    Value(Node),
}

/// When and how often a failure is tried again. What is left out comes from `defaults.retry`, then from the defaults.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Retry {
    /// Counts the first attempt.
    #[schemars(range(min = 1, max = 100))]
    pub max_attempts: Option<u32>,
    pub backoff_strategy: Option<Backoff>,
    /// 1 s unless said.
    #[schemars(with = "Option<Duration>")]
    pub initial_delay: Option<u64>,
    /// What each delay is multiplied by; 2 unless said.
    pub factor: Option<f64>,
    /// 60 s unless said.
    #[schemars(with = "Option<Duration>")]
    pub max_delay: Option<u64>,
    /// `full` unless said.
    pub jitter: Option<Jitter>,
    /// 15 minutes unless said.
    #[schemars(with = "Option<Duration>")]
    pub max_elapsed: Option<u64>,
    /// Kinds or codes of failures that are retried besides.
    pub retry_on: Option<Vec<String>>,
    /// Kinds or codes of failures that are never retried.
    pub no_retry_on: Option<Vec<String>>,
}

/// What steps inherit.
#[derive(Debug, Clone, PartialEq, Default, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Defaults {
    pub retry: Option<Retry>,
    /// The time limit of one attempt.
    #[schemars(with = "Option<Duration>")]
    pub timeout: Option<u64>,
    /// `connection/model`.
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
