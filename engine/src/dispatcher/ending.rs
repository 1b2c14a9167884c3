//! How a run ends: what its steps came to, then its handlers, then exactly one terminal entry an epoch.
//!
//! Invariant: a run with an outstanding failure never succeeds; outputs are rendered for a success only, before the
//! handlers; what the handlers come to never covers up what the steps came to.

use domain::{Failure, FailureKind, RunStatus, StepStatus};
use language::plan::{Phase, StepIndex};
use serde_json::Value;

use super::graph::Node;
use super::signal::{Command, Timer};
use super::state::HandlerTurn;
use super::stopping::seconds;
use super::turn::{Turn, later};
use crate::event::{Event, HandlerError, SkipReason, Stored};
use crate::limits;

impl Turn<'_> {
    /// Whether something new is ready to be looked at.
    pub(super) fn go_on_to_the_end(&mut self) -> bool {
        if self.state.end.is_some() || self.state.started_at.is_none() {
            return false;
        }
        if self.state.handling.is_some() {
            return self.go_on_handling();
        }
        if self.state.unsettled == 0 && !self.state.outputs_asked {
            self.steps_are_done();
        }
        !self.state.ready.is_empty() || self.state.handling.is_some() && self.go_on_handling()
    }

    fn steps_are_done(&mut self) {
        let state = &*self.state;
        if state.timed_out {
            let limit = seconds(self.graph.plan().timeout_ms.unwrap_or_default());
            let message = format!("The run took longer than the flow's timeout of {limit} s.");
            let failure = Failure::new(FailureKind::Timeout, "run_timeout", message);
            self.conclude(RunStatus::TimedOut, None, Some(failure), None);
        } else if let Some(by) = &state.cancelled_by {
            let failure = Failure::new(FailureKind::Cancelled, "cancelled", format!("The run was cancelled by {by}."));
            self.conclude(RunStatus::Cancelled, None, Some(failure), None);
        } else if let Some(node) = state.outstanding(self.graph) {
            let failure = self.failure_of(node);
            self.fail_run(failure, Some(self.graph.name(node).to_owned()));
        } else {
            self.ask_outputs();
        }
    }

    fn ask_outputs(&mut self) {
        if self.graph.plan().outputs.is_none() {
            let output = match self.state.last_unskipped(self.graph) {
                None => Some(Stored::Inline(Value::Null)),
                Some(step) if self.plan(step).group.is_none() => {
                    Some(self.state.steps[step].unit.output.clone().unwrap_or(Stored::Inline(Value::Null)))
                }
                // A group gives a map of its members' outputs, which has to be put together.
                Some(_) => None,
            };
            if let Some(output) = output {
                self.conclude(RunStatus::Succeeded, Some(output), None, None);
                return;
            }
        }
        self.state.outputs_asked = true;
        self.command(Command::RenderOutputs);
    }

    pub(super) fn outputs_rendered(&mut self, result: Result<Stored, Failure>) {
        if !self.state.outputs_asked || self.state.handling.is_some() {
            return;
        }
        match result {
            Ok(outputs) => self.conclude(RunStatus::Succeeded, Some(outputs), None, None),
            Err(failure) => self.fail_run(failure, None),
        }
    }

    pub(super) fn fail_run(&mut self, failure: Failure, step: Option<String>) {
        self.conclude(RunStatus::Failed, None, Some(failure), step);
    }

    /// What the steps came to is known: handlers have their turn, or the run is over.
    fn conclude(
        &mut self,
        status: RunStatus,
        outputs: Option<Stored>,
        error: Option<Failure>,
        failed_step: Option<String>,
    ) {
        if self.graph.main_steps() == self.state.steps.len() {
            self.settle_run(status, outputs, error, failed_step);
            return;
        }
        self.emit(Event::HandlersStarted { status, outputs, error, failed_step });
        self.start_handler_timer();
        self.begin_turn();
    }

    /// Compensations, `on_error` and `finally` have an allowance each: what hangs in one does not take the next one's time.
    fn start_handler_timer(&mut self) {
        if let Some(handling) = &mut self.state.handling {
            handling.out_of_time = false;
            let at = later(handling.turn_since, limits::HANDLERS_MS);
            self.command(Command::StartTimer { timer: Timer::Handlers, at });
        }
    }

    pub(super) fn resume_handlers(&mut self) {
        if self.state.handling.is_none() {
            return;
        }
        self.start_handler_timer();
        self.begin_turn();
    }

    /// Makes the steps of the present turn ready, or settles them as not needed.
    fn begin_turn(&mut self) {
        let Some(handling) = &self.state.handling else { return };
        let failed = handling.status == RunStatus::Failed;
        match handling.turn {
            HandlerTurn::Compensations if failed => self.next_compensation(),
            HandlerTurn::Compensations => self.not_needed(|phase| matches!(phase, Phase::Compensation { .. })),
            HandlerTurn::OnError if failed => self.make_ready(Phase::OnError),
            HandlerTurn::OnError => self.not_needed(|phase| phase == Phase::OnError),
            HandlerTurn::Finally => self.make_ready(Phase::Finally),
        }
    }

    fn not_needed(&mut self, of: impl Fn(Phase) -> bool) {
        for step in 0..self.state.steps.len() {
            if of(self.plan(step).phase) && !self.state.steps[step].unit.status.is_settled() {
                self.settle_skipped(step, SkipReason::NotNeeded);
            }
        }
    }

    fn make_ready(&mut self, phase: Phase) {
        let due = |step: &StepIndex| {
            let state = &self.state.steps[*step];
            self.plan(*step).phase == phase && state.waiting == 0 && state.unit.status == StepStatus::Pending
        };
        let ready: Vec<StepIndex> = (0..self.state.steps.len()).filter(due).collect();
        self.state.ready.extend(ready);
    }

    /// One at a time, in reverse order of the completion of what they undo.
    fn next_compensation(&mut self) {
        let open = |step: StepIndex| {
            let undo = self.plan(step).compensation?;
            let state = &self.state.steps[step];
            let done = state.unit.status.is_success() || state.items.as_ref().is_some_and(|items| items.succeeded > 0);
            (done && !self.state.steps[undo].unit.status.is_settled()).then_some(undo)
        };
        let next = self.state.settled_order.iter().rev().find_map(|step| open(*step));
        match next {
            Some(undo) if self.state.steps[undo].unit.status == StepStatus::Pending => {
                self.state.ready.push_back(undo);
            }
            Some(_) => {}
            None => self.not_needed(|phase| matches!(phase, Phase::Compensation { .. })),
        }
    }

    /// Goes on to the next turn when the present one is over. Whether something new is ready.
    fn go_on_handling(&mut self) -> bool {
        loop {
            if !self.state.ready.is_empty() {
                return true;
            }
            let Some(turn) = self.state.handling.as_ref().map(|handling| handling.turn) else { return false };
            if turn == HandlerTurn::Compensations {
                self.begin_turn();
                if !self.state.ready.is_empty() {
                    return true;
                }
            }
            if (0..self.state.steps.len())
                .any(|step| self.turn_of(step) == Some(turn) && !self.state.steps[step].unit.status.is_settled())
            {
                return false;
            }
            let next = match turn {
                HandlerTurn::Compensations => HandlerTurn::OnError,
                HandlerTurn::OnError => HandlerTurn::Finally,
                HandlerTurn::Finally => {
                    self.handlers_are_done();
                    return false;
                }
            };
            if let Some(handling) = &mut self.state.handling {
                (handling.turn, handling.turn_since) = (next, self.at);
            }
            self.start_handler_timer();
            self.begin_turn();
        }
    }

    fn turn_of(&self, step: StepIndex) -> Option<HandlerTurn> {
        match self.plan(step).phase {
            Phase::Main => None,
            Phase::Compensation { .. } => Some(HandlerTurn::Compensations),
            Phase::OnError => Some(HandlerTurn::OnError),
            Phase::Finally => Some(HandlerTurn::Finally),
        }
    }

    fn handlers_are_done(&mut self) {
        let Some(handling) = self.state.handling.clone() else { return };
        let of_handler = |node: &Node| self.graph.phase(*node) != Phase::Main && !self.state.taken.contains(node);
        let failed: Vec<Node> = self.state.failures.iter().copied().filter(of_handler).collect();
        let errors: Vec<HandlerError> = failed
            .iter()
            .map(|node| HandlerError { step: self.graph.name(*node).to_owned(), error: self.failure_of(*node) })
            .collect();
        let (mut status, mut outputs, mut error, mut failed_step) =
            (handling.status, handling.outputs, handling.error, handling.failed_step);
        // A failure nobody took on fails the run, and here it is the first.
        if let (RunStatus::Succeeded, Some(first)) = (status, errors.first()) {
            (status, outputs) = (RunStatus::Failed, None);
            (error, failed_step) = (Some(first.error.clone()), Some(first.step.clone()));
        }
        self.emit(Event::RunSettled { status, outputs, error, failed_step, handler_errors: errors });
    }

    /// The allowance of the handlers is used up.
    pub(super) fn handlers_timed_out(&mut self) {
        let Some(handling) = &mut self.state.handling else { return };
        // The timer of an earlier turn.
        if later(handling.turn_since, limits::HANDLERS_MS) > self.at {
            return;
        }
        if std::mem::replace(&mut handling.out_of_time, true) {
            return;
        }
        let turn = handling.turn;
        let limit = seconds(limits::HANDLERS_MS);
        self.at_once(|this| {
            for step in 0..this.state.steps.len() {
                if this.turn_of(step) == Some(turn) {
                    let message = format!(
                        "{} have {limit} s in all; `{}` was not done by then.",
                        turn_words(turn),
                        this.name(step)
                    );
                    let failure = Failure::new(FailureKind::Timeout, "handlers_timeout", message);
                    this.cut_step(step, failure, SkipReason::Cancelled);
                }
            }
        });
    }

    pub(super) fn settle_run(
        &mut self,
        status: RunStatus,
        outputs: Option<Stored>,
        error: Option<Failure>,
        failed_step: Option<String>,
    ) {
        self.emit(Event::RunSettled { status, outputs, error, failed_step, handler_errors: Vec::new() });
    }

    /// The step failed for good and `on_error: attention` has had its say.
    pub(super) fn give_up(&mut self, step: StepIndex, failure: Failure) {
        self.emit(Event::StepSettled {
            step: self.name(step),
            status: StepStatus::Failed,
            attempts: self.attempts_of(step),
            output: None,
            error: Some(failure),
            reason: None,
            usage: None,
            taken_on: false,
            reused_from: None,
        });
        self.after_failure(step);
        self.after_settled(step);
    }

    fn failure_of(&self, node: Node) -> Failure {
        let name = self.graph.name(node);
        let of_step = match self.graph.group_of(node) {
            None => self.state.steps[node].unit.error.clone(),
            Some(_) => None,
        };
        of_step.unwrap_or_else(|| {
            let line = self.graph.group_of(node).map(|group| self.graph.plan().groups[group].line);
            let message = format!("Group `{name}` cannot be joined: too few of its steps succeeded.");
            Failure::new(FailureKind::Flow, "group_join", message).at_line(line)
        })
    }
}

fn turn_words(turn: HandlerTurn) -> &'static str {
    match turn {
        HandlerTurn::Compensations => "Compensations",
        HandlerTurn::OnError => "The steps of `on_error`",
        HandlerTurn::Finally => "The steps of `finally`",
    }
}

impl super::state::State {
    /// The last written step that was not skipped, handlers left out.
    #[must_use]
    pub fn last_unskipped(&self, graph: &super::graph::Graph) -> Option<StepIndex> {
        let lost = |reason: Option<SkipReason>| reason == Some(SkipReason::GroupJoined);
        let main = |step: usize| graph.plan().steps[step].phase == Phase::Main;
        (0..self.steps.len())
            .rev()
            .filter(|step| main(*step))
            .find(|step| self.steps[*step].unit.status != StepStatus::Skipped && !lost(self.steps[*step].unit.reason))
    }
}
