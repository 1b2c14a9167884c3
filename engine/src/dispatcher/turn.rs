//! One turn of the dispatcher: takes a signal, follows it through, and looks at every step that became ready.
//!
//! Invariant: a turn ends only when no step is left that could be decided without hearing from outside.

use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, RunId, StepStatus};
use language::plan::{OnSkip, RunIf, StepIndex, StepPlan};
use serde_json::Value;

use super::graph::Graph;
use super::signal::{Command, Configured, Decision, Input, Signal, Timer};
use super::state::State;
use crate::event::{Entry, Event, SkipReason};

/// Takes one signal: changes the state, and says what is to be journaled and done. Signals about what is over already
/// are ignored.
pub fn step(state: &mut State, graph: &Graph, input: Input) -> Decision {
    if state.end.is_some() {
        return Decision::default();
    }
    let mut turn = Turn { state, graph, at: input.at, jitter: input.jitter, decision: Decision::default() };
    turn.take(input.signal);
    turn.pump();
    turn.decision
}

pub(super) struct Turn<'a> {
    pub(super) state: &'a mut State,
    pub(super) graph: &'a Graph,
    pub(super) at: DateTime<Utc>,
    pub(super) jitter: f64,
    decision: Decision,
}

impl<'a> Turn<'a> {
    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Started if self.state.started_at.is_none() => self.command(Command::RenderVars),
            Signal::Started => self.resume(),
            Signal::VarsRendered(result) => self.vars_rendered(result),
            Signal::ConditionRendered { step, result } => self.condition_rendered(step, result),
            Signal::ConfigRendered { step, result } => self.config_rendered(step, result),
            Signal::FallbackRendered { step, result } => self.fallback_rendered(step, result),
            Signal::AttemptEnded { step, attempt, result } => self.attempt_ended(step, attempt, result),
            Signal::ChildStarted { step, attempt, run_id } => self.child_started(step, attempt, run_id),
            Signal::TimerFired(timer) => self.timer_fired(timer),
            Signal::CancelRequested { by } => self.cancel_requested(by),
            Signal::OutputsRendered(result) => self.outputs_rendered(result),
        }
    }

    fn pump(&mut self) {
        while let Some(step) = self.state.ready.pop_front() {
            self.decide(step);
        }
        self.end_if_done();
    }

    pub(super) fn plan(&self, step: StepIndex) -> &'a StepPlan {
        &self.graph.plan().steps[step]
    }

    pub(super) fn name(&self, step: StepIndex) -> String {
        self.plan(step).name.clone()
    }

    pub(super) fn command(&mut self, command: Command) {
        self.decision.commands.push(command);
    }

    pub(super) fn emit(&mut self, event: Event) {
        let entry = Entry { position: self.state.position + 1, at: self.at, event };
        let fits = self.state.apply(self.graph, &entry);
        debug_assert!(fits.is_ok(), "the dispatcher made an entry that does not fit its own plan: {fits:?}");
        self.decision.entries.push(entry);
    }

    /// Whether the run is on its way to its end and starts nothing more.
    pub(super) fn is_closing(&self) -> bool {
        self.state.cancelled_by.is_some() || self.state.timed_out
    }

    fn vars_rendered(&mut self, result: Result<Value, Failure>) {
        if self.state.started_at.is_some() {
            return;
        }
        let (vars, failure) = match result {
            Ok(vars) => (vars, None),
            Err(failure) => (Value::Object(serde_json::Map::new()), Some(failure)),
        };
        self.emit(Event::RunStarted { epoch: 1, vars });
        if let Some(failure) = failure {
            for step in 0..self.state.steps.len() {
                self.settle_skipped(step, SkipReason::Cancelled);
            }
            self.fail_run(failure, None);
            return;
        }
        self.start_run_timer();
    }

    pub(super) fn start_run_timer(&mut self) {
        if let (Some(timeout), Some(started)) = (self.graph.plan().timeout_ms, self.state.started_at) {
            self.command(Command::StartTimer { timer: Timer::Run, at: later(started, timeout) });
        }
    }

    /// Looks at a step whose needs are settled.
    pub(super) fn decide(&mut self, step: StepIndex) {
        let state = &self.state.steps[step];
        if state.status.is_settled() || state.asked {
            return;
        }
        if self.is_closing() {
            self.settle_skipped(step, SkipReason::Cancelled);
            return;
        }
        if state.condition == Some(true) {
            self.ask_config(step);
            return;
        }
        if let Some(reason) = self.kept_out(step) {
            self.skip(step, reason);
            return;
        }
        self.state.steps[step].status = StepStatus::Ready;
        if self.plan(step).condition.is_some() {
            self.state.steps[step].asked = true;
            self.command(Command::RenderCondition { step });
        } else {
            self.ask_config(step);
        }
    }

    /// Why a step may not run at all, before its condition is asked.
    fn kept_out(&self, step: StepIndex) -> Option<SkipReason> {
        let state = &*self.state;
        let needs = self.graph.needs(step);
        match self.plan(step).run_if {
            RunIf::AllSuccess if !state.watches_all(self.graph, step) => Some(SkipReason::UpstreamFailed),
            RunIf::AllSuccess if state.skip_arrives(self.graph, step) => Some(SkipReason::UpstreamSkipped),
            RunIf::AnySuccess => {
                let met = needs.is_empty() || needs.iter().any(|node| state.node_succeeded(self.graph, *node));
                (!met).then_some(SkipReason::RunIf)
            }
            RunIf::AnyFailed => {
                let met =
                    !state.steps[step].sees.is_empty() || needs.iter().any(|node| state.node_failed(self.graph, *node));
                (!met).then_some(SkipReason::RunIf)
            }
            RunIf::AllSuccess | RunIf::AllSettled | RunIf::Always => None,
        }
    }

    fn ask_config(&mut self, step: StepIndex) {
        self.state.steps[step].asked = true;
        self.command(Command::RenderConfig { step });
    }

    /// Skips a step for a reason of its own; `on_skip: fail` makes that a failure.
    fn skip(&mut self, step: StepIndex, reason: SkipReason) {
        let fails = self.plan(step).on_skip == OnSkip::Fail && reason != SkipReason::UpstreamFailed;
        if !fails {
            self.settle_skipped(step, reason);
            return;
        }
        let message = format!("Step `{}` was skipped, and its `on_skip` says that this is a failure.", self.name(step));
        let failure = Failure::new(FailureKind::Fail, "skipped", message).at_line(Some(self.plan(step).line));
        self.fail_step(step, failure, None, StepStatus::Failed);
    }

    fn condition_rendered(&mut self, step: StepIndex, result: Result<bool, Failure>) {
        if !self.answers(step) {
            return;
        }
        match result {
            Ok(holds) => {
                self.emit(Event::ConditionSettled { step: self.name(step), holds });
                if holds { self.ask_config(step) } else { self.skip(step, SkipReason::Condition) }
            }
            Err(failure) => self.fail_step(step, failure, None, StepStatus::Failed),
        }
    }

    fn config_rendered(&mut self, step: StepIndex, result: Result<Configured, Failure>) {
        if !self.answers(step) {
            return;
        }
        match result {
            Ok(Configured { config, secrets }) => {
                self.emit(Event::StepConfigured { step: self.name(step), config, secrets });
                self.start_or_queue(step);
            }
            Err(failure) => self.fail_step(step, failure, None, StepStatus::Failed),
        }
    }

    /// Whether an answer about this step is still wanted; takes the question back.
    pub(super) fn answers(&mut self, step: StepIndex) -> bool {
        let state = &mut self.state.steps[step];
        std::mem::take(&mut state.asked) && !state.status.is_settled()
    }

    fn child_started(&mut self, step: StepIndex, attempt: u32, run_id: RunId) {
        let state = &self.state.steps[step];
        // A resumed attempt finds its child again.
        if state.status == StepStatus::Running && state.attempts == attempt && !state.children.contains(&run_id) {
            self.emit(Event::ChildStarted { step: self.name(step), attempt, run_id });
        }
    }

    /// Picks up where the journal ends.
    fn resume(&mut self) {
        let ends_at = self.graph.plan().timeout_ms.zip(self.state.started_at).map(|(ms, started)| later(started, ms));
        if ends_at.is_some_and(|at| at <= self.at) {
            self.run_timed_out();
        }
        self.start_run_timer();
        self.enforce_all();
        // A replay does not know which ready steps were looked at already; whoever is past that has a status that says so.
        let ready = std::mem::take(&mut self.state.ready);
        for step in 0..self.state.steps.len() {
            self.resume_step(step);
            self.resume_timers(step);
        }
        let fresh = |step: &StepIndex| self.state.steps[*step].status == StepStatus::Pending;
        let ready: Vec<StepIndex> = ready.into_iter().filter(fresh).collect();
        self.state.ready.extend(ready);
    }

    fn resume_step(&mut self, step: StepIndex) {
        let state = &self.state.steps[step];
        match state.status {
            StepStatus::Ready if state.config.is_some() => self.start_or_queue(step),
            StepStatus::Ready => match state.condition {
                Some(false) => self.skip(step, SkipReason::Condition),
                Some(true) | None => self.decide(step),
            },
            StepStatus::Running => self.resume_attempt(step),
            StepStatus::RetryWait => {
                let at = state.retry_at.unwrap_or(self.at);
                self.command(Command::StartTimer { timer: Timer::Retry(step), at });
            }
            _ => {}
        }
    }
}

/// A time some milliseconds later; the end of time where that cannot be counted.
pub(super) fn later(at: DateTime<Utc>, ms: u64) -> DateTime<Utc> {
    i64::try_from(ms)
        .ok()
        .and_then(chrono::TimeDelta::try_milliseconds)
        .and_then(|delta| at.checked_add_signed(delta))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}
