//! Attempts and what becomes of a unit when one ends: output, retry, fallback, `on_error`, a person's attention.
//!
//! Invariant: a unit settles once; an unsafe attempt whose outcome is unknown is never repeated without somebody's word.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, FailureKind, StepStatus};
use language::Effect;
use language::plan::{FailureClass, OnError, OnExceeded, OnUnknown, Phase, StepIndex};

use super::resume::capitalised;
use super::signal::{AttemptResult, Command, FailedAttempt, SucceededAttempt, Timer};
use super::turn::{Turn, later};
use super::unit::Place;
use crate::event::{Event, SkipReason, Stored};
use crate::money;
use crate::retry::{Spent, Verdict, outcome_is_unknown, verdict};

impl Turn<'_> {
    /// Starts the next attempt, or queues the unit behind `max_parallel` of its group or its step's items.
    pub(super) fn start_or_queue(&mut self, place: Place) {
        if self.is_crowded(place) {
            self.state.unit_mut(place).status = StepStatus::Queued;
            match (place.item, &mut self.state.steps[place.step].items) {
                (Some(item), Some(items)) => items.queue.push_back(item),
                _ => {
                    if let Some(group) = self.plan(place.step).group {
                        self.state.groups[group].queue.push_back(place.step);
                    }
                }
            }
            return;
        }
        if self.is_limited(place) { self.seek_slots(place) } else { self.start_attempt(place) }
    }

    fn is_crowded(&self, place: Place) -> bool {
        if let (Some(_), Some(items)) = (place.item, &self.state.steps[place.step].items) {
            return items.running + self.state.seeking_items(place.step) >= self.item_places(place.step);
        }
        let Some(group) = self.plan(place.step).group else { return false };
        let plan = &self.graph.plan().groups[group];
        let taken = || self.state.groups[group].running + self.state.seeking_members(&plan.members);
        plan.max_parallel.is_some_and(|limit| taken() >= limit.max(1) as usize)
    }

    pub(super) fn start_attempt(&mut self, place: Place) {
        let step = place.step;
        let attempt = self.state.unit(place).attempts + 1;
        let group = self.plan(step).group;
        let group_starts = group.is_some_and(|group| self.state.groups[group].started_at.is_none());
        let step_starts = self.state.steps[step].unit.started_at.is_none();
        self.emit(Event::AttemptStarted { step: self.name(step), item: place.item, attempt });
        if let Some(group) = group.filter(|_| group_starts) {
            self.start_group_timer(group);
        }
        self.start_attempt_timer(place);
        if step_starts {
            self.start_total_timer(step);
        }
        self.command(Command::StartAttempt { place, attempt });
    }

    pub(super) fn start_attempt_timer(&mut self, place: Place) {
        if let Some(timeout) = self.plan(place.step).timeout_ms {
            let unit = self.state.unit(place);
            // A child goes on while its parent rests or changes workers; any other call begins anew with the worker.
            let goes_on = self.graph.starts_child(place.step, unit.entry);
            let since = unit.attempt_at.filter(|_| goes_on).unwrap_or(self.at);
            let (attempt, at) = (unit.attempts, later(since, timeout));
            self.command(Command::StartTimer { timer: Timer::Attempt(place, attempt), at });
        }
    }

    pub(super) fn start_total_timer(&mut self, step: StepIndex) {
        if let Some(timeout) = self.plan(step).total_timeout_ms {
            self.command(Command::StartTimer { timer: Timer::Total(step), at: later(self.at, timeout) });
        }
    }

    pub(super) fn attempt_ended(&mut self, place: Place, attempt: u32, result: AttemptResult) {
        let Some(unit) = self.state.find(place) else { return };
        if unit.status != StepStatus::Running || unit.attempts != attempt || unit.falling_back.is_some() {
            return;
        }
        let stop = unit.stop;
        match result {
            Ok(SucceededAttempt { output, usage }) if self.plan(place.step).repeat.is_some() && stop.is_none() => {
                let step = self.name(place.step);
                let iteration = self.state.unit(place).iteration;
                self.emit(Event::IterationEnded { step, item: place.item, iteration, output, usage });
                self.ask_until(place);
                self.freed(place);
            }
            Ok(SucceededAttempt { output, usage }) => {
                self.settle_success(place, StepStatus::Succeeded, output, usage);
            }
            Err(FailedAttempt { failure, usage }) => match stop {
                Some(reason) => self.settle_cancelled(place, reason, usage),
                None => {
                    let status = status_of(&failure);
                    self.attempt_failed(place, failure, usage, status);
                }
            },
        }
    }

    /// Retries, parks, falls back or fails. `status` is what the unit comes to if it fails.
    pub(super) fn attempt_failed(&mut self, place: Place, failure: Failure, usage: Option<Usage>, status: StepStatus) {
        let unit = self.state.unit(place);
        let (attempt, entry) = (unit.attempts, unit.entry);
        let since = |start: DateTime<Utc>| (self.at - start).to_std().unwrap_or_default();
        let spent =
            Spent { attempts: attempt - unit.attempts_before, elapsed: unit.entry_at.map(since).unwrap_or_default() };
        if self.graph.starts_child(place.step, entry)
            && self.outcome_effect(place) == Effect::Unsafe
            && self.plan(place.step).on_unknown != OnUnknown::Retry
        {
            // The child said itself what became of it; another attempt would be another child, and its effects new ones.
            self.unit_failed(place, failure, usage, status);
            return;
        }
        let effect = match self.effect(place) {
            // The author said beforehand that a second call does no harm worth a person's time.
            Effect::Unsafe if self.plan(place.step).on_unknown == OnUnknown::Retry => Effect::Idempotent,
            effect => effect,
        };
        match verdict(self.graph.retry(place.step, entry), effect, &failure, spent, self.jitter) {
            Verdict::Again { after } => {
                let retry_at = later(self.at, u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                let step = self.name(place.step);
                let asked = failure.asked_wait_ms();
                let failure = failure.retry_after_ms(asked);
                self.emit(Event::AttemptFailed { step, item: place.item, attempt, failure, usage, retry_at });
                self.command(Command::StartTimer { timer: Timer::Retry(place), at: retry_at });
                self.freed(place);
            }
            Verdict::GiveUp => self.unit_failed(place, failure, usage, status),
            Verdict::Attention => self.outcome_unknown(place, failure, usage, status),
        }
    }

    /// Nobody knows what became of an unsafe call: a person decides, unless the author did.
    pub(super) fn outcome_unknown(&mut self, place: Place, failure: Failure, usage: Option<Usage>, status: StepStatus) {
        if self.plan(place.step).on_unknown == OnUnknown::Attention && self.may_park(place.step) {
            self.park(place, failure, usage);
        } else {
            self.unit_failed(place, failure, usage, status);
        }
    }

    fn park(&mut self, place: Place, failure: Failure, usage: Option<Usage>) {
        let attempt = self.state.unit(place).attempts;
        let step = self.name(place.step);
        let failure = failure.retry_after_ms(None);
        self.emit(Event::StepNeedsAttention { step, item: place.item, attempt, failure, usage });
        self.freed(place);
    }

    /// One way to do it failed for good: the next fallback that fits, else the end.
    pub(super) fn unit_failed(&mut self, place: Place, failure: Failure, usage: Option<Usage>, status: StepStatus) {
        // Nothing waits for it any more.
        let failure = failure.retry_after_ms(None);
        if self.on_exceeded(place, &failure) == Some(OnExceeded::Approve) && self.may_park(place.step) {
            self.park(place, failure, usage);
        } else if let Some(entry) = self.next_entry(place, &failure) {
            let step = self.name(place.step);
            self.emit(Event::FallbackStarted { step, item: place.item, entry, failure, usage });
            self.ask_config(place);
            self.freed(place);
        } else if place.item.is_some() {
            self.settle_item(place, status, None, Some(failure), None, usage);
        } else {
            self.fail_step(place.step, failure, usage, status);
        }
    }

    fn next_entry(&self, place: Place, failure: &Failure) -> Option<u32> {
        if self.is_closing(place.step) || failure.kind == FailureKind::Cancelled {
            return None;
        }
        if self.on_exceeded(place, failure).is_some_and(|said| said != OnExceeded::Fallback) {
            return None;
        }
        let tried = self.state.unit(place).entry as usize;
        let class = class_of(failure);
        let left = self.plan(place.step).fallbacks.iter().enumerate().skip(tried);
        let fitting = left.filter(|(_, fallback)| fallback.class.is_none_or(|wanted| wanted == class));
        fitting.map(|(index, _)| u32::try_from(index + 1).unwrap_or(u32::MAX)).next()
    }

    /// What the flow says about a cap that is reached, if that is the failure.
    fn on_exceeded(&self, place: Place, failure: &Failure) -> Option<OnExceeded> {
        money::on_exceeded(self.graph.plan(), self.plan(place.step), &failure.code)
    }

    /// The step failed for good, by its own `on_error`.
    pub(super) fn fail_step(&mut self, step: StepIndex, failure: Failure, usage: Option<Usage>, status: StepStatus) {
        let open = !self.is_closing(step);
        match self.plan(step).on_error {
            OnError::Value(_) if open => {
                let unit = &mut self.state.steps[step].unit;
                unit.asked = true;
                unit.falling_back = Some((failure, usage));
                self.command(Command::RenderFallback { step });
            }
            OnError::Attention if self.may_park(step) => self.park(Place::of(step), failure, usage),
            OnError::Continue => self.settle_failed(step, failure, usage, status, true),
            OnError::Fail | OnError::Value(_) | OnError::Attention => {
                self.settle_failed(step, failure, usage, status, false);
            }
        }
    }

    pub(super) fn fallback_rendered(&mut self, step: StepIndex, result: Result<Stored, Failure>) {
        if !self.answers(Place::of(step)) {
            return;
        }
        let Some((error, usage)) = self.state.steps[step].unit.falling_back.take() else { return };
        match result {
            Ok(output) => {
                self.emit(Event::StepSettled {
                    step: self.name(step),
                    status: StepStatus::Succeeded,
                    attempts: self.state.steps[step].unit.attempts,
                    output: Some(output),
                    error: Some(error),
                    reason: None,
                    usage,
                    taken_on: true,
                    reused_from: None,
                });
                self.after_settled(step);
            }
            Err(failure) => self.settle_failed(step, failure, usage, StepStatus::Failed, false),
        }
    }

    pub(super) fn settle_success(&mut self, place: Place, status: StepStatus, output: Stored, usage: Option<Usage>) {
        if place.item.is_some() {
            self.settle_item(place, status, Some(output), None, None, usage);
            return;
        }
        let step = place.step;
        self.emit(Event::StepSettled {
            step: self.name(step),
            status,
            attempts: self.attempts_of(step),
            output: Some(output),
            error: None,
            reason: None,
            usage,
            taken_on: false,
            reused_from: None,
        });
        self.after_settled(step);
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
            attempts: self.attempts_of(step),
            output: None,
            error: Some(failure),
            reason: None,
            usage,
            taken_on,
            reused_from: None,
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
            attempts: self.attempts_of(step),
            output: None,
            error: None,
            reason: Some(reason),
            usage: None,
            taken_on: false,
            reused_from: None,
        });
        self.after_settled(step);
    }

    pub(super) fn settle_cancelled(&mut self, place: Place, reason: SkipReason, usage: Option<Usage>) {
        let message = format!("{} was stopped: {}.", capitalised(&self.called(place)), stop_words(reason));
        let error = Failure::new(FailureKind::Cancelled, "cancelled", message);
        let error = self.with_doubt(place, self.state.unit(place).status, error);
        if place.item.is_some() {
            self.settle_item(place, StepStatus::Cancelled, None, Some(error), Some(reason), usage);
            return;
        }
        self.emit(Event::StepSettled {
            step: self.name(place.step),
            status: StepStatus::Cancelled,
            attempts: self.attempts_of(place.step),
            output: None,
            error: Some(error),
            reason: Some(reason),
            usage,
            taken_on: false,
            reused_from: None,
        });
        self.after_settled(place.step);
    }

    /// Says so where a call was under way that may have taken effect.
    pub(super) fn with_doubt(&self, place: Place, status: StepStatus, mut failure: Failure) -> Failure {
        let unit = self.state.unit(place);
        let open = status == StepStatus::Running && unit.attempts > 0 || unit.is_in_doubt();
        if open && self.outcome_effect(place) == Effect::Unsafe {
            failure.message.push_str(" Its call may have taken effect all the same.");
        }
        failure
    }

    /// Whether a person may be asked about the unit now. Handlers have a minute, and nobody waits for them.
    pub(super) fn may_park(&self, step: StepIndex) -> bool {
        self.plan(step).phase == Phase::Main && !self.is_closing(step)
    }

    /// What an attempt that came to its end, or was cut off, may have done. A child was found again after a crash and
    /// guards its own steps; what another attempt would do again is what the child did.
    pub(super) fn outcome_effect(&self, place: Place) -> Effect {
        let unit = self.state.unit(place);
        if self.graph.starts_child(place.step, unit.entry) {
            let written = self.graph.written_effect(place.step, unit.entry);
            return written.or(unit.child_effect).unwrap_or(Effect::Pure);
        }
        self.effect(place)
    }

    /// Ends a running attempt at once because a limit of time has passed.
    pub(super) fn time_out_attempt(&mut self, place: Place, failure: Failure, retry: bool) {
        let is_unsure = self.outcome_effect(place) == Effect::Unsafe && outcome_is_unknown(&failure);
        let attempt = self.state.unit(place).attempts;
        let usage = self.unseen(place);
        self.command(Command::CancelAttempt { place, attempt, grace: false });
        let on_unknown = self.plan(place.step).on_unknown;
        if is_unsure && on_unknown == OnUnknown::Attention && self.may_park(place.step) {
            self.park(place, failure, usage);
        } else if retry && is_unsure && on_unknown != OnUnknown::Retry {
            self.unit_failed(place, failure, usage, StepStatus::TimedOut);
        } else if retry {
            self.attempt_failed(place, failure, usage, StepStatus::TimedOut);
        } else if place.item.is_some() {
            self.settle_item(place, StepStatus::TimedOut, None, Some(failure), None, usage);
        } else {
            self.fail_step(place.step, failure, usage, StepStatus::TimedOut);
        }
    }

    /// What an attempt used that is cut off now: unknown where somebody charges for its calls.
    pub(super) fn unseen(&self, place: Place) -> Option<Usage> {
        let unit = self.state.unit(place);
        let is_parent = place.item.is_none() && self.state.steps[place.step].items.is_some();
        let executes = unit.status == StepStatus::Running && !is_parent && !self.state.seekers.contains(&place);
        (executes && self.graph.buys(place.step, unit.entry)).then(Usage::unseen)
    }

    pub(super) fn effect(&self, place: Place) -> Effect {
        let unit = self.state.unit(place);
        self.graph.effect(place.step, unit.entry, unit.config.as_ref())
    }

    /// Attempts of the step and all its items.
    pub(super) fn attempts_of(&self, step: StepIndex) -> u32 {
        let state = &self.state.steps[step];
        match &state.items {
            None => state.unit.attempts,
            Some(items) => items.units.iter().fold(0, |sum, unit| sum.saturating_add(unit.attempts)),
        }
    }
}

/// An executor that heeds its deadline says "timeout" a moment before the engine's own timer would.
const fn status_of(failure: &Failure) -> StepStatus {
    if matches!(failure.kind, FailureKind::Timeout) { StepStatus::TimedOut } else { StepStatus::Failed }
}

const fn class_of(failure: &Failure) -> FailureClass {
    match failure.kind {
        FailureKind::ContentPolicy => FailureClass::ContentPolicy,
        FailureKind::ContextWindow => FailureClass::ContextWindow,
        FailureKind::RateLimited => FailureClass::RateLimited,
        _ => FailureClass::Other,
    }
}

/// Why a step was stopped, as the end of a sentence.
fn stop_words(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::GroupJoined => "its group was decided without it",
        SkipReason::FailFast => "another step failed and the flow says `fail_fast`",
        SkipReason::Concurrency => "as many as may execute at once did so already",
        SkipReason::ItemFailed => "another item failed and the step says `on_item_error: fail`",
        _ => "the run was cancelled",
    }
}
