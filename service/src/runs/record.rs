//! Projects journal entries onto rows: the run's, its steps', its attempts' and the ledger's.
//!
//! Invariant: pure; the rows are a function of the run's first row, its plan and its journal, so recovery makes the same
//! rows again. What a child used is in the child's ledger and in no other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::wire::{Usage, UsageTotals};
use domain::{BlobId, Failure, NanoUsd, RunStatus, StepStatus};
use engine::{Entry, Event, Stored};
use entities::{JsonText, attempt, item, ledger, run, step};
use language::Plan;
use serde_json::Value;

use super::ways::{Place, Ways, place_of};

/// The rows of one run as they are after the entries taken in so far.
#[derive(Debug, Clone)]
pub(super) struct Records {
    pub(super) run: run::Model,
    steps: BTreeMap<String, step::Model>,
    items: BTreeMap<Place, item::Model>,
    /// The newest attempt of each step and item.
    attempts: BTreeMap<Place, attempt::Model>,
    ways: Ways,
    usage: UsageTotals,
    /// `None` once something was used that has no known price.
    cost: Option<NanoUsd>,
}

/// What an append changed, besides the run's row.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) steps: BTreeSet<String>,
    pub(super) items: BTreeSet<Place>,
    pub(super) attempts: Vec<attempt::Model>,
    pub(super) ledger: Vec<ledger::Model>,
    pub(super) started: bool,
    pub(super) spent: bool,
    pub(super) settled: bool,
    /// Something came to an end: the run does not only kill its workers.
    pub(super) progressed: bool,
}

impl Changes {
    /// What came later, on top.
    pub(super) fn add(&mut self, later: Self) {
        self.steps.extend(later.steps);
        self.items.extend(later.items);
        let replaced = |row: &attempt::Model| {
            let same =
                |other: &attempt::Model| (&other.step, other.item, other.number) == (&row.step, row.item, row.number);
            later.attempts.iter().any(same)
        };
        self.attempts.retain(|row| !replaced(row));
        self.attempts.extend(later.attempts);
        self.ledger.extend(later.ledger);
        self.started |= later.started;
        self.spent |= later.spent;
        self.settled |= later.settled;
        self.progressed |= later.progressed;
    }
}

impl Records {
    pub(super) fn new(run: run::Model, plan: &Plan) -> Self {
        let row = |(ordinal, planned): (usize, &language::plan::StepPlan)| {
            let group = planned.group.and_then(|group| plan.groups.get(group)).map(|group| group.name.clone());
            (planned.name.clone(), pending(&run, ordinal, planned, group))
        };
        let steps = plan.steps.iter().enumerate().map(row).collect();
        let (items, attempts, ways) = (BTreeMap::new(), BTreeMap::new(), Ways::of(plan));
        Self { run, steps, items, attempts, ways, usage: UsageTotals::default(), cost: Some(NanoUsd::ZERO) }
    }

    pub(super) fn steps_in_order(self) -> Vec<step::Model> {
        let mut steps: Vec<step::Model> = self.steps.into_values().collect();
        steps.sort_by_key(|step| step.ordinal);
        steps
    }

    pub(super) fn step(&self, name: &str) -> Option<&step::Model> {
        self.steps.get(name)
    }

    pub(super) fn item(&self, place: &Place) -> Option<&item::Model> {
        self.items.get(place)
    }

