//! «CONTRACT» The journal: what happened in a run, one closed enum. The state of a run is the fold of its entries and of
//! nothing else.
//!
//! Invariant: positions count from 1 without gaps within a run; an entry, once durable, never changes; a config is
//! journaled with secrets as references.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, NanoUsd, RunId, RunStatus, StepStatus};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One journaled fact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub position: u64,
    pub at: DateTime<Utc>,
    pub event: Event,
}

/// A string of a rendered config that holds secrets: the parts in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretUse {
    /// JSON pointer of the string in the config.
    pub pointer: String,
    pub parts: Vec<SecretPart>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretPart {
    Text(String),
    /// A secret's name.
    Secret(String),
}

/// Steps are named, not numbered: a journal must be readable without its plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first entry of an epoch. `vars` are evaluated here, once.
    RunStarted {
        epoch: u32,
        vars: Value,
    },
    /// The condition was evaluated: once, when the step became ready.
    ConditionSettled {
        step: String,
        holds: bool,
    },
    /// The config was rendered: once, reused by every attempt. Strings with secrets are masked in `config`.
    StepConfigured {
        step: String,
        config: Value,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<SecretUse>,
    },
    /// An attempt begins; durable before any effect that is not pure.
    AttemptStarted {
        step: String,
        attempt: u32,
    },
    /// A child run belongs to the running attempt.
    ChildStarted {
        step: String,
        attempt: u32,
        run_id: RunId,
    },
    /// An attempt ended without settling the step: another follows at `retry_at`.
    AttemptFailed {
        step: String,
        attempt: u32,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        retry_at: DateTime<Utc>,
    },
    /// A step reached a settled status. For a skipped step `reason` says why.
    StepSettled {
        step: String,
        status: StepStatus,
        /// Attempts made in all.
        attempts: u32,
        /// The output, or a reference to it when it is large (see [`Stored`]).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Stored>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<SkipReason>,
        /// What the last attempt used; earlier ones stand in their `attempt_failed`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// Whether `on_error` took the failure on.
        #[serde(default, skip_serializing_if = "is_false")]
        taken_on: bool,
    },
    /// A step parks because nobody knows what became of its last call.
    StepNeedsAttention {
        step: String,
        attempt: u32,
        failure: Failure,
    },
    CancelRequested {
        by: String,
    },
    /// The run reached a terminal status of this epoch.
    RunSettled {
        status: RunStatus,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<Stored>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_step: Option<String>,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if hands out references")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// A value in the journal: inline, or in the blob store when it is larger than [`crate::limits::INLINE_BYTES`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stored {
    Inline(Value),
    /// A JSON document in the blob store.
    Blob {
        blob: String,
        size_bytes: u64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    Condition,
    UpstreamFailed,
    UpstreamSkipped,
    RunIf,
    FailFast,
    GroupJoined,
    Cancelled,
}

impl SkipReason {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamSkipped => "upstream_skipped",
            Self::RunIf => "run_if",
            Self::FailFast => "fail_fast",
            Self::GroupJoined => "group_joined",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Event {
    /// The step the event is about.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::RunStarted { .. } | Self::CancelRequested { .. } | Self::RunSettled { .. } => None,
            Self::ConditionSettled { step, .. }
            | Self::StepConfigured { step, .. }
            | Self::AttemptStarted { step, .. }
            | Self::ChildStarted { step, .. }
            | Self::AttemptFailed { step, .. }
            | Self::StepSettled { step, .. }
            | Self::StepNeedsAttention { step, .. } => Some(step),
        }
    }

    /// The event's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::ConditionSettled { .. } => "condition_settled",
            Self::StepConfigured { .. } => "step_configured",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::ChildStarted { .. } => "child_started",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::StepSettled { .. } => "step_settled",
            Self::StepNeedsAttention { .. } => "step_needs_attention",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::RunSettled { .. } => "run_settled",
        }
    }
}

/// What a run came to, in all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    pub status: RunStatus,
    pub outputs: Value,
    pub error: Option<Failure>,
    pub failed_step: Option<String>,
    /// Attempt number of the failed step.
    pub failed_attempt: Option<u32>,
    /// Units of every attempt of this run and its children.
    pub usage: domain::wire::UsageTotals,
    /// `None` if anything that was used has no known price.
    pub cost: Option<NanoUsd>,
}
