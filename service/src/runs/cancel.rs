//! Cancelling a run: a wish in the row, heard by whoever executes it.
//!
//! Invariant: the wish is durable before it is acknowledged; only the engine settles a run, so a cancelled one has its
//! journal like any other.

use domain::{Permission, RunId, RunStatus, TenantId};
use entities::{Scope, StoreError, run};
use sea_orm::ColumnTrait;
use serde_json::json;

use crate::{Actor, ServiceError, Weir, audit, authz};

/// The longest reason, in characters.
const REASON: usize = 500;

/// Asks a run to end. Gives the status it had; it settles as `cancelled` once running attempts have had their grace.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Conflict`] for a run that is over.
pub async fn cancel(weir: &Weir, actor: &Actor, id: RunId, reason: Option<&str>) -> Result<RunStatus, ServiceError> {
    let row = super::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsCancel, &row.flow_name)?;
    let reason = crate::text::column(reason.unwrap_or_default(), REASON);
    let entry = audit::Entry {
        action: "run.cancelled",
        target_kind: "run",
        target_id: Some(id.to_string()),
        target_name: &row.flow_name,
        data: json!({ "reason": reason }),
    };
    let by = if reason.is_empty() { actor.name().to_owned() } else { format!("{}: {reason}", actor.name()) };
    request(weir, actor.tenant, id, by, Some(audit::row(weir, actor, entry))).await
}

/// Ends a run whose caller went away, where its flow says so (`endpoint.on_disconnect: cancel`). The platform cancels on
/// the flow's word; the caller need not hold the permission.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Conflict`] for a run that is over.
pub async fn abandon(weir: &Weir, tenant: TenantId, id: RunId) -> Result<(), ServiceError> {
    const REASON: &str = "the caller went away";
    let actor = Actor::system(tenant, "on_disconnect");
    match cancel(weir, &actor, id, Some(REASON)).await {
        // A run that is written when it is over: whoever executes it is all there is of it.
        Err(ServiceError::NotFound { .. }) if weir.runs().find(id).is_some() => {
            if let Some(local) = weir.runs().find(id) {
                local.cancel(Some(format!("{}: {REASON}", actor.name())));
            }
            Ok(())
        }
        cancelled => cancelled.map(|_| ()),
    }
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("absent")]
    Absent,
    #[error("over")]
    Over(RunStatus),
}

/// Writes the wish down and passes it on.
pub(super) async fn request(
    weir: &Weir,
    tenant: TenantId,
    id: RunId,
    by: String,
    audit: Option<entities::audit::Model>,
) -> Result<RunStatus, ServiceError> {
    let now = weir.now();
    let named = by.clone();
    let kept = weir.store().write(tenant, move |unit| async move {
        use run::Column as C;
        let row = unit.find::<run::Entity>().filter(C::Id.eq(id.uuid())).for_update().one().await?;
        let row = row.ok_or(Refused::Absent)?;
        let status = RunStatus::parse(&row.status).unwrap_or(RunStatus::Running);
        if status.is_terminal() {
            return Err(Refused::Over(status));
        }
        if row.cancel_requested_at.is_some() {
            return Ok(status);
        }
        let mut update = unit
            .update::<run::Entity>()
            .set(C::CancelRequestedAt, Some(now))
            .set(C::CancelReason, Some(by))
            .filter(C::Id.eq(id.uuid()));
        if row.lease_owner.is_none() {
            // Nobody executes it: a worker takes it up, to end it.
            update = update.set(C::Status, RunStatus::Queued.as_str()).set(C::AvailableAt, now).set(C::Claims, 0);
            update = update.set(C::ParkedFor, None::<String>);
        }
        update.exec().await?;
        if let Some(audit) = audit {
            unit.insert(audit).await?;
        }
        unit.announce(&super::listen::cancelled(tenant.uuid(), id.uuid()));
        Ok(status)
    });
    let status = match kept.await {
        Ok(status) => status,
        Err(Refused::Store(error)) => return Err(error.into()),
        Err(Refused::Absent) => return Err(ServiceError::not_found("run", id)),
        Err(Refused::Over(status)) => {
            return Err(ServiceError::Conflict(format!("The run is over already: it is `{status}`.")));
        }
    };
    match weir.runs().find(id) {
        Some(local) => local.cancel(Some(named)),
        None => weir.runs().wake(),
    }
    weir.runs().bus().tell_tenant(tenant, id);
    Ok(status)
}
