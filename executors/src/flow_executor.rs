//! `flow_executor`: runs another flow as a step.
//!
//! Invariant: one attempt starts at most one child, however often it is resumed; a cancel of the step reaches it.

use async_trait::async_trait;
use domain::{Failure, FailureKind, RunStatus};
use engine::ports::ChildRequest;
use engine::{Call, Done, Executor, Failed, Settled};
use language::{CostKind, EffectRule, ExecutorSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{self, flow_fault};
use crate::spec;

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
        let config: Config = config::read(config)?;
        let request = request(call, &config)?;
        let child = config::unless_cancelled(call, call.children.start(request)).await?;
        if config.detached {
            return Ok(Done::free(json!({"run_id": child})));
        }
        let settled = tokio::select! {
            biased;
            settled = call.children.wait(child) => settled.map_err(|error| config::storage_fault(&error))?,
            () = call.cancel.cancelled() => {
                if let Err(error) = call.children.cancel(child, "the step that runs it was cancelled").await {
                    tracing::warn!(%error, run = %child, "a child run could not be cancelled with its parent");
                }
                return Err(Failure::new(FailureKind::Cancelled, "cancelled", "The step was cancelled.").into());
            }
        };
        Ok(Done::free(outputs(&config.flow_name, settled)?))
    }
}

fn request(call: &Call, config: &Config) -> Result<ChildRequest, Failure> {
    if config.version.is_some() && config.channel.is_some() {
        return Err(flow_fault("config_invalid", "Give `version` or `channel`, not both."));
    }
    let inputs = match &config.inputs {
        Value::Null => Value::Object(Map::new()),
        object @ Value::Object(_) => object.clone(),
        _ => return Err(flow_fault("inputs_type", "`inputs` must be an object.")),
    };
    Ok(ChildRequest {
        flow: config.flow_name.clone(),
        version: config.version,
        channel: config.channel.clone(),
        inputs,
        narrow: true,
        parent: call.run,
        parent_step: call.step.clone(),
        // A retry is a new child; a resumed attempt finds its own again.
        key: format!("{}#{}", call.key, call.attempt),
    })
}

/// The child's outputs, or its failure with its kind: whoever called the parent is answered as if by the child.
fn outputs(flow: &str, settled: Settled) -> Result<Value, Failure> {
    if settled.status == RunStatus::Succeeded {
        return Ok(settled.outputs);
    }
    let place = settled.failed_step.map_or_else(String::new, |step| format!(" at `{step}`"));
    let failure = settled.error.unwrap_or_else(|| match settled.status {
        RunStatus::TimedOut => Failure::new(FailureKind::Timeout, "child_timed_out", "it took too long"),
        RunStatus::Cancelled | RunStatus::Killed => {
            Failure::new(FailureKind::Cancelled, "child_cancelled", "it was cancelled").retryable(false)
        }
        _ => Failure::new(FailureKind::Internal, "child_failed", "it ended without a result"),
    });
    let message = format!("The flow `{flow}` failed{place}: {}", failure.message);
    // The line belongs to the child's file, not to ours.
    Err(Failure { message, line: None, ..failure })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_childs_failure_passes_up_with_its_kind_and_place() {
        let error =
            Failure::new(FailureKind::Document, "no_text_layer", "The document has no text layer.").at_line(Some(7));
        let settled = Settled {
            status: RunStatus::Failed,
            outputs: Value::Null,
            error: Some(error),
            handler_errors: Vec::new(),
            failed_step: Some("extract".into()),
            failed_attempt: Some(1),
            usage: domain::wire::UsageTotals::default(),
            cost: None,
        };
        let failure = outputs("intake", settled).unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str(), failure.line), (FailureKind::Document, "no_text_layer", None));
        assert_eq!(failure.message, "The flow `intake` failed at `extract`: The document has no text layer.");
    }
}
