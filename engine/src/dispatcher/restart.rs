//! The next epoch of a run that had ended: what succeeded stays, the rest begins again.
//!
//! Invariant: pure and a function of the state alone, so that a replay comes to the same; a step that succeeded is kept
//! unless a compensation undid it.

use chrono::{DateTime, Utc};
use domain::StepStatus;
use language::plan::{Phase, StepIndex};

use super::graph::Graph;
use super::state::{Misfit, State, StepState};
use super::unit::{Items, Unit};
use crate::event::SkipReason;

impl State {
    pub(super) fn restart(&mut self, graph: &Graph, epoch: u32, at: DateTime<Utc>) -> Result<(), Misfit> {
        if self.end.is_none() || epoch != self.epoch + 1 {
            return Err(Misfit::Epoch(epoch));
        }
        let kept = self.kept(graph);
        let was_undone: Vec<bool> = self.steps.iter().map(|step| step.unit.status.is_success()).collect();
        let old = std::mem::replace(self, Self::new(graph));
        self.fed = old.fed;
        self.position = old.position;
        self.epoch = epoch;
        self.started_at = Some(at);
        self.vars = old.vars;
        self.usage = old.usage;
        self.cost = old.cost;
        self.mailbox = old.mailbox;
        self.heard = old.heard;
        let mut steps: Vec<Option<StepState>> = old.steps.into_iter().map(Some).collect();
        for (step, old) in steps.iter_mut().enumerate() {
            if kept[step] {
                continue;
            }
            let Some(old) = old.take() else { continue };
            let fresh = &mut self.steps[step];
            fresh.unit = old.unit.restarted(epoch);
            let is_undone = graph.plan().steps[step].compensation.is_some_and(|undo| was_undone[undo]);
            fresh.items = old.items.map(|items| if is_undone { anew(items, epoch) } else { unfinished(items, epoch) });
            if matches!(graph.plan().steps[step].phase, Phase::OnError | Phase::Finally) {
                // The next epoch has an end of its own to deal with.
                forget_children(fresh);
            }
        }
        for step in old.settled_order {
            // What was settled twice over two epochs stands here once.
            let Some(old) = steps[step].take() else { continue };
            let fresh = &mut self.steps[step];
            let ended_at = old.unit.ended_at.unwrap_or(at);
            fresh.condition = old.condition;
            fresh.taken_on = old.taken_on;
            fresh.unit = old.unit;
            fresh.items = old.items;
            self.settled(graph, step, ended_at);
        }
        self.ready.clear();
        Ok(())
    }

    /// Which steps keep their outcome.
    pub(super) fn kept(&self, graph: &Graph) -> Vec<bool> {
        let plan = graph.plan();
        let undone = |step: StepIndex| {
            plan.steps[step].compensation.is_some_and(|undo| self.steps[undo].unit.status.is_success())
        };
        let mut kept = vec![false; self.steps.len()];
        // In the order of settling, what a step follows comes before it.
        for &step in &self.settled_order {
            let state = &self.steps[step];
            if plan.steps[step].phase != Phase::Main {
                continue;
            }
            let firm = |node: &usize| match graph.group_of(*node) {
                None => kept[*node],
                Some(group) => plan.groups[group].members.iter().all(|member| kept[*member]),
            };
            kept[step] = match state.unit.status {
                status if status.is_success() => !undone(step),
                // A skip stands as long as everything it was decided by stands.
                StepStatus::Skipped => {
                    matches!(
                        state.unit.reason,
                        Some(SkipReason::Condition | SkipReason::RunIf | SkipReason::UpstreamSkipped)
                    ) && graph.needs(step).iter().all(firm)
                }
                // A failure that somebody took on was dealt with.
                _ => state.taken_on || self.taken.contains(&step),
            };
        }
        kept
    }
}

/// What was undone is done again.
fn anew(mut items: Items, epoch: u32) -> Items {
    for unit in &mut items.units {
        *unit = unit.restarted(epoch);
    }
    items.count_again();
    items
}

/// The items that succeeded stay.
fn unfinished(mut items: Items, epoch: u32) -> Items {
    for unit in &mut items.units {
        if !unit.status.is_success() {
            *unit = unit.restarted(epoch);
        }
    }
    items.count_again();
    items
}

fn forget_children(step: &mut StepState) {
    step.unit.forget_children();
    step.items.iter_mut().flat_map(|items| &mut items.units).for_each(Unit::forget_children);
}