    /// Takes one entry in.
    pub(super) fn apply(&mut self, entry: &Entry, worker: &str, changes: &mut Changes) {
        self.run.event_position = i64::try_from(entry.position).unwrap_or(i64::MAX);
        let at = entry.at;
        self.ways.apply(&entry.event);
        match &entry.event {
            Event::RunStarted { epoch, .. } => {
                self.begin(*epoch, at, changes);
                changes.steps.extend(self.steps.keys().cloned());
            }
            Event::RunRestarted { epoch, kept, .. } => self.restart(*epoch, kept.as_deref(), at, changes),
            Event::CancelRequested { .. } => {
                self.run.cancel_requested_at.get_or_insert(at);
            }
            Event::OutsideReceived { .. } | Event::HandlersStarted { .. } => {}
            Event::RunSettled { status, outputs, error, failed_step, handler_errors } => {
                self.run.status = status.as_str().to_owned();
                (self.run.outputs, self.run.outputs_blob) = split(outputs.as_ref());
                self.run.error = error.as_ref().map(JsonText::of);
                self.run.failed_step.clone_from(failed_step);
                self.run.handler_errors = (!handler_errors.is_empty()).then(|| JsonText::of(handler_errors));
                self.run.ended_at = Some(at);
                self.run.duration_ms = Some((at - self.run.created_at).num_milliseconds().max(0));
                self.run.usage = Some(JsonText::of(&self.usage));
                self.run.cost_nano_usd = self.cost.map(|cost| cost.0);
                changes.settled = true;
            }
            event => {
                if let Some(step) = event.step() {
                    self.apply_to_step(&place_of(step, event), event, at, worker, changes);
                }
            }
        }
    }

    fn begin(&mut self, epoch: u32, at: DateTime<Utc>, changes: &mut Changes) {
        self.run.epoch = i32::try_from(epoch).unwrap_or(i32::MAX);
        self.run.status = RunStatus::Running.as_str().to_owned();
        self.run.started_at = Some(at);
        changes.started = true;
    }

    /// The next epoch: what succeeded stays as it is, and the other rows say when they change.
    /// `kept`: the steps whose outcome stands.
    fn restart(&mut self, epoch: u32, kept: Option<&[String]>, at: DateTime<Utc>, changes: &mut Changes) {
        self.begin(epoch, at, changes);
        self.run.cancel_requested_at = None;
        for row in self.steps.values_mut() {
            let is_kept = match kept {
                Some(kept) => kept.contains(&row.name),
                None => row.success == Some(true) || row.skip_reason.as_deref() == Some("condition"),
            };
            if !is_kept {
                row.status = word(StepStatus::Pending);
                (row.success, row.skipped, row.skip_reason, row.error) = (None, false, None, None);
                (row.started_at, row.ended_at, row.duration_ms, row.waiting) = (None, None, None, None);
                changes.steps.insert(row.name.clone());
            }
        }
        (self.run.outputs, self.run.outputs_blob, self.run.error) = (None, None, None);
        (self.run.failed_step, self.run.handler_errors) = (None, None);
        (self.run.ended_at, self.run.duration_ms) = (None, None);
    }

