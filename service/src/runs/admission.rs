//! How a run gets into the queue: past its flow's limit, behind it, or not at all.
//!
//! Invariant: a run that was refused at a limit is not stored; one that waits behind it is, and is found again.

use domain::{RunId, RunStatus, TenantId};
use entities::{StoreError, Unit, run};
use language::plan::ConcurrencyPlan;
use serde_json::Value;

use super::execute::Job;
use super::slots::{self, Admission};
use super::start::Answer;
use super::unbegun;
use crate::flows::Resolved;
use crate::{ServiceError, Weir};

/// Puts a run into the queue that was not started by a call, with its audit entry.
pub(super) async fn queue(
    weir: &Weir,
    tenant: TenantId,
    mut row: run::Model,
    resolved: &Resolved,
    inputs: Value,
    audit: entities::audit::Model,
) -> Result<RunId, ServiceError> {
    limit(&mut row, resolved, &inputs)?;
    super::inputs::keep(weir, tenant, &mut row, &inputs).await?;
    let job = Job::new(weir, row, resolved, inputs);
    let (row, concurrency) = (run::Model::clone(&job.row), job.plan.concurrency.clone());
    let admitted = weir.store().write(tenant, |unit| async move {
        let admission = enqueue(&unit, row, concurrency.as_ref()).await?;
        unit.insert(audit).await?;
        Ok::<_, Refused>(admission)
    });
    admitted_now(weir, &job, admitted.await?).await;
    Ok(RunId::from_uuid(job.row.id))
}

/// Why a run was not made.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `on_limit: reject`.
    #[error("as many runs as may execute at once do so already")]
    AtLimit,
}

/// How long a caller is asked to wait before it tries again at a limit.
const RETRY_AT_LIMIT_MS: u64 = 1_000;

impl From<Refused> for ServiceError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Store(error) => error.into(),
            Refused::AtLimit => Self::RateLimited {
                detail: "As many runs of this flow as may execute at once do so already (`concurrency`).".to_owned(),
                retry_after_ms: RETRY_AT_LIMIT_MS,
            },
        }
    }
}

/// Puts a run into the queue, or behind its flow's limit.
pub(super) async fn enqueue(
    unit: &Unit,
    mut row: run::Model,
    concurrency: Option<&ConcurrencyPlan>,
) -> Result<Admission, Refused> {
    let admission = slots::admit(unit, &mut row, concurrency).await?;
    if admission == Admission::Refused {
        return Err(Refused::AtLimit);
    }
    unit.insert(row.clone()).await?;
    if admission == Admission::Queued {
        slots::hold(unit, &row).await?;
        unit.announce(super::listen::QUEUED);
    }
    Ok(admission)
}

/// What follows once a run is in the queue.
pub(super) async fn admitted_now(weir: &Weir, job: &Job, admission: Admission) {
    let (tenant, run) = (TenantId::from_uuid(job.row.tenant_id), RunId::from_uuid(job.row.id));
    match admission {
        Admission::Queued | Admission::Refused => weir.runs().wake(),
        Admission::Skipped => {
            let end = unbegun::End::new(RunStatus::Cancelled, slots::skipped());
            unbegun::settle(weir, &job.row, &job.plan, end).await;
        }
        Admission::Parked { replace: None } => {}
        Admission::Parked { replace: Some(oldest) } => {
            let by = format!("the newer run {run} (`on_limit: replace_oldest`)");
            // It may have ended by itself.
            if let Err(error) = super::cancel::request(weir, tenant, oldest, by, None).await {
                tracing::debug!(%error, run = %oldest, "the oldest run of a limit was not cancelled");
            }
        }
    }
    weir.runs().bus().tell_tenant(tenant, run);
}

/// The limit that the run counts under, into its row.
pub(super) fn limit(row: &mut run::Model, resolved: &Resolved, inputs: &Value) -> Result<(), ServiceError> {
    let limit = slots::limit_of(&resolved.plan, resolved.flow_id, inputs)
        .map_err(|failure| ServiceError::Invalid { detail: failure.message, fields: Vec::new() })?;
    if let Some((key, most)) = limit {
        row.slot_key = Some(key);
        row.slot_limit = Some(most);
    }
    Ok(())
}

/// A free place of this process's worker; none for a run that counts under a limit, which goes through the queue.
pub(super) async fn free_place(
    weir: &Weir,
    row: &run::Model,
    resolved: &Resolved,
    answer: Answer,
) -> Option<(std::sync::Arc<super::desk::Crew>, tokio::sync::OwnedSemaphorePermit)> {
    if row.slot_key.is_some() || resolved.max_running.is_some() {
        return None;
    }
    weir.runs().free_place(TenantId::from_uuid(row.tenant_id), answer == Answer::Wait).await
}
