//! Runs, steps, attempts and events on the wire.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::Failure;
use crate::id::RunId;
use crate::money::NanoUsd;
use crate::status::{RunStatus, StepStatus};
use crate::trace::{SpanId, TraceId};

/// What one attempt used, by kind, as the provider or executor reported it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Usage {
    /// `provider/model` the units were bought from; empty when nothing was bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Units by kind: `input_tokens`, `output_tokens`, `cached_tokens`, `pages` ...; `unseen_calls` where something was
    /// bought and nobody saw how much, because the call was cut off.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub units: BTreeMap<String, u64>,
    /// Price at the time, null when no price is known for what was used.
    #[serde(default)]
    pub cost_nano_usd: Option<NanoUsd>,
    /// Whether the numbers come from the provider (false) or were counted by us (true).
    #[serde(default)]
    pub estimated: bool,
    /// What an output from the step cache cost when it was made; absent where none came from there, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saved_nano_usd: Option<NanoUsd>,
}

/// The unit of calls that were cut off, so that nobody knows what they used.
const UNSEEN_CALLS: &str = "unseen_calls";

impl Usage {
    /// What a call used that somebody charges for and whose end nobody saw. Its cost is unknown, which is not nothing.
    #[must_use]
    pub fn unseen() -> Self {
        Self { units: BTreeMap::from([(UNSEEN_CALLS.to_owned(), 1)]), ..Self::default() }
    }

    /// Whether something was used that somebody charges for.
    #[must_use]
    pub fn is_bought(&self) -> bool {
        let is_bought = |kind: &String| kind.ends_with("_tokens") || kind == UNSEEN_CALLS;
        self.model.is_some() || self.cost_nano_usd.is_some() || self.units.keys().any(is_bought)
    }
}

/// What a run used in all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UsageTotals {
    #[serde(default)]
    pub units: BTreeMap<String, u64>,
}

/// The 200 of `POST /api/v1/flows/{flow}/run`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunAnswer {
    pub run_id: RunId,
    pub status: RunStatus,
    pub outputs: Value,
    pub usage: UsageTotals,
    pub cost_nano_usd: Option<NanoUsd>,
}

/// The 202 of `POST /api/v1/flows/{flow}/run`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunAccepted {
    pub run_id: RunId,
    pub status: RunStatus,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunSummary {
    pub id: RunId,
    pub flow: String,
    pub version: u32,
    pub status: RunStatus,
    /// What started it: `api`, `console`, `cli`, `flow`, `demo`.
    pub trigger: String,
    /// Who started it, for people: a key's or a member's name.
    pub started_by: String,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<u64>,
    pub cost_nano_usd: Option<NanoUsd>,
    pub error: Option<Failure>,
    /// Runs by test keys are marked and never billed.
    pub test: bool,
    /// The run that started it.
    pub parent_run_id: Option<RunId>,
    /// That run's step that waits for it. Null where nobody does: such a run is restarted by itself.
    #[serde(default)]
    pub parent_step: Option<String>,
    /// The experiment that chose the version, and the variant it gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The W3C trace that the run belongs to: its caller's, or one of its own. Null for runs from before it was kept.
    #[serde(default)]
    pub trace_id: Option<TraceId>,
}

/// A run, whole. `GET /api/v1/runs/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RunDetail {
    #[serde(flatten)]
    pub summary: RunSummary,
    pub inputs: Value,
    pub outputs: Option<Value>,
    pub usage: UsageTotals,
    /// The step that made the run fail.
    pub failed_step: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// The span that started it: the caller's, or the parent's attempt. Null where the trace began with the run.
    #[serde(default)]
    pub parent_span_id: Option<SpanId>,
}

/// A step's record. `GET /api/v1/runs/{id}/steps`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepView {
    pub name: String,
    pub executor: String,
    pub group: Option<String>,
    /// When it is no step of the flow's main part: `compensation`, `on_error` or `finally`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    pub status: StepStatus,
    pub success: Option<bool>,
    pub skipped: bool,
    pub cached: bool,
    /// Why a skipped step was skipped: `condition`, `upstream_failed`, `upstream_skipped`, `fail_fast`, `cancelled`.
    pub skip_reason: Option<String>,
    pub attempts: u32,
    pub error: Option<Failure>,
    /// The rendered config, with secrets as references.
    pub config: Option<Value>,
    pub output: Option<Value>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub duration_ms: Option<u64>,
    pub cost_nano_usd: Option<NanoUsd>,
    pub usage: Option<Usage>,
    /// By number. Of very many 200: those that need attention, then those that failed, then the newest.
    pub attempt_list: Vec<AttemptView>,
    /// Attempts that are not listed, because there are too many.
    #[serde(default, skip_serializing_if = "is_default")]
    pub attempts_omitted: u64,
    /// Of a `for_each` step: how many of its items have each status.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, u64>,
    /// The items that wait for a person to resolve them, counted from 0: the first 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items_needing_attention: Vec<u32>,
    /// The run that a `flow_executor` step started.
    pub child_run_id: Option<RunId>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// One try of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AttemptView {
    /// Of a `for_each` step, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<u32>,
    pub number: u32,
    /// Which way of doing the step it is one of: `main`, `fallback_1`, `fallback_2` ... or `compensation`. Absent for
    /// attempts from before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Of a `repeat` step, counted from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iteration: Option<u32>,
    pub status: StepStatus,
    pub started_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
    pub error: Option<Failure>,
    pub usage: Option<Usage>,
}

/// One journal event as watchers see it. The SSE id is `position`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    pub position: u64,
    pub at: DateTime<Utc>,
    /// The event's name: `run_started`, `step_settled` ...
    pub event: String,
    pub step: Option<String>,
    pub data: Value,
}