    fn apply_to_step(&mut self, place: &Place, event: &Event, at: DateTime<Utc>, worker: &str, changes: &mut Changes) {
        match event {
            Event::ConditionSettled { .. } => self.set_status(place, StepStatus::Ready, changes),
            Event::ItemsListed { .. } => {
                self.set_status(place, StepStatus::Running, changes);
                self.on_step(&place.0, changes, |row| {
                    row.started_at.get_or_insert(at);
                });
            }
            Event::StepConfigured { config, .. } => {
                self.set_status(place, StepStatus::Ready, changes);
                if place.1 < 0 {
                    // A large config stays in the journal alone.
                    let config = is_small(config).then(|| JsonText(config.clone()));
                    self.on_step(&place.0, changes, |row| row.config = config);
                }
            }
            Event::StepQueued { .. } => self.set_status(place, StepStatus::Queued, changes),
            Event::AttemptStarted { attempt, .. } => self.attempt_started(place, *attempt, at, worker, changes),
            Event::AttemptInterrupted { usage, .. } => self.interrupted(place, usage, at, changes),
            Event::ChildStarted { run_id, .. } => {
                let run = Some(run_id.uuid());
                self.on_step(&place.0, changes, |row| row.child_run_id = run);
                self.on_item(place, changes, |row| row.child_run_id = run);
            }
            Event::AttemptFailed { failure, usage, .. } | Event::FallbackStarted { failure, usage, .. } => {
                let status = match event {
                    Event::AttemptFailed { .. } => StepStatus::RetryWait,
                    _ => StepStatus::Ready,
                };
                self.failed_once(place, failure, usage.as_ref(), (StepStatus::Failed, status), at, changes);
            }
            Event::StepNeedsAttention { failure, usage, .. } => {
                let status = StepStatus::NeedsAttention;
                self.failed_once(place, failure, usage.as_ref(), (status, status), at, changes);
            }
            Event::IterationEnded { usage, .. } => {
                let ending = Ending { status: StepStatus::Succeeded, error: None, at };
                self.attempt_ended(place, ending, usage.as_ref(), changes);
                self.set_status(place, StepStatus::Ready, changes);
            }
            Event::IterationDue { .. } => self.set_status(place, StepStatus::RetryWait, changes),
            Event::StepWaiting { waiting, .. } => {
                let waiting = Some(JsonText::of(waiting));
                self.set_status(place, StepStatus::Waiting, changes);
                if place.1 < 0 {
                    self.on_step(&place.0, changes, |row| {
                        row.started_at.get_or_insert(at);
                        row.waiting = waiting;
                    });
                } else {
                    self.on_item(place, changes, |row| row.waiting = waiting);
                }
            }
            Event::ItemSettled { status, attempts, output, error, usage, .. } => {
                let ending = Ending { status: *status, error: error.as_ref().map(JsonText::of), at };
                self.attempt_ended(place, ending, usage.as_ref(), changes);
                let (inline, blob) = split(output.as_ref());
                self.on_item(place, changes, |row| {
                    row.status = word(*status);
                    row.attempts = i32::try_from(*attempts).unwrap_or(i32::MAX);
                    row.error = error.as_ref().map(JsonText::of);
                    (row.output, row.output_blob) = (inline, blob);
                    row.waiting = None;
                    row.ended_at = Some(at);
                    row.duration_ms = row.started_at.map(|started| (at - started).num_milliseconds().max(0));
                });
                changes.progressed = true;
            }
            Event::StepSettled { .. } => self.step_settled(place, event, at, changes),
            _ => {}
        }
    }

    fn step_settled(&mut self, place: &Place, event: &Event, at: DateTime<Utc>, changes: &mut Changes) {
        let Event::StepSettled { status, attempts, output, error, reason, usage, .. } = event else { return };
        let failed = error.is_some() && status.is_success();
        let status_of_attempt = if failed { StepStatus::Failed } else { *status };
        let ending = Ending { status: status_of_attempt, error: error.as_ref().map(JsonText::of), at };
        self.attempt_ended(place, ending, usage.as_ref(), changes);
        let (inline, blob) = split(output.as_ref());
        self.on_step(&place.0, changes, |row| {
            row.status = word(*status);
            row.success = Some(status.is_success());
            row.skipped = *status == StepStatus::Skipped;
            row.cached = *status == StepStatus::Cached;
            if let (true, Some(usage)) = (row.cached, usage) {
                // No attempt was made, so that nobody else says what was saved.
                (row.usage, row.cost_nano_usd) = (Some(JsonText::of(usage)), Some(0));
            }
            row.skip_reason = reason.map(|reason| reason.as_str().to_owned());
            row.attempts = i32::try_from(*attempts).unwrap_or(i32::MAX);
            row.error = error.as_ref().map(JsonText::of);
            (row.output, row.output_blob) = (inline, blob);
            row.waiting = None;
            row.ended_at = Some(at);
            row.duration_ms = row.started_at.map(|started| (at - started).num_milliseconds().max(0));
        });
        changes.progressed = true;
    }

    /// An attempt failed, and the step goes on. `statuses`: the attempt's and the step's.
    fn failed_once(
        &mut self,
        place: &Place,
        failure: &Failure,
        usage: Option<&Usage>,
        statuses: (StepStatus, StepStatus),
        at: DateTime<Utc>,
        changes: &mut Changes,
    ) {
        let ending = Ending { status: statuses.0, error: Some(JsonText::of(failure)), at };
        self.attempt_ended(place, ending, usage, changes);
        self.set_status(place, statuses.1, changes);
        if place.1 < 0 {
            self.on_step(&place.0, changes, |row| row.error = Some(JsonText::of(failure)));
        } else {
            self.on_item(place, changes, |row| row.error = Some(JsonText::of(failure)));
        }
    }

