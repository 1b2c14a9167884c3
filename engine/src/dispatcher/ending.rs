//! How a run ends: exactly one terminal entry, once every step is settled.
//!
//! Invariant: a run with an outstanding failure never succeeds; outputs are rendered for a success only.

use domain::{Failure, FailureKind, RunStatus, StepStatus};
use language::plan::StepIndex;

use super::graph::Node;
use super::signal::Command;
use super::stopping::seconds;
use super::turn::Turn;
use crate::event::{Event, SkipReason, Stored};

impl Turn<'_> {
    pub(super) fn end_if_done(&mut self) {
        let state = &*self.state;
        if state.unsettled > 0 || state.end.is_some() || state.outputs_asked || state.started_at.is_none() {
            return;
        }
        if state.timed_out {
            let limit = seconds(self.graph.plan().timeout_ms.unwrap_or_default());
            let message = format!("The run took longer than the flow's timeout of {limit} s.");
            let failure = Failure::new(FailureKind::Timeout, "run_timeout", message);
            self.settle_run(RunStatus::TimedOut, None, Some(failure), None);
        } else if let Some(by) = &state.cancelled_by {
            let failure = Failure::new(FailureKind::Cancelled, "cancelled", format!("The run was cancelled by {by}."));
            self.settle_run(RunStatus::Cancelled, None, Some(failure), None);
        } else if let Some(node) = state.outstanding() {
            let failure = self.failure_of(node);
            self.fail_run(failure, Some(self.graph.name(node).to_owned()));
        } else {
            self.ask_outputs();
        }
    }

    fn ask_outputs(&mut self) {
        if self.graph.plan().outputs.is_none() {
            let last = self.graph.plan().steps.iter().rposition(|_| true);
            let shown = last.and_then(|_| self.last_unskipped());
            match shown {
                None => {
                    self.settle_run(RunStatus::Succeeded, Some(Stored::Inline(serde_json::Value::Null)), None, None);
                    return;
                }
                Some(step) if self.plan(step).group.is_none() => {
                    let output = self.state.steps[step].output.clone();
                    let output = output.unwrap_or(Stored::Inline(serde_json::Value::Null));
                    self.settle_run(RunStatus::Succeeded, Some(output), None, None);
                    return;
                }
                // A group gives a map of its members' outputs, which has to be put together.
                Some(_) => {}
            }
        }
        self.state.outputs_asked = true;
        self.command(Command::RenderOutputs);
    }

    fn last_unskipped(&self) -> Option<StepIndex> {
        self.state.last_unskipped()
    }

    pub(super) fn outputs_rendered(&mut self, result: Result<Stored, Failure>) {
        if !self.state.outputs_asked {
            return;
        }
        match result {
            Ok(outputs) => self.settle_run(RunStatus::Succeeded, Some(outputs), None, None),
            Err(failure) => self.fail_run(failure, None),
        }
    }

    pub(super) fn fail_run(&mut self, failure: Failure, step: Option<String>) {
        self.settle_run(RunStatus::Failed, None, Some(failure), step);
    }

    fn settle_run(
        &mut self,
        status: RunStatus,
        outputs: Option<Stored>,
        error: Option<Failure>,
        failed_step: Option<String>,
    ) {
        self.emit(Event::RunSettled { status, outputs, error, failed_step });
    }

    fn failure_of(&self, node: Node) -> Failure {
        let name = self.graph.name(node);
        let of_step = match self.graph.group_of(node) {
            None => self.state.steps[node].error.clone(),
            Some(_) => None,
        };
        of_step.unwrap_or_else(|| {
            let line = self.graph.group_of(node).map(|group| self.graph.plan().groups[group].line);
            let message = format!("Group `{name}` cannot be joined: too few of its steps succeeded.");
            Failure::new(FailureKind::Flow, "group_join", message).at_line(line)
        })
    }
}

impl super::state::State {
    /// The last written step that was not skipped.
    #[must_use]
    pub fn last_unskipped(&self) -> Option<StepIndex> {
        let lost = |reason: Option<SkipReason>| reason == Some(SkipReason::GroupJoined);
        self.steps.iter().rposition(|step| step.status != StepStatus::Skipped && !lost(step.reason))
    }
}
