//! «CONTRACT» What executors exist and what each takes and gives: the one description that checker, console, docs and
//! engine read. This crate owns the type; the `executors` room builds the value.
//!
//! Invariant: names are unique, and every main input and marked field exists in its schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a value is good for, when a step's main input is looked for among the outputs before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DataKind {
    File,
    Text,
    /// Any value at all.
    Data,
}

/// The field a step may leave out, because it can be found among what came before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainInput {
    pub field: String,
    pub kind: DataKind,
    /// Takes all direct dependencies instead of the nearest fitting one.
    #[serde(default)]
    pub list: bool,
    /// False where the executor also works without it (an `api_request` needs no body).
    #[serde(default = "yes")]
    pub required: bool,
    /// Config keys one of which makes it optional; without any of them, and without variables of a prompt, there would
    /// be nothing to work on.
    #[serde(default)]
    pub needed_unless: Vec<String>,
}

const fn yes() -> bool {
    true
}

/// A field of an object output that holds a file or the text a follower would want.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkedField {
    pub field: String,
    pub kind: DataKind,
}

/// What running a step twice does to the outside world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    Pure,
    Idempotent,
    Unsafe,
}

/// How an executor's default effect is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectRule {
    Always(Effect),
    /// By the HTTP method in this config field: GET and HEAD pure, PUT and DELETE idempotent, POST and PATCH unsafe.
    /// Left out, it is GET, or POST where the config has a body (`json`, `form`, `body`, `file`).
    ByMethod {
        field: String,
    },
    /// A child flow is as strict as its strictest step.
    StrictestChild,
}

/// What a step can cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostKind {
    Free,
    Tokens,
    Child,
}

/// One executor, as everybody but itself sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutorSpec {
    /// `document_extractor`.
    pub name: String,
    /// Grows when the same config may give another output; part of cache keys.
    pub version: u32,
    /// One sentence.
    pub summary: String,
    /// JSON Schema 2020-12 of the config object, `additionalProperties: false` unless `open_config`.
    pub config: Value,
    /// JSON Schema 2020-12 of the output. `x-schema-from` names the config field that holds it instead; `x-gives` says
    /// that the output is what the config gives: `{field}`, `{named}` or `{cases, value, otherwise}`, and `unless` any of
    /// these fields is there.
    pub output: Value,
    pub main_input: Option<MainInput>,
    #[serde(default)]
    pub marked: Vec<MarkedField>,
    pub effect: EffectRule,
    pub cost: CostKind,
    /// Sends progress while it runs.
    pub streams: bool,
    /// Config keys that are not its own become variables of the prompt.
    #[serde(default)]
    pub open_config: bool,
    /// Attempts when the step has no `retry`: 1, for LLM steps 3.
    pub default_attempts: u32,
    /// Fields whose value names a file of the flow's folder (`prompt_file`).
    #[serde(default)]
    pub file_fields: Vec<String>,
    /// Top-level config fields handed over as written: never rendered, never read for dependencies. The executor
    /// evaluates them itself (`data_transformer.filter`, with `item` in scope).
    #[serde(default)]
    pub raw_fields: Vec<String>,
    /// Top-level config fields that may hold secrets, since their values go to the service that the step calls. The rule
    /// is closed: a secret anywhere else is a problem of the flow, and fails the step.
    #[serde(default)]
    pub secret_fields: Vec<String>,
    /// The engine itself does these: they suspend the run instead of executing.
    #[serde(default)]
    pub control: Option<Control>,
}

/// Steps that wait instead of executing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// `{for | until | signal, timeout}`.
    Wait,
    /// `{roles, form, expires_in, on_expiry, message}`.
    Approval,
}

/// All executors, by name.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Catalogue {
    executors: BTreeMap<String, ExecutorSpec>,
}

impl Catalogue {
    #[must_use]
    pub fn new(specs: impl IntoIterator<Item = ExecutorSpec>) -> Self {
        Self { executors: specs.into_iter().map(|spec| (spec.name.clone(), spec)).collect() }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ExecutorSpec> {
        self.executors.get(name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &ExecutorSpec> {
        self.executors.values()
    }
}
