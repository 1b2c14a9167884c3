//! How failures and skips travel from a settled step to its followers (flow-language, section 3).
//!
//! Invariant: a failure has an origin and is handed on until somebody takes it on; who took it on, and whoever comes
//! after, no longer sees it. A skip travels over declared dependencies and reads of outputs only.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::StepStatus;
use language::plan::{GroupIndex, Join, OnSkip, Phase, RunIf, StepIndex};

use super::graph::{Graph, Node, carries_skips};
use super::state::State;
use crate::event::SkipReason;

impl State {
    /// A step was settled: works out what it hands on, and counts down its followers and its group.
    pub(super) fn settled(&mut self, graph: &Graph, step: StepIndex, at: DateTime<Utc>) {
        if graph.plan().steps[step].phase == Phase::Main {
            self.unsettled -= 1;
        }
        self.settled_order.push(step);
        self.hand_on(graph, step);
        self.count_down(graph, step);
        let Some(index) = self.group(graph, step) else { return };
        let status = self.steps[step].unit.status;
        let group = &mut self.groups[index];
        group.unsettled -= 1;
        group.succeeded += usize::from(status.is_success());
        group.skipped += usize::from(status == StepStatus::Skipped);
        if group.unsettled == 0 {
            self.join(graph, index);
            self.groups[index].ended_at = Some(at);
            self.count_down(graph, graph.group_node(index));
        }
    }

    fn hand_on(&mut self, graph: &Graph, step: StepIndex) {
        let plan = &graph.plan().steps[step];
        let state = &self.steps[step];
        let sees = state.sees.clone();
        let outstanding = || self.failures.iter().copied().filter(|node| !self.taken.contains(node)).collect();
        let carries: BTreeSet<Node> = match (state.unit.status, state.unit.reason) {
            (StepStatus::Succeeded | StepStatus::Cached, _) if plan.run_if == RunIf::Always => sees,
            (StepStatus::Succeeded | StepStatus::Cached, _) => {
                self.taken.extend(&sees);
                self.steps[step].absolved.extend(&sees);
                BTreeSet::new()
            }
            (StepStatus::Skipped | StepStatus::Cancelled, Some(SkipReason::FailFast)) => outstanding(),
            (StepStatus::Skipped, _) | (StepStatus::Cancelled, Some(_)) => sees,
            _ if state.taken_on => sees,
            _ => {
                self.failures.push(step);
                let mut carries = sees;
                carries.insert(step);
                carries
            }
        };
        self.steps[step].carries = carries;
    }

    /// The join of a group whose members are all settled.
    fn join(&mut self, graph: &Graph, index: GroupIndex) {
        let plan = &graph.plan().groups[index];
        let node = graph.group_node(index);
        let mut carries = BTreeSet::new();
        let mut absolved = BTreeSet::new();
        for member in &plan.members {
            carries.extend(&self.steps[*member].carries);
            absolved.extend(&self.steps[*member].absolved);
        }
        carries.retain(|failure| !absolved.contains(failure));
        let group = &self.groups[index];
        let all_skipped = group.skipped == plan.members.len();
        let met = match plan.join {
            Join::AllSettled => true,
            Join::All => carries.is_empty(),
            Join::Any | Join::AtLeast(_) => group.succeeded >= needed(plan.join),
        };
        let status = if all_skipped {
            StepStatus::Skipped
        } else if met {
            // What went wrong inside is the group's own affair; what came from outside is handed on unless
            // somebody inside succeeded in spite of it.
            let own: BTreeSet<Node> =
                carries.iter().copied().filter(|failure| plan.members.contains(failure)).collect();
            self.taken.extend(&own);
            if group.succeeded > 0 {
                absolved.append(&mut carries);
            } else {
                carries.retain(|failure| !own.contains(failure));
                absolved.extend(own);
            }
            StepStatus::Succeeded
        } else {
            if carries.is_empty() {
                self.failures.push(node);
                carries.insert(node);
            }
            StepStatus::Failed
        };
        let group = &mut self.groups[index];
        group.status = Some(status);
        group.carries = carries;
        group.absolved = absolved;
    }

    fn count_down(&mut self, graph: &Graph, node: Node) {
        for follower in graph.followers(node) {
            self.steps[*follower].waiting -= 1;
            if self.steps[*follower].waiting == 0 && !self.steps[*follower].unit.status.is_settled() {
                self.gather(graph, *follower);
                self.ready.push_back(*follower);
            }
        }
    }

