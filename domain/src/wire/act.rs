//! What people do to runs, and what runs ask people, on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{ApprovalId, RunId};

/// Body of `POST /api/v1/runs/{run}/kill`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"reason": "It floods the supplier."})))]
#[serde(deny_unknown_fields)]
pub struct KillInput {
    /// Written into the audit log.
    pub reason: String,
}

/// Body of `POST /api/v1/runs/{run}/signal`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"name": "paid", "payload": {"amount": 120}})))]
#[serde(deny_unknown_fields)]
pub struct SignalInput {
    pub name: String,
    #[serde(default)]
    pub payload: Value,
}

/// Body of `POST /api/v1/runs/{run}/replay`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"from_step": "summarise"})))]
#[serde(deny_unknown_fields)]
pub struct ReplayInput {
    /// The first step that runs again, with everything that is not before it; all of them unless said.
    #[serde(default)]
    pub from_step: Option<String>,
    /// The version of the flow; the run's own unless said.
    #[serde(default)]
    pub version: Option<u32>,
    /// Other inputs than the run's.
    #[serde(default)]
    pub inputs: Option<Value>,
    /// Sends outgoing calls with the keys of the run that is replayed, so that receivers see the same calls again.
    #[serde(default)]
    pub reuse_keys: bool,
    /// Lets stand what people and signals said.
    #[serde(default)]
    pub reuse_decisions: bool,
}

/// What becomes of a step that needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ResolveAction {
    /// It was done, with `output`.
    Complete,
    /// Do it again, under the same key.
    Retry,
    Fail,
}

/// Body of `POST /api/v1/runs/{run}/steps/{step}/resolve`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"action": "complete", "output": {"id": 7}})))]
#[serde(deny_unknown_fields)]
pub struct ResolveInput {
    pub action: ResolveAction,
    /// With `complete`: what the step gives.
    #[serde(default)]
    pub output: Value,
    /// Of a `for_each` step, counted from 0.
    #[serde(default)]
    pub item: Option<u32>,
    /// With `retry`, for a step that stopped at a cap: the new cap, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost: Option<f64>,
}

/// Where a question to people stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    Open,
    Approved,
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// The run ended before anybody decided.
    Withdrawn,
}

impl ApprovalStatus {
    pub const ALL: &'static [Self] = &[Self::Open, Self::Approved, Self::Rejected, Self::Expired, Self::Withdrawn];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|status| status.as_str() == text)
    }
}

/// A question that a run asks people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ApprovalView {
    pub id: ApprovalId,
    pub run_id: RunId,
    pub flow: String,
    pub step: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    pub status: ApprovalStatus,
    pub message: Option<String>,
    /// Who may decide; empty: everybody with `runs:approve`.
    pub roles: Vec<String>,
    /// JSON Schema of what is to be filled in.
    pub form: Option<Value>,
    pub asked_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub decided_at: Option<DateTime<Utc>>,
    pub decided_by: Option<String>,
    pub comment: Option<String>,
    /// What was filled in.
    pub answer: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Approve,
    Reject,
}

/// Body of `POST /api/v1/approvals/{approval}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"decision": "approve", "comment": "Checked with the customer."})))]
#[serde(deny_unknown_fields)]
pub struct DecisionInput {
    pub decision: Verdict,
    #[serde(default)]
    pub comment: Option<String>,
    /// What the question's form asks for.
    #[serde(default)]
    pub form: Value,
}
