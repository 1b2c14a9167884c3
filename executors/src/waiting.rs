//! `wait` and `approval`: steps that the engine does itself, by suspending the run. Here is what it reads and gives.
//!
//! Invariant: none of these is ever executed; their specs say so by [`Control`].

use async_trait::async_trait;
use domain::{Failure, FailureKind};
use engine::{Call, Done, Executor, Failed};
use language::{Control, ExecutorSpec};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::spec;

#[expect(dead_code, reason = "read by the engine, which knows it by its schema")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["for"]}, {"required": ["until"]}, {"required": ["signal"]}]))]
struct WaitConfig {
    /// How long: `90s`, `15m`, `24h`, `7d`. With `signal`, how long to wait for it.
    r#for: Option<String>,
    /// Until when: a date and time as RFC 3339. With `signal`, until when to wait for it.
    until: Option<String>,
    /// The name of the signal that ends the wait; it is sent by API or from the console.
    #[schemars(regex(pattern = "^[a-z][a-z0-9_]{0,63}$"))]
    signal: Option<String>,
    /// What it means when the signal did not come in time; a failure unless said.
    on_timeout: Option<OnTimeout>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnTimeout {
    Fail,
    Continue,
}

#[expect(dead_code, reason = "made by the engine")]
#[derive(JsonSchema)]
struct WaitOutput {
    /// What ended the wait.
    reason: Reason,
    /// What came with the signal; null without one.
    #[schemars(schema_with = "spec::any_value")]
    payload: Value,
    /// Who sent the signal; null without one.
    by: Option<String>,
    /// When the wait ended.
    at: String,
}

#[expect(dead_code, reason = "made by the engine")]
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Time,
    Signal,
    Timeout,
}

#[expect(dead_code, reason = "read by the engine, which knows it by its schema")]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ApprovalConfig {
    /// What is asked, for the person who decides.
    message: Option<String>,
    /// Who may decide, by role; everybody who may approve unless said.
    roles: Option<Vec<String>>,
    /// A JSON Schema of what the person fills in.
    #[serde(default)]
    #[schemars(schema_with = "form_schema")]
    form: Option<Value>,
    /// How long it may take: `24h`, `7d`. Without it the approval waits for ever.
    expires_in: Option<String>,
    /// What it means when nobody decided in time; a failure unless said.
    on_expiry: Option<OnExpiry>,
    /// What a rejection means: a failure, or an output that says so; a failure unless said.
    on_reject: Option<OnTimeout>,
}

fn form_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "description": "A JSON Schema of what the person fills in."})
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnExpiry {
    Fail,
    Approve,
    Reject,
    Continue,
}

#[expect(dead_code, reason = "made by the engine")]
#[derive(JsonSchema)]
struct ApprovalOutput {
    /// Whether it was approved, by a person or by expiry.
    approved: bool,
    decision: Decision,
    /// Who decided; null when it expired.
    by: Option<String>,
    /// What the person wrote.
    comment: Option<String>,
    /// What the person filled in.
    #[schemars(schema_with = "spec::any_value")]
    form: Value,
    /// When it was decided.
    at: String,
}

#[expect(dead_code, reason = "made by the engine")]
#[derive(JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Approved,
    Rejected,
    Expired,
}

/// A step that suspends the run.
pub(crate) struct Waiting {
    spec: ExecutorSpec,
}

impl Waiting {
    pub(crate) fn wait() -> Self {
        let summary = "Suspends the run for a time, until a moment, or until a signal comes.";
        Self { spec: control(spec::plain::<WaitConfig, WaitOutput>("wait", summary), Control::Wait) }
    }

    pub(crate) fn approval() -> Self {
        let summary = "Suspends the run until a person approves or rejects.";
        Self { spec: control(spec::plain::<ApprovalConfig, ApprovalOutput>("approval", summary), Control::Approval) }
    }
}

fn control(spec: ExecutorSpec, control: Control) -> ExecutorSpec {
    ExecutorSpec { control: Some(control), ..spec }
}

#[async_trait]
impl Executor for Waiting {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, _config: Value) -> Result<Done, Failed> {
        tracing::error!(step = %call.step, "a step that only waits was executed");
        let message = format!("`{}` cannot be executed here: the engine has to wait for it.", self.spec.name);
        Err(Failure::new(FailureKind::Internal, "not_waited_for", message).into())
    }
}
