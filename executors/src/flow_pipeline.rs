//! `flow_pipeline`: runs flows one after the other, each fed with what the one before gave.
//!
//! Invariant: a flow starts only when the one before succeeded; a mapping sees the last output and the pipeline's inputs,
//! and nothing else of the flow.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Failure;
use engine::{Call, Done, Executor, Failed};
use language::{CostKind, DataKind, EffectRule, ExecutorSpec, MainInput};
use sandbox::Pool;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::child_flow::Callee;
use crate::config::{self, flow_fault};
use crate::{data_transformer, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The inputs of the first flow.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    inputs: Value,
    /// The flows in order, by name or with more to say about each: `[extract, {flow_name: translate, inputs: {text: "{{ output.text }}"}}]`.
    #[schemars(length(min = 1, max = 50))]
    flows: Vec<Stage>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Stage {
    Name(String),
    Flow(StageFlow),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StageFlow {
    /// The flow to run.
    flow_name: String,
    /// Exactly this version of it.
    #[schemars(range(min = 1))]
    version: Option<u32>,
    /// The version on this channel; `stable` unless said.
    channel: Option<String>,
    /// Its inputs, with `output` (what the flow before gave) and `inputs` (those of the pipeline) in scope. Left out, it gets the whole output, narrowed to what it declares.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    inputs: Value,
}

impl Stage {
    fn parts(self) -> StageFlow {
        match self {
            Self::Name(flow_name) => StageFlow { flow_name, version: None, channel: None, inputs: Value::Null },
            Self::Flow(flow) => flow,
        }
    }
}

pub(crate) struct FlowPipeline {
    spec: ExecutorSpec,
    sandbox: Arc<Pool>,
}

impl FlowPipeline {
    pub(crate) fn new(sandbox: Arc<Pool>) -> Self {
        let summary = "Runs flows one after the other, each on what the one before gave.";
        let spec = ExecutorSpec {
            main_input: Some(MainInput {
                field: "inputs".into(),
                kind: DataKind::Data,
                list: false,
                required: false,
                needed_unless: Vec::new(),
            }),
            effect: EffectRule::StrictestChild,
            cost: CostKind::Child,
            raw_fields: vec!["flows".to_owned()],
            ..spec::plain::<Config, spec::Anything>("flow_pipeline", summary)
        };
        Self { spec, sandbox }
    }

    async fn inputs(&self, call: &Call, mapping: Value, (first, last): (&Value, &Value)) -> Result<Value, Failure> {
        if mapping.is_null() {
            return Ok(last.clone());
        }
        let scope = Map::from_iter([("output".to_owned(), last.clone()), ("inputs".to_owned(), first.clone())]);
        data_transformer::shaped(&self.sandbox, call, mapping, scope).await
    }
}

#[async_trait]
impl Executor for FlowPipeline {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let Config { inputs, flows } = config::read(config)?;
        let first = if inputs.is_null() { json!({}) } else { inputs };
        let mut last = first.clone();
        let total = flows.len() as u64;
        for (index, stage) in flows.into_iter().enumerate() {
            let StageFlow { flow_name, version, channel, inputs } = stage.parts();
            let inputs = self.inputs(call, inputs, (&first, &last)).await?;
            if !inputs.is_object() {
                let message = format!(
                    "`{flow_name}` needs an object as its inputs; what comes before it gives something else. \
                     Say which input it is: `inputs: {{text: \"{{{{ output }}}}\"}}`."
                );
                return Err(flow_fault("inputs_type", message).into());
            }
            let callee = Callee { flow_name, version, channel, inputs };
            last = callee.outputs(call, &format!("/{index}")).await?;
            call.progress.advanced(index as u64 + 1, Some(total), "flows");
        }
        Ok(Done::free(last))
    }
}
