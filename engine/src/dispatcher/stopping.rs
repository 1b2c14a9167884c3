//! What stops steps before their time: joins that are decided, `cancel_rest`, `fail_fast`, cancels and limits of time.
//!
//! Invariant: stopping is idempotent, so that a resumed run may enforce everything again.

use domain::{Failure, FailureKind, StepStatus};
use language::plan::{GroupIndex, Phase, StepIndex};

use super::signal::{Command, Timer};
use super::travel::needed;
use super::turn::{Turn, later};
use super::unit::Place;
use crate::event::{Event, SkipReason};

impl Turn<'_> {
    /// After a step was settled: its place in the group is free, and the group may be decided.
    pub(super) fn after_settled(&mut self, step: StepIndex) {
        let Some(group) = self.plan(step).group else { return };
        let plan = &self.graph.plan().groups[group];
        if self.state.groups[group].succeeded >= needed(plan.join) {
            self.stop_group(group);
        }
        self.next_of_group(step);
    }

    /// After a failure that the step itself did not take on.
    pub(super) fn after_failure(&mut self, step: StepIndex) {
        if let Some(group) = self.plan(step).group
            && self.graph.plan().groups[group].cancel_rest_on_error
        {
            self.stop_group(group);
        }
        if self.graph.plan().fail_fast {
            let spared = self.graph.descendants(step);
            let phase = self.plan(step).phase;
            let others = (0..).zip(spared).filter(|(other, spared)| !spared && self.plan(*other).phase == phase);
            let others = others.map(|(other, _)| other).collect();
            self.stop_all(others, SkipReason::FailFast);
        }
    }

    fn stop_group(&mut self, group: GroupIndex) {
        if std::mem::replace(&mut self.state.groups[group].stopped, true) {
            return;
        }
        self.stop_all(self.graph.plan().groups[group].members.clone(), SkipReason::GroupJoined);
    }

    fn stop_all(&mut self, steps: Vec<StepIndex>, reason: SkipReason) {
        self.at_once(|turn| {
            for step in &steps {
                turn.stop_step(*step, reason);
            }
        });
        for step in steps {
            self.next_of_group(step);
        }
    }

    /// Stops several steps without any beginning in the place of another.
    pub(super) fn at_once(&mut self, stop: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.stopping, true);
        stop(self);
        self.stopping = outer;
    }

    /// Gives a freed place under `max_parallel` to the next member in line.
    pub(super) fn next_of_group(&mut self, step: StepIndex) {
        let Some(group) = self.plan(step).group else { return };
        let Some(limit) = self.graph.plan().groups[group].max_parallel else { return };
        if self.stopping || self.state.groups[group].stopped {
            return;
        }
        let members = &self.graph.plan().groups[group].members;
        while self.state.groups[group].running + self.state.seeking_members(members) < limit.max(1) as usize {
            let Some(next) = self.state.groups[group].queue.pop_front() else { return };
            if self.state.steps[next].unit.status == StepStatus::Queued {
                self.start_or_queue(Place::of(next));
            }
        }
    }

    pub(super) fn stop_step(&mut self, step: StepIndex, reason: SkipReason) {
        if self.state.steps[step].unit.status.is_settled() {
            return;
        }
        if self.state.steps[step].items.is_none() {
            self.stop_unit(Place::of(step), reason);
            return;
        }
        self.state.steps[step].unit.stop.get_or_insert(reason);
        self.state.steps[step].unit.falling_back = None;
        self.state.steps[step].unit.asked = false;
        self.close_items(step, reason);
        self.pump_items(step);
    }

    pub(super) fn stop_unit(&mut self, place: Place, reason: SkipReason) {
        let seeking = self.state.seekers.contains(&place);
        let unit = self.state.unit_mut(place);
        match unit.status {
            status if status.is_settled() => {}
            // Picked up after its worker went away, and still without its slots: nothing of it executes.
            StepStatus::Running if seeking => {
                self.end_children(place);
                self.settle_cancelled(place, reason, None);
            }
            StepStatus::Running if unit.falling_back.is_none() => {
                if unit.stop.replace(reason).is_none() {
                    let attempt = unit.attempts;
                    self.command(Command::CancelAttempt { place, attempt, grace: true });
                }
            }
            // An item that was only being prepared is as if it had never begun.
            StepStatus::Pending if place.item.is_some() => unit.asked = false,
            StepStatus::Waiting => self.settle_cancelled(place, reason, None),
            _ if unit.attempts > 0 || place.item.is_some() => self.settle_cancelled(place, reason, None),
            _ => self.settle_skipped(place.step, reason),
        }
    }

    /// What the journal implies but a replay does not know: who was told to stop, which groups are decided.
    pub(super) fn enforce_all(&mut self) {
        if self.state.cancelled_by.is_some() && self.state.handling.is_none() {
            self.stop_main(SkipReason::Cancelled);
            return;
        }
        for group in 0..self.state.groups.len() {
            let plan = &self.graph.plan().groups[group];
            let failed = plan.cancel_rest_on_error && plan.members.iter().any(|member| self.failed_openly(*member));
            if failed || self.state.groups[group].succeeded >= needed(plan.join) {
                self.stop_group(group);
            }
            if self.state.groups[group].status.is_none() && self.state.groups[group].started_at.is_some() {
                self.start_group_timer(group);
            }
        }
        if self.graph.plan().fail_fast
            && let Some(step) = (0..self.state.steps.len()).find(|step| self.failed_openly(*step))
        {
            self.after_failure(step);
        }
    }

    fn failed_openly(&self, step: StepIndex) -> bool {
        let state = &self.state.steps[step];
        state.unit.status.is_failure() && !state.taken_on && state.unit.reason.is_none()
    }

    pub(super) fn start_group_timer(&mut self, group: GroupIndex) {
        if let (Some(timeout), Some(started)) =
            (self.graph.plan().groups[group].timeout_ms, self.state.groups[group].started_at)
        {
            self.command(Command::StartTimer { timer: Timer::Group(group), at: later(started, timeout) });
        }
    }

    pub(super) fn cancel_requested(&mut self, by: String) {
        // Handlers have begun already: their allowance ends them.
        if self.state.cancelled_by.is_some() || self.state.handling.is_some() {
            return;
        }
        if self.state.started_at.is_none() {
            self.emit(Event::RunStarted { epoch: 1, vars: serde_json::json!({}) });
        }
        self.emit(Event::CancelRequested { by });
        self.stop_main(SkipReason::Cancelled);
    }

    fn stop_main(&mut self, reason: SkipReason) {
        let main = (0..self.state.steps.len()).filter(|step| self.plan(*step).phase == Phase::Main).collect();
        self.stop_all(main, reason);
    }

    pub(super) fn timer_fired(&mut self, timer: Timer) {
        match timer {
            Timer::Run => self.run_timed_out(),
            Timer::Handlers => self.handlers_timed_out(),
            Timer::Group(group) => self.group_timed_out(group),
            Timer::Total(step) => self.total_timed_out(step),
            Timer::Attempt(place, attempt) => {
                let Some(unit) = self.state.find(place) else { return };
                if unit.status == StepStatus::Running && unit.attempts == attempt && unit.falling_back.is_none() {
                    let limit = limit_words(self.plan(place.step).timeout_ms);
                    let message = format!("One attempt of {} took longer than {limit}.", self.called(place));
                    let failure = self.timeout("attempt_timeout", place.step, message);
                    self.time_out_attempt(place, failure, true);
                }
            }
            Timer::Retry(place) => {
                let due = |unit: &super::unit::Unit| {
                    unit.status == StepStatus::RetryWait && unit.retry_at.is_none_or(|at| at <= self.at)
                };
                if self.state.find(place).is_some_and(due) {
                    self.start_or_queue(place);
                }
            }
            Timer::Wake(place) => self.wait_is_over(place),
            Timer::Queue(place) => self.queued_too_long(place),
        }
    }

    fn total_timed_out(&mut self, step: StepIndex) {
        let due = self.state.steps[step].unit.started_at.zip(self.plan(step).total_timeout_ms);
        if due.is_some_and(|(started, timeout)| later(started, timeout) > self.at) {
            // Of an earlier epoch.
            return;
        }
        let limit = limit_words(self.plan(step).total_timeout_ms);
        let message = format!("All attempts of step `{}` together took longer than {limit}.", self.plan(step).name);
        let failure = self.timeout("total_timeout", step, message);
        self.out_of_time(step, failure);
    }

    /// Ends a step, whatever it is doing, because a limit of time has passed.
    fn out_of_time(&mut self, step: StepIndex, failure: Failure) {
        let unit = &self.state.steps[step].unit;
        match unit.status {
            status if status.is_settled() => {}
            _ if unit.falling_back.is_some() => {}
            _ if self.state.steps[step].items.is_some() => {
                self.cut_items(step, &failure, StepStatus::TimedOut);
                self.fail_step(step, failure, None, StepStatus::TimedOut);
            }
            StepStatus::Running => self.time_out_attempt(Place::of(step), failure, false),
            StepStatus::RetryWait | StepStatus::Queued | StepStatus::Waiting => {
                self.fail_step(step, failure, None, StepStatus::TimedOut);
            }
            _ => {}
        }
    }

    fn group_timed_out(&mut self, group: GroupIndex) {
        if self.state.groups[group].status.is_some() {
            return;
        }
        let plan = &self.graph.plan().groups[group];
        self.at_once(|turn| {
            for member in &plan.members {
                let message = format!(
                    "The group of step `{}` took longer than {}.",
                    turn.plan(*member).name,
                    limit_words(plan.timeout_ms)
                );
                let failure = turn.timeout("group_timeout", *member, message);
                match turn.state.steps[*member].unit.status {
                    // A person has the word.
                    StepStatus::NeedsAttention => {}
                    StepStatus::Pending | StepStatus::Ready => turn.too_late(*member, failure),
                    _ => turn.out_of_time(*member, failure),
                }
            }
        });
    }

    /// A step that had not begun when its group's time was over: the group cannot be joined with it any more.
    fn too_late(&mut self, step: StepIndex, failure: Failure) {
        self.state.steps[step].unit.asked = false;
        self.state.steps[step].unit.falling_back = None;
        // In a later epoch it may have items from before.
        self.cut_items(step, &failure, StepStatus::TimedOut);
        self.fail_step(step, failure, None, StepStatus::TimedOut);
    }

    pub(super) fn run_timed_out(&mut self) {
        let due = self.state.started_at.zip(self.graph.plan().timeout_ms);
        if due.is_none_or(|(started, timeout)| later(started, timeout) > self.at) || self.state.handling.is_some() {
            return;
        }
        if std::mem::replace(&mut self.state.timed_out, true) {
            return;
        }
        let limit = limit_words(self.graph.plan().timeout_ms);
        self.at_once(|turn| {
            for step in 0..turn.state.steps.len() {
                if turn.plan(step).phase == Phase::Main {
                    let message = format!(
                        "The run took longer than the flow's timeout of {limit}; step `{}` was not done by then.",
                        turn.plan(step).name
                    );
                    let failure = turn.timeout("run_timeout", step, message);
                    turn.cut_step(step, failure, SkipReason::Cancelled);
                }
            }
        });
    }

    /// Ends a step at once: nothing of it goes on, nothing of it is waited for.
    pub(super) fn cut_step(&mut self, step: StepIndex, failure: Failure, reason: SkipReason) {
        let unit = &self.state.steps[step].unit;
        let (status, attempt) = (unit.status, unit.attempts);
        let place = Place::of(step);
        if status.is_settled() {
            return;
        }
        let usage = self.unseen(place);
        if self.state.steps[step].items.is_some() {
            self.cut_items(step, &failure, StepStatus::TimedOut);
        } else if status == StepStatus::Running {
            self.command(Command::CancelAttempt { place, attempt, grace: false });
        }
        let begun = matches!(
            status,
            StepStatus::Running | StepStatus::NeedsAttention | StepStatus::RetryWait | StepStatus::Waiting
        );
        if begun {
            let failure = self.with_doubt(place, status, failure);
            self.state.steps[step].unit.falling_back = None;
            self.fail_step(step, failure, usage, StepStatus::TimedOut);
        } else {
            self.settle_skipped(step, reason);
        }
    }

    fn timeout(&self, code: &str, step: StepIndex, message: String) -> Failure {
        Failure::new(FailureKind::Timeout, code, message).at_line(Some(self.plan(step).line))
    }
}

fn limit_words(limit_ms: Option<u64>) -> String {
    limit_ms.map_or_else(|| "its time".to_owned(), |ms| format!("{} s", seconds(ms)))
}

#[expect(clippy::cast_precision_loss, reason = "a time for people, not for sums")]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
