//! Executes one run that this process holds: replays its journal into the engine, drives on, and gives the lease back.
//!
//! Invariant: a run that ends here without settling is left so that it is claimed again, or so that a person is asked;
//! a run that keeps killing its workers is not tried for ever.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId, VersionId};
use engine::ports::PortError;
use engine::{DriveError, Entry, Outcome, Refusal, Run, Settled, Surroundings};
use entities::{Scope, Store, StoreError, append, run};
use futures_util::FutureExt;
use language::Plan;
use sea_orm::ColumnTrait;
use serde_json::Value;
use tokio::sync::OwnedSemaphorePermit;

use super::again::Kept;
use super::bus::Live;
use super::children::RunChildren;
use super::desk::{Crew, Entered, LocalRun};
use super::entries;
use super::inbox::RunInbox;
use super::journal::RunJournal;
use super::leave::{End, finish, killer};
use super::ports::{RunBlobs, RunWatcher};
use super::slots;
use super::step_slots::RunSlots;
use super::unbegun;
use super::wait::SettledRun;
use crate::flows::Resolved;
use crate::ports::{TenantCache, TenantModels, TenantSecrets, TenantValues};
use crate::prices::PriceVersion;
use crate::{ServiceError, Weir};

/// Workers that may go down with a run, no step settled in between, before it is tried one at a time.
const IN_COMPANY: i32 = 2;
/// Workers that may go down with it after that, before a person is asked.
const ALONE: i32 = 3;
/// A run with what is needed to execute it.
pub(super) struct Job {
    pub(super) row: Arc<run::Model>,
    pub(super) plan: Arc<Plan>,
    pub(super) inputs: Value,
    /// The tenant's.
    pub(super) default_model: Option<String>,
    /// Where its journal goes: behind what others wait for, where nobody waits for the run.
    pub(super) store: Store,
}

impl Job {
    /// Of a run that was just made.
    pub(super) fn new(weir: &Weir, row: run::Model, resolved: &Resolved, inputs: Value) -> Self {
        let (plan, default_model) = (Arc::clone(&resolved.plan), resolved.default_model.clone());
        Self { row: Arc::new(row), plan, inputs, default_model, store: weir.store().clone() }
    }
}

/// Makes a row that is not in the store yet a row that this crew holds.
pub(super) fn lease(row: &mut run::Model, crew: &Crew, now: DateTime<Utc>) {
    let until = now + chrono::Duration::from_std(crew.lease).unwrap_or(chrono::Duration::seconds(15));
    row.status = RunStatus::Running.as_str().to_owned();
    row.lease_owner = Some(crew.owner.clone());
    row.lease_until = Some(until);
    row.available_at = until;
    row.fencing_token = 1;
    row.claims = 1;
}

/// Executes a new run in a task of its own. `place` is given back when it ends.
pub(super) fn spawn(
    weir: &Weir,
    crew: &Arc<Crew>,
    job: Job,
    entered: Entered,
    written: bool,
    place: Option<OwnedSemaphorePermit>,
) {
    let (weir, of_crew) = (weir.clone(), Arc::clone(crew));
    crew.tasks.spawn(async move {
        execute(weir, of_crew, job, entered, written).await;
        drop(place);
    });
}

