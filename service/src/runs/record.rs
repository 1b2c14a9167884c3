//! Projects journal entries onto rows: the run's, its steps', its attempts' and the ledger's.
//!
//! Invariant: pure; the rows are a function of the run's first row, its plan and its journal, so recovery makes the same
//! rows again. What a child used is in the child's ledger and in no other.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use domain::wire::{Usage, UsageTotals};
use domain::{BlobId, NanoUsd, RunStatus, StepStatus};
use engine::{Entry, Event, Stored};
use entities::{JsonText, attempt, ledger, run, step};
use language::Plan;
use serde_json::Value;

/// The rows of one run as they are after the entries taken in so far.
#[derive(Debug, Clone)]
pub(super) struct Records {
    pub(super) run: run::Model,
    steps: BTreeMap<String, step::Model>,
    /// The newest attempt of each step.
    attempts: BTreeMap<String, attempt::Model>,
    usage: UsageTotals,
    /// `None` once something was used that has no known price.
    cost: Option<NanoUsd>,
}

/// What an append changed, besides the run's row.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) steps: BTreeSet<String>,
    pub(super) attempts: Vec<attempt::Model>,
    pub(super) ledger: Vec<ledger::Model>,
    pub(super) started: bool,
    pub(super) spent: bool,
    pub(super) settled: bool,
    /// Something came to an end: the run does not only kill its workers.
    pub(super) progressed: bool,
}

impl Records {
    pub(super) fn new(run: run::Model, plan: &Plan) -> Self {
        let row = |(ordinal, planned): (usize, &language::plan::StepPlan)| {
            let group = planned.group.and_then(|group| plan.groups.get(group)).map(|group| group.name.clone());
            (planned.name.clone(), pending(&run, ordinal, planned, group))
        };
        let steps = plan.steps.iter().enumerate().map(row).collect();
        Self { run, steps, attempts: BTreeMap::new(), usage: UsageTotals::default(), cost: Some(NanoUsd::ZERO) }
    }

    pub(super) fn steps_in_order(self) -> Vec<step::Model> {
        let mut steps: Vec<step::Model> = self.steps.into_values().collect();
        steps.sort_by_key(|step| step.ordinal);
        steps
    }

    pub(super) fn step(&self, name: &str) -> Option<&step::Model> {
        self.steps.get(name)
    }

    /// Takes one entry in.
    pub(super) fn apply(&mut self, entry: &Entry, worker: &str, changes: &mut Changes) {
        self.run.event_position = i64::try_from(entry.position).unwrap_or(i64::MAX);
        match &entry.event {
            Event::RunStarted { epoch, .. } => {
                self.run.epoch = i32::try_from(*epoch).unwrap_or(i32::MAX);
                self.run.status = RunStatus::Running.as_str().to_owned();
                self.run.started_at = Some(entry.at);
                changes.started = true;
                changes.steps.extend(self.steps.keys().cloned());
            }
            Event::ConditionSettled { step, .. } => {
                self.on_step(step, changes, |row| row.status = word(StepStatus::Ready));
            }
            Event::StepConfigured { step, config, .. } => self.on_step(step, changes, |row| {
                row.status = word(StepStatus::Ready);
                // A large config stays in the journal alone.
                row.config = is_small(config).then(|| JsonText(config.clone()));
            }),
            Event::AttemptStarted { step, attempt } => self.attempt_started(step, *attempt, entry.at, worker, changes),
            Event::ChildStarted { step, run_id, .. } => {
                self.on_step(step, changes, |row| row.child_run_id = Some(run_id.uuid()));
            }
            Event::AttemptFailed { step, failure, usage, .. } => {
                let ending = Ending { status: StepStatus::Failed, error: Some(JsonText::of(failure)), at: entry.at };
                self.attempt_ended(step, ending, usage.as_ref(), changes);
                self.on_step(step, changes, |row| {
                    row.status = word(StepStatus::RetryWait);
                    row.error = Some(JsonText::of(failure));
                });
            }
            Event::StepSettled { step, status, attempts, output, error, reason, usage, .. } => {
                let failed = error.is_some() && status.is_success();
                let status_of_attempt = if failed { StepStatus::Failed } else { *status };
                let ending =
                    Ending { status: status_of_attempt, error: error.as_ref().map(JsonText::of), at: entry.at };
                self.attempt_ended(step, ending, usage.as_ref(), changes);
                let (inline, blob) = split(output.as_ref());
                self.on_step(step, changes, |row| {
                    row.status = word(*status);
                    row.success = Some(status.is_success());
                    row.skipped = *status == StepStatus::Skipped;
                    row.cached = *status == StepStatus::Cached;
                    row.skip_reason = reason.map(|reason| reason.as_str().to_owned());
                    row.attempts = i32::try_from(*attempts).unwrap_or(i32::MAX);
                    row.error = error.as_ref().map(JsonText::of);
                    (row.output, row.output_blob) = (inline, blob);
                    row.ended_at = Some(entry.at);
                    row.duration_ms = row.started_at.map(|started| (entry.at - started).num_milliseconds().max(0));
                });
                changes.progressed = true;
            }
            Event::StepNeedsAttention { step, failure, .. } => {
                let ending =
                    Ending { status: StepStatus::NeedsAttention, error: Some(JsonText::of(failure)), at: entry.at };
                self.attempt_ended(step, ending, None, changes);
                self.on_step(step, changes, |row| {
                    row.status = word(StepStatus::NeedsAttention);
                    row.error = Some(JsonText::of(failure));
                });
            }
            Event::CancelRequested { .. } => {
                self.run.cancel_requested_at.get_or_insert(entry.at);
            }
            Event::RunSettled { status, outputs, error, failed_step } => {
                self.run.status = status.as_str().to_owned();
                (self.run.outputs, self.run.outputs_blob) = split(outputs.as_ref());
                self.run.error = error.as_ref().map(JsonText::of);
                self.run.failed_step.clone_from(failed_step);
                self.run.ended_at = Some(entry.at);
                self.run.duration_ms = Some((entry.at - self.run.created_at).num_milliseconds().max(0));
                self.run.usage = Some(JsonText::of(&self.usage));
                self.run.cost_nano_usd = self.cost.map(|cost| cost.0);
                changes.settled = true;
            }
        }
    }

