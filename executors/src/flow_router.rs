//! `flow_router`: runs the flow of the first route whose condition is true.
//!
//! Invariant: at most one child is started, and none when a condition before it is neither true nor false.

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed};
use language::{CostKind, EffectRule, ExecutorSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::child_flow::Callee;
use crate::config::{self, flow_fault};
use crate::spec;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Tried in order; the first whose condition is true is taken.
    #[schemars(with = "Vec<Route>", length(min = 1), extend("x-weir-type" = "cases"))]
    routes: Vec<Value>,
    /// The flow that runs when no condition is true. Without it, that is a failure.
    #[schemars(extend("x-weir-type" = "otherwise"))]
    default: Option<Callee>,
    /// Inputs for every route that has none of its own.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    inputs: Value,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Route {
    /// True or false, with or without braces: `steps.check.file_type == 'pdf'`.
    #[serde(rename = "condition")]
    #[schemars(schema_with = "spec::condition")]
    _condition: Value,
    /// The flow to run.
    flow_name: String,
    /// Exactly this version of it.
    #[schemars(range(min = 1))]
    version: Option<u32>,
    /// The version on this channel; `stable` unless said.
    channel: Option<String>,
    /// Its inputs. A whole object (`"{{ inputs }}"`) is narrowed to what the flow declares.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    inputs: Value,
}

pub(crate) struct FlowRouter {
    spec: ExecutorSpec,
}

impl FlowRouter {
    pub(crate) fn new() -> Self {
        let summary = "Runs one of several flows, by conditions, and gives its outputs.";
        let spec = ExecutorSpec {
            effect: EffectRule::StrictestChild,
            cost: CostKind::Child,
            ..spec::plain::<Config, spec::Anything>("flow_router", summary)
        };
        Self { spec }
    }
}

#[async_trait]
impl Executor for FlowRouter {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let Config { routes, default, inputs } = config::read(config)?;
        let chosen = config::chosen(routes, "route")?.map(|route| {
            let Route { flow_name, version, channel, inputs, .. } = route;
            Callee { flow_name, version, channel, inputs }
        });
        let Some(mut callee) = chosen.or(default) else {
            return Err(flow_fault("no_route", "No route's condition is true and there is no `default`.").into());
        };
        if callee.inputs.is_null() {
            callee.inputs = inputs;
        }
        Ok(Done::free(callee.outputs(call, "").await?))
    }
}
