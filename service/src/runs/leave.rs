//! How runs leave this process without being settled: suspended, given back, or parked for a person.
//!
//! Invariant: what came for a run meanwhile is not slept over: whoever brings something locks the run's row, and so does
//! whoever lets it rest.

use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use entities::{JsonText, RunUpdate, Scope as _, StoreError, WholeRun, run};
use sea_orm::ColumnTrait;

use super::bus::Live;
use super::{children, inbox, slots, step_slots};
use crate::Weir;

/// How long a run rests after a fault of ours.
const REST: chrono::Duration = chrono::Duration::seconds(2);

/// How a run leaves this process without being settled.
pub(super) enum End {
    /// Until a time, something from outside, or the end of one of these children.
    Suspend(RunStatus, Option<DateTime<Utc>>, Vec<RunId>),
    /// This worker stops; the run did nothing wrong.
    GiveBack,
    /// A fault of ours: tried again soon, and counted.
    Rest,
    /// A person is needed.
    Park(Failure),
}

/// Gives the lease back. If even that fails, the lease runs out by itself.
pub(super) async fn finish(weir: &Weir, row: &run::Model, end: End) {
    let (tenant, run_id) = (TenantId::from_uuid(row.tenant_id), RunId::from_uuid(row.id));
    let kept = match suspend_undisturbed(weir, row, &end).await {
        // Something came for it, it holds places, or another has it: then each is looked at.
        Err(StoreError::Stale) => give_back(weir, row, end).await,
        kept => kept,
    };
    if let Err(error) = kept {
        tracing::error!(%error, run = %run_id, "a lease could not be given back; it runs out");
    }
    weir.runs().bus().tell(run_id, Live::Changed);
    weir.runs().bus().tell_tenant(tenant, run_id);
    weir.runs().offer_slots();
}

/// What most runs that wait need, in one statement. [`StoreError::Stale`]: it takes more than that.
async fn suspend_undisturbed(weir: &Weir, row: &run::Model, end: &End) -> Result<(), StoreError> {
    use run::Column as C;
    let End::Suspend(status, wake_at, children) = end else { return Err(StoreError::Stale) };
    // What takes more is not even tried: a statement that finds it so has those beside it tried again.
    if *status == RunStatus::Queued || !children.is_empty() || row.slot_key.is_some() {
        return Err(StoreError::Stale);
    }
    let mut suspended = row.clone();
    (suspended.lease_owner, suspended.lease_until, suspended.claims) = (None, None, 0);
    status.as_str().clone_into(&mut suspended.status);
    suspended.available_at = wake_at.unwrap_or_else(super::far_future);
    let rows = WholeRun::of(suspended, super::listen::changed(row.tenant_id, row.id));
    let columns = vec![C::Status, C::AvailableAt, C::Claims, C::LeaseOwner, C::LeaseUntil];
    let update = RunUpdate { undisturbed: true, ..RunUpdate::of(rows, columns) };
    weir.store().update_run(TenantId::from_uuid(row.tenant_id), update).await
}

async fn give_back(weir: &Weir, row: &run::Model, end: End) -> Result<(), StoreError> {
    let now = weir.now();
    let (id, token) = (row.id, row.fencing_token);
    weir.store()
        .write(TenantId::from_uuid(row.tenant_id), move |unit| async move {
            use run::Column as C;
            let mine = || sea_orm::Condition::all().add(C::Id.eq(id)).add(C::FencingToken.eq(token));
            let Some(current) = unit.find::<run::Entity>().filter(mine()).for_update().one().await? else {
                return Ok(());
            };
            let mut update = unit
                .update::<run::Entity>()
                .set(C::LeaseOwner, None::<String>)
                .set(C::LeaseUntil, None::<DateTime<Utc>>)
                .filter(mine());
            let (status, available_at) = match end {
                // A wish to cancel that came meanwhile must not be slept over, nor anything else from outside.
                End::Suspend(..) if current.cancel_requested_at.is_some() || inbox::has_open(&unit, id).await? => {
                    (RunStatus::Queued, now)
                }
                // So must the end of a child that came meanwhile.
                End::Suspend(_, _, children) if children::any_is_over(&unit, &children).await? => {
                    update = update.set(C::Claims, 0);
                    (RunStatus::Queued, now)
                }
                End::Suspend(RunStatus::Queued, ..) if step_slots::may_go_on(&unit, id, now).await? => {
                    update = update.set(C::Claims, 0);
                    (RunStatus::Queued, now)
                }
                End::Suspend(status, wake_at, _) => {
                    // Whoever suspends it has not been killed by it.
                    update = update.set(C::Claims, 0);
                    (status, wake_at.unwrap_or_else(super::far_future))
                }
                End::GiveBack => {
                    update = update.set(C::Claims, (current.claims - 1).max(0));
                    (RunStatus::Queued, now)
                }
                End::Rest => (RunStatus::Queued, now + REST),
                End::Park(failure) => {
                    update = update.set(C::Error, Some(JsonText::of(&failure))).set(C::Claims, 0);
                    (RunStatus::NeedsAttention, super::far_future())
                }
            };
            update.set(C::Status, status.as_str()).set(C::AvailableAt, available_at).exec().await?;
            // Only what executes counts under a limit.
            slots::leave(&unit, id, now, false).await?;
            unit.announce(&super::listen::changed(current.tenant_id, id));
            Ok(())
        })
        .await
}

/// Leaves a run until a person acts on it.
pub(super) async fn park_for_a_person(weir: &Weir, row: &run::Model, status: RunStatus) {
    finish(weir, row, End::Suspend(status, None, Vec::new())).await;
}

/// A run that keeps killing its workers.
pub(super) fn killer(times: i32) -> Failure {
    let message = format!(
        "{times} workers stopped while they executed this run, and none of them settled a step. Look at the step that \
         was running, then cancel the run or start it anew."
    );
    Failure::new(FailureKind::Internal, "worker_killed", message)
}
