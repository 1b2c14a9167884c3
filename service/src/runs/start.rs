//! Starting a run: everything is pinned here, and the run exists once this returns.
//!
//! Invariant: an acknowledged run is durable. The one exception waits for its own end: a synchronous run without an
//! idempotency key may be written for the first time at its first effect or its end, and its caller is answered after.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Permission, RunId, RunStatus, TenantId};
use entities::{JsonText, Scope, StoreError, Unit, idempotency_key, run};
use language::plan::ConcurrencyPlan;
use sea_orm::ColumnTrait;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::broadcast::Receiver;

use super::admission::{Refused, admitted_now, enqueue, free_place, limit};
use super::bus::Live;
use super::claimed;
use super::desk::Awaited;
use super::execute::{self, Job};
use super::inputs::{self, Inputs};
use super::slots::Admission;
use super::trace;
use crate::flows::{Resolved, Wanted};
use crate::{Actor, ServiceError, Weir, authz};

/// How long an idempotency key is remembered.
const KEY_HOURS: i64 = 24;
const KEY_LENGTH: usize = 255;

/// Whether the caller stays for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The caller waits; nothing is acknowledged before the end.
    Wait,
    /// The caller is told the run's id at once.
    Later,
}

/// A wish to run a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct StartRun {
    pub flow: String,
    pub version: Option<u32>,
    pub channel: Option<String>,
    pub inputs: Inputs,
    pub idempotency_key: Option<String>,
    pub labels: BTreeMap<String, String>,
    /// Who is meant in experiments; unless said, the person or key that calls.
    pub subject: Option<String>,
    /// 1 is taken from the queue first, 5 last; 3 unless said.
    pub priority: Option<i32>,
    pub answer: Answer,
}

/// A run that was started, or found again by its idempotency key.
#[derive(Debug)]
pub struct Started {
    pub tenant: TenantId,
    pub run_id: RunId,
    pub flow: String,
    pub version: u32,
    pub status: RunStatus,
    /// An earlier call with the same idempotency key started it.
    pub replayed: bool,
    /// `endpoint.max_wait` of the flow.
    pub max_wait: Duration,
    /// `endpoint.on_disconnect: cancel`.
    pub cancel_on_disconnect: bool,
    pub(super) live: Receiver<Live>,
    /// It is in the queue, and the caller stays.
    pub(super) awaited: Option<Awaited>,
}

/// Starts a flow.
///
/// # Errors
/// [`ServiceError::NotFound`] for a flow, version or channel that is not there, [`ServiceError::Forbidden`],
/// [`ServiceError::Invalid`] for inputs that do not fit, [`ServiceError::IdempotencyMismatch`].
pub async fn start(weir: &Weir, actor: &Actor, wish: StartRun) -> Result<Started, ServiceError> {
    authz::check_flow(actor, Permission::RunsStart, &wish.flow)?;
    if wish.idempotency_key.as_ref().is_some_and(|key| key.is_empty() || key.len() > KEY_LENGTH) {
        return Err(ServiceError::BadRequest(format!("An idempotency key has 1 to {KEY_LENGTH} characters.")));
    }
    let wanted = Wanted { version: wish.version, channel: wish.channel.clone(), position: None };
    refuse_misfits(&wish)?;
    let id = weir.ids().run().uuid();
    let resolved = crate::flows::resolve(weir, actor.tenant, &wish.flow, &wanted).await?;
    refuse_library(&resolved)?;
    let (resolved, variant) = crate::experiments::choose(weir, actor, resolved, wish.subject.as_deref(), id).await?;
    let inputs = inputs::read(weir, actor.tenant, &resolved, wish.inputs).await?;
    let mut row = new_row(weir, actor.tenant, &resolved);
    (row.id, row.root_run_id) = (id, id);
    row.priority = wish.priority.unwrap_or(USUAL_PRIORITY);
    if let Some((experiment, variant)) = variant {
        row.experiment_id = Some(experiment.id.uuid());
        row.experiment = Some(experiment.name.clone());
        row.variant = Some(variant);
    }
    row.trigger_kind = actor.trigger.to_owned();
    row.started_by = actor.name().to_owned();
    row.user_id = actor.user_id().map(domain::UserId::uuid);
    row.api_key_id = actor.api_key_id().map(domain::ApiKeyId::uuid);
    row.address = actor.address.clone();
    row.request_id = actor.request_id.clone();
    trace::keep(&mut row, actor.trace.as_ref());
    row.test = actor.test;
    row.labels = JsonText::of(&labels(&resolved, wish.labels));
    limit(&mut row, &resolved, &inputs)?;
    inputs::keep(weir, actor.tenant, &mut row, &inputs).await?;
    let job = Job::new(weir, row, &resolved, inputs);
    match wish.idempotency_key {
        Some(key) => once(weir, job, &resolved, (key, fingerprint(&wanted, &resolved)), wish.answer).await,
        None => dispatch(weir, job, &resolved, wish.answer).await,
    }
}

