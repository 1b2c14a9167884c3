//! Picking a run up where its journal ends: after a worker went away, after a rest, and in the next epoch.
//!
//! Invariant: resuming twice asks for the same; nothing that was settled is asked again.

use domain::{Failure, FailureKind, StepStatus};
use language::Effect;
use language::plan::{OnUnknown, Phase, StepIndex};

use super::signal::{Command, Timer};
use super::turn::{Turn, later};
use super::unit::Place;
use crate::event::{Event, SkipReason};

impl Turn<'_> {
    /// Picks up where the journal ends.
    pub(super) fn resume(&mut self) {
        let ends_at = self.graph.plan().timeout_ms.zip(self.state.started_at).map(|(ms, started)| later(started, ms));
        if ends_at.is_some_and(|at| at <= self.at) && self.state.handling.is_none() {
            self.run_timed_out();
        }
        self.start_run_timer();
        self.resume_handlers();
        self.enforce_all();
        for step in 0..self.state.steps.len() {
            self.resume_step(step);
        }
        // A replay does not know which ready steps were looked at already; whoever is past that has a status that says so.
        let waiting = |step: &StepIndex| self.state.steps[*step].unit.status == StepStatus::Pending;
        let ready: Vec<StepIndex> = self.state.unhindered(self.graph).into_iter().filter(waiting).collect();
        let handlers = std::mem::take(&mut self.state.ready);
        let fresh = |step: &StepIndex| {
            self.plan(*step).phase != Phase::Main && self.state.steps[*step].unit.status == StepStatus::Pending
        };
        let handlers: Vec<StepIndex> = handlers.into_iter().filter(fresh).collect();
        self.state.ready.extend(ready);
        self.state.ready.extend(handlers);
    }

    fn resume_step(&mut self, step: StepIndex) {
        if self.state.steps[step].unit.status.is_settled() {
            return;
        }
        self.resume_total_timer(step);
        if self.state.steps[step].items.is_some() {
            self.resume_items(step);
            return;
        }
        let state = &self.state.steps[step];
        if state.unit.status == StepStatus::Ready && state.unit.config.is_none() && state.unit.entry == 0 {
            match state.condition {
                Some(false) => self.skip(step, SkipReason::Condition),
                Some(true) | None => self.decide(step),
            }
            return;
        }
        self.resume_unit(Place::of(step));
    }

    pub(super) fn resume_unit(&mut self, place: Place) {
        let unit = self.state.unit(place);
        match unit.status {
            StepStatus::Ready if unit.until_due => self.ask_until(place),
            StepStatus::Ready if unit.config.is_some() => self.configured(place),
            StepStatus::Ready => self.ask_config(place),
            StepStatus::Queued => self.start_or_queue(place),
            StepStatus::Running => self.resume_attempt(place),
            StepStatus::RetryWait => {
                let at = unit.retry_at.unwrap_or(self.at);
                self.command(Command::StartTimer { timer: Timer::Retry(place), at });
            }
            StepStatus::Waiting => self.resume_waiting(place),
            _ => {}
        }
    }

    /// Timers that a replay lost.
    fn resume_total_timer(&mut self, step: StepIndex) {
        if let (Some(timeout), Some(started)) =
            (self.plan(step).total_timeout_ms, self.state.steps[step].unit.started_at)
        {
            self.command(Command::StartTimer { timer: Timer::Total(step), at: later(started, timeout) });
        }
    }

    /// An attempt was under way when the worker went away.
    fn resume_attempt(&mut self, place: Place) {
        let usage = self.unseen(place);
        let unit = self.state.unit(place);
        if let Some(reason) = unit.stop {
            self.end_children(place);
            self.settle_cancelled(place, reason, usage);
            return;
        }
        let unsure = self.effect(place) == Effect::Unsafe;
        if unsure && self.plan(place.step).on_unknown != OnUnknown::Retry {
            let message = format!(
                "{} was interrupted in the middle of a call that may not be repeated, and nobody knows whether it took \
                 effect. Look at the other side, then say what became of it.",
                capitalised(&self.called(place))
            );
            let failure = Failure::new(FailureKind::Unknown, "outcome_unknown", message);
            self.outcome_unknown(place, failure, usage, StepStatus::Failed);
            return;
        }
        if let Some(usage) = usage {
            let (step, item, attempt) = (self.name(place.step), place.item, self.state.unit(place).attempts);
            self.emit(Event::AttemptInterrupted { step, item, attempt, usage });
        }
        if self.is_limited(place) { self.seek_slots(place) } else { self.go_on_with_attempt(place) }
    }

    /// Of an attempt that is not under way here: its children went on when the worker went away.
    pub(super) fn end_children(&mut self, place: Place) {
        let unit = self.state.unit(place);
        let attempt = unit.attempts;
        if unit.status == StepStatus::Running && !unit.children.is_empty() {
            self.command(Command::CancelAttempt { place, attempt, grace: false });
        }
    }

    /// The same attempt under the same key; its time starts anew.
    pub(super) fn go_on_with_attempt(&mut self, place: Place) {
        let attempt = self.state.unit(place).attempts;
        self.start_attempt_timer(place);
        self.command(Command::StartAttempt { place, attempt });
    }

    /// A person wants an ended run to go on.
    pub(super) fn restarted(&mut self, by: String) {
        if self.state.end.is_none() {
            return;
        }
        let epoch = self.state.epoch + 1;
        let kept = (0..).zip(self.state.kept(self.graph)).filter(|(_, kept)| *kept).map(|(step, _)| self.name(step));
        let kept = Some(kept.collect());
        self.emit(Event::RunRestarted { epoch, by, kept });
        self.resume();
    }
}

/// With a capital letter, for the beginning of a sentence.
pub(super) fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