pub(super) async fn execute(weir: Weir, crew: Arc<Crew>, job: Job, entered: Entered, written: bool) {
    let row = Arc::clone(&job.row);
    let (tenant, run_id) = (TenantId::from_uuid(row.tenant_id), RunId::from_uuid(row.id));
    let local = Arc::clone(&entered.local);
    let deaths = row.claims - 1;
    if deaths >= IN_COMPANY + ALONE {
        finish(&weir, &row, End::Park(killer(deaths))).await;
        return;
    }
    if written && row.slot_key.is_some() && !admitted(&weir, &row, &job.plan).await {
        return;
    }
    if row.cancel_requested_at.is_some() {
        local.cancel(row.cancel_reason.clone());
    }
    if deaths >= IN_COMPANY {
        line_up(&weir, &crew, &local, &row).await;
    }
    if row.event_position == 0
        && let Some(letter) = local.letters.kill()
    {
        // Killed in the queue: nothing of it has begun, so nothing begins.
        drop(entered);
        let failure = Failure::new(FailureKind::Cancelled, "killed", format!("{} killed the run.", letter.by));
        let end = unbegun::End { heard: Some(letter), ..unbegun::End::new(RunStatus::Killed, failure) };
        unbegun::settle(&weir, &row, &job.plan, end).await;
        return;
    }
    let history = match history(&weir, tenant, &row, written && row.event_position > 0).await {
        Ok(history) => history,
        Err(error) => {
            tracing::error!(error = ?error, run = %run_id, "a run's journal could not be read");
            drop(entered);
            finish(&weir, &row, End::Rest).await;
            return;
        }
    };
    if has_slots(&job.plan, weir.catalogue())
        && !history.is_empty()
        && let Err(error) = forget_attempts(&weir, &row).await
    {
        // They are free when the lease runs out that they were taken under.
        tracing::warn!(%error, run = %run_id, "slots of a lost worker could not be freed");
    }
    let journal = RunJournal::new(weir.clone(), Arc::clone(&local), &row, &job.plan, &history);
    let journal = journal.on(job.store.clone());
    let journal = Arc::new(if written { journal } else { journal.unwritten(job.plan.save, crew.lease) });
    local.is_written_by(&journal);
    let driven = AssertUnwindSafe(Box::pin(drive(&weir, &crew, &local, &journal, job, history))).catch_unwind().await;
    drop(entered);
    let driven = match driven {
        Ok(Ok(Outcome::Settled(settled))) => {
            announce(&weir, &row, &journal, *settled).await;
            return;
        }
        Ok(Err(DriveError::Port(PortError::LeaseLost))) => {
            tracing::warn!(run = %run_id, "another worker has this run now");
            weir.runs().bus().tell(run_id, Live::Changed);
            return;
        }
        unsettled => unsettled,
    };
    let end = unsettled(run_id, driven, &local);
    // Whoever takes it up has to find it.
    if matches!(end, End::Suspend(..) | End::GiveBack) && journal.ensure_written().await.is_err() {
        tracing::error!(run = %run_id, "a run that goes on later could not be saved");
    }
    if journal.is_written().await {
        finish(&weir, &row, end).await;
    } else {
        weir.runs().bus().tell(run_id, Live::Abandoned);
    }
}

/// Whether attempts of this plan may take slots.
pub(super) fn has_slots(plan: &Plan, catalogue: &language::Catalogue) -> bool {
    let connects = |executor: &str, config: &serde_json::Map<String, Value>| {
        config.contains_key("connection")
            || catalogue.get(executor).is_some_and(|spec| spec.cost == language::CostKind::Tokens)
    };
    plan.steps.iter().any(|step| {
        step.resources.is_some()
            || step.concurrency.is_some()
            || step.cache.is_some()
            || connects(&step.executor, &step.config)
            || step.fallbacks.iter().any(|fallback| connects(&fallback.executor, &fallback.config))
    })
}

async fn forget_attempts(weir: &Weir, row: &run::Model) -> Result<(), StoreError> {
    let (run, now) = (row.id, weir.now());
    let tenant = TenantId::from_uuid(row.tenant_id);
    weir.store().write(tenant, move |unit| async move { slots::forget_attempts(&unit, run, now).await }).await
}

/// What becomes of a run that was driven and did not settle.
fn unsettled(run: RunId, driven: std::thread::Result<Result<Outcome, DriveError>>, local: &LocalRun) -> End {
    match driven {
        Ok(Ok(Outcome::Suspended { status, wake_at })) => End::Suspend(status, wake_at, local.resting_behind()),
        Ok(Ok(Outcome::Stopped | Outcome::Settled(_))) => End::GiveBack,
        Ok(Err(DriveError::Port(error))) => {
            tracing::error!(%error, %run, "a run was interrupted by a fault of ours");
            End::Rest
        }
        Ok(Err(DriveError::History(fault))) => {
            tracing::error!(fault, %run, "a journal does not fit its plan");
            let message = "The run's journal does not fit its version.";
            End::Park(Failure::new(FailureKind::Internal, "journal_misfit", message))
        }
        Err(_panic) => {
            tracing::error!(%run, "a run made its worker panic");
            End::Rest
        }
    }
}

