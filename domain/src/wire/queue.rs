//! What a run waits for, on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::id::RunId;
use crate::status::RunStatus;

/// What kind of thing a run waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhyKind {
    /// It is over.
    Nothing,
    /// A worker with a free place.
    Worker,
    /// A place under its flow's `concurrency`.
    Limit,
    /// A moment in time.
    Time,
    /// Its own steps, which execute.
    Step,
    /// A place under a limit of a step or pool.
    Slot,
    /// A signal, a decision or a time that a step waits for.
    Outside,
    /// A person who looks at a step that needs attention.
    Person,
}

/// `GET /api/v1/runs/{run}/why`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WhyView {
    pub run_id: RunId,
    pub status: RunStatus,
    pub kind: WhyKind,
    /// For people.
    pub sentence: String,
    /// The limit that the run waits behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// Runs that hold the limit's places, or that steps of this one wait for; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_by: Vec<RunId>,
    /// Runs of this tenant that wait for the same and come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    /// When the wait is over by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The steps it is about; at most 10.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}
