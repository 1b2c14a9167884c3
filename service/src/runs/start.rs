//! Starting a run: everything is pinned here, and the run exists once this returns.
//!
//! Invariant: an acknowledged run is durable. The one exception waits for its own end: a synchronous run without an
//! idempotency key may be written for the first time at its first effect or its end, and its caller is answered after.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{FileRef, Permission, RunId, RunStatus, TenantId};
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
use super::slots::Admission;
use super::trace;
use crate::flows::{Resolved, Wanted};
use crate::{Actor, ServiceError, Weir, authz};

/// The largest JSON of a call's inputs, in bytes.
pub const INPUT_BYTES: usize = 1024 * 1024;
/// Lists and objects within each other in a call's inputs.
const INPUT_DEPTH: usize = 64;
/// How long an idempotency key is remembered.
const KEY_HOURS: i64 = 24;
const KEY_LENGTH: usize = 255;

/// A call's inputs as they came, before they are read against what the flow declares.
#[derive(Debug, Clone, PartialEq)]
pub enum Inputs {
    /// JSON, with the files of a multipart call by field. Files uploaded before are `{"file_id": ...}` in the body.
    Json { body: Value, files: BTreeMap<String, FileRef> },
    /// The text fields of a form, with its files.
    Form { fields: BTreeMap<String, String>, files: BTreeMap<String, FileRef> },
}

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
    let inputs = read_inputs(weir, actor.tenant, &resolved, wish.inputs).await?;
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
    keep_inputs(weir, actor.tenant, &mut row, &inputs).await?;
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
        let (row, concurrency) = (job.row.clone(), job.plan.concurrency.clone());
        let admitted =
            weir.store().write(tenant, |unit| async move { enqueue(&unit, row, concurrency.as_ref()).await });
        admitted_now(weir, &job, admitted.await?).await;
        return Ok(started);
    };
    execute::lease(&mut job.row, &crew, weir.now());
    let entered = claimed::enter(weir, &crew, &job.row);
    let written = answer == Answer::Later;
    if written {
        let row = job.row.clone();
        weir.store().write(tenant, |unit| async move { unit.insert(row).await }).await.map_err(ServiceError::from)?;
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
    let fingerprint = Sha256::new().chain_update(&pins).chain_update(canonical(&job.inputs)).finalize().to_vec();
    let mut fresh = started(weir, &job.row, resolved, false);
    let place = free_place(weir, &job.row, resolved, answer).await.map(|(crew, place)| {
        execute::lease(&mut job.row, &crew, weir.now());
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
        let (row, key_row, concurrency) = (job.row.clone(), key_row.clone(), job.plan.concurrency.clone());
        let kept = weir.store().write(fresh.tenant, move |unit| async move {
            claim_key(&unit, row, key_row, now, concurrency.as_ref()).await
        });
        match kept.await {
            Ok(Kept::New(admission)) => {
                weir.runs().bus().tell_tenant(fresh.tenant, fresh.run_id);
                match place {
                    Some((crew, place, entered)) => execute::spawn(weir, &crew, job, entered, true, Some(place)),
                    None => admitted_now(weir, &job, admission).await,
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

/// A JSON body read as a call's inputs, for those who only want to know what would happen.
pub(crate) async fn parsed_inputs(
    weir: &Weir,
    tenant: TenantId,
    resolved: &Resolved,
    body: Value,
) -> Result<Value, ServiceError> {
    read_inputs(weir, tenant, resolved, Inputs::Json { body, files: BTreeMap::new() }).await
}

async fn read_inputs(
    weir: &Weir,
    tenant: TenantId,
    resolved: &Resolved,
    inputs: Inputs,
) -> Result<Value, ServiceError> {
    let parsed = match inputs {
        Inputs::Json { mut body, files } => {
            known_files(weir, tenant, &mut body).await?;
            language::inputs::parse(&resolved.plan, body, &files)
        }
        Inputs::Form { fields, files } => language::inputs::parse_form(&resolved.plan, &fields, &files),
    };
    let inputs = parsed.map_err(|fields| ServiceError::Invalid {
        detail: format!("The inputs do not fit what the flow `{}` declares.", resolved.name),
        fields,
    })?;
    if !nests_at_most(&inputs, INPUT_DEPTH) {
        let detail =
            format!("The inputs nest deeper than {INPUT_DEPTH} levels; neither a template nor a step could take them.");
        return Err(ServiceError::field("", detail));
    }
    if canonical(&inputs).len() > INPUT_BYTES {
        return Err(ServiceError::TooLarge("The inputs of a call may have at most 1 MiB of JSON.".to_owned()));
    }
    Ok(inputs)
}

fn nests_at_most(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| nests_at_most(item, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|field| nests_at_most(field, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Replaces what the body says about files by what is known about them, so that nobody can claim another name, type or
/// content for one.
pub(super) async fn known_files(weir: &Weir, tenant: TenantId, body: &mut Value) -> Result<(), ServiceError> {
    const FILES: usize = 100;
    let mut places = Vec::new();
    find_files(body, &mut String::new(), &mut places);
    if places.len() > FILES {
        return Err(ServiceError::TooLarge(format!("A call may name at most {FILES} files.")));
    }
    for (pointer, id) in places {
        let unknown = || ServiceError::field(pointer.clone(), "There is no file with this id. Upload it first.");
        let id = id.parse().map_err(|_| unknown())?;
        let file = match crate::blobs::find_file(weir, tenant, id).await {
            Ok(file) => file,
            Err(ServiceError::NotFound { .. }) => return Err(unknown()),
            Err(other) => return Err(other),
        };
        if let Some(place) = body.pointer_mut(&pointer) {
            *place = serde_json::to_value(file).map_err(ServiceError::internal)?;
        }
    }
    Ok(())
}

fn find_files(value: &Value, pointer: &mut String, found: &mut Vec<(String, String)>) {
    let length = pointer.len();
    match value {
        Value::Object(fields) => {
            if let Some(id) = fields.get("file_id").and_then(Value::as_str) {
                found.push((pointer.clone(), id.to_owned()));
                return;
            }
            for (name, field) in fields {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                find_files(field, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                find_files(item, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
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

/// Puts inputs into the row, or beside it when they are large.
pub(super) async fn keep_inputs(
    weir: &Weir,
    tenant: TenantId,
    row: &mut run::Model,
    inputs: &Value,
) -> Result<(), ServiceError> {
    let text = inputs.to_string();
    if text.len() > engine::limits::INLINE_BYTES {
        row.inputs_blob = Some(crate::blobs::put(weir, tenant, text.into()).await?.uuid());
    } else {
        row.inputs = Some(JsonText(inputs.clone()));
    }
    Ok(())
}

/// What a call asked for besides its inputs. A call that named no version is the same call after a publish.
fn fingerprint(wanted: &Wanted, resolved: &Resolved) -> Vec<u8> {
    format!("{:?} {:?} {}\n", wanted.version, wanted.channel, resolved.flow_id).into_bytes()
}

/// JSON with sorted keys, and files by content: the same file uploaded again is the same input.
fn canonical(value: &Value) -> Vec<u8> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(_) if FileRef::from_value(value).is_some() => {
                serde_json::json!({ "name": value["name"], "sha256": value["sha256"] })
            }
            Value::Object(fields) => {
                let ordered: BTreeMap<&String, Value> =
                    fields.iter().map(|(name, field)| (name, sorted(field))).collect();
                Value::Object(ordered.into_iter().map(|(name, field)| (name.clone(), field)).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            plain => plain.clone(),
        }
    }
    sorted(value).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_fields_and_the_upload_of_a_file_do_not_matter() {
        let file = |id: &str| json!({"file_id": id, "name": "a.pdf", "media_type": "application/pdf", "size_bytes": 3, "sha256": "ab"});
        let [one, two] = [1_u128, 2].map(|number| domain::FileId::from_uuid(uuid::Uuid::from_u128(number)).to_string());
        let first = json!({"a": 1, "document": file(&one)});
        let second = json!({"document": file(&two), "a": 1});
        assert_eq!(canonical(&first), canonical(&second));
        assert_ne!(canonical(&first), canonical(&json!({"a": 2, "document": file(&one)})));
    }

    #[test]
    fn files_are_found_wherever_they_stand() {
        let body = json!({"a": [{"file_id": "file_1"}], "b/c": {"d~": {"file_id": "file_2", "name": "x"}}});
        let mut found = Vec::new();
        find_files(&body, &mut String::new(), &mut found);
        assert_eq!(found, [("/a/0".to_owned(), "file_1".to_owned()), ("/b~1c/d~0".to_owned(), "file_2".to_owned())]);
        assert!(found.iter().all(|(pointer, _)| body.pointer(pointer).is_some()));
    }
}
