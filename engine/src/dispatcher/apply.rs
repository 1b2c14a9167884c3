//! The fold: what each entry of the journal makes of the state.
//!
//! Invariant: nothing else changes what is journaled; an entry that does not fit is refused, and changes nothing.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{NanoUsd, StepStatus};
use language::plan::StepIndex;
use serde_json::Value;

use super::graph::Graph;
use super::state::{HandlerTurn, Handling, Letter, Misfit, RunEnd, State};
use super::unit::{Items, Place};
use crate::event::{Entry, Event, Outside, Resolution, Stored};

impl State {
    /// Takes one entry in.
    pub fn apply(&mut self, graph: &Graph, entry: &Entry) -> Result<(), Misfit> {
        if entry.position != self.position + 1 {
            return Err(Misfit::Position { expected: self.position + 1, found: entry.position });
        }
        if self.end.is_some() && !matches!(entry.event, Event::RunRestarted { .. }) {
            return Err(Misfit::AfterTheEnd(entry.position));
        }
        let at = entry.at;
        match entry.event.step() {
            None => self.apply_to_run(graph, &entry.event, at)?,
            Some(name) => {
                let step = graph.step_named(name).ok_or_else(|| Misfit::UnknownStep(name.to_owned()))?;
                let place = Place { step, item: entry.event.item() };
                if self.find(place).is_none() {
                    return Err(Misfit::UnknownItem { step: name.to_owned(), item: place.item.unwrap_or_default() });
                }
                self.apply_to_step(graph, place, &entry.event, at)?;
            }
        }
        self.position = entry.position;
        Ok(())
    }