/// A flow without steps cannot be run.
pub(crate) fn refuse_library(resolved: &Resolved) -> Result<(), ServiceError> {
    if resolved.plan.steps.is_empty() {
        return Err(ServiceError::BadRequest(format!(
            "`{}` is a library: it has functions and macros for other flows, and no steps to run.",
            resolved.name
        )));
    }
    Ok(())
}

/// The longest subject of an experiment, in characters.
const SUBJECT: usize = 256;
const USUAL_PRIORITY: i32 = 3;

fn refuse_misfits(wish: &StartRun) -> Result<(), ServiceError> {
    if wish.version.is_some() && wish.channel.is_some() {
        return Err(ServiceError::BadRequest("A run is pinned by `version` or by `channel`, not by both.".to_owned()));
    }
    if wish.priority.is_some_and(|priority| !(1..=5).contains(&priority)) {
        return Err(ServiceError::BadRequest("A priority is a whole number from 1 (first) to 5 (last).".to_owned()));
    }
    let subject = wish.subject.as_deref().unwrap_or("none");
    if subject.is_empty() || subject.chars().count() > SUBJECT || !crate::text::can_be_stored(subject) {
        return Err(ServiceError::BadRequest(format!("An experiment's subject has 1 to {SUBJECT} characters.")));
    }
    Ok(())
}

/// Hands a new run to this process's worker, or leaves it in the queue.
async fn dispatch(weir: &Weir, mut job: Job, resolved: &Resolved, answer: Answer) -> Result<Started, ServiceError> {
    let mut started = started(weir, &job.row, resolved, false);
    let tenant = started.tenant;
    let Some((crew, place)) = free_place(weir, &job.row, resolved, answer).await else {
        started.awaited = (answer == Answer::Wait).then(|| weir.runs().wait_for(started.run_id));
        let (row, concurrency) = (run::Model::clone(&job.row), job.plan.concurrency.clone());
        let admitted =
            weir.store().write(tenant, |unit| async move { enqueue(&unit, row, concurrency.as_ref()).await });
        let admission = admitted.await?;
        parked(started.awaited.as_ref(), &admission);
        admitted_now(weir, &job, admission).await;
        return Ok(started);
    };
    execute::lease(Arc::make_mut(&mut job.row), &crew, weir.now());
    let entered = claimed::enter(weir, &crew, &job.row);
    let written = answer == Answer::Later;
    if written {
        let row = run::Model::clone(&job.row);
        weir.store().write(tenant, |unit| async move { unit.insert(row).await }).await.map_err(ServiceError::from)?;
        weir.runs().served();
        weir.runs().bus().tell_tenant(tenant, started.run_id);
    }
    execute::spawn(weir, &crew, job, entered, written, Some(place));
    Ok(Started { status: RunStatus::Running, ..started })
}

