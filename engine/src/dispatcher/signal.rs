//! What the dispatcher is told and what it commands: two closed enums.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, RunId};
use language::plan::{GroupIndex, StepIndex};
use serde_json::Value;

use crate::event::{Entry, SecretUse, Stored};

/// A signal with the time it came at and a number in `0.0..1.0` for whatever needs chance.
#[derive(Debug, Clone)]
pub struct Input {
    pub at: DateTime<Utc>,
    pub jitter: f64,
    pub signal: Signal,
}

/// What happened outside.
#[derive(Debug, Clone)]
pub enum Signal {
    /// The run begins, or goes on after its journal was read.
    Started,
    VarsRendered(Result<Value, Failure>),
    ConditionRendered {
        step: StepIndex,
        result: Result<bool, Failure>,
    },
    ConfigRendered {
        step: StepIndex,
        result: Result<Configured, Failure>,
    },
    /// The value of `on_error: {value: ...}`.
    FallbackRendered {
        step: StepIndex,
        result: Result<Stored, Failure>,
    },
    AttemptEnded {
        step: StepIndex,
        attempt: u32,
        result: AttemptResult,
    },
    ChildStarted {
        step: StepIndex,
        attempt: u32,
        run_id: RunId,
    },
    TimerFired(Timer),
    CancelRequested {
        by: String,
    },
    OutputsRendered(Result<Stored, Failure>),
}

/// How an attempt ended.
pub type AttemptResult = Result<SucceededAttempt, FailedAttempt>;

#[derive(Debug, Clone)]
pub struct SucceededAttempt {
    pub output: Stored,
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone)]
pub struct FailedAttempt {
    pub failure: Failure,
    pub usage: Option<Usage>,
}

/// A rendered config, secrets as references.
#[derive(Debug, Clone, PartialEq)]
pub struct Configured {
    pub config: Value,
    pub secrets: Vec<SecretUse>,
}

/// What is waited for by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The flow's `timeout`.
    Run,
    /// A group's `timeout`.
    Group(GroupIndex),
    /// A step's `total_timeout`.
    Total(StepIndex),
    /// One attempt's `timeout`.
    Attempt(StepIndex, u32),
    /// The next attempt of a step.
    Retry(StepIndex),
}

/// What is to be done. Commands are carried out in order; nothing else may be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    RenderVars,
    RenderCondition {
        step: StepIndex,
    },
    RenderConfig {
        step: StepIndex,
    },
    RenderFallback {
        step: StepIndex,
    },
    StartAttempt {
        step: StepIndex,
        attempt: u32,
    },
    StartTimer {
        timer: Timer,
        at: DateTime<Utc>,
    },
    /// Stop an attempt: with grace its end is still waited for, without it is over already.
    CancelAttempt {
        step: StepIndex,
        attempt: u32,
        grace: bool,
    },
    RenderOutputs,
}

/// What one step of the dispatcher comes to.
#[derive(Debug, Default)]
pub struct Decision {
    /// Already applied to the state; to be made durable by the driver's rules.
    pub entries: Vec<Entry>,
    pub commands: Vec<Command>,
}
