//! What would run for given inputs, on the wire.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of `POST /api/v1/flows/{flow}/plan`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"inputs": {"country": "NO"}})))]
#[serde(deny_unknown_fields)]
pub struct ForecastInput {
    /// As a call would send them; files uploaded before as `{"file_id": ...}`.
    #[serde(default)]
    pub inputs: Value,
    #[serde(default)]
    pub version: Option<u32>,
    #[serde(default)]
    pub channel: Option<String>,
}

/// Whether a step would run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outlook {
    /// Unless something before it fails.
    Runs,
    /// Only the run itself can tell.
    May,
    Skipped,
}

/// Where most of the earlier runs lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Spread {
    pub p10: u64,
    pub p50: u64,
    pub p90: u64,
}

/// One step as it is expected to go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StepForecast {
    pub name: String,
    pub executor: String,
    pub outlook: Outlook,
    /// Why, where it is not simply its turn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many items a step with `for_each` has, where the inputs decide it; the figures are for so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u64>,
    /// Earlier runs of this step that the figures come from.
    pub samples: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<Spread>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Spread>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_nano_usd: Option<Spread>,
}

/// A limit that the run would come near or hit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitForecast {
    /// `timeout`, `max_cost`, `max_wait`, `total_timeout`, `max_items`, `groups.<name>.timeout`, `groups.<name>.max_cost`,
    /// `concurrency`, `max_concurrent_runs`; or what the run would fail at: `unknown_flow`, `unknown_secret`,
    /// `unknown_connection`, `unknown_pool`, `unknown_model`, `no_model`, `unknown_price`.
    pub name: String,
    /// Whether it would be hit as things stand and usually go.
    pub hit: bool,
    pub sentence: String,
}

/// What would run, how long it would take and what it would cost. Nothing is executed for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Forecast {
    pub flow: String,
    /// Null where the flow lies in a folder.
    pub version: Option<u32>,
    pub steps: Vec<StepForecast>,
    /// From the first step's start to the last one's end, along the longest way. Null without any history.
    pub duration_ms: Option<Spread>,
    pub tokens: Option<Spread>,
    pub cost_nano_usd: Option<Spread>,
    /// Steps that may run and of which nothing is known: the figures are without them.
    pub unknown: Vec<String>,
    pub limits: Vec<LimitForecast>,
}
