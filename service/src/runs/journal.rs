//! The engine's journal on the store: entries and their projections in one unit of work, under a fencing token.
//!
//! Invariant: an append is kept whole or not at all, and only while this process holds the run; after a failed append
//! nothing more is written, and the run is left for recovery.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{RunId, RunStatus, TenantId};
use engine::ports::{Journal, PortError};
use engine::{Entry, Event};
use entities::{JsonText, RunUpdate, Store, StoreError, Unit, WholeRun, run, run_word};
use language::Plan;
use language::plan::Save;
use serde_json::Value;
use tokio::sync::Mutex;

use super::bus::{Happened, Live, Speaker};
use super::children;
use super::desk::LocalRun;
use super::entries::append_of;
use super::questions::{self, Outward};
use super::record::{Changes, Records};
use super::words::{self, Half};
use crate::Weir;

/// One run's journal under one lease.
pub(super) struct RunJournal {
    weir: Weir,
    store: Store,
    tenant: TenantId,
    run: RunId,
    owner: String,
    local: Arc<LocalRun>,
    /// Whether the run, or attempts of its steps, may hold or wait for places under limits.
    limited: bool,
    /// Whether a step of another run waits for this one.
    attached: bool,
    /// The fields that the run is found by.
    search: Vec<String>,
    /// For how long a run that is written for the first time is this holder's.
    lease: chrono::Duration,
    state: Mutex<State>,
}

struct State {
    records: Records,
    /// Steps that ask somebody.
    asking: BTreeSet<String>,
    /// Whether the run's row is in the store. A synchronous run may write for the first time at its first effect.
    written: bool,
    broken: bool,
    /// For a flow that asks for less than everything to be saved: what happened so far, not written yet.
    held: Option<Held>,
}

/// What a run keeps to itself until it is known whether it is saved.
#[derive(Default)]
struct Held {
    /// Whether a failure is saved.
    failures: bool,
    /// The run came to its end, and is not kept.
    over: bool,
    entries: Vec<Entry>,
    changes: Changes,
}

impl RunJournal {
    pub(super) fn new(weir: Weir, local: Arc<LocalRun>, row: &run::Model, plan: &Plan, history: &[Entry]) -> Self {
        let (tenant, run) = (TenantId::from_uuid(row.tenant_id), RunId::from_uuid(row.id));
        let owner = row.lease_owner.clone().unwrap_or_default();
        let position = row.event_position;
        let (cancelled, claims) = (row.cancel_requested_at, row.claims);
        let asking = questions::asking(plan, weir.catalogue());
        let attached = row.parent_step.is_some();
        let limited = row.slot_key.is_some() || super::execute::has_slots(plan, weir.catalogue());
        let mut records = Records::new(row.clone(), plan);
        let mut changes = Changes::default();
        for entry in history {
            records.apply(entry, &owner, &mut changes);
        }
        // The row may know more than the journal: a wish to cancel, a claim. It never knows less.
        records.run.event_position = position;
        records.run.cancel_requested_at = cancelled;
        records.run.claims = claims;
        let state = Mutex::new(State { records, asking, written: true, broken: false, held: None });
        let search = plan.search.clone();
        let store = weir.store().clone();
        let lease = chrono::Duration::zero();
        Self { weir, store, tenant, run, owner, local, limited, attached, search, lease, state }
    }

    /// Writes by this store's lane.
    pub(super) fn on(mut self, store: Store) -> Self {
        self.store = store;
        self
    }

    /// For a run whose row is not in the store yet, with what its flow says about saving. `lease`: for how long it is this
    /// holder's from the moment that it is written.
    pub(super) fn unwritten(mut self, save: Save, lease: Duration) -> Self {
        self.lease = chrono::Duration::from_std(lease).unwrap_or(chrono::Duration::seconds(15));
        let state = self.state.get_mut();
        state.written = false;
        state.held = (save != Save::All).then(|| Held { failures: save == Save::Failed, ..Held::default() });
        self
    }

    /// Makes the run's row durable if it is not yet, with all that was held back: others want to see it or point at it.
    pub(super) async fn ensure_written(&self) -> Result<(), PortError> {
        let mut state = self.state.lock().await;
        self.write_held(&mut state).await
    }

    /// The same for a caller that is told to come back. False: the run is over and is not kept; its end is being told.
    pub(super) async fn keep_for_later(&self) -> Result<bool, PortError> {
        let mut state = self.state.lock().await;
        if state.held.as_ref().is_some_and(|held| held.over) {
            return Ok(false);
        }
        self.write_held(&mut state).await?;
        Ok(state.written)
    }

    async fn write_held(&self, state: &mut State) -> Result<(), PortError> {
        if state.written || state.broken {
            return Ok(());
        }
        if let Some(held) = state.held.take().filter(|held| !held.entries.is_empty()) {
            return self.write(state, &held.entries, held.changes).await;
        }
        self.renew(state);
        let row = state.records.run.clone();
        let kept = self.store.write(self.tenant, |unit| async move { unit.insert(row).await }).await;
        kept.map_err(|error: StoreError| PortError::Unavailable(error.to_string()))?;
        state.written = true;
        self.weir.runs().bus().tell_tenant(self.tenant, self.run);
        Ok(())
    }