    fn on_step(&mut self, name: &str, changes: &mut Changes, change: impl FnOnce(&mut step::Model)) {
        if let Some(row) = self.steps.get_mut(name) {
            change(row);
            changes.steps.insert(name.to_owned());
        }
    }

    fn attempt_started(&mut self, name: &str, number: u32, at: DateTime<Utc>, worker: &str, changes: &mut Changes) {
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        self.on_step(name, changes, |row| {
            row.status = word(StepStatus::Running);
            row.attempts = number;
            row.started_at.get_or_insert(at);
            row.child_run_id = None;
        });
        let row = attempt::Model {
            tenant_id: self.run.tenant_id,
            run_id: self.run.id,
            step: name.to_owned(),
            number,
            status: word(StepStatus::Running),
            started_at: at,
            ended_at: None,
            error: None,
            usage: None,
            cost_nano_usd: None,
            worker: Some(worker.to_owned()),
        };
        changes.attempts.push(row.clone());
        self.attempts.insert(name.to_owned(), row);
    }

    fn attempt_ended(&mut self, name: &str, ending: Ending, usage: Option<&Usage>, changes: &mut Changes) {
        let Some(row) = self.attempts.get_mut(name).filter(|row| row.ended_at.is_none()) else { return };
        row.status = word(ending.status);
        row.ended_at = Some(ending.at);
        row.error = ending.error;
        row.usage = usage.map(JsonText::of);
        row.cost_nano_usd = usage.and_then(|usage| usage.cost_nano_usd).map(|cost| cost.0);
        let ended = row.clone();
        changes.progressed = true;
        // A begin and an end in one append are one row.
        changes.attempts.retain(|other| (other.step.as_str(), other.number) != (ended.step.as_str(), ended.number));
        if let Some(usage) = usage {
            self.spend(name, usage);
            changes.spent = true;
            let is_child = self.steps.get(name).is_some_and(|step| step.child_run_id.is_some());
            if is_bought(usage) && !is_child {
                changes.ledger.push(self.entry(&ended, usage));
            }
        }
        changes.attempts.push(ended);
    }

    fn spend(&mut self, name: &str, usage: &Usage) {
        add_units(&mut self.usage.units, &usage.units);
        let cost = if is_bought(usage) { usage.cost_nano_usd } else { Some(usage.cost_nano_usd.unwrap_or_default()) };
        let plus = |sum: Option<NanoUsd>| Some(sum?.plus(cost?));
        self.cost = plus(self.cost);
        if let Some(row) = self.steps.get_mut(name) {
            let mut total: Usage = row.usage.take().and_then(|usage| usage.read().ok()).unwrap_or_default();
            let before = if row.attempts <= 1 { Some(NanoUsd::ZERO) } else { row.cost_nano_usd.map(NanoUsd) };
            add_units(&mut total.units, &usage.units);
            total.model = usage.model.clone().or(total.model);
            total.estimated |= usage.estimated;
            total.cost_nano_usd = plus(before);
            row.cost_nano_usd = total.cost_nano_usd.map(|cost| cost.0);
            row.usage = Some(JsonText::of(&total));
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

/// Whether something was used that somebody charges for.
fn is_bought(usage: &Usage) -> bool {
    usage.model.is_some() || usage.cost_nano_usd.is_some() || usage.units.keys().any(|kind| kind.ends_with("_tokens"))
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
    }
}