/// Looked at once, before the first step. If the store does not answer, the step itself finds out.
async fn missing_callee(weir: &Weir, row: &run::Model, plan: &Plan) -> Option<Refusal> {
    let missing = unbegun::missing_callee(weir, row, plan).await;
    missing.unwrap_or_else(|error| {
        tracing::warn!(%error, run = %RunId::from_uuid(row.id), "the flows that a run calls could not be looked up");
        None
    })
}

/// Whether a claimed run has its place under the flow's limit. Otherwise it was parked, or settled without having begun.
async fn admitted(weir: &Weir, row: &run::Model, plan: &Arc<Plan>) -> bool {
    let (tenant, now, claimed) = (TenantId::from_uuid(row.tenant_id), weir.now(), row.clone());
    // Whoever wants the end of a run that waits need not wait for its turn.
    if row.cancel_requested_at.is_some() {
        return true;
    }
    let entry = weir.store().write(tenant, move |unit| async move { slots::enter(&unit, &claimed, now).await }).await;
    match entry {
        Ok(slots::Entry::Entered) => return true,
        Ok(slots::Entry::Parked) => {
            weir.runs().bus().tell(RunId::from_uuid(row.id), Live::Changed);
        }
        Ok(slots::Entry::Lost) => {}
        Ok(slots::Entry::Overdue) => {
            unbegun::settle(weir, row, plan, unbegun::End::new(RunStatus::TimedOut, slots::overdue())).await;
        }
        Err(error) => {
            let error: StoreError = error;
            tracing::error!(%error, run = %RunId::from_uuid(row.id), "a run could not take its place");
            finish(weir, row, End::Rest).await;
        }
    }
    false
}

/// Waits for the lane. What goes down while it only waits there is not counted against it.
async fn line_up(weir: &Weir, crew: &Crew, local: &LocalRun, row: &run::Model) {
    put_claims(weir, row, row.claims - 1).await;
    tokio::select! {
        place = Arc::clone(&crew.lane).acquire_owned() => {
            if let Ok(place) = place {
                local.hold_lane(place);
            }
        }
        // Whoever stops or ends the run need not wait for its turn.
        () = local.control.stop.cancelled() => {}
        () = local.control.cancel.cancelled() => {}
    }
    put_claims(weir, row, row.claims).await;
}

async fn put_claims(weir: &Weir, row: &run::Model, claims: i32) {
    let (id, token) = (row.id, row.fencing_token);
    let kept = weir.store().write(TenantId::from_uuid(row.tenant_id), move |unit| async move {
        let mine = sea_orm::Condition::all().add(run::Column::Id.eq(id)).add(run::Column::FencingToken.eq(token));
        unit.update::<run::Entity>().set(run::Column::Claims, claims).filter(mine).exec().await
    });
    if let Err(error) = kept.await {
        let error: StoreError = error;
        tracing::warn!(%error, run = %RunId::from_uuid(row.id), "a suspect's claims could not be counted");
    }
}

async fn drive(
    weir: &Weir,
    crew: &Arc<Crew>,
    local: &Arc<LocalRun>,
    journal: &Arc<RunJournal>,
    job: Job,
    history: Vec<Entry>,
) -> Result<Outcome, DriveError> {
    let mut surroundings = surroundings(weir, crew, local, journal, &job.row);
    surroundings.money = super::money::of_run(weir, &job.row, &job.plan, journal)
        .await
        .map_err(|error| PortError::Unavailable(error.to_string()))?;
    let version = VersionId::from_uuid(job.row.version_id);
    let prepared = weir.runs().prepared(version, &job.plan, weir.registry()).await;
    let refused = if history.is_empty() { missing_callee(weir, &job.row, &job.plan).await } else { None };
    let run = Run { refused, ..as_run(&job.row, &job.plan, job.inputs, job.default_model) };
    engine::drive_prepared(run, prepared, history, surroundings, local.control.clone()).await
}