    /// Whether the run's row is in the store.
    pub(super) async fn is_written(&self) -> bool {
        self.state.lock().await.written
    }

    /// Attempts that the failed step made, for the problem document.
    pub(super) async fn attempts_of(&self, step: &str) -> Option<u32> {
        let state = self.state.lock().await;
        state.records.step(step).and_then(|row| u32::try_from(row.attempts).ok())
    }
}

#[async_trait]
impl Journal for RunJournal {
    async fn append(&self, entries: &[Entry]) -> Result<(), PortError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut state = self.state.lock().await;
        if state.broken {
            return Err(PortError::LeaseLost);
        }
        let mut changes = Changes::default();
        for entry in entries {
            state.records.apply(entry, &self.owner, &mut changes);
        }
        if changes.progressed {
            // What follows a settled step has not killed anybody yet.
            state.records.run.claims = 0;
        }
        let progressed = changes.progressed;
        if let Some(held) = &mut state.held {
            match held.take_in(entries, changes) {
                Holding::On => {}
                Holding::Over(changes) => self.write_bill(&mut state, changes).await?,
                Holding::Broken { all, changes } => {
                    state.held = None;
                    self.write(&mut state, &all, changes).await?;
                }
            }
        } else {
            self.write(&mut state, entries, changes).await?;
        }
        let limited = self.limited;
        drop(state);
        if entries.iter().any(|entry| matches!(entry.event, Event::RunSettled { .. })) {
            if limited {
                // Somebody may have been let in.
                self.weir.runs().offer_slots();
            } else if self.attached {
                // Its parent may rest.
                self.weir.runs().wake();
            }
        }
        if progressed {
            self.local.leave_lane();
        }
        self.tell(entries);
        Ok(())
    }
}

impl RunJournal {
    /// A run that is written late is its holder's from now on: by its first lease, others would take it up at once.
    fn renew(&self, state: &mut State) {
        let until = self.weir.now() + self.lease;
        if !state.written && state.records.run.lease_until.is_some_and(|at| at < until) {
            state.records.run.lease_until = Some(until);
            state.records.run.available_at = until;
        }
    }

    /// Makes entries durable with their projections.
    async fn write(&self, state: &mut State, entries: &[Entry], changes: Changes) -> Result<(), PortError> {
        self.renew(state);
        let first = entries.first().map_or(1, |entry| entry.position);
        let mut row = state.records.run.clone();
        if changes.started {
            // Whoever restarted it is in the journal now.
            row.restart_by = None;
        }
        let append = Append {
            before: i64::try_from(first.saturating_sub(1)).unwrap_or(i64::MAX),
            insert: !state.written,
            columns: columns(&changes),
            settled: changes.settled,
            frees: changes.settled && self.limited,
            outward: questions::outward(&row, &state.asking, entries),
            limited: self.limited,
            rows: Box::new(WholeRun {
                steps: changes.steps.iter().filter_map(|name| state.records.step(name)).cloned().collect(),
                items: changes.items.iter().filter_map(|place| state.records.item(place)).cloned().collect(),
                appends: append_of(self.tenant, self.run, entries).into_iter().collect(),
                words: self.words(&row, &changes),
                attempts: changes.attempts,
                ledger: changes.ledger,
                notice: super::listen::changed(row.tenant_id, row.id),
                run: released(row),
            }),
        };
        self.keep(state, append).await
    }

    /// What the run is found by from now on. Values that went to the blob store are not looked into.
    fn words(&self, row: &run::Model, changes: &Changes) -> Vec<run_word::Model> {
        if self.search.is_empty() {
            return Vec::new();
        }
        let mut found = BTreeSet::new();
        let halves = [(changes.started, Half::Inputs, &row.inputs), (changes.settled, Half::Outputs, &row.outputs)];
        for (is_new, half, value) in halves {
            if let (true, Some(Ok(value))) = (is_new, value.as_ref().map(JsonText::read::<Value>)) {
                found.extend(words::of(&self.search, half, &value));
            }
        }
        words::rows(row.tenant_id, row.id, found)
    }

    /// A run that is not saved is still paid for: its row and what it bought, and nothing else.
    async fn write_bill(&self, state: &mut State, changes: Changes) -> Result<(), PortError> {
        if changes.ledger.is_empty() {
            return Ok(());
        }
        let row = state.records.run.clone();
        let notice = super::listen::changed(row.tenant_id, row.id);
        let bill = Append {
            before: 0,
            insert: true,
            columns: Vec::new(),
            settled: true,
            frees: self.limited,
            outward: questions::outward(&row, &state.asking, &[]),
            limited: self.limited,
            rows: Box::new(WholeRun { ledger: changes.ledger, ..WholeRun::of(released(row), notice) }),
        };
        self.keep(state, bill).await
    }

