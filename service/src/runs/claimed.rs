//! Runs that come to this process: entered so that what is sent to them finds them, and read out of the store when they
//! were claimed there.
//!
//! Invariant: a run is entered before its inbox is looked into, so nothing that comes for it is missed.

use std::sync::Arc;

use domain::{Failure, FailureKind, RunId, TenantId, VersionId};
use entities::{StoreError, run};
use serde_json::Value;

use super::desk::{Crew, Entered, LocalRun};
use super::execute::{Job, execute};
use super::inbox;
use super::leave::{End, finish};
use crate::{ServiceError, Weir};

/// Lets what comes for a run find it. Before a run is written, so that nothing that comes for it is missed.
pub(super) fn enter(weir: &Weir, crew: &Crew, row: &run::Model) -> Entered {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let local = Arc::new(LocalRun::new(tenant, row.flow_name.clone(), &crew.stop));
    weir.runs().enter(RunId::from_uuid(row.id), local)
}

/// Enters runs that were claimed. [`fetch_letters`] comes next: in this order nothing is missed.
pub(super) fn enter_claimed(weir: &Weir, crew: &Crew, rows: Vec<run::Model>) -> Vec<(Arc<run::Model>, Entered)> {
    let with_place = |row: run::Model| {
        let entered = enter(weir, crew, &row);
        (Arc::new(row), entered)
    };
    rows.into_iter().map(with_place).collect()
}

/// Looks what lies in the inboxes of runs that are entered.
pub(super) async fn fetch_letters(weir: &Weir, entered: &[(Arc<run::Model>, Entered)]) {
    if let Err(error) = try_fetch_letters(weir, entered).await {
        // Looked at again with the next renewal of the leases.
        tracing::warn!(%error, "the inboxes of claimed runs could not be read");
    }
}

async fn try_fetch_letters(weir: &Weir, entered: &[(Arc<run::Model>, Entered)]) -> Result<(), StoreError> {
    let all: Vec<(TenantId, RunId)> =
        entered.iter().map(|(row, _)| (TenantId::from_uuid(row.tenant_id), RunId::from_uuid(row.id))).collect();
    let with_letters = weir.store().system().await?.with_open_inbox(&all).await?;
    for (tenant, run) in with_letters {
        if let Some((_, entered)) = entered.iter().find(|(row, _)| row.id == run.uuid()) {
            inbox::fetch(weir, tenant, run, &entered.local).await?;
        }
    }
    Ok(())
}

/// Executes a run that was claimed out of the store.
pub(super) async fn execute_claimed(weir: Weir, crew: Arc<Crew>, row: Arc<run::Model>, entered: Entered) {
    match prepare(&weir, &row).await {
        Ok(job) => execute(weir, crew, job, entered, true).await,
        Err(error) => {
            tracing::error!(error = ?error, run = %RunId::from_uuid(row.id), "a claimed run could not be prepared");
            let end = if error.code().retryable() {
                End::Rest
            } else {
                End::Park(Failure::new(
                    FailureKind::Internal,
                    "run_unusable",
                    "The run's version or inputs cannot be read any more.",
                ))
            };
            finish(&weir, &row, end).await;
        }
    }
}

/// Reads what a claimed run needs.
async fn prepare(weir: &Weir, row: &Arc<run::Model>) -> Result<Job, ServiceError> {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let plan = crate::flows::plan(weir, tenant, VersionId::from_uuid(row.version_id)).await?;
    let inputs = super::wait::value(weir, tenant, row.inputs.clone(), row.inputs_blob).await?;
    let default_model = crate::flows::default_model(weir, tenant).await?;
    let store = weir.runs().store_for(weir.store(), RunId::from_uuid(row.id));
    Ok(Job { row: Arc::clone(row), plan, inputs: inputs.unwrap_or(Value::Null), default_model, store })
}