    fn set_status(&mut self, place: &Place, status: StepStatus, changes: &mut Changes) {
        if place.1 < 0 {
            self.on_step(&place.0, changes, |row| row.status = word(status));
        } else {
            self.on_item(place, changes, |row| row.status = word(status));
        }
    }

    fn on_step(&mut self, name: &str, changes: &mut Changes, change: impl FnOnce(&mut step::Model)) {
        if let Some(row) = self.steps.get_mut(name) {
            change(row);
            changes.steps.insert(name.to_owned());
        }
    }

    /// Does nothing for a step that has no items.
    fn on_item(&mut self, place: &Place, changes: &mut Changes, change: impl FnOnce(&mut item::Model)) {
        if place.1 < 0 {
            return;
        }
        let (tenant, run) = (self.run.tenant_id, self.run.id);
        let row = self.items.entry(place.clone()).or_insert_with(|| item::Model {
            tenant_id: tenant,
            run_id: run,
            step: place.0.clone(),
            item: place.1,
            status: word(StepStatus::Pending),
            attempts: 0,
            error: None,
            output: None,
            output_blob: None,
            waiting: None,
            started_at: None,
            ended_at: None,
            duration_ms: None,
            cost_nano_usd: Some(0),
            child_run_id: None,
        });
        change(row);
        changes.items.insert(place.clone());
    }

    fn attempt_started(&mut self, place: &Place, number: u32, at: DateTime<Utc>, worker: &str, changes: &mut Changes) {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        if place.1 < 0 {
            self.on_step(&place.0, changes, |row| {
                row.status = word(StepStatus::Running);
                row.attempts = number;
                row.started_at.get_or_insert(at);
                row.child_run_id = None;
            });
        } else {
            self.on_item(place, changes, |row| {
                row.status = word(StepStatus::Running);
                row.attempts = number;
                row.started_at.get_or_insert(at);
            });
        }
        let row = attempt::Model {
            tenant_id: self.run.tenant_id,
            run_id: self.run.id,
            step: place.0.clone(),
            item: place.1,
            number,
            status: word(StepStatus::Running),
            started_at: at,
            ended_at: None,
            error: None,
            usage: None,
            cost_nano_usd: None,
            worker: Some(worker.to_owned()),
            entry: Some(self.ways.entry(place)),
            iteration: self.ways.iteration(place),
        };
        changes.attempts.push(row.clone());
        self.attempts.insert(place.clone(), row);
    }

    fn attempt_ended(&mut self, place: &Place, ending: Ending, usage: Option<&Usage>, changes: &mut Changes) {
        let Some(row) = self.attempts.get_mut(place).filter(|row| row.ended_at.is_none()) else { return };
        row.status = word(ending.status);
        row.ended_at = Some(ending.at);
        row.error = ending.error;
        row.usage = usage.map(JsonText::of);
        row.cost_nano_usd = usage.and_then(|usage| usage.cost_nano_usd).map(|cost| cost.0);
        let ended = row.clone();
        changes.progressed = true;
        // A begin and an end in one append are one row.
        let same = |other: &attempt::Model| {
            (other.step.as_str(), other.item, other.number) == (ended.step.as_str(), ended.item, ended.number)
        };
        changes.attempts.retain(|other| !same(other));
        if let Some(usage) = usage {
            self.spend(place, usage);
            changes.spent = true;
            let is_child = self.steps.get(&place.0).is_some_and(|step| step.child_run_id.is_some());
            if usage.is_bought() && !is_child {
                changes.ledger.push(self.entry(&ended, usage));
            }
        }
        changes.attempts.push(ended);
    }

    /// What an attempt had used when its worker went away. The attempt itself goes on.
    fn interrupted(&mut self, place: &Place, usage: &Usage, at: DateTime<Utc>, changes: &mut Changes) {
        self.spend(place, usage);
        changes.spent = true;
        changes.steps.insert(place.0.clone());
        if let Some(attempt) = self.attempts.get(place) {
            changes.ledger.push(ledger::Model { at, ..self.entry(attempt, usage) });
        }
    }