    async fn keep(&self, state: &mut State, append: Append) -> Result<(), PortError> {
        if let Err(error) = append.keep(&self.store, self.tenant).await {
            state.broken = true;
            return Err(match error {
                StoreError::Stale => PortError::LeaseLost,
                error => PortError::Unavailable(error.to_string()),
            });
        }
        state.written = true;
        Ok(())
    }

    /// Tells whoever watches.
    fn tell(&self, entries: &[Entry]) {
        for entry in entries {
            if let Event::StepSettled { step, .. }
            | Event::ItemSettled { step, .. }
            | Event::AttemptFailed { step, .. }
            | Event::FallbackStarted { step, .. } = &entry.event
            {
                self.local.forget_text(&Speaker { step: step.as_str().into(), item: entry.event.item() });
            }
        }
        let happened = Arc::new(Happened::new(entries.to_vec()));
        self.weir.runs().bus().tell(self.run, Live::Events(happened));
        self.weir.runs().bus().tell_tenant(self.tenant, self.run);
    }
}

/// What becomes of entries that are held back.
enum Holding {
    On,
    /// The run is over and not saved.
    Over(Changes),
    /// The run failed, and failures are saved.
    Broken {
        all: Vec<Entry>,
        changes: Changes,
    },
}

impl Held {
    fn take_in(&mut self, entries: &[Entry], changes: Changes) -> Holding {
        self.entries.extend_from_slice(entries);
        self.changes.add(changes);
        let end = entries.iter().find_map(|entry| match &entry.event {
            Event::RunSettled { status, .. } => Some(*status),
            _ => None,
        });
        match end {
            None => Holding::On,
            Some(status) if self.failures && status != RunStatus::Succeeded => {
                Holding::Broken { all: std::mem::take(&mut self.entries), changes: std::mem::take(&mut self.changes) }
            }
            Some(_) => {
                self.over = true;
                Holding::Over(std::mem::take(&mut self.changes))
            }
        }
    }
}

/// One append as it goes to the store.
struct Append {
    rows: Box<WholeRun>,
    /// The position that the store must be at.
    before: i64,
    insert: bool,
    /// What changes of the run's row.
    columns: Vec<run::Column>,
    settled: bool,
    /// Whether places under limits come free with it.
    frees: bool,
    outward: Outward,
    limited: bool,
}

impl Append {
    /// One that touches nothing but the run's own rows shares its way with those of other runs.
    async fn keep(self, store: &Store, tenant: TenantId) -> Result<(), StoreError> {
        if !self.outward.is_empty() {
            return store.write(tenant, |unit| async move { self.write(&unit).await }).await;
        }
        match self {
            Self { insert: true, limited: false, rows, .. } => store.insert_run(tenant, rows).await,
            Self { insert: false, rows, before, columns, settled, frees: false, .. }
                if !(settled && rows.run.parent_step.is_some()) =>
            {
                store.update_run(tenant, RunUpdate { rows, columns, before: Some(before), undisturbed: false }).await
            }
            among => store.write(tenant, |unit| async move { among.write(&unit).await }).await,
        }
    }

    async fn write(self, unit: &Unit) -> Result<(), StoreError> {
        let (run, ended_at) = (self.rows.run.id, self.rows.run.ended_at);
        let parent = if self.settled { children::lock_parent(unit, &self.rows.run).await? } else { None };
        if let Some(parent) = &parent {
            children::wake_parent(unit, parent, ended_at.unwrap_or(parent.created_at)).await?;
        }
        if self.insert {
            unit.insert_run(&self.rows).await?;
        } else {
            let before = Some(self.before);
            let update = RunUpdate { rows: self.rows, columns: self.columns, before, undisturbed: false };
            unit.update_run(&update).await?;
        }
        self.outward.write(unit, run).await?;
        if let (true, Some(ended_at)) = (self.frees, ended_at) {
            super::slots::leave(unit, run, ended_at, true).await?;
        }
        Ok(())
    }
}

/// What an append changes of its run's row.
fn columns(changes: &Changes) -> Vec<run::Column> {
    use run::Column as C;
    let mut columns = vec![C::EventPosition, C::Claims];
    // A column is set once: PostgreSQL refuses a second time, and one append may both start and settle a run.
    if changes.started || changes.settled {
        columns.push(C::Status);
    }
    if changes.started {
        columns.extend([C::Epoch, C::StartedAt, C::RestartBy]);
    }
    if changes.spent || changes.settled {
        columns.extend([C::Usage, C::CostNanoUsd]);
    }
    if changes.settled {
        columns.extend([C::Outputs, C::OutputsBlob, C::Error, C::HandlerErrors, C::FailedStep, C::EndedAt]);
        columns.extend([C::DurationMs, C::LeaseOwner, C::LeaseUntil, C::ParkedFor]);
    }
    columns
}

/// The row as the store has it: what is over is held by nobody and waits behind nothing.
fn released(mut row: run::Model) -> run::Model {
    if RunStatus::parse(&row.status).is_some_and(RunStatus::is_terminal) {
        (row.lease_owner, row.lease_until, row.parked_for) = (None, None, None);
    }
    row
}
