//! What stops steps before their time: joins that are decided, `cancel_rest`, `fail_fast`, cancels and limits of time.
//!
//! Invariant: stopping is idempotent, so that a resumed run may enforce everything again.

use domain::{Failure, FailureKind, StepStatus};
use language::plan::{GroupIndex, StepIndex};

use super::signal::{Command, Timer};
use super::travel::needed;
use super::turn::{Turn, later};
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
            for (other, spared) in spared.into_iter().enumerate() {
                if !spared {
                    self.stop_step(other, SkipReason::FailFast);
                }
            }
        }
    }

    fn stop_group(&mut self, group: GroupIndex) {
        if std::mem::replace(&mut self.state.groups[group].stopped, true) {
            return;
        }
        for member in &self.graph.plan().groups[group].members {
            self.stop_step(*member, SkipReason::GroupJoined);
        }
    }

    /// Gives a freed place under `max_parallel` to the next member in line.
    pub(super) fn next_of_group(&mut self, step: StepIndex) {
        let Some(group) = self.plan(step).group else { return };
        let Some(limit) = self.graph.plan().groups[group].max_parallel else { return };
        while self.state.groups[group].running < limit.max(1) as usize {
            let Some(next) = self.state.groups[group].queue.pop_front() else { return };
            if self.state.steps[next].status == StepStatus::Queued {
                self.start_or_queue(next);
            }
        }
    }

    pub(super) fn stop_step(&mut self, step: StepIndex, reason: SkipReason) {
        let state = &mut self.state.steps[step];
        match state.status {
            status if status.is_settled() => {}
            StepStatus::Running if state.falling_back.is_none() => {
                if state.stop.replace(reason).is_none() {
                    let attempt = state.attempts;
                    self.command(Command::CancelAttempt { step, attempt, grace: true });
                }
            }
            _ if state.attempts > 0 => self.settle_cancelled(step, reason, None),
            _ => self.settle_skipped(step, reason),
        }
    }

    /// What the journal implies but a replay does not know: who was told to stop, which groups are decided.
    pub(super) fn enforce_all(&mut self) {
        if self.state.cancelled_by.is_some() {
            self.stop_all(SkipReason::Cancelled);
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
        state.status.is_failure() && !state.taken_on && state.reason.is_none()
    }

    pub(super) fn start_group_timer(&mut self, group: GroupIndex) {
        if let (Some(timeout), Some(started)) =
            (self.graph.plan().groups[group].timeout_ms, self.state.groups[group].started_at)
        {
            self.command(Command::StartTimer { timer: Timer::Group(group), at: later(started, timeout) });
        }
    }

    pub(super) fn cancel_requested(&mut self, by: String) {
        if self.state.cancelled_by.is_some() {
            return;
        }
        if self.state.started_at.is_none() {
            self.emit(Event::RunStarted { epoch: 1, vars: serde_json::json!({}) });
        }
        self.emit(Event::CancelRequested { by });
        self.stop_all(SkipReason::Cancelled);
    }

    fn stop_all(&mut self, reason: SkipReason) {
        for step in 0..self.state.steps.len() {
            self.stop_step(step, reason);
        }
    }

    pub(super) fn timer_fired(&mut self, timer: Timer) {
        match timer {
            Timer::Run => self.run_timed_out(),
            Timer::Group(group) => self.group_timed_out(group),
            Timer::Total(step) => self.total_timed_out(step),
            Timer::Attempt(step, attempt) => {
                let state = &self.state.steps[step];
                if state.status == StepStatus::Running && state.attempts == attempt && state.falling_back.is_none() {
                    let failure = self.timeout("attempt_timeout", step, "One attempt", self.plan(step).timeout_ms);
                    self.time_out_attempt(step, failure, true);
                }
            }
            Timer::Retry(step) => {
                if self.state.steps[step].status == StepStatus::RetryWait {
                    self.start_or_queue(step);
                }
            }
        }
    }

    fn total_timed_out(&mut self, step: StepIndex) {
        let failure = self.timeout("total_timeout", step, "All attempts together", self.plan(step).total_timeout_ms);
        match self.state.steps[step].status {
            StepStatus::Running if self.state.steps[step].falling_back.is_none() => {
                self.time_out_attempt(step, failure, false);
            }
            StepStatus::RetryWait | StepStatus::Queued => self.fail_step(step, failure, None, StepStatus::TimedOut),
            _ => {}
        }
    }

    fn group_timed_out(&mut self, group: GroupIndex) {
        if self.state.groups[group].status.is_some() {
            return;
        }
        let plan = &self.graph.plan().groups[group];
        self.state.groups[group].stopped = true;
        for member in &plan.members {
            match self.state.steps[*member].status {
                StepStatus::Running => {
                    let failure = self.timeout("group_timeout", *member, "Its group", plan.timeout_ms);
                    self.time_out_attempt(*member, failure, false);
                }
                _ => self.stop_step(*member, SkipReason::GroupJoined),
            }
        }
    }

    pub(super) fn run_timed_out(&mut self) {
        if std::mem::replace(&mut self.state.timed_out, true) {
            return;
        }
        for step in 0..self.state.steps.len() {
            let state = &self.state.steps[step];
            let attempt = state.attempts;
            match state.status {
                status if status.is_settled() => {}
                StepStatus::Running | StepStatus::NeedsAttention | StepStatus::RetryWait => {
                    if state.status == StepStatus::Running {
                        self.command(Command::CancelAttempt { step, attempt, grace: false });
                    }
                    let failure = self.timeout("run_timeout", step, "The run", self.graph.plan().timeout_ms);
                    self.fail_step(step, failure, None, StepStatus::TimedOut);
                }
                _ => self.settle_skipped(step, SkipReason::Cancelled),
            }
        }
    }

    fn timeout(&self, code: &str, step: StepIndex, what: &str, limit_ms: Option<u64>) -> Failure {
        let limit = limit_ms.map_or_else(|| "its time".to_owned(), |ms| format!("{} s", seconds(ms)));
        let message = format!("{what} of step `{}` took longer than {limit}.", self.plan(step).name)
            .replace("Its group of step", "The group of step")
            .replace("The run of step", "The run was out of time in step");
        Failure::new(FailureKind::Timeout, code, message).at_line(Some(self.plan(step).line))
    }
}

#[expect(clippy::cast_precision_loss, reason = "a time for people, not for sums")]
pub(super) fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