    fn apply_to_run(&mut self, graph: &Graph, event: &Event, at: DateTime<Utc>) -> Result<(), Misfit> {
        match event {
            Event::RunStarted { epoch, vars } => self.begin(*epoch, vars, at)?,
            Event::RunRestarted { epoch, .. } => self.restart(graph, *epoch, at)?,
            Event::OutsideReceived { delivery, by, what } => {
                self.heard.insert(delivery.clone());
                match what {
                    Outside::Signal { name, payload } => {
                        let letter = Letter { payload: payload.clone(), by: by.clone() };
                        self.mailbox.entry(name.clone()).or_default().push_back(letter);
                    }
                    Outside::Resolve { step, item, resolution: Resolution::Retry } => {
                        if let Some(step) = graph.step_named(step) {
                            self.begin_again(Place { step, item: *item });
                        }
                    }
                    _ => {}
                }
            }
            Event::CancelRequested { by } => self.cancelled_by = Some(by.clone()),
            Event::HandlersStarted { status, outputs, error, failed_step } => {
                self.outputs_asked = false;
                self.handling = Some(Handling {
                    status: *status,
                    outputs: outputs.clone(),
                    error: error.clone(),
                    failed_step: failed_step.clone(),
                    since: at,
                    turn: HandlerTurn::default(),
                    turn_since: at,
                    out_of_time: false,
                });
            }
            Event::RunSettled { status, outputs, error, failed_step, handler_errors } => {
                self.end = Some(RunEnd {
                    status: *status,
                    outputs: outputs.clone(),
                    error: error.clone(),
                    failed_step: failed_step.clone(),
                    handler_errors: handler_errors.clone(),
                    at,
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn apply_to_step(&mut self, graph: &Graph, place: Place, event: &Event, at: DateTime<Utc>) -> Result<(), Misfit> {
        let step = place.step;
        if ends_attempt(event) {
            self.seekers.remove(&place);
            self.unit_mut(place).holds_slots = false;
        }
        match event {
            Event::ConditionSettled { holds, .. } => {
                self.steps[step].condition = Some(*holds);
                self.steps[step].unit.status = StepStatus::Ready;
                self.steps[step].unit.asked = false;
            }
            Event::ItemsListed { count, items, .. } => self.items_listed(graph, step, *count, items, at),
            Event::StepConfigured { config, secrets, .. } => {
                let unit = self.unit_mut(place);
                unit.config = Some(config.clone());
                unit.secrets.clone_from(secrets);
                unit.status = StepStatus::Ready;
                unit.asked = false;
            }
            Event::StepQueued { .. } => {
                let unit = self.unit_mut(place);
                unit.status = StepStatus::Queued;
                unit.queued_at.get_or_insert(at);
                unit.started_at.get_or_insert(at);
                unit.asked = false;
            }
            Event::AttemptStarted { attempt, .. } => {
                self.enter_running(graph, place, at);
                let starts_child = graph.starts_child(place.step, self.unit(place).entry);
                self.unit_mut(place).attempt_started(*attempt, starts_child, at);
            }
            Event::AttemptInterrupted { usage, .. } => self.spend(place, Some(usage)),
            Event::ChildStarted { run_id, effect, .. } => self.unit_mut(place).child_started(*run_id, *effect),
            Event::AttemptFailed { failure, usage, retry_at, .. } => {
                self.leave_running(graph, place);
                self.spend(place, usage.as_ref());
                let unit = self.unit_mut(place);
                unit.status = StepStatus::RetryWait;
                unit.error = Some(failure.clone());
                unit.retry_at = Some(*retry_at);
            }
            Event::FallbackStarted { entry, failure, usage, .. } => {
                self.leave_running(graph, place);
                self.spend(place, usage.as_ref());
                self.unit_mut(place).fall_back(*entry, failure);
            }
            Event::IterationEnded { output, usage, .. } => {
                self.leave_running(graph, place);
                self.spend(place, usage.as_ref());
                self.unit_mut(place).iteration_ended(output);
            }
            Event::IterationDue { iteration, at, .. } => self.unit_mut(place).next_iteration(*iteration, *at),
            Event::StepWaiting { waiting, .. } => {
                let unit = self.unit_mut(place);
                unit.status = StepStatus::Waiting;
                unit.waiting = Some(waiting.clone());
                unit.started_at.get_or_insert(at);
                unit.asked = false;
            }
            Event::StepNeedsAttention { failure, usage, .. } => {
                self.leave_running(graph, place);
                self.spend(place, usage.as_ref());
                let unit = self.unit_mut(place);
                unit.status = StepStatus::NeedsAttention;
                unit.error = Some(failure.clone());
                unit.asked = false;
            }
            Event::ItemSettled { .. } => self.item_settled(graph, place, event, at)?,
            Event::StepSettled { .. } => self.step_settled(graph, place, event, at)?,
            _ => {}
        }
        Ok(())
    }

    fn item_settled(&mut self, graph: &Graph, place: Place, event: &Event, at: DateTime<Utc>) -> Result<(), Misfit> {
        let Event::ItemSettled { status, attempts, output, error, reason, usage, .. } = event else { return Ok(()) };
        if self.unit(place).status.is_settled() {
            return Err(Misfit::SettledTwice(graph.name(place.step).to_owned()));
        }
        self.leave_running(graph, place);
        self.spend(place, usage.as_ref());
        let unit = self.unit_mut(place);
        unit.cut = unit.is_cut_by(*status);
        unit.status = *status;
        unit.attempts = *attempts;
        unit.output.clone_from(output);
        unit.error.clone_from(error);
        unit.reason = *reason;
        unit.ended_at = Some(at);
        unit.asked = false;
        unit.stop = None;
        if let (Some(items), Some(item)) = (&mut self.steps[place.step].items, place.item) {
            items.item_settled(item as usize);
        }
        Ok(())
    }

    fn step_settled(&mut self, graph: &Graph, place: Place, event: &Event, at: DateTime<Utc>) -> Result<(), Misfit> {
        let Event::StepSettled { status, attempts, output, error, reason, usage, taken_on, .. } = event else {
            return Ok(());
        };
        if self.unit(place).status.is_settled() {
            return Err(Misfit::SettledTwice(graph.name(place.step).to_owned()));
        }
        self.leave_running(graph, place);
        self.spend(place, usage.as_ref());
        let state = &mut self.steps[place.step];
        state.taken_on = *taken_on;
        let is_one_call = state.items.is_none();
        let unit = &mut state.unit;
        unit.cut = is_one_call && unit.is_cut_by(*status);
        unit.status = *status;
        unit.attempts = *attempts;
        unit.output.clone_from(output);
        unit.error.clone_from(error);
        unit.reason = *reason;
        unit.ended_at = Some(at);
        unit.asked = false;
        unit.stop = None;
        unit.falling_back = None;
        self.settled(graph, place.step, at);
        Ok(())
    }

    fn begin(&mut self, epoch: u32, vars: &Value, at: DateTime<Utc>) -> Result<(), Misfit> {
        if self.epoch != 0 {
            return Err(Misfit::Epoch(epoch));
        }
        self.epoch = epoch;
        self.vars = Some(vars.clone());
        self.started_at = Some(at);
        Ok(())
    }

    fn items_listed(&mut self, graph: &Graph, step: StepIndex, count: u32, items: &Stored, at: DateTime<Utc>) {
        self.enter_running(graph, Place::of(step), at);
        let state = &mut self.steps[step];
        state.unit.status = StepStatus::Running;
        state.unit.started_at.get_or_insert(at);
        state.unit.asked = false;
        state.items = Some(Items::new(items.clone(), count));
    }

    /// A person wants a parked unit to be tried again. A step's items go on where they are not done.
    fn begin_again(&mut self, place: Place) {
        if self.find(place).is_none_or(|unit| unit.status != StepStatus::NeedsAttention) {
            return;
        }
        let is_unbegun = place.item.is_none() && self.unit(place).is_unbegun();
        self.unit_mut(place).begin_again();
        if is_unbegun {
            // It comes to its turn when its needs are settled, like any other.
            self.unit_mut(place).status = StepStatus::Pending;
        }
        if let (None, Some(items)) = (place.item, &mut self.steps[place.step].items) {
            items.open_again();
        }
    }

    fn enter_running(&mut self, graph: &Graph, place: Place, at: DateTime<Utc>) {
        if self.unit(place).status == StepStatus::Running {
            return;
        }
        match (place.item, &mut self.steps[place.step].items) {
            (Some(_), Some(items)) => items.running += 1,
            _ => {
                if let Some(group) = self.group(graph, place.step) {
                    self.groups[group].running += 1;
                    self.groups[group].started_at.get_or_insert(at);
                }
            }
        }
    }

    fn leave_running(&mut self, graph: &Graph, place: Place) {
        if self.unit(place).status != StepStatus::Running {
            return;
        }
        match (place.item, &mut self.steps[place.step].items) {
            (Some(_), Some(items)) => items.running -= 1,
            _ => {
                if let Some(group) = self.group(graph, place.step) {
                    self.groups[group].running -= 1;
                }
            }
        }
    }

    fn spend(&mut self, place: Place, usage: Option<&Usage>) {
        let Some(usage) = usage else { return };
        for (kind, units) in &usage.units {
            let total = self.usage.units.entry(kind.clone()).or_default();
            *total = total.saturating_add(*units);
        }
        let cost = match usage.cost_nano_usd {
            None if !usage.is_bought() => Some(NanoUsd::ZERO),
            cost => cost,
        };
        let add = |sum: Option<NanoUsd>| Some(sum?.plus(cost?));
        self.cost = add(self.cost);
        self.steps[place.step].unit.cost = add(self.steps[place.step].unit.cost);
        if place.item.is_some() {
            let unit = self.unit_mut(place);
            unit.cost = add(unit.cost);
        }
    }
}

/// Whether nothing of the unit executes after this.
const fn ends_attempt(event: &Event) -> bool {
    matches!(
        event,
        Event::AttemptFailed { .. }
            | Event::FallbackStarted { .. }
            | Event::IterationEnded { .. }
            | Event::StepNeedsAttention { .. }
            | Event::ItemSettled { .. }
            | Event::StepSettled { .. }
    )
}
