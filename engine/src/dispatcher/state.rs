//! The state of a run: the fold of its journal, and a few notes about what was asked for and is not yet answered.
//!
//! Invariant: `apply` alone changes what is journaled, and it is total over histories that fit the plan; the fields
//! marked `skip` are rebuilt after a replay by [`crate::dispatcher::Signal::Started`].

use std::collections::{BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use domain::wire::{Usage, UsageTotals};
use domain::{Failure, NanoUsd, RunId, RunStatus, StepStatus};
use language::plan::{GroupIndex, StepIndex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::graph::{Graph, Node};
use crate::event::{Entry, Event, SecretUse, SkipReason, Stored};

/// A history that cannot be this plan's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Misfit {
    #[error("entry {found} stands where {expected} was due")]
    Position { expected: u64, found: u64 },
    #[error("there is no step named {0}")]
    UnknownStep(String),
    #[error("step {0} settles twice")]
    SettledTwice(String),
    #[error("entry {0} comes after the end of the run")]
    AfterTheEnd(u64),
    #[error("epoch {0} cannot be replayed by this version")]
    Epoch(u32),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// Of the last entry.
    pub position: u64,
    pub epoch: u32,
    pub started_at: Option<DateTime<Utc>>,
    pub vars: Option<Value>,
    pub steps: Vec<StepState>,
    pub groups: Vec<GroupState>,
    /// Who asked for the run's end.
    pub cancelled_by: Option<String>,
    pub end: Option<RunEnd>,
    /// Units of all attempts.
    pub usage: UsageTotals,
    /// `None` once something was used that has no known price.
    pub cost: Option<NanoUsd>,
    pub(super) unsettled: usize,
    /// Nodes that failed of themselves, first one first.
    pub(super) failures: Vec<Node>,
    /// Failures that somebody took on.
    pub(super) taken: BTreeSet<Node>,
    /// Steps whose needs are all settled and which were not looked at since.
    pub(super) ready: VecDeque<StepIndex>,
    /// The run's time is over.
    #[serde(skip)]
    pub(super) timed_out: bool,
    #[serde(skip)]
    pub(super) outputs_asked: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    pub status: RunStatus,
    pub outputs: Option<Stored>,
    pub error: Option<Failure>,
    pub failed_step: Option<String>,
    pub at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    pub status: StepStatus,
    pub attempts: u32,
    pub condition: Option<bool>,
    pub config: Option<Value>,
    pub secrets: Vec<SecretUse>,
    pub output: Option<Stored>,
    pub error: Option<Failure>,
    pub reason: Option<SkipReason>,
    pub taken_on: bool,
    pub retry_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    /// When the attempt under way began.
    pub attempt_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cost: Option<NanoUsd>,
    /// Child runs of the last attempt.
    pub children: Vec<RunId>,
    /// Needs that are not settled.
    pub(super) waiting: usize,
    /// Failures that reached this step.
    pub(super) sees: BTreeSet<Node>,
    /// Failures that an ancestor took on.
    pub(super) absolved: BTreeSet<Node>,
    /// Failures that this step hands to its followers.
    pub(super) carries: BTreeSet<Node>,
    #[serde(skip)]
    pub(super) asked: bool,
    /// Why the running attempt was told to stop.
    #[serde(skip)]
    pub(super) stop: Option<SkipReason>,
    /// The failure that an `on_error` value is being rendered for.
    #[serde(skip)]
    pub(super) falling_back: Option<(Failure, Option<Usage>)>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupState {
    /// `None` until all members are settled.
    pub status: Option<StepStatus>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub(super) unsettled: usize,
    pub(super) succeeded: usize,
    pub(super) skipped: usize,
    pub(super) running: usize,
    pub(super) absolved: BTreeSet<Node>,
    pub(super) carries: BTreeSet<Node>,
    /// Members that wait for a place under `max_parallel`.
    #[serde(skip)]
    pub(super) queue: VecDeque<StepIndex>,
    #[serde(skip)]
    pub(super) stopped: bool,
}

impl State {
    /// The state before the first entry.
    #[must_use]
    pub fn new(graph: &Graph) -> Self {
        let plan = graph.plan();
        let steps = (0..plan.steps.len()).map(|step| StepState::new(graph.needs(step).len())).collect();
        let groups = plan.groups.iter().map(|group| GroupState::new(group.members.len())).collect();
        Self {
            position: 0,
            epoch: 0,
            started_at: None,
            vars: None,
            steps,
            groups,
            cancelled_by: None,
            end: None,
            usage: UsageTotals::default(),
            cost: Some(NanoUsd::ZERO),
            unsettled: plan.steps.len(),
            failures: Vec::new(),
            taken: BTreeSet::new(),
            ready: VecDeque::new(),
            timed_out: false,
            outputs_asked: false,
        }
    }

    /// The state after a history.
    pub fn replay<'a>(graph: &Graph, history: impl IntoIterator<Item = &'a Entry>) -> Result<Self, Misfit> {
        let mut state = Self::new(graph);
        for entry in history {
            state.apply(graph, entry)?;
        }
        Ok(state)
    }

    /// Takes one entry in.
    pub fn apply(&mut self, graph: &Graph, entry: &Entry) -> Result<(), Misfit> {
        if entry.position != self.position + 1 {
            return Err(Misfit::Position { expected: self.position + 1, found: entry.position });
        }
        if self.end.is_some() {
            return Err(Misfit::AfterTheEnd(entry.position));
        }
        let step = match entry.event.step() {
            Some(name) => graph.step_named(name).ok_or_else(|| Misfit::UnknownStep(name.to_owned()))?,
            None => usize::MAX,
        };
        self.position = entry.position;
        match &entry.event {
            Event::RunStarted { epoch, vars } => self.begin(*epoch, vars, entry.at)?,
            Event::ConditionSettled { holds, .. } => {
                self.steps[step].condition = Some(*holds);
                self.steps[step].status = StepStatus::Ready;
                self.steps[step].asked = false;
            }
            Event::StepConfigured { config, secrets, .. } => {
                let state = &mut self.steps[step];
                state.config = Some(config.clone());
                state.secrets.clone_from(secrets);
                state.status = StepStatus::Ready;
                state.asked = false;
            }
            Event::AttemptStarted { attempt, .. } => self.attempt_started(graph, step, *attempt, entry.at),
            Event::ChildStarted { run_id, .. } => self.steps[step].children.push(*run_id),
            Event::AttemptFailed { failure, usage, retry_at, .. } => {
                self.leave_running(graph, step);
                self.spend(step, usage.as_ref());
                let state = &mut self.steps[step];
                state.status = StepStatus::RetryWait;
                state.error = Some(failure.clone());
                state.retry_at = Some(*retry_at);
            }
            Event::StepSettled { status, attempts, output, error, reason, usage, taken_on, .. } => {
                if self.steps[step].status.is_settled() {
                    return Err(Misfit::SettledTwice(graph.name(step).to_owned()));
                }
                self.leave_running(graph, step);
                self.spend(step, usage.as_ref());
                let state = &mut self.steps[step];
                state.status = *status;
                state.attempts = *attempts;
                state.output.clone_from(output);
                state.error.clone_from(error);
                state.reason = *reason;
                state.taken_on = *taken_on;
                state.ended_at = Some(entry.at);
                state.asked = false;
                state.stop = None;
                state.falling_back = None;
                self.settled(graph, step, entry.at);
            }
            Event::StepNeedsAttention { failure, .. } => {
                self.leave_running(graph, step);
                self.steps[step].status = StepStatus::NeedsAttention;
                self.steps[step].error = Some(failure.clone());
            }
            Event::CancelRequested { by } => self.cancelled_by = Some(by.clone()),
            Event::RunSettled { status, outputs, error, failed_step } => {
                self.end = Some(RunEnd {
                    status: *status,
                    outputs: outputs.clone(),
                    error: error.clone(),
                    failed_step: failed_step.clone(),
                    at: entry.at,
                });
            }
        }
        Ok(())
    }

    /// How many steps are not settled.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Whether a person has to decide about some step.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.steps.iter().any(|step| step.status == StepStatus::NeedsAttention)
    }

    fn begin(&mut self, epoch: u32, vars: &Value, at: DateTime<Utc>) -> Result<(), Misfit> {
        if self.epoch != 0 {
            return Err(Misfit::Epoch(epoch));
        }
        self.epoch = epoch;
        self.vars = Some(vars.clone());
        self.started_at = Some(at);
        self.ready = (0..self.steps.len()).filter(|step| self.steps[*step].waiting == 0).collect();
        Ok(())
    }

    fn attempt_started(&mut self, graph: &Graph, step: StepIndex, attempt: u32, at: DateTime<Utc>) {
        let state = &mut self.steps[step];
        state.status = StepStatus::Running;
        state.attempts = attempt;
        state.retry_at = None;
        state.attempt_at = Some(at);
        state.started_at.get_or_insert(at);
        state.children.clear();
        state.asked = false;
        if let Some(group) = graph.plan().steps[step].group {
            self.groups[group].running += 1;
            self.groups[group].started_at.get_or_insert(at);
        }
    }

    fn leave_running(&mut self, graph: &Graph, step: StepIndex) {
        if self.steps[step].status == StepStatus::Running
            && let Some(group) = graph.plan().steps[step].group
        {
            self.groups[group].running -= 1;
        }
    }

    fn spend(&mut self, step: StepIndex, usage: Option<&Usage>) {
        let Some(usage) = usage else { return };
        for (kind, units) in &usage.units {
            let total = self.usage.units.entry(kind.clone()).or_default();
            *total = total.saturating_add(*units);
        }
        let bought = usage.model.is_some() || usage.units.keys().any(|kind| kind.ends_with("_tokens"));
        let cost = match usage.cost_nano_usd {
            None if !bought => Some(NanoUsd::ZERO),
            cost => cost,
        };
        let add = |sum: Option<NanoUsd>| Some(sum?.plus(cost?));
        self.cost = add(self.cost);
        self.steps[step].cost = add(self.steps[step].cost);
    }

    pub(super) fn group(&self, graph: &Graph, step: StepIndex) -> Option<GroupIndex> {
        graph.plan().steps[step].group
    }
}

impl StepState {
    fn new(waiting: usize) -> Self {
        Self {
            status: StepStatus::Pending,
            attempts: 0,
            condition: None,
            config: None,
            secrets: Vec::new(),
            output: None,
            error: None,
            reason: None,
            taken_on: false,
            retry_at: None,
            started_at: None,
            attempt_at: None,
            ended_at: None,
            cost: Some(NanoUsd::ZERO),
            children: Vec::new(),
            waiting,
            sees: BTreeSet::new(),
            absolved: BTreeSet::new(),
            carries: BTreeSet::new(),
            asked: false,
            stop: None,
            falling_back: None,
        }
    }

    /// The record's `success`: a boolean once settled.
    #[must_use]
    pub fn success(&self) -> Option<bool> {
        self.status.is_settled().then(|| self.status.is_success())
    }
}

impl GroupState {
    fn new(members: usize) -> Self {
        Self {
            status: None,
            started_at: None,
            ended_at: None,
            unsettled: members,
            succeeded: 0,
            skipped: 0,
            running: 0,
            absolved: BTreeSet::new(),
            carries: BTreeSet::new(),
            queue: VecDeque::new(),
            stopped: false,
        }
    }
}
