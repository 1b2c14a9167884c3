//! From a ready config to a settled step: attempts, retries, failures.
//!
//! Invariant: a step has at most one running attempt; whatever an attempt says after it was ended is not heard.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, FailureKind, StepStatus};
use language::Effect;
use language::plan::{OnError, OnUnknown, StepIndex};

use super::signal::{AttemptResult, Command, FailedAttempt, SucceededAttempt, Timer};
use super::turn::{Turn, later};
use crate::event::{Event, SkipReason, Stored};
use crate::retry::{Spent, Verdict, outcome_is_unknown, verdict};

impl Turn<'_> {
    /// Starts the next attempt, or queues the step behind its group's `max_parallel`.
    pub(super) fn start_or_queue(&mut self, step: StepIndex) {
        if let Some(group) = self.plan(step).group
            && let Some(limit) = self.graph.plan().groups[group].max_parallel
            && self.state.groups[group].running >= limit.max(1) as usize
        {
            self.state.steps[step].status = StepStatus::Queued;
            self.state.groups[group].queue.push_back(step);
            return;
        }
        self.start_attempt(step);
    }

    fn start_attempt(&mut self, step: StepIndex) {
        let attempt = self.state.steps[step].attempts + 1;
        let group = self.plan(step).group;
        let group_starts = group.is_some_and(|group| self.state.groups[group].started_at.is_none());
        self.emit(Event::AttemptStarted { step: self.name(step), attempt });
        if let Some(group) = group.filter(|_| group_starts) {
            self.start_group_timer(group);
        }
        self.start_attempt_timers(step, self.at, attempt == 1);
        self.command(Command::StartAttempt { step, attempt });
    }

    fn start_attempt_timers(&mut self, step: StepIndex, attempt_at: DateTime<Utc>, with_total: bool) {
        let plan = self.plan(step);
        let attempt = self.state.steps[step].attempts;
        if let Some(timeout) = plan.timeout_ms {
            let at = later(attempt_at, timeout);
            self.command(Command::StartTimer { timer: Timer::Attempt(step, attempt), at });
        }
        if let (Some(timeout), Some(started), true) =
            (plan.total_timeout_ms, self.state.steps[step].started_at, with_total)
        {
            self.command(Command::StartTimer { timer: Timer::Total(step), at: later(started, timeout) });
        }
    }

    /// Timers that a replay lost.
    pub(super) fn resume_timers(&mut self, step: StepIndex) {
        let plan = self.plan(step);
        let state = &self.state.steps[step];
        if let (Some(timeout), Some(started), StepStatus::RetryWait | StepStatus::Queued) =
            (plan.total_timeout_ms, state.started_at, state.status)
        {
            self.command(Command::StartTimer { timer: Timer::Total(step), at: later(started, timeout) });
        }
    }

    /// An attempt was under way when the worker went away.
    pub(super) fn resume_attempt(&mut self, step: StepIndex) {
        let state = &self.state.steps[step];
        let attempt = state.attempts;
        if let Some(reason) = state.stop {
            self.settle_cancelled(step, reason, None);
            return;
        }
        let unsure = self.effect(step) == Effect::Unsafe;
        if unsure && self.plan(step).on_unknown != OnUnknown::Retry {
            let message = format!(
                "Step `{}` was interrupted in the middle of a call that may not be repeated, and nobody knows whether \
                 it took effect. Look at the other side, then say what became of it.",
                self.name(step)
            );
            let failure = Failure::new(FailureKind::Unknown, "outcome_unknown", message);
            self.outcome_unknown(step, failure, None, StepStatus::Failed);
            return;
        }
        // The same attempt under the same key; its time starts anew.
        self.start_attempt_timers(step, self.at, true);
        self.command(Command::StartAttempt { step, attempt });
    }

    pub(super) fn attempt_ended(&mut self, step: StepIndex, attempt: u32, result: AttemptResult) {
        let state = &self.state.steps[step];
        if state.status != StepStatus::Running || state.attempts != attempt || state.falling_back.is_some() {
            return;
        }
        match result {
            Ok(SucceededAttempt { output, usage }) => {
                self.emit(Event::StepSettled {
                    step: self.name(step),
                    status: StepStatus::Succeeded,
                    attempts: attempt,
                    output: Some(output),
                    error: None,
                    reason: None,
                    usage,
                    taken_on: false,
                });
                self.after_settled(step);
            }
            Err(FailedAttempt { failure, usage }) => match state.stop {
                Some(reason) => self.settle_cancelled(step, reason, usage),
                None => {
                    let status = status_of(&failure);
                    self.attempt_failed(step, failure, usage, status);
                }
            },
        }
    }

    /// Retries, parks or fails. `status` is what the step comes to if it fails.
    pub(super) fn attempt_failed(
        &mut self,
        step: StepIndex,
        failure: Failure,
        usage: Option<Usage>,
        status: StepStatus,
    ) {
        let state = &self.state.steps[step];
        let attempts = state.attempts;
        let elapsed = state.started_at.map_or(chrono::TimeDelta::zero(), |started| self.at - started);
        let spent = Spent { attempts, elapsed: elapsed.to_std().unwrap_or_default() };
        let effect = match self.effect(step) {
            // The author said beforehand that a second call does no harm worth a person's time.
            Effect::Unsafe if self.plan(step).on_unknown == OnUnknown::Retry => Effect::Idempotent,
            effect => effect,
        };
        match verdict(&self.plan(step).retry, effect, &failure, spent, self.jitter) {
            Verdict::Again { after } => {
                let retry_at = later(self.at, u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                let name = self.name(step);
                self.emit(Event::AttemptFailed { step: name, attempt: attempts, failure, usage, retry_at });
                self.command(Command::StartTimer { timer: Timer::Retry(step), at: retry_at });
                self.next_of_group(step);
            }
            Verdict::GiveUp => self.fail_step(step, failure, usage, status),
            Verdict::Attention => self.outcome_unknown(step, failure, usage, status),
        }
    }

    /// Nobody knows what became of an unsafe call: a person decides, unless the author did.
    fn outcome_unknown(&mut self, step: StepIndex, failure: Failure, usage: Option<Usage>, status: StepStatus) {
        if self.plan(step).on_unknown != OnUnknown::Attention {
            self.fail_step(step, failure, usage, status);
            return;
        }
        let attempt = self.state.steps[step].attempts;
        let name = self.name(step);
        self.emit(Event::StepNeedsAttention { step: name, attempt, failure });
        self.next_of_group(step);
    }

    /// The step failed for good, by its own `on_error`.
    pub(super) fn fail_step(&mut self, step: StepIndex, failure: Failure, usage: Option<Usage>, status: StepStatus) {
        match self.plan(step).on_error {
            OnError::Value(_) if !self.is_closing() => {
                let state = &mut self.state.steps[step];
                state.asked = true;
                state.falling_back = Some((failure, usage));
                self.command(Command::RenderFallback { step });
            }
            OnError::Continue => self.settle_failed(step, failure, usage, status, true),
            OnError::Fail | OnError::Value(_) | OnError::Attention => {
                self.settle_failed(step, failure, usage, status, false)
            }
        }
    }

    pub(super) fn fallback_rendered(&mut self, step: StepIndex, result: Result<Stored, Failure>) {
        if !self.answers(step) {
            return;
        }
        let Some((error, usage)) = self.state.steps[step].falling_back.take() else { return };
        match result {
            Ok(output) => {
                self.emit(Event::StepSettled {
                    step: self.name(step),
                    status: StepStatus::Succeeded,
                    attempts: self.state.steps[step].attempts,
                    output: Some(output),
                    error: Some(error),
                    reason: None,
                    usage,
                    taken_on: true,
                });
                self.after_settled(step);
            }
            Err(failure) => self.settle_failed(step, failure, usage, StepStatus::Failed, false),
        }
    }

    fn settle_failed(
        &mut self,
        step: StepIndex,
        failure: Failure,
        usage: Option<Usage>,
        status: StepStatus,
        taken_on: bool,
    ) {
        self.emit(Event::StepSettled {
            step: self.name(step),
            status,
            attempts: self.state.steps[step].attempts,
            output: None,
            error: Some(failure),
            reason: None,
            usage,
            taken_on,
        });
        if !taken_on {
            self.after_failure(step);
        }
        self.after_settled(step);
    }

    pub(super) fn settle_skipped(&mut self, step: StepIndex, reason: SkipReason) {
        self.emit(Event::StepSettled {
            step: self.name(step),
            status: StepStatus::Skipped,
            attempts: self.state.steps[step].attempts,
            output: None,
            error: None,
            reason: Some(reason),
            usage: None,
            taken_on: false,
        });
        self.after_settled(step);
    }

    pub(super) fn settle_cancelled(&mut self, step: StepIndex, reason: SkipReason, usage: Option<Usage>) {
        let mut message = format!("Step `{}` was stopped: {}.", self.name(step), stop_words(reason));
        if self.effect(step) == Effect::Unsafe {
            message.push_str(" Its call may have taken effect all the same.");
        }
        self.emit(Event::StepSettled {
            step: self.name(step),
            status: StepStatus::Cancelled,
            attempts: self.state.steps[step].attempts,
            output: None,
            error: Some(Failure::new(FailureKind::Cancelled, "cancelled", message)),
            reason: Some(reason),
            usage,
            taken_on: false,
        });
        self.after_settled(step);
    }

    /// Ends a running attempt at once because a limit of time has passed.
    pub(super) fn time_out_attempt(&mut self, step: StepIndex, failure: Failure, retry: bool) {
        let attempt = self.state.steps[step].attempts;
        self.command(Command::CancelAttempt { step, attempt, grace: false });
        if retry {
            self.attempt_failed(step, failure, None, StepStatus::TimedOut);
        } else if self.effect(step) == Effect::Unsafe && outcome_is_unknown(&failure) && !self.is_closing() {
            self.outcome_unknown(step, failure, None, StepStatus::TimedOut);
        } else {
            self.fail_step(step, failure, None, StepStatus::TimedOut);
        }
    }

    fn effect(&self, step: StepIndex) -> Effect {
        self.graph.effect(step, self.state.steps[step].config.as_ref())
    }
}

/// An executor that heeds its deadline says "timeout" a moment before the engine's own timer would.
const fn status_of(failure: &Failure) -> StepStatus {
    if matches!(failure.kind, FailureKind::Timeout) { StepStatus::TimedOut } else { StepStatus::Failed }
}

/// Why a step was stopped, as the end of a sentence.
fn stop_words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::GroupJoined => "its group was decided without it",
        SkipReason::FailFast => "another step failed and the flow says `fail_fast`",
        _ => "the run was cancelled",
    }
}
