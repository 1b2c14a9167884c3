//! One turn of the dispatcher: takes a signal, follows it through, and looks at every step that became ready.
//!
//! Invariant: a turn ends only when no step is left that could be decided without hearing from outside.

use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, StepStatus};
use language::plan::{OnSkip, Phase, RunIf, StepIndex, StepPlan};
use serde_json::Value;

use super::graph::Graph;
use super::signal::{Command, Configured, Decision, Input, Reused, Signal, Timer};
use super::state::State;
use super::unit::Place;
use crate::event::{Entry, Event, SkipReason};
use crate::ports::Child;
use crate::run::Refusal;

/// Takes one signal: changes the state, and says what is to be journaled and done. Signals about what is over already
/// are ignored.
pub fn step(state: &mut State, graph: &Graph, input: Input) -> Decision {
    if state.end.is_some() && !matches!(input.signal, Signal::Restarted { .. }) {
        return Decision::default();
    }
    let mut turn =
        Turn { state, graph, at: input.at, jitter: input.jitter, stopping: false, decision: Decision::default() };
    turn.take(input.signal);
    turn.pump();
    turn.decision
}

pub(super) struct Turn<'a> {
    pub(super) state: &'a mut State,
    pub(super) graph: &'a Graph,
    pub(super) at: DateTime<Utc>,
    pub(super) jitter: f64,
    /// Steps are being stopped one after another: whatever waits for a place gets none, for its own end may come next.
    pub(super) stopping: bool,
    decision: Decision,
}

impl<'a> Turn<'a> {
    fn take(&mut self, signal: Signal) {
        match signal {
            Signal::Started if self.state.started_at.is_none() => self.command(Command::RenderVars),
            Signal::Started => self.resume(),
            Signal::Restarted { by } => self.restarted(by),
            Signal::Reused(reused) => self.reuse(reused),
            Signal::Refused(refusal) => self.refuse(refusal),
            Signal::VarsRendered(result) => self.vars_rendered(result),
            Signal::ConditionRendered { step, result } => self.condition_rendered(step, result),
            Signal::ListRendered { step, result } => self.list_rendered(step, result),
            Signal::ConfigRendered { place, result } => self.config_rendered(place, result),
            Signal::CacheAnswered { place, hit } => self.cache_answered(place, hit),
            Signal::SlotsAnswered { place, answer } => self.slots_answered(place, answer),
            Signal::SlotsOffered => self.slots_offered(),
            Signal::FallbackRendered { step, result } => self.fallback_rendered(step, result),
            Signal::AttemptEnded { place, attempt, result } => self.attempt_ended(place, attempt, result),
            Signal::UntilRendered { place, result } => self.until_rendered(place, result),
            Signal::ItemsGathered { step, result } => self.items_gathered(step, result),
            Signal::ChildStarted { place, attempt, child } => self.child_started(place, attempt, child),
            Signal::TimerFired(timer) => self.timer_fired(timer),
            Signal::CancelRequested { by } => self.cancel_requested(by),
            Signal::Outside { delivery, by, what } => self.outside(delivery, &by, &what),
            Signal::OutputsRendered(result) => self.outputs_rendered(result),
        }
    }

    fn pump(&mut self) {
        loop {
            while let Some(step) = self.state.ready.pop_front() {
                self.decide(step);
            }
            if !self.go_on_to_the_end() {
                break;
            }
        }
    }

