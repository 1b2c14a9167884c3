//! `flow_executor`: runs another flow as a step.
//!
//! Invariant: one attempt starts at most one child; a detached one goes on whatever becomes of the step.

use async_trait::async_trait;
use engine::ports::ChildRequest;
use engine::{Call, Done, Executor, Failed};
use language::{CostKind, EffectRule, ExecutorSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::child_flow::Callee;
use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
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
    /// Do not wait: the step ends when the run is started, and gives its `run_id`.
    #[serde(default)]
    detached: bool,
}

pub(crate) struct FlowExecutor {
    spec: ExecutorSpec,
}

impl FlowExecutor {
    pub(crate) fn new() -> Self {
        let spec = ExecutorSpec {
            effect: EffectRule::StrictestChild,
            cost: CostKind::Child,
            ..spec::plain::<Config, spec::Anything>("flow_executor", "Runs another flow and gives its outputs.")
        };
        Self { spec }
    }
}

#[async_trait]
impl Executor for FlowExecutor {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let Config { flow_name, version, channel, inputs, detached } = config::read(config)?;
        let callee = Callee { flow_name, version, channel, inputs };
        if !detached {
            return Ok(Done::free(callee.outputs(call, "").await?));
        }
        // Whoever goes its own way is not gone on with.
        let request = ChildRequest { detached, earlier: Vec::new(), ..callee.request(call, "")? };
        let child = call.children.start(request).await?.run;
        Ok(Done::free(json!({"run_id": child})))
    }
}
