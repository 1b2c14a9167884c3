//! Waiting for a run: answered from memory when this process settles it, from the rows otherwise.
//!
//! Invariant: the answer to a waiting caller and the answer read later are the same.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::wire::UsageTotals;
use domain::{Failure, NanoUsd, Permission, RunId, RunStatus, TenantId};
use engine::Settled;
use entities::{JsonText, Scope, run, step};
use sea_orm::ColumnTrait;
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::bus::Live;
use super::start::Started;
use crate::{Actor, ServiceError, Weir, authz};

/// How often the rows are looked at while nothing is heard: for runs of other processes whose news were lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A run that is over.
#[derive(Debug, Clone, PartialEq)]
pub struct SettledRun {
    pub tenant: TenantId,
    pub run_id: RunId,
    pub flow: String,
    pub version: u32,
    pub created_at: DateTime<Utc>,
    pub settled: Settled,
}

/// What came of waiting.
#[derive(Debug, Clone, PartialEq)]
pub enum Waited {
    Settled(Arc<SettledRun>),
    /// Still going, suspended, or in need of a person.
    Pending {
        run_id: RunId,
        status: RunStatus,
    },
}

/// How long the end of a run may take to be told once it is over.
const LAST_WORD: Duration = Duration::from_secs(10);

/// Waits for a run that the caller started itself. A caller that has to come back finds the run then, whatever its flow says
/// about saving.
///
/// # Errors
/// [`ServiceError::Unavailable`] when the run was given up before it was durable.
pub async fn wait(weir: &Weir, started: Started, limit: Duration) -> Result<Waited, ServiceError> {
    wait_unless(weir, started, limit, &CancellationToken::new()).await
}

/// The same, until the limit or until `leave` says so.
///
/// # Errors
/// As [`wait`].
pub async fn wait_unless(
    weir: &Weir,
    started: Started,
    limit: Duration,
    leave: &CancellationToken,
) -> Result<Waited, ServiceError> {
    let Started { tenant, run_id, status, replayed, mut live, .. } = started;
    let waited = tokio::select! {
        waited = listen(weir, tenant, run_id, &mut live, limit, replayed) => waited?,
        () = leave.cancelled() => Waited::Pending { run_id, status },
    };
    weir.runs().served();
    if matches!(waited, Waited::Settled(_)) || kept_for_later(weir, tenant, run_id).await? {
        return Ok(waited);
    }
    // It came to its end in this very moment, and nothing but its answer is left of it.
    let waited = listen(weir, tenant, run_id, &mut live, LAST_WORD, false).await?;
    if matches!(waited, Waited::Pending { .. }) {
        return Err(ServiceError::internal(format!("{run_id} ended, and nobody said how")));
    }
    Ok(waited)
}

/// Makes a run durable that its caller is told to look for. False: it is over, and not kept.
async fn kept_for_later(weir: &Weir, tenant: TenantId, id: RunId) -> Result<bool, ServiceError> {
    if super::find_row(weir, tenant, id).await?.is_some() {
        return Ok(true);
    }
    let begun = weir.runs().find(id).map(|local| local.journal());
    if let Some(mut begun) = begun {
        let journal = begun.wait_for(Option::is_some).await.ok().and_then(|journal| journal.as_ref()?.upgrade());
        if let Some(journal) = journal {
            let kept = journal.keep_for_later().await;
            return kept.map_err(|error| ServiceError::Unavailable(format!("The run could not be kept: {error}.")));
        }
    }
    // It has just left this process: it is somebody else's, or nobody's any more.
    Ok(super::find_row(weir, tenant, id).await?.is_some())
}

/// Waits for any run that the actor may read.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn wait_for(weir: &Weir, actor: &Actor, id: RunId, limit: Duration) -> Result<Waited, ServiceError> {
    let mut live = weir.runs().bus().of_run(id);
    let row = super::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsRead, &row.flow_name)?;
    listen(weir, actor.tenant, id, &mut live, limit, true).await
}

