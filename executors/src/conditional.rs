//! `conditional`: the value of the first case that holds.
//!
//! Invariant: a condition is true or false; nothing else is taken for either.

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed};
use language::ExecutorSpec;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Tried in order; the first whose condition is true gives its value.
    #[schemars(with = "Vec<Case>", length(min = 1), extend("x-weir-type" = "cases"))]
    cases: Vec<Value>,
    /// The value when no condition is true. Without it, that is a failure.
    #[serde(default, deserialize_with = "present")]
    #[schemars(schema_with = "spec::otherwise")]
    default: Option<Value>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Case {
    /// True or false, with or without braces: `inputs.amount > 100`.
    #[serde(rename = "condition")]
    #[schemars(schema_with = "spec::condition")]
    _condition: Value,
    #[schemars(schema_with = "spec::any_value")]
    value: Value,
}

/// Keeps a written `null` apart from no default at all.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

pub(crate) struct Conditional {
    spec: ExecutorSpec,
}

impl Conditional {
    pub(crate) fn new() -> Self {
        let summary = "Gives the value of the first case whose condition is true.";
        let mut spec = spec::plain::<Config, spec::Anything>("conditional", summary);
        spec.output["x-gives"] = json!({ "cases": "cases", "value": "value", "otherwise": "default" });
        Self { spec }
    }
}

#[async_trait]
impl Executor for Conditional {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, _call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        if let Some(case) = config::chosen::<Case>(config.cases, "case")? {
            return Ok(Done::free(case.value));
        }
        let none = || config::flow_fault("no_case", "No case holds and there is no `default`.");
        Ok(Done::free(config.default.ok_or_else(none)?))
    }
}