    fn spend(&mut self, place: &Place, usage: &Usage) {
        add_units(&mut self.usage.units, &usage.units);
        let cost = if usage.is_bought() { usage.cost_nano_usd } else { Some(usage.cost_nano_usd.unwrap_or_default()) };
        let plus = |sum: Option<NanoUsd>| Some(sum?.plus(cost?));
        self.cost = plus(self.cost);
        if let Some(row) = self.steps.get_mut(&place.0) {
            let known: Option<Usage> = row.usage.take().and_then(|usage| usage.read().ok());
            let before = match &known {
                None => Some(NanoUsd::ZERO),
                Some(_) => row.cost_nano_usd.map(NanoUsd),
            };
            let mut total = known.unwrap_or_default();
            add_units(&mut total.units, &usage.units);
            total.model = usage.model.clone().or(total.model);
            total.estimated |= usage.estimated;
            total.cost_nano_usd = plus(before);
            row.cost_nano_usd = total.cost_nano_usd.map(|cost| cost.0);
            row.usage = Some(JsonText::of(&total));
        }
        if let Some(row) = self.items.get_mut(place) {
            row.cost_nano_usd = plus(row.cost_nano_usd.map(NanoUsd)).map(|cost| cost.0);
        }
        self.run.usage = Some(JsonText::of(&self.usage));
        self.run.cost_nano_usd = self.cost.map(|cost| cost.0);
    }

    fn entry(&self, attempt: &attempt::Model, usage: &Usage) -> ledger::Model {
        ledger::Model {
            tenant_id: self.run.tenant_id,
            id: crate::ids::new_uuid(),
            run_id: self.run.id,
            flow_id: self.run.flow_id,
            step: attempt.step.clone(),
            attempt: attempt.number,
            at: attempt.ended_at.unwrap_or(attempt.started_at),
            model: usage.model.clone(),
            units: JsonText::of(&usage.units),
            price_version: usage.cost_nano_usd.and(self.run.price_version.clone()),
            cost_nano_usd: usage.cost_nano_usd.map(|cost| cost.0),
            estimated: usage.estimated,
            test: self.run.test,
        }
    }
}

struct Ending {
    status: StepStatus,
    error: Option<JsonText>,
    at: DateTime<Utc>,
}

fn word(status: StepStatus) -> String {
    status.as_str().to_owned()
}

fn add_units(sum: &mut BTreeMap<String, u64>, units: &BTreeMap<String, u64>) {
    for (kind, count) in units {
        let total = sum.entry(kind.clone()).or_default();
        *total = total.saturating_add(*count);
    }
}

fn is_small(value: &Value) -> bool {
    serde_json::to_vec(value).is_ok_and(|text| text.len() <= engine::limits::INLINE_BYTES)
}

/// A stored value as the two columns that hold it.
fn split(stored: Option<&Stored>) -> (Option<JsonText>, Option<uuid::Uuid>) {
    match stored {
        None => (None, None),
        Some(Stored::Inline(value)) => (Some(JsonText(value.clone())), None),
        Some(Stored::Blob { blob, .. }) => (None, blob.parse::<BlobId>().ok().map(BlobId::uuid)),
    }
}

pub(super) fn pending(
    run: &run::Model,
    ordinal: usize,
    planned: &language::plan::StepPlan,
    group_name: Option<String>,
) -> step::Model {
    step::Model {
        tenant_id: run.tenant_id,
        run_id: run.id,
        name: planned.name.clone(),
        ordinal: i32::try_from(ordinal).unwrap_or(i32::MAX),
        executor: planned.executor.clone(),
        group_name,
        status: word(StepStatus::Pending),
        success: None,
        skipped: false,
        cached: false,
        skip_reason: None,
        attempts: 0,
        error: None,
        config: None,
        config_blob: None,
        output: None,
        output_blob: None,
        started_at: None,
        ended_at: None,
        duration_ms: None,
        usage: None,
        cost_nano_usd: None,
        child_run_id: None,
        waiting: None,
    }
}