    /// What reached a step, once all that it needs is settled.
    fn gather(&mut self, graph: &Graph, step: StepIndex) {
        let mut sees = BTreeSet::new();
        let mut absolved = BTreeSet::new();
        for node in graph.needs(step) {
            sees.extend(self.carried(graph, *node));
            absolved.extend(match graph.group_of(*node) {
                Some(group) => &self.groups[group].absolved,
                None => &self.steps[*node].absolved,
            });
        }
        sees.retain(|failure| !absolved.contains(failure));
        self.steps[step].sees = sees;
        self.steps[step].absolved = absolved;
    }

    fn carried(&self, graph: &Graph, node: Node) -> &BTreeSet<Node> {
        match graph.group_of(node) {
            Some(group) => &self.groups[group].carries,
            None => &self.steps[node].carries,
        }
    }

    /// Whether all failures that reached the step are watched by it.
    pub(super) fn watches_all(&self, graph: &Graph, step: StepIndex) -> bool {
        let plan = &graph.plan().steps[step];
        plan.run_if != RunIf::AllSuccess
            || self.steps[step].sees.iter().all(|failure| {
                plan.watches.iter().any(|watched| {
                    let state = &self.steps[*watched];
                    *watched == *failure
                        || (state.unit.status == StepStatus::Skipped && state.carries.contains(failure))
                        || graph.group_of(*failure).is_some_and(|group| self.group(graph, *watched) == Some(group))
                })
            })
    }

    pub(super) fn node_succeeded(&self, graph: &Graph, node: Node) -> bool {
        match graph.group_of(node) {
            Some(group) => self.groups[group].status == Some(StepStatus::Succeeded),
            None => self.steps[node].unit.status.is_success(),
        }
    }

    pub(super) fn node_failed(&self, graph: &Graph, node: Node) -> bool {
        match graph.group_of(node) {
            Some(group) => self.groups[group].status == Some(StepStatus::Failed),
            None => self.steps[node].unit.status.is_failure(),
        }
    }

    /// Whether a skip reaches the step: all that carries skips was skipped, and the step's condition does not look at it.
    pub(super) fn skip_arrives(&self, graph: &Graph, step: StepIndex) -> bool {
        let plan = &graph.plan().steps[step];
        let carriers = || {
            let is_fed = self.fed.contains(&step);
            graph.reasons(step).filter(move |need| carries_skips(need, is_fed)).map(|need| graph.node(need.target))
        };
        let watched = |node: Node| match graph.group_of(node) {
            Some(group) => graph.plan().groups[group].members.iter().any(|member| plan.watches.contains(member)),
            None => plan.watches.contains(&node),
        };
        if carriers().any(|node| !watched(node) && self.skip_mode(graph, node) == Some(OnSkip::Cascade)) {
            return true;
        }
        let mut any = false;
        for node in carriers() {
            if watched(node) || self.skip_mode(graph, node) != Some(OnSkip::Default) {
                return false;
            }
            any = true;
        }
        any
    }

    /// How a skipped node's skip travels; `None` if it was not skipped.
    fn skip_mode(&self, graph: &Graph, node: Node) -> Option<OnSkip> {
        let mode = |step: StepIndex| graph.plan().steps[step].on_skip;
        match graph.group_of(node) {
            None => (self.steps[node].unit.status == StepStatus::Skipped).then(|| mode(node)),
            Some(group) => {
                let members = &graph.plan().groups[group].members;
                (self.groups[group].status == Some(StepStatus::Skipped)).then(|| {
                    match members.iter().map(|member| mode(*member)).collect::<Vec<_>>().as_slice() {
                        [first, rest @ ..] if rest.iter().all(|other| other == first) => *first,
                        _ => OnSkip::Default,
                    }
                })
            }
        }
    }

    /// The first failure of the main phase that nobody took on.
    pub(super) fn outstanding(&self, graph: &Graph) -> Option<Node> {
        let main = |node: &Node| graph.phase(*node) == Phase::Main;
        self.failures.iter().copied().filter(main).find(|node| !self.taken.contains(node))
    }
}

/// How many members have to succeed before the others are stopped; `usize::MAX` where all are waited for.
pub(super) fn needed(join: Join) -> usize {
    match join {
        Join::Any => 1,
        Join::AtLeast(count) => count as usize,
        Join::All | Join::AllSettled => usize::MAX,
    }
}
