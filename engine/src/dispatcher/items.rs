//! `for_each`: one step as many items, and `repeat`: one unit several times.
//!
//! Invariant: items begin in the list's order and results keep it; at most `max_parallel` attempts of a step's items are
//! under way; an item that was never begun leaves no trace.

use domain::wire::Usage;
use domain::{Failure, FailureKind, StepStatus};
use language::plan::{OnItemError, StepIndex};
use serde_json::json;

use super::signal::{Command, Listed, Timer};
use super::turn::{Turn, later};
use super::unit::Place;
use crate::event::{Event, SkipReason, Stored};
use crate::limits;

impl Turn<'_> {
    /// How many items of a step may have an attempt under way.
    pub(super) fn item_places(&self, step: StepIndex) -> usize {
        let wanted = self.plan(step).for_each.as_ref().and_then(|each| each.max_parallel);
        wanted.map_or(limits::ITEMS_IN_FLIGHT, |wanted| (wanted.max(1) as usize).min(limits::ITEMS_IN_FLIGHT))
    }

    pub(super) fn list_rendered(&mut self, step: StepIndex, result: Result<Listed, Failure>) {
        if !self.answers(Place::of(step)) {
            return;
        }
        let Listed { count, items } = match result {
            Ok(listed) => listed,
            Err(failure) => {
                self.fail_step(step, failure, None, StepStatus::Failed);
                return;
            }
        };
        let group = self.plan(step).group;
        let group_starts = group.is_some_and(|group| self.state.groups[group].started_at.is_none());
        self.emit(Event::ItemsListed { step: self.name(step), count, items });
        if let Some(group) = group.filter(|_| group_starts) {
            self.start_group_timer(group);
        }
        self.start_total_timer(step);
        self.pump_items(step);
    }

    /// Begins as many items as there is room for; puts the results together when all are done.
    pub(super) fn pump_items(&mut self, step: StepIndex) {
        let places = self.item_places(step);
        loop {
            let Some(items) = &mut self.state.steps[step].items else { return };
            if items.closed || self.state.steps[step].unit.status.is_settled() {
                break;
            }
            let seeking = self.state.seeking_items(step);
            let Some(items) = &mut self.state.steps[step].items else { return };
            if items.running + seeking >= places {
                break;
            }
            if let Some(item) = items.queue.pop_front() {
                if items.units[item as usize].status == StepStatus::Queued {
                    self.start_or_queue(Place::item(step, item));
                }
                continue;
            }
            // Those whose config is being rendered will want a place soon.
            let preparing = items.preparing();
            if items.running + seeking + preparing >= places {
                break;
            }
            let Some(item) = items.next_fresh() else { break };
            self.ask_config(Place::item(step, item));
        }
        self.gather_if_done(step);
    }

    fn gather_if_done(&mut self, step: StepIndex) {
        let state = &self.state.steps[step];
        let Some(items) = &state.items else { return };
        if !items.is_done() || state.unit.asked || state.unit.status.is_settled() || state.unit.falling_back.is_some() {
            return;
        }
        let failing = self.plan(step).for_each.as_ref().map(|each| each.on_item_error) == Some(OnItemError::Fail);
        if let Some(reason) = state.unit.stop {
            self.settle_cancelled(Place::of(step), reason, None);
        } else if failing && items.failed > 0 {
            let (failure, status) = self.first_item_failure(step);
            self.fail_step(step, failure, None, status);
        } else {
            self.state.steps[step].unit.asked = true;
            self.command(Command::GatherItems { step });
        }
    }

    fn first_item_failure(&self, step: StepIndex) -> (Failure, StepStatus) {
        let units = self.state.steps[step].items.iter().flat_map(|items| items.units.iter().enumerate());
        let failed = units.filter(|(_, unit)| unit.status.is_failure() && unit.reason.is_none());
        let first = failed.min_by_key(|(_, unit)| unit.ended_at);
        let Some((item, failure, status)) =
            first.and_then(|(item, unit)| Some((item, unit.error.clone()?, unit.status)))
        else {
            let message = format!("An item of step `{}` failed.", self.name(step));
            return (Failure::new(FailureKind::Flow, "item_failed", message), StepStatus::Failed);
        };
        let mut failure = failure;
        failure.message = format!("Item {}: {}", item + 1, failure.message);
        (failure, status)
    }

    pub(super) fn items_gathered(&mut self, step: StepIndex, result: Result<Stored, Failure>) {
        if !self.answers(Place::of(step)) {
            return;
        }
        match result {
            Ok(output) => self.settle_success(Place::of(step), StepStatus::Succeeded, output, None),
            Err(failure) => self.fail_step(step, failure, None, StepStatus::Failed),
        }
    }

    pub(super) fn settle_item(
        &mut self,
        place: Place,
        status: StepStatus,
        output: Option<Stored>,
        error: Option<Failure>,
        reason: Option<SkipReason>,
        usage: Option<Usage>,
    ) {
        let Some(item) = place.item else { return };
        let attempts = self.state.unit(place).attempts;
        let step = self.name(place.step);
        let failed = status.is_failure() && reason.is_none();
        self.emit(Event::ItemSettled { step, item, status, attempts, output, error, reason, usage });
        let failing = self.plan(place.step).for_each.as_ref().map(|each| each.on_item_error) == Some(OnItemError::Fail);
        if failed && failing {
            self.close_items(place.step, SkipReason::ItemFailed);
        }
        self.pump_items(place.step);
    }

    /// Ends all items at once, without waiting for any; the step's own end is the caller's.
    pub(super) fn cut_items(&mut self, step: StepIndex, failure: &Failure, cut: StepStatus) {
        let Some(items) = &mut self.state.steps[step].items else { return };
        items.closed = true;
        let open: Vec<u32> = (0..).zip(&items.units).filter(|(_, unit)| unit.is_open()).map(|(item, _)| item).collect();
        for item in open {
            let place = Place::item(step, item);
            let (status, attempts) = (self.state.unit(place).status, self.state.unit(place).attempts);
            if status == StepStatus::Pending {
                self.state.unit_mut(place).asked = false;
                continue;
            }
            let usage = self.unseen(place);
            let failure = self.with_doubt(place, status, failure.clone());
            if status == StepStatus::Running {
                self.command(Command::CancelAttempt { place, attempt: attempts, grace: false });
            }
            self.emit(Event::ItemSettled {
                step: self.name(step),
                item,
                status: cut,
                attempts,
                output: None,
                error: Some(failure),
                reason: None,
                usage,
            });
        }
    }

    /// No further item begins, and those under way are told to stop.
    pub(super) fn close_items(&mut self, step: StepIndex, reason: SkipReason) {
        let Some(items) = &mut self.state.steps[step].items else { return };
        items.closed = true;
        let open: Vec<u32> = (0..).zip(&items.units).filter(|(_, unit)| unit.is_open()).map(|(item, _)| item).collect();
        for item in open {
            self.stop_unit(Place::item(step, item), reason);
        }
    }

    pub(super) fn resume_items(&mut self, step: StepIndex) {
        let failing = self.plan(step).for_each.as_ref().map(|each| each.on_item_error) == Some(OnItemError::Fail);
        let Some(items) = &mut self.state.steps[step].items else { return };
        (items.next, items.oldest) = (0, 0);
        let open: Vec<u32> = (0..).zip(&items.units).filter(|(_, unit)| unit.is_open()).map(|(item, _)| item).collect();
        items.closed = failing && items.failed > 0;
        let state = &self.state.steps[step];
        // In a new epoch the step itself is pending: it waits for its turn, and its condition is asked again.
        if state.unit.status == StepStatus::Pending && open.is_empty() {
            return;
        }
        if state.unit.status == StepStatus::Ready && state.condition == Some(false) {
            self.skip(step, SkipReason::Condition);
            return;
        }
        for item in open {
            self.resume_unit(Place::item(step, item));
        }
        self.pump_items(step);
    }

    /// A place is free: the group's or the items' next in line.
    pub(super) fn freed(&mut self, place: Place) {
        if place.item.is_some() {
            self.pump_items(place.step);
        } else {
            self.next_of_group(place.step);
        }
    }

    pub(super) fn ask_until(&mut self, place: Place) {
        self.state.unit_mut(place).asked = true;
        self.command(Command::RenderUntil { place });
    }

    pub(super) fn until_rendered(&mut self, place: Place, result: Result<bool, Failure>) {
        if !self.answers(place) {
            return;
        }
        let Some(repeat) = self.plan(place.step).repeat.as_ref() else { return };
        let unit = self.state.unit(place);
        let (iteration, started) = (unit.iteration, unit.started_at);
        match result {
            Err(failure) => self.unit_failed(place, failure, None, StepStatus::Failed),
            Ok(true) => {
                let output = unit.output.clone().unwrap_or(Stored::Inline(json!(null)));
                self.settle_success(place, StepStatus::Succeeded, output, None);
            }
            Ok(false) => {
                let at = later(self.at, repeat.interval_ms);
                let over = started.is_some_and(|started| at >= later(started, repeat.max_duration_ms));
                if over || iteration >= repeat.max_iterations {
                    let failure = exhausted(&self.called(place), iteration, over).at_line(Some(repeat.until.line));
                    self.unit_failed(place, failure, None, StepStatus::TimedOut);
                    return;
                }
                let step = self.name(place.step);
                self.emit(Event::IterationDue { step, item: place.item, iteration: iteration + 1, at });
                self.command(Command::StartTimer { timer: Timer::Retry(place), at });
            }
        }
    }
}

fn exhausted(what: &str, iterations: u32, over: bool) -> Failure {
    let limit = if over { "its `max_duration` is over" } else { "that is its `max_iterations`" };
    let message = format!("The `until` of {what} did not hold after {iterations} iterations, and {limit}.");
    Failure::new(FailureKind::Timeout, "repeat_exhausted", message).retryable(false)
}
