//! What the dispatcher is told and what it commands: two closed enums.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, NanoUsd, RunId, StepStatus};
use language::plan::{GroupIndex, StepIndex};
use serde_json::Value;

use super::unit::Place;
use crate::event::{Entry, Outside, SecretUse, Stored};
use crate::ports::Child;
use crate::ports::SlotAnswer;
use crate::run::Refusal;

/// A signal with the time it came at and a number in `0.0..1.0` for whatever needs chance.
#[derive(Debug, Clone)]
pub struct Input {
    pub at: DateTime<Utc>,
    pub jitter: f64,
    pub signal: Signal,
}

/// An output from the step cache.
#[derive(Debug, Clone)]
pub struct CacheHit {
    pub output: Stored,
    /// What making it had cost; `None` if nobody knows.
    pub saved: Option<NanoUsd>,
}

/// What happened outside.
#[derive(Debug, Clone)]
pub enum Signal {
    /// The run begins, or goes on after its journal was read.
    Started,
    /// A run that had ended is to go on in its next epoch.
    Restarted {
        by: String,
    },
    /// In a replay, before the run begins: what is taken over from another run.
    Reused(Vec<Reused>),
    /// Before the run begins: it must fail before its first step.
    Refused(Refusal),
    VarsRendered(Result<Value, Failure>),
    ConditionRendered {
        step: StepIndex,
        result: Result<bool, Failure>,
    },
    /// The list of a `for_each` step.
    ListRendered {
        step: StepIndex,
        result: Result<Listed, Failure>,
    },
    ConfigRendered {
        place: Place,
        result: Result<Configured, Failure>,
    },
    CacheAnswered {
        place: Place,
        hit: Option<CacheHit>,
    },
    SlotsAnswered {
        place: Place,
        answer: SlotAnswer,
    },
    /// Slots that somebody seeks may be free.
    SlotsOffered,
    /// The value of `on_error: {value: ...}`.
    FallbackRendered {
        step: StepIndex,
        result: Result<Stored, Failure>,
    },
    AttemptEnded {
        place: Place,
        attempt: u32,
        result: AttemptResult,
    },
    /// Whether an iteration was the last.
    UntilRendered {
        place: Place,
        result: Result<bool, Failure>,
    },
    /// The outputs of all items, put together.
    ItemsGathered {
        step: StepIndex,
        result: Result<Stored, Failure>,
    },
    ChildStarted {
        place: Place,
        attempt: u32,
        child: Child,
    },
    TimerFired(Timer),
    CancelRequested {
        by: String,
    },
    /// A delivery from the run's inbox.
    Outside {
        delivery: String,
        by: String,
        what: Outside,
    },
    OutputsRendered(Result<Stored, Failure>),
}

/// A settled step of another run, whose outcome stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Reused {
    pub step: String,
    pub status: StepStatus,
    pub output: Option<Stored>,
    pub from: RunId,
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

/// A rendered list.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    pub count: u32,
    pub items: Stored,
}

/// What is waited for by the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The flow's `timeout`.
    Run,
    /// The allowance of the handlers.
    Handlers,
    /// A group's `timeout`.
    Group(GroupIndex),
    /// A step's `total_timeout`.
    Total(StepIndex),
    /// One attempt's `timeout`.
    Attempt(Place, u32),
    /// The next attempt or iteration.
    Retry(Place),
    /// The end of a wait.
    Wake(Place),
    /// The longest that slots are waited for.
    Queue(Place),
}

/// What is to be done. Commands are carried out in order; nothing else may be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    RenderVars,
    RenderCondition {
        step: StepIndex,
    },
    RenderList {
        step: StepIndex,
    },
    /// For the unit's present entry.
    RenderConfig {
        place: Place,
    },
    LookUp {
        place: Place,
    },
    /// What a unit no longer seeks or holds is given back without a command.
    TakeSlots {
        place: Place,
    },
    RenderFallback {
        step: StepIndex,
    },
    StartAttempt {
        place: Place,
        attempt: u32,
    },
    RenderUntil {
        place: Place,
    },
    GatherItems {
        step: StepIndex,
    },
    StartTimer {
        timer: Timer,
        at: DateTime<Utc>,
    },
    /// Stop an attempt: with grace its end is still waited for, without it is over already.
    CancelAttempt {
        place: Place,
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