    pub(super) fn plan(&self, step: StepIndex) -> &'a StepPlan {
        &self.graph.plan().steps[step]
    }

    pub(super) fn name(&self, step: StepIndex) -> String {
        self.plan(step).name.clone()
    }

    /// `step`, or `item 3 of step` as people count.
    pub(super) fn called(&self, place: Place) -> String {
        let name = &self.plan(place.step).name;
        match place.item {
            None => format!("step `{name}`"),
            Some(item) => format!("item {} of step `{name}`", item + 1),
        }
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

    /// Whether this step's phase is on its way to its end and starts nothing more.
    pub(super) fn is_closing(&self, step: StepIndex) -> bool {
        match (&self.state.handling, self.plan(step).phase) {
            (Some(handling), phase) if phase != Phase::Main => handling.out_of_time,
            (Some(_), _) => true,
            (None, _) => self.state.cancelled_by.is_some() || self.state.timed_out,
        }
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
        let refused = self.state.refused.take().map(|refusal| (refusal.failure, refusal.step));
        if let Some((failure, step)) = refused.or(failure.map(|failure| (failure, None))) {
            for step in 0..self.state.steps.len() {
                if self.plan(step).phase == Phase::Main {
                    self.settle_skipped(step, SkipReason::Cancelled);
                }
            }
            self.fail_run(failure, step);
            return;
        }
        self.start_run_timer();
        let reused = std::mem::take(&mut self.state.to_reuse);
        self.take_over(reused);
        self.state.ready = self.state.unhindered(self.graph).into();
    }

    fn reuse(&mut self, reused: Vec<Reused>) {
        if self.state.started_at.is_none() {
            self.state.to_reuse = reused;
            self.command(Command::RenderVars);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        if self.state.started_at.is_none() {
            self.state.refused = Some(refusal);
            self.command(Command::RenderVars);
        }
    }

    /// A replay takes the outcome of settled steps over: they do not run again, and cost nothing here.
    fn take_over(&mut self, reused: Vec<Reused>) {
        for Reused { step, status, output, from } in reused {
            let Some(index) = self.graph.step_named(&step) else { continue };
            if self.state.steps[index].unit.status.is_settled() {
                continue;
            }
            self.emit(Event::StepSettled {
                step,
                status,
                attempts: 0,
                output,
                error: None,
                reason: (status == StepStatus::Skipped).then_some(SkipReason::Condition),
                usage: None,
                taken_on: false,
                reused_from: Some(from),
            });
        }
    }

    pub(super) fn start_run_timer(&mut self) {
        if let (Some(timeout), Some(started), None) =
            (self.graph.plan().timeout_ms, self.state.started_at, &self.state.handling)
        {
            self.command(Command::StartTimer { timer: Timer::Run, at: later(started, timeout) });
        }
    }

    /// Looks at a step whose needs are settled.
    pub(super) fn decide(&mut self, step: StepIndex) {
        let state = &self.state.steps[step];
        // One that is past this may hear of its needs late: a limit of time ended it before they were settled, and a person is
        // asked what becomes of it.
        if !matches!(state.unit.status, StepStatus::Pending | StepStatus::Ready) || state.unit.asked {
            return;
        }
        if self.is_closing(step) {
            self.settle_skipped(step, SkipReason::Cancelled);
            return;
        }
        if state.condition == Some(true) {
            self.begin(step);
            return;
        }
        if let Some(reason) = self.kept_out(step) {
            self.skip(step, reason);
            return;
        }
        self.state.steps[step].unit.status = StepStatus::Ready;
        if self.plan(step).condition.is_some() {
            self.state.steps[step].unit.asked = true;
            self.command(Command::RenderCondition { step });
        } else {
            self.begin(step);
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

    /// The step runs: as one, or item by item.
    fn begin(&mut self, step: StepIndex) {
        if self.plan(step).for_each.is_none() {
            self.ask_config(Place::of(step));
        } else if self.state.steps[step].items.is_some() {
            self.pump_items(step);
        } else {
            self.state.steps[step].unit.asked = true;
            self.command(Command::RenderList { step });
        }
    }

    pub(super) fn ask_config(&mut self, place: Place) {
        let unit = self.state.unit_mut(place);
        unit.status = StepStatus::Ready;
        unit.asked = true;
        self.command(Command::RenderConfig { place });
    }

    /// Skips a step for a reason of its own; `on_skip: fail` makes that a failure.
    pub(super) fn skip(&mut self, step: StepIndex, reason: SkipReason) {
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
        if !self.answers(Place::of(step)) {
            return;
        }
        match result {
            Ok(holds) => {
                self.emit(Event::ConditionSettled { step: self.name(step), holds });
                if holds { self.begin(step) } else { self.skip(step, SkipReason::Condition) }
            }
            Err(failure) => self.fail_step(step, failure, None, StepStatus::Failed),
        }
    }

    fn config_rendered(&mut self, place: Place, result: Result<Configured, Failure>) {
        if !self.answers(place) {
            return;
        }
        match result {
            Ok(Configured { config, secrets }) => {
                let step = self.name(place.step);
                self.emit(Event::StepConfigured { step, item: place.item, config, secrets });
                self.configured(place);
            }
            Err(failure) => self.unit_failed(place, failure, None, StepStatus::Failed),
        }
    }

    /// The config is there: wait, take a stored output, or run.
    pub(super) fn configured(&mut self, place: Place) {
        let entry = self.state.unit(place).entry;
        if let Some(control) = self.graph.control(place.step, entry) {
            self.begin_waiting(place, control);
        } else if self.may_look_up(place) {
            self.state.unit_mut(place).asked = true;
            self.command(Command::LookUp { place });
        } else {
            self.start_or_queue(place);
        }
    }

    /// Whether an answer about this unit is still wanted; takes the question back.
    pub(super) fn answers(&mut self, place: Place) -> bool {
        if self.state.find(place).is_none() {
            return false;
        }
        let unit = self.state.unit_mut(place);
        std::mem::take(&mut unit.asked) && !unit.status.is_settled()
    }

    fn child_started(&mut self, place: Place, attempt: u32, Child { run, effect }: Child) {
        let unit = self.state.unit(place);
        // A resumed attempt finds its child again.
        if unit.status == StepStatus::Running && unit.attempts == attempt && !unit.children.contains(&run) {
            let (step, effect) = (self.name(place.step), Some(effect));
            self.emit(Event::ChildStarted { step, item: place.item, attempt, run_id: run, effect });
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