/// Starts a run at most once for a key: run and key are one unit of work.
async fn once(
    weir: &Weir,
    mut job: Job,
    resolved: &Resolved,
    (key, pins): (String, Vec<u8>),
    answer: Answer,
) -> Result<Started, ServiceError> {
    let fingerprint =
        Sha256::new().chain_update(&pins).chain_update(inputs::canonical(&job.inputs)).finalize().to_vec();
    let mut fresh = started(weir, &job.row, resolved, false);
    let place = free_place(weir, &job.row, resolved, answer).await.map(|(crew, place)| {
        execute::lease(Arc::make_mut(&mut job.row), &crew, weir.now());
        let entered = claimed::enter(weir, &crew, &job.row);
        (crew, place, entered)
    });
    if place.is_none() && answer == Answer::Wait {
        fresh.awaited = Some(weir.runs().wait_for(fresh.run_id));
    }
    let now = weir.now();
    let key_row = idempotency_key::Model {
        tenant_id: job.row.tenant_id,
        flow_id: job.row.flow_id,
        idempotency_key: key,
        fingerprint,
        run_id: job.row.id,
        created_at: now,
        expires_at: now + chrono::Duration::hours(KEY_HOURS),
    };
    for _ in 0..3 {
        let (row, key_row, concurrency) = (run::Model::clone(&job.row), key_row.clone(), job.plan.concurrency.clone());
        let kept = weir.store().write(fresh.tenant, move |unit| async move {
            claim_key(&unit, row, key_row, now, concurrency.as_ref()).await
        });
        match kept.await {
            Ok(Kept::New(admission)) => {
                weir.runs().bus().tell_tenant(fresh.tenant, fresh.run_id);
                match place {
                    Some((crew, place, entered)) => {
                        weir.runs().served();
                        execute::spawn(weir, &crew, job, entered, true, Some(place));
                    }
                    None => {
                        parked(fresh.awaited.as_ref(), &admission);
                        admitted_now(weir, &job, admission).await;
                    }
                }
                return Ok(fresh);
            }
            Ok(Kept::Before(row)) => return Ok(started(weir, &row, resolved, true)),
            Ok(Kept::Otherwise) => return Err(ServiceError::IdempotencyMismatch),
            // Another call with this key came first, just now: look again.
            Err(Refused::Store(StoreError::Duplicate(_))) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ServiceError::Unavailable("This idempotency key is being used by other calls. Try again.".to_owned()))
}

/// Whoever waits for a run behind a limit does not wait for a claim.
fn parked(awaited: Option<&Awaited>, admission: &Admission) {
    if let (Some(awaited), Admission::Parked { .. }) = (awaited, admission) {
        awaited.is_parked();
    }
}

enum Kept {
    New(Admission),
    Before(Box<run::Model>),
    Otherwise,
}

async fn claim_key(
    unit: &Unit,
    row: run::Model,
    key: idempotency_key::Model,
    now: DateTime<Utc>,
    concurrency: Option<&ConcurrencyPlan>,
) -> Result<Kept, Refused> {
    use idempotency_key::Column as C;
    let same = || {
        sea_orm::Condition::all().add(C::FlowId.eq(key.flow_id)).add(C::IdempotencyKey.eq(key.idempotency_key.as_str()))
    };
    if let Some(old) = unit.find::<idempotency_key::Entity>().filter(same()).for_update().one().await? {
        if old.expires_at > now {
            if old.fingerprint != key.fingerprint {
                return Ok(Kept::Otherwise);
            }
            let run = unit.find::<run::Entity>().filter(run::Column::Id.eq(old.run_id)).one().await?;
            return Ok(run.map_or(Kept::Otherwise, |run| Kept::Before(Box::new(run))));
        }
        unit.delete::<idempotency_key::Entity>().filter(same()).exec().await?;
    }
    let admission = if row.lease_owner.is_some() {
        unit.insert(row).await?;
        Admission::Queued
    } else {
        enqueue(unit, row, concurrency).await?
    };
    unit.insert(key).await?;
    Ok(Kept::New(admission))
}

fn started(weir: &Weir, row: &run::Model, resolved: &Resolved, replayed: bool) -> Started {
    let run_id = RunId::from_uuid(row.id);
    Started {
        tenant: TenantId::from_uuid(row.tenant_id),
        run_id,
        flow: resolved.name.clone(),
        version: u32::try_from(row.version_number).unwrap_or_default(),
        status: RunStatus::parse(&row.status).unwrap_or(RunStatus::Queued),
        replayed,
        max_wait: Duration::from_millis(resolved.plan.max_wait_ms),
        cancel_on_disconnect: resolved.plan.cancel_on_disconnect,
        live: weir.runs().bus().of_run(run_id),
        awaited: None,
    }
}

/// The flow's labels, then the call's.
fn labels(resolved: &Resolved, of_call: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut labels = resolved.plan.labels.clone();
    labels.extend(of_call);
    labels
}

/// A queued run of a version, started by nobody yet.
pub(super) fn new_row(weir: &Weir, tenant: TenantId, resolved: &Resolved) -> run::Model {
    let id = weir.ids().run().uuid();
    let now = weir.now();
    run::Model {
        tenant_id: tenant.uuid(),
        id,
        flow_id: resolved.flow_id.uuid(),
        flow_name: resolved.name.clone(),
        version_id: resolved.version_id.uuid(),
        version_number: i32::try_from(resolved.number).unwrap_or(i32::MAX),
        channel: resolved.channel.clone(),
        channel_position: resolved.channel_position,
        price_version: Some(crate::prices::PriceVersion::now(resolved.price_revision).to_string()),
        status: RunStatus::Queued.as_str().to_owned(),
        epoch: 1,
        trigger_kind: "flow".to_owned(),
        started_by: String::new(),
        user_id: None,
        api_key_id: None,
        address: None,
        request_id: None,
        test: false,
        labels: JsonText(Value::Object(serde_json::Map::new())),
        inputs: None,
        inputs_blob: None,
        outputs: None,
        outputs_blob: None,
        error: None,
        handler_errors: None,
        failed_step: None,
        usage: None,
        cost_nano_usd: None,
        parent_run_id: None,
        parent_step: None,
        start_key: None,
        root_run_id: id,
        depth: 0,
        created_at: now,
        started_at: None,
        ended_at: None,
        duration_ms: None,
        cancel_requested_at: None,
        cancel_reason: None,
        event_position: 0,
        priority: USUAL_PRIORITY,
        available_at: now,
        lease_owner: None,
        lease_until: None,
        fencing_token: 0,
        claims: 0,
        experiment_id: None,
        experiment: None,
        variant: None,
        slot_key: None,
        slot_limit: None,
        parked_for: None,
        queue_deadline: None,
        replay_of: None,
        replay: None,
        restart_by: None,
        trace_id: None,
        parent_span_id: None,
        trace_flags: None,
        trace_state: None,
        counted: None,
    }
}

/// What a call asked for besides its inputs. A call that named no version is the same call after a publish.
fn fingerprint(wanted: &Wanted, resolved: &Resolved) -> Vec<u8> {
    format!("{:?} {:?} {}\n", wanted.version, wanted.channel, resolved.flow_id).into_bytes()
}
