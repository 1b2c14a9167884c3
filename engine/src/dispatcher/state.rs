//! The state of a run: the fold of its journal, and a few notes about what was asked for and is not yet answered.
//!
//! Invariant: `apply` alone changes what is journaled, and it is total over histories that fit the plan; the fields
//! marked `skip` are rebuilt after a replay by [`crate::dispatcher::Signal::Started`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use chrono::{DateTime, Utc};
use domain::wire::UsageTotals;
use domain::{Failure, NanoUsd, RunStatus, StepStatus};
use language::plan::{GroupIndex, Phase, StepIndex};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::graph::{Graph, Node};
use super::unit::{Items, Place, Unit};
use crate::event::{Entry, HandlerError, Stored};

/// A history that cannot be this plan's.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Misfit {
    #[error("entry {found} stands where {expected} was due")]
    Position { expected: u64, found: u64 },
    #[error("there is no step named {0}")]
    UnknownStep(String),
    #[error("step {step} has no item {item}")]
    UnknownItem { step: String, item: u32 },
    #[error("step {0} settles twice")]
    SettledTwice(String),
    #[error("entry {0} comes after the end of the run")]
    AfterTheEnd(u64),
    #[error("epoch {0} cannot follow here")]
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
    /// What the steps came to, once the handlers have their turn.
    pub handling: Option<Handling>,
    pub end: Option<RunEnd>,
    /// Units of all attempts.
    pub usage: UsageTotals,
    /// `None` once something was used that has no known price.
    pub cost: Option<NanoUsd>,
    /// Signals that no step waited for yet, by name, oldest first.
    pub(super) mailbox: BTreeMap<String, VecDeque<Letter>>,
    /// Deliveries that were taken in.
    pub(super) heard: BTreeSet<String>,
    /// Steps of the main phase that are not settled.
    pub(super) unsettled: usize,
    /// Settled steps in the order of their settling.
    pub(super) settled_order: Vec<StepIndex>,
    /// Nodes that failed of themselves, first one first.
    pub(super) failures: Vec<Node>,
    /// Failures that somebody took on.
    pub(super) taken: BTreeSet<Node>,
    /// Steps whose needs are all settled and which were not looked at since.
    pub(super) ready: VecDeque<StepIndex>,
    /// Steps whose main input the call itself can give: a skipped source does not skip them.
    #[serde(skip)]
    pub(super) fed: BTreeSet<StepIndex>,
    /// Units that asked for slots under limits beyond this run, and have none yet.
    #[serde(skip)]
    pub(super) seekers: BTreeSet<Place>,
    /// The run's time is over.
    #[serde(skip)]
    pub(super) timed_out: bool,
    #[serde(skip)]
    pub(super) outputs_asked: bool,
    /// Taken over from another run once this one begins.
    #[serde(skip)]
    pub(super) to_reuse: Vec<super::signal::Reused>,
    /// Why this run fails as soon as its variables are there: handlers and a restart need those.
    #[serde(skip)]
    pub(super) refused: Option<crate::run::Refusal>,
}

/// A signal's payload, kept until somebody waits for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Letter {
    pub(super) payload: Value,
    pub(super) by: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Handling {
    pub status: RunStatus,
    pub outputs: Option<Stored>,
    pub error: Option<Failure>,
    pub failed_step: Option<String>,
    pub since: DateTime<Utc>,
    /// The phase whose steps have their turn.
    #[serde(skip)]
    pub(super) turn: HandlerTurn,
    /// When that began; anew where another worker goes on.
    #[serde(skip)]
    pub turn_since: DateTime<Utc>,
    #[serde(skip)]
    pub(super) out_of_time: bool,
}

/// Handlers go through these in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum HandlerTurn {
    #[default]
    Compensations,
    OnError,
    Finally,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunEnd {
    pub status: RunStatus,
    pub outputs: Option<Stored>,
    pub error: Option<Failure>,
    pub failed_step: Option<String>,
    pub handler_errors: Vec<HandlerError>,
    pub at: DateTime<Utc>,
}

/// A step: its own unit, its items where it has some, and what reached it from those before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepState {
    pub unit: Unit,
    /// There once the list of a `for_each` step is known.
    pub items: Option<Items>,
    pub condition: Option<bool>,
    pub taken_on: bool,
    /// Needs that are not settled.
    pub(super) waiting: usize,
    /// Failures that reached this step.
    pub(super) sees: BTreeSet<Node>,
    /// Failures that an ancestor took on.
    pub(super) absolved: BTreeSet<Node>,
    /// Failures that this step hands to its followers.
    pub(super) carries: BTreeSet<Node>,
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
            handling: None,
            end: None,
            usage: UsageTotals::default(),
            cost: Some(NanoUsd::ZERO),
            mailbox: BTreeMap::new(),
            heard: BTreeSet::new(),
            unsettled: graph.main_steps(),
            settled_order: Vec::new(),
            failures: Vec::new(),
            taken: BTreeSet::new(),
            ready: VecDeque::new(),
            fed: BTreeSet::new(),
            seekers: BTreeSet::new(),
            timed_out: false,
            outputs_asked: false,
            to_reuse: Vec::new(),
            refused: None,
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

    /// Says which steps have a main input among the call's own inputs, which are the same for the whole run.
    pub fn feed(&mut self, steps: impl IntoIterator<Item = StepIndex>) {
        self.fed.extend(steps);
    }

    /// How many steps are not settled, handlers left out.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Whether a person has to decide about some step.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        let parked = |unit: &Unit| unit.status == StepStatus::NeedsAttention;
        self.steps.iter().any(|step| parked(&step.unit) || step.items.iter().flat_map(|items| &items.units).any(parked))
    }

    #[must_use]
    pub fn find(&self, place: Place) -> Option<&Unit> {
        let step = self.steps.get(place.step)?;
        match place.item {
            None => Some(&step.unit),
            Some(item) => step.items.as_ref()?.units.get(item as usize),
        }
    }

    /// The unit at a place of this run.
    #[must_use]
    pub fn unit(&self, place: Place) -> &Unit {
        self.find(place).unwrap_or(&self.steps[place.step].unit)
    }

    /// The places are checked where they come in ([`State::apply`], [`State::find`]).
    pub(super) fn unit_mut(&mut self, place: Place) -> &mut Unit {
        let step = &mut self.steps[place.step];
        match (place.item, &mut step.items) {
            (Some(item), Some(items)) if (item as usize) < items.units.len() => &mut items.units[item as usize],
            _ => &mut step.unit,
        }
    }

    /// The main steps that wait for nothing.
    pub(super) fn unhindered(&self, graph: &Graph) -> Vec<StepIndex> {
        let main = |step: &StepIndex| graph.plan().steps[*step].phase == Phase::Main;
        let free = |step: &StepIndex| self.steps[*step].waiting == 0 && !self.steps[*step].unit.status.is_settled();
        (0..self.steps.len()).filter(main).filter(free).collect()
    }

    pub(super) fn group(&self, graph: &Graph, step: StepIndex) -> Option<GroupIndex> {
        graph.plan().steps[step].group
    }
}

impl StepState {
    pub(super) fn new(waiting: usize) -> Self {
        Self {
            unit: Unit::default(),
            items: None,
            condition: None,
            taken_on: false,
            waiting,
            sees: BTreeSet::new(),
            absolved: BTreeSet::new(),
            carries: BTreeSet::new(),
        }
    }
}

impl GroupState {
    pub(super) fn new(members: usize) -> Self {
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
