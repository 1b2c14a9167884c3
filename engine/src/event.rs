//! «CONTRACT» The journal: what happened in a run, one closed enum. The state of a run is the fold of its entries and of
//! nothing else.
//!
//! Invariant: positions count from 1 without gaps within a run; an entry, once durable, never changes; a config is
//! journaled with secrets as references.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, NanoUsd, RunId, RunStatus, StepStatus};
use language::Effect;
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
    /// Made when the values are put in, of texts with secrets: Base64 with padding.
    Base64(Vec<SecretPart>),
    /// In hexadecimal.
    Sha256(Vec<SecretPart>),
    /// In hexadecimal.
    HmacSha256 {
        text: Vec<SecretPart>,
        key: Vec<SecretPart>,
    },
    /// Percent-encoded, as the filter `urlencode` does.
    UrlEncoded(Vec<SecretPart>),
}

/// Steps are named, not numbered: a journal must be readable without its plan. `item` is there for one item of a
/// `for_each` step, counted from 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// The first entry of a run. `vars` are evaluated here, once.
    RunStarted {
        epoch: u32,
        vars: Value,
    },
    /// A run that had ended goes on: what succeeded stays, the rest begins again.
    RunRestarted {
        epoch: u32,
        by: String,
        /// The steps whose outcome stands. Journals of older programs do not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<Vec<String>>,
    },
    /// The condition was evaluated: once, when the step became ready.
    ConditionSettled {
        step: String,
        holds: bool,
    },
    /// The list of a `for_each` step was evaluated: once, so that its items keep their numbers.
    ItemsListed {
        step: String,
        count: u32,
        items: Stored,
    },
    /// The config was rendered: once, reused by every attempt. Strings with secrets are masked in `config`.
    StepConfigured {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        config: Value,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<SecretUse>,
    },
    /// It waits for slots under a limit that counts over runs.
    StepQueued {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        limit: LimitKind,
    },
    /// An attempt begins; durable before any effect that is not pure. Attempts count on over fallbacks and iterations.
    AttemptStarted {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        attempt: u32,
    },
    /// The worker went away in the middle of an attempt, and another goes on with it: what the call had used until then
    /// nobody knows.
    AttemptInterrupted {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        attempt: u32,
        usage: Usage,
    },
    /// A child run belongs to the running attempt.
    ChildStarted {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        attempt: u32,
        run_id: RunId,
        /// What the child does at most, with all that it runs.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        effect: Option<Effect>,
    },
    /// An attempt ended without settling the step: another follows at `retry_at`.
    AttemptFailed {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        attempt: u32,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        retry_at: DateTime<Utc>,
    },
    /// One way to do the step failed for good, and the next of its fallbacks is tried. Entry 0 is the step's own way.
    FallbackStarted {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        entry: u32,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// An iteration of a `repeat` step succeeded; whether it was the last is not known yet.
    IterationEnded {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        iteration: u32,
        output: Stored,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// Another iteration begins at `at`.
    IterationDue {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        iteration: u32,
        at: DateTime<Utc>,
    },
    /// A step waits for a time, a signal or a person.
    StepWaiting {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        waiting: Waiting,
    },
    /// An item of a `for_each` step reached a settled status.
    ItemSettled {
        step: String,
        item: u32,
        status: StepStatus,
        attempts: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<Stored>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<SkipReason>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
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
        /// The run whose output this is, in a replay.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reused_from: Option<RunId>,
    },
    /// A step parks because nobody knows what became of its last call, or because its author wants a person to look.
    StepNeedsAttention {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        attempt: u32,
        failure: Failure,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
    },
    /// Something came from outside: a signal, a decision, a person's act. `delivery` is its id in the run's inbox.
    OutsideReceived {
        delivery: String,
        by: String,
        #[serde(flatten)]
        what: Outside,
    },
    CancelRequested {
        by: String,
    },
    /// What the steps came to; compensations, `on_error` and `finally` follow.
    HandlersStarted {
        status: RunStatus,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outputs: Option<Stored>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Failure>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failed_step: Option<String>,
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
        /// Failures of compensations and handlers, beside the first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        handler_errors: Vec<HandlerError>,
    },
}

/// A handler that failed itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HandlerError {
    pub step: String,
    pub error: Failure,
}

/// What a waiting step waits for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// When it is over by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// The name of the signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalAsked>,
}

/// What a person is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalAsked {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Who may decide; empty: everybody with the right to approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    /// JSON Schema of what is to be filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub form: Option<Value>,
}