async fn listen(
    weir: &Weir,
    tenant: TenantId,
    id: RunId,
    live: &mut Receiver<Live>,
    limit: Duration,
    look_first: bool,
) -> Result<Waited, ServiceError> {
    let deadline = tokio::time::Instant::now() + limit;
    let mut status = RunStatus::Running;
    let mut look = look_first;
    loop {
        // A run that is not written yet has no row: it executes here, and will be heard. Most are heard and never looked at.
        if look && let Some(found) = Box::pin(look_at(weir, tenant, id)).await? {
            match found {
                Waited::Pending { status: running @ (RunStatus::Queued | RunStatus::Running), .. } => status = running,
                settled_or_resting => return Ok(settled_or_resting),
            }
        }
        let next = tokio::time::Instant::now() + LOOK_EVERY;
        look = match tokio::time::timeout_at(next.min(deadline), live.recv()).await {
            Ok(Ok(Live::Settled(settled))) => return Ok(Waited::Settled(settled)),
            Ok(Ok(Live::Abandoned)) => {
                let text = "The run could not be kept, so nothing of it happened. Start it again.";
                return Err(ServiceError::Unavailable(text.to_owned()));
            }
            Ok(Ok(Live::Changed) | Err(RecvError::Lagged(_) | RecvError::Closed)) => true,
            Ok(Ok(Live::Events(_) | Live::Delta { .. } | Live::Progress { .. })) => false,
            Err(_) if tokio::time::Instant::now() >= deadline => return Ok(Waited::Pending { run_id: id, status }),
            // What runs here is heard from; only others' runs must be looked at.
            Err(_) => weir.runs().find(id).is_none(),
        };
    }
}

async fn look_at(weir: &Weir, tenant: TenantId, id: RunId) -> Result<Option<Waited>, ServiceError> {
    let Some(row) = super::find_row(weir, tenant, id).await? else { return Ok(None) };
    let status = RunStatus::parse(&row.status).unwrap_or(RunStatus::Running);
    if status.is_terminal() {
        return Ok(Some(Waited::Settled(Arc::new(of_row(weir, row).await?))));
    }
    Ok(Some(Waited::Pending { run_id: id, status }))
}

/// A terminal run's answer out of its rows.
pub(super) async fn of_row(weir: &Weir, row: run::Model) -> Result<SettledRun, ServiceError> {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let failed_attempt = match &row.failed_step {
        None => None,
        Some(name) => {
            let reader = weir.store().read(tenant).await?;
            let steps = reader.find::<step::Entity>().filter(step::Column::RunId.eq(row.id));
            let step = steps.filter(step::Column::Name.eq(name.as_str())).one().await?;
            step.and_then(|step| u32::try_from(step.attempts).ok()).filter(|attempts| *attempts > 0)
        }
    };
    let outputs = value(weir, tenant, row.outputs, row.outputs_blob).await?.unwrap_or(Value::Null);
    Ok(SettledRun {
        tenant,
        run_id: RunId::from_uuid(row.id),
        flow: row.flow_name,
        version: u32::try_from(row.version_number).unwrap_or_default(),
        created_at: row.created_at,
        settled: Settled {
            status: RunStatus::parse(&row.status).unwrap_or(RunStatus::Failed),
            outputs,
            error: failure(row.error.as_ref()),
            failed_step: row.failed_step,
            handler_errors: row.handler_errors.and_then(|errors| errors.read().ok()).unwrap_or_default(),
            failed_attempt,
            usage: usage(row.usage.as_ref()),
            cost: row.cost_nano_usd.map(NanoUsd),
        },
    })
}

pub(super) fn failure(stored: Option<&JsonText>) -> Option<Failure> {
    stored.and_then(|stored| stored.read().ok())
}

pub(super) fn usage(stored: Option<&JsonText>) -> UsageTotals {
    stored.and_then(|stored| stored.read().ok()).unwrap_or_default()
}

/// A value that is inline or in the blob store.
pub(super) async fn value(
    weir: &Weir,
    tenant: TenantId,
    inline: Option<JsonText>,
    blob: Option<uuid::Uuid>,
) -> Result<Option<Value>, ServiceError> {
    match (inline, blob) {
        (Some(inline), _) => Ok(Some(inline.into_inner())),
        (None, Some(blob)) => {
            let bytes = crate::blobs::get(weir, tenant, domain::BlobId::from_uuid(blob)).await?;
            serde_json::from_slice(&bytes).map(Some).map_err(ServiceError::internal)
        }
        (None, None) => Ok(None),
    }
}