pub(super) fn surroundings(
    weir: &Weir,
    crew: &Arc<Crew>,
    local: &Arc<LocalRun>,
    journal: &Arc<RunJournal>,
    row: &Arc<run::Model>,
) -> Surroundings {
    let (tenant, run) = (TenantId::from_uuid(row.tenant_id), RunId::from_uuid(row.id));
    let prices = row.price_version.as_deref().and_then(|version| version.parse().ok());
    let prices = prices.unwrap_or(PriceVersion::now(0));
    let blobs = RunBlobs { weir: weir.clone(), tenant, run, flow: row.flow_name.clone(), journal: Arc::clone(journal) };
    let children = RunChildren {
        weir: weir.clone(),
        crew: Arc::clone(crew),
        local: Arc::clone(local),
        parent: Arc::clone(row),
        journal: Arc::clone(journal),
    };
    let slots = RunSlots {
        weir: weir.clone(),
        tenant,
        run,
        lease: chrono::Duration::from_std(crew.lease).unwrap_or(chrono::Duration::seconds(15)),
        journal: Arc::clone(journal),
        local: Arc::clone(local),
    };
    Surroundings {
        registry: weir.registry().clone(),
        journal: Arc::clone(journal) as Arc<dyn engine::ports::Journal>,
        blobs: Arc::new(blobs),
        secrets: Arc::new(TenantSecrets::new(weir.clone(), tenant)),
        models: Arc::new(TenantModels::new(weir.clone(), tenant, prices)),
        values: Arc::new(TenantValues::new(weir.clone(), tenant)),
        children: Arc::new(children),
        clock: Arc::clone(weir.clock()),
        watcher: Arc::new(RunWatcher { bus: weir.runs().bus().clone(), run, local: Arc::clone(local) }),
        inbox: Some(Arc::new(RunInbox(Arc::clone(local)))),
        cache: Some(Arc::new(TenantCache::new(weir.clone(), tenant))),
        slots: Some(Arc::new(slots)),
        money: None,
        sandbox: weir.sandbox().cloned(),
    }
}

/// A run's row as the engine takes it.
pub(super) fn as_run(row: &run::Model, plan: &Arc<Plan>, inputs: Value, default_model: Option<String>) -> Run {
    let kept: Option<Kept> = row.replay.as_ref().and_then(|kept| kept.read().ok());
    let replayed = RunId::from_uuid(row.replay_of.unwrap_or(row.id));
    let keys_of = kept.as_ref().is_some_and(|kept| kept.reuse_keys).then_some(replayed);
    Run {
        tenant: TenantId::from_uuid(row.tenant_id),
        id: RunId::from_uuid(row.id),
        default_model: plan.model.clone().or(default_model),
        plan: Arc::clone(plan),
        inputs,
        flow: row.flow_name.clone(),
        version: u32::try_from(row.version_number).unwrap_or_default(),
        created_at: row.created_at,
        trigger: row.trigger_kind.clone(),
        labels: row.labels.read().unwrap_or_default(),
        trace: super::trace::of(row),
        test: row.test,
        depth: u32::try_from(row.depth).unwrap_or_default(),
        reused: kept.map(|kept| kept.reused(replayed)).unwrap_or_default(),
        keys_of,
        restart_by: row.restart_by.clone(),
        refused: None,
    }
}

/// Tells whoever waits that the run is over.
pub(super) async fn announce(weir: &Weir, row: &run::Model, journal: &RunJournal, mut settled: Settled) {
    if let (Some(step), None) = (&settled.failed_step, settled.failed_attempt) {
        settled.failed_attempt = journal.attempts_of(step).await;
    }
    let over = SettledRun {
        tenant: TenantId::from_uuid(row.tenant_id),
        run_id: RunId::from_uuid(row.id),
        flow: row.flow_name.clone(),
        version: u32::try_from(row.version_number).unwrap_or_default(),
        created_at: row.created_at,
        settled,
    };
    weir.runs().bus().tell(over.run_id, Live::Settled(Arc::new(over)));
    crate::experiments::settled(weir, row);
}

/// The run's journal so far.
pub(super) async fn history(
    weir: &Weir,
    tenant: TenantId,
    row: &run::Model,
    written: bool,
) -> Result<Vec<Entry>, ServiceError> {
    if !written {
        return Ok(Vec::new());
    }
    let reader = weir.store().read(tenant).await?;
    let appends = reader.find::<append::Entity>().filter(append::Column::RunId.eq(row.id));
    let rows = appends.order_by_asc(append::Column::Position).all().await?;
    entries::entries_of(&rows).map_err(ServiceError::internal)
}