/// What comes from outside into a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Outside {
    /// For whichever step waits for this name, now or later.
    Signal {
        name: String,
        #[serde(default)]
        payload: Value,
    },
    /// A person's answer to an approval.
    Decision {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        approved: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
        #[serde(default)]
        form: Value,
    },
    /// What becomes of a step that needs attention.
    Resolve {
        step: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        item: Option<u32>,
        resolution: Resolution,
    },
    /// The end, at once, without handlers.
    Kill { reason: String },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Resolution {
    /// It was done, with this output.
    Complete {
        #[serde(default)]
        output: Value,
    },
    /// Do it again, under the same key.
    Retry,
    Fail,
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

/// Which limit a unit waits behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// Units of a pool (`resources`).
    Pool,
    /// The step's own `concurrency`.
    Step,
    /// Calls through one connection at the same time.
    Connection,
    /// Somebody else is making the same output for the step cache.
    Cache,
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
    /// Another item failed, and `on_item_error` says that this fails the step.
    ItemFailed,
    /// Its `concurrency` limit was reached, and says `on_limit: skip`.
    Concurrency,
    /// A handler that had no reason to run.
    NotNeeded,
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
            Self::ItemFailed => "item_failed",
            Self::Concurrency => "concurrency",
            Self::NotNeeded => "not_needed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Event {
    /// The step the event is about.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::RunStarted { .. }
            | Self::RunRestarted { .. }
            | Self::CancelRequested { .. }
            | Self::OutsideReceived { .. }
            | Self::HandlersStarted { .. }
            | Self::RunSettled { .. } => None,
            Self::ConditionSettled { step, .. }
            | Self::ItemsListed { step, .. }
            | Self::StepConfigured { step, .. }
            | Self::StepQueued { step, .. }
            | Self::AttemptStarted { step, .. }
            | Self::AttemptInterrupted { step, .. }
            | Self::ChildStarted { step, .. }
            | Self::AttemptFailed { step, .. }
            | Self::FallbackStarted { step, .. }
            | Self::IterationEnded { step, .. }
            | Self::IterationDue { step, .. }
            | Self::StepWaiting { step, .. }
            | Self::ItemSettled { step, .. }
            | Self::StepSettled { step, .. }
            | Self::StepNeedsAttention { step, .. } => Some(step),
        }
    }

    /// The item of the step, where the event is about one.
    #[must_use]
    pub const fn item(&self) -> Option<u32> {
        match self {
            Self::StepConfigured { item, .. }
            | Self::StepQueued { item, .. }
            | Self::AttemptStarted { item, .. }
            | Self::AttemptInterrupted { item, .. }
            | Self::ChildStarted { item, .. }
            | Self::AttemptFailed { item, .. }
            | Self::FallbackStarted { item, .. }
            | Self::IterationEnded { item, .. }
            | Self::IterationDue { item, .. }
            | Self::StepWaiting { item, .. }
            | Self::StepNeedsAttention { item, .. } => *item,
            Self::ItemSettled { item, .. } => Some(*item),
            _ => None,
        }
    }

    /// The event's name on the wire.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::RunStarted { .. } => "run_started",
            Self::RunRestarted { .. } => "run_restarted",
            Self::ConditionSettled { .. } => "condition_settled",
            Self::ItemsListed { .. } => "items_listed",
            Self::StepConfigured { .. } => "step_configured",
            Self::StepQueued { .. } => "step_queued",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptInterrupted { .. } => "attempt_interrupted",
            Self::ChildStarted { .. } => "child_started",
            Self::AttemptFailed { .. } => "attempt_failed",
            Self::FallbackStarted { .. } => "fallback_started",
            Self::IterationEnded { .. } => "iteration_ended",
            Self::IterationDue { .. } => "iteration_due",
            Self::StepWaiting { .. } => "step_waiting",
            Self::ItemSettled { .. } => "item_settled",
            Self::StepSettled { .. } => "step_settled",
            Self::StepNeedsAttention { .. } => "step_needs_attention",
            Self::OutsideReceived { .. } => "outside_received",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::HandlersStarted { .. } => "handlers_started",
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
    #[serde(default)]
    pub handler_errors: Vec<HandlerError>,
    /// Attempt number of the failed step.
    pub failed_attempt: Option<u32>,
    /// Units of every attempt of this run and its children.
    pub usage: domain::wire::UsageTotals,
    /// `None` if anything that was used has no known price.
    pub cost: Option<NanoUsd>,
}
