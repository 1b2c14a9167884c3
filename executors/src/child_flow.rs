//! Runs of other flows, as `flow_executor`, `flow_pipeline` and `flow_router` make them.
//!
//! Invariant: one key starts at most one child, however often its step is resumed; a cancel of the step reaches it.

use domain::{Failure, FailureKind, RunId, RunStatus};
use engine::ports::ChildRequest;
use engine::{Call, Settled};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::config::{self, flow_fault};
use crate::spec;

/// A flow to run, as configs name it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Callee {
    /// The flow to run.
    pub(crate) flow_name: String,
    /// Exactly this version of it.
    #[schemars(range(min = 1))]
    pub(crate) version: Option<u32>,
    /// The version on this channel; `stable` unless said.
    pub(crate) channel: Option<String>,
    /// Its inputs. A whole object (`"{{ inputs }}"`) is narrowed to what the flow declares.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    pub(crate) inputs: Value,
}

impl Callee {
    /// The request for the run. `part` tells the children of one step apart; empty for the only one.
    pub(crate) fn request(&self, call: &Call, part: &str) -> Result<ChildRequest, Failure> {
        if self.version.is_some() && self.channel.is_some() {
            return Err(flow_fault("config_invalid", "Give `version` or `channel`, not both."));
        }
        let inputs = match &self.inputs {
            Value::Null => Value::Object(Map::new()),
            object @ Value::Object(_) => object.clone(),
            _ => return Err(flow_fault("inputs_type", "`inputs` must be an object.")),
        };
        let request = call.child(self.flow_name.clone(), inputs, part);
        Ok(ChildRequest { version: self.version, channel: self.channel.clone(), ..request })
    }

    /// Starts the run and waits for its outputs.
    pub(crate) async fn outputs(&self, call: &Call, part: &str) -> Result<Value, Failure> {
        let request = self.request(call, part)?;
        // Not given up in the middle: a child that nobody knows of could not be cancelled with its parent.
        let child = call.children.start(request).await?.run;
        outputs(&self.flow_name, settled(call, child).await?)
    }
}

async fn settled(call: &Call, child: RunId) -> Result<Settled, Failure> {
    tokio::select! {
        biased;
        settled = call.children.wait(child) => settled.map_err(|error| config::storage_fault(&error)),
        () = call.cancel.cancelled() => {
            let cancelled = call.children.cancel(child, "its parent: the step that runs it was cancelled").await;
            // What it used until its end counts with its parent, as far as the step's own grace allows to wait for that.
            let ended = if cancelled.is_ok() { call.children.wait(child).await.map(|_| ()) } else { cancelled };
            if let Err(error) = ended {
                tracing::warn!(%error, run = %child, "a child run could not be cancelled with its parent");
            }
            Err(Failure::new(FailureKind::Cancelled, "cancelled", "The step was cancelled."))
        }
    }
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
