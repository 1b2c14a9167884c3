//! Channels, experiments between versions of a flow, and feedback, on the wire.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{ExperimentId, FeedbackId};
use crate::money::NanoUsd;

/// A version with what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionDetail {
    pub number: u32,
    /// Lower-case hex SHA-256 of the canonical content.
    pub hash: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub channels: Vec<String>,
    pub yaml: String,
    /// Files beside `flow.yaml`, by path, with their text.
    pub files: BTreeMap<String, String>,
}

/// Where a channel of a flow points.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChannelView {
    pub name: String,
    pub version: u32,
    /// The move's place in the tenant's history of channels.
    pub position: i64,
    pub moved_at: DateTime<Utc>,
    pub moved_by: String,
}

/// Moves a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"version": 3})))]
#[serde(deny_unknown_fields)]
pub struct ChannelInput {
    pub version: u32,
}

/// Whether an experiment takes traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExperimentState {
    #[default]
    Running,
    /// Takes no traffic; what it found stays.
    Paused,
    /// A guard ended it: all traffic goes to `stable`.
    RolledBack,
}

/// One of the versions that traffic is split between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Variant {
    pub name: String,
    pub version: u32,
    /// Its part of the traffic that takes part, beside the others' weights.
    #[serde(default = "one")]
    pub weight: u32,
}

const fn one() -> u32 {
    1
}

/// What may not get worse against the control. A guard looks only once both sides have 100 settled runs.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Guards {
    /// How much higher the share of failed runs may be: 0.05 allows 7 % where the control has 2 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_rate_increase: Option<f64>,
    /// How many times the control's 95th percentile of duration is allowed: 1.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_p95_ratio: Option<f64>,
    /// How many times the control's mean cost is allowed: 1.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_cost_ratio: Option<f64>,
}

/// Body of `PUT /api/v1/flows/{flow}/experiments/{experiment}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({
    "share": 0.2,
    "variants": [{"name": "control", "version": 3, "weight": 1}, {"name": "shorter_prompt", "version": 4, "weight": 1}],
    "guards": {"max_error_rate_increase": 0.05, "max_p95_ratio": 1.5},
})))]
#[serde(deny_unknown_fields)]
pub struct ExperimentInput {
    /// The part of the flow's traffic that takes part, 0 to 1.
    #[serde(default = "all")]
    pub share: f64,
    pub variants: Vec<Variant>,
    /// The variant that the others are held against; the first unless said.
    #[serde(default)]
    pub control: Option<String>,
    #[serde(default)]
    pub guards: Guards,
    /// `running` unless said; `paused` takes no traffic.
    #[serde(default)]
    pub state: ExperimentState,
}

const fn all() -> f64 {
    1.0
}

/// An experiment, with its readout where it was asked for by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExperimentView {
    pub id: ExperimentId,
    pub name: String,
    pub state: ExperimentState,
    pub share: f64,
    pub variants: Vec<Variant>,
    pub control: String,
    pub guards: Guards,
    /// What decides whether a subject takes part, and which variant it gets: see the docs' page of experiments.
    pub entry_salt: String,
    pub variant_salt: String,
    /// Why a guard ended it.
    pub note: Option<String>,
    /// Runs count from here on.
    pub started_at: DateTime<Utc>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readout: Option<Readout>,
}

/// What an experiment has found so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Readout {
    pub variants: Vec<VariantReadout>,
    pub sample_ratio: SampleRatio,
}

/// A figure with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Estimate {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// A 95 % interval in milliseconds; both ends are durations that occurred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DurationInterval {
    pub low: u64,
    pub high: u64,
}

/// One variant's figures, over root runs by live keys since the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VariantReadout {
    pub name: String,
    pub version: u32,
    /// Runs that were given this variant.
    pub runs: u64,
    /// Of these, those that succeeded, failed or timed out.
    pub settled: u64,
    pub succeeded: u64,
    /// Wilson interval.
    pub success_rate: Option<Estimate>,
    pub p50_ms: Option<u64>,
    /// By order statistics, whatever the distribution; null below 6 runs.
    #[serde(default)]
    pub p50_interval_ms: Option<DurationInterval>,
    pub p95_ms: Option<u64>,
    /// By order statistics, whatever the distribution; null below 72 runs.
    #[serde(default)]
    pub p95_interval_ms: Option<DurationInterval>,
    /// Interval by Student's t; null below 2 runs whose cost is known.
    pub mean_cost_nano_usd: Option<Estimate>,
    pub total_cost_nano_usd: NanoUsd,
    pub feedback: u64,
    /// Interval by Student's t, within the range of scores; Wilson's where all scores are the same.
    pub mean_score: Option<Estimate>,
}

/// Whether the runs are spread as the weights say. If they are not, the figures must not be compared.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SampleRatio {
    pub chi_squared: f64,
    pub degrees_of_freedom: u32,
    /// How likely so large a difference is by chance.
    pub p_value: f64,
    /// Below 0.001.
    pub suspicious: bool,
}

/// Body of `POST /api/v1/runs/{run}/feedback`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(example = json!({"score": 1.0, "comment": "The total was right."})))]
#[serde(deny_unknown_fields)]
pub struct FeedbackInput {
    /// 0 (useless) to 1 (right).
    pub score: f64,
    #[serde(default)]
    pub comment: Option<String>,
    /// What else is known of it: who gave it, which field was wrong ...
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// What somebody said of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FeedbackView {
    pub id: FeedbackId,
    pub score: f64,
    pub comment: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
}
