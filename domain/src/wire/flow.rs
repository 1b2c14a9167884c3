//! Flows, versions and check reports on the wire.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::FlowId;
use crate::money::NanoUsd;
use crate::status::RunStatus;

/// A flow in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FlowSummary {
    pub id: FlowId,
    pub name: String,
    pub description: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// The number of the version on the `stable` channel; null for a flow that has only drafts.
    pub version: Option<u32>,
    /// Problems of the newest draft, where there is one that does not check.
    pub broken: bool,
    pub updated_at: DateTime<Utc>,
    pub last_run_at: Option<DateTime<Utc>>,
    /// Statuses of the newest runs, newest first, at most 20.
    pub recent: Vec<RunStatus>,
    /// Successful runs of the last 7 days over settled ones, 0 to 1.
    pub success_rate: Option<f64>,
    pub p95_ms: Option<u64>,
    pub cost_per_run_nano_usd: Option<NanoUsd>,
}

/// A flow, whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FlowDetail {
    #[serde(flatten)]
    pub summary: FlowSummary,
    pub yaml: String,
    /// JSON Schema 2020-12 of the call's inputs.
    pub input_schema: Value,
    /// JSON Schema 2020-12 of the outputs, as far as it is known.
    pub output_schema: Value,
    /// Files beside `flow.yaml`, by path, with their sizes in bytes.
    pub files: BTreeMap<String, u64>,
    pub nodes: Vec<GraphNode>,
    pub edges: Vec<GraphEdge>,
    pub report: CheckReport,
}

/// A step as the graph draws it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GraphNode {
    pub name: String,
    pub executor: String,
    pub group: Option<String>,
    pub condition: Option<String>,
    pub line: u32,
}

/// An arrow of the graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GraphEdge {
    pub from: String,
    pub to: String,
    /// `declared`, `read`, `main_input` or `order`.
    pub kind: String,
}

/// An immutable version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VersionSummary {
    pub number: u32,
    /// Lower-case hex SHA-256 of the canonical content.
    pub hash: String,
    pub created_at: DateTime<Utc>,
    pub created_by: String,
    pub channels: Vec<String>,
}

/// What the checker found. `problems` holds the language's own problem objects.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CheckReport {
    pub problems: Vec<Value>,
}

/// What `DELETE /api/v1/cache` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CachePurged {
    /// Outputs that are not kept any more.
    pub removed: u64,
}
