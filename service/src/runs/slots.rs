//! Limits on what executes at once: places that are leases, and runs that are parked behind a limit.
//!
//! Invariant: whoever counts, takes, gives back or parks under a limit holds its lock, so no place is given twice and no
//! parked run is forgotten; a place lasts as long as its holder's lease. A queue at its limit is parked, not scanned.

use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, FlowId, RunId, RunStatus, TenantId};
use engine::template::limit_key;
use entities::{Scope as _, StoreError, Unit, run, slot};
use language::Plan;
use language::plan::{ConcurrencyPlan, OnLimit};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, QuerySelect};
use serde_json::Value;

use super::{far_future, step_slots};
use crate::flows::Resolved;
use crate::{ServiceError, Weir};

/// What becomes of a new run at its flow's limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Admission {
    /// There is room, or no limit.
    Queued,
    /// It waits behind the limit. The run named is to end for it.
    Parked {
        replace: Option<RunId>,
    },
    Refused,
    Skipped,
}

/// The limit that a run of this plan counts under, by the rendered key.
///
/// # Errors
/// A fault of the flow: the key's template.
pub(super) fn limit_of(plan: &Plan, flow: FlowId, inputs: &Value) -> Result<Option<(String, i32)>, Failure> {
    let Some(concurrency) = &plan.concurrency else { return Ok(None) };
    let key = match &concurrency.key {
        Some(template) => limit_key(template, plan.name.as_deref().unwrap_or_default(), inputs)?,
        None => String::new(),
    };
    let limit = i32::try_from(concurrency.limit).unwrap_or(i32::MAX);
    Ok(Some((format!("flow:{flow}:{key}"), limit)))
}

/// Decides over a new run, in the unit that makes it. The row is changed to what it will be.
pub(super) async fn admit(
    unit: &Unit,
    row: &mut run::Model,
    plan: Option<&ConcurrencyPlan>,
) -> Result<Admission, StoreError> {
    let (Some(key), Some(limit), Some(plan)) = (row.slot_key.clone(), row.slot_limit, plan) else {
        return Ok(Admission::Queued);
    };
    unit.lock(&key).await?;
    let now = row.created_at;
    // Who is let in takes its place in the same unit, so whoever waits already is not overtaken.
    if held(unit, &key, now).await? < i64::from(limit) {
        return Ok(Admission::Queued);
    }
    match plan.on_limit {
        OnLimit::Reject => return Ok(Admission::Refused),
        OnLimit::Skip => {
            row.available_at = far_future();
            return Ok(Admission::Skipped);
        }
        OnLimit::Queue | OnLimit::ReplaceOldest => {}
    }
    let deadline = plan
        .max_wait_ms
        .and_then(|wait| i64::try_from(wait).ok())
        .map(|wait| now + chrono::Duration::milliseconds(wait));
    row.parked_for = Some(key.clone());
    row.queue_deadline = deadline;
    row.available_at = deadline.unwrap_or_else(far_future);
    let replace = match plan.on_limit {
        OnLimit::ReplaceOldest => oldest(unit, &key, now).await?,
        _ => None,
    };
    Ok(Admission::Parked { replace })
}

/// Takes the new run's place, once its row is there. Until it is claimed the place has no end: the row is in the queue,
/// and whoever claims it gives the place its lease.
pub(super) async fn hold(unit: &Unit, row: &run::Model) -> Result<(), StoreError> {
    match &row.slot_key {
        Some(key) if row.parked_for.is_none() => take(unit, key, row.id, row.created_at, far_future()).await,
        _ => Ok(()),
    }
}

/// What a claimed run finds at its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Entered,
    /// Parked; the lease is given back.
    Parked,
    /// It waited as long as it may.
    Overdue,
    /// Another has the run.
    Lost,
}

/// Takes the place of a claimed run, or parks it.
pub(super) async fn enter(unit: &Unit, row: &run::Model, now: DateTime<Utc>) -> Result<Entry, StoreError> {
    use run::Column as C;
    let (Some(key), Some(limit)) = (&row.slot_key, row.slot_limit) else { return Ok(Entry::Entered) };
    unit.lock(key).await?;
    let mine = || Condition::all().add(C::Id.eq(row.id)).add(C::FencingToken.eq(row.fencing_token));
    let others = held_by_others(unit, key, (row.id, ""), now).await?;
    if others < i64::from(limit) {
        take(unit, key, row.id, now, row.lease_until.unwrap_or(now)).await?;
        let changed = unit
            .update::<run::Entity>()
            .set(C::ParkedFor, None::<String>)
            .set(C::QueueDeadline, None::<DateTime<Utc>>)
            .filter(mine())
            .exec()
            .await?;
        return Ok(if changed == 1 { Entry::Entered } else { Entry::Lost });
    }
    if row.queue_deadline.is_some_and(|deadline| deadline <= now) && row.event_position == 0 {
        return Ok(Entry::Overdue);
    }
    let changed = unit
        .update::<run::Entity>()
        .set(C::Status, RunStatus::Queued.as_str())
        .set(C::ParkedFor, Some(key.clone()))
        .set(C::AvailableAt, row.queue_deadline.unwrap_or_else(far_future))
        .set(C::LeaseOwner, None::<String>)
        .set(C::LeaseUntil, None::<DateTime<Utc>>)
        .set(C::Claims, (row.claims - 1).max(0))
        .filter(mine())
        .exec()
        .await?;
    Ok(if changed == 1 { Entry::Parked } else { Entry::Lost })
}

/// Gives back every place that a run holds, and lets the next ones in. With `over`, its steps leave their lines too.
pub(super) async fn leave(unit: &Unit, run: uuid::Uuid, now: DateTime<Utc>, over: bool) -> Result<(), StoreError> {
    let mut held = unit.find::<slot::Entity>().filter(slot::Column::RunId.eq(run));
    if !over {
        held = held.filter(slot::Column::Waiting.eq(false));
    }
    for place in held.order_by_asc(slot::Column::SlotKey).all().await? {
        free(unit, &place, now).await?;
    }
    Ok(())
}

/// Gives back what a worker that is gone held for attempts of this run.
pub(super) async fn forget_attempts(unit: &Unit, run: uuid::Uuid, now: DateTime<Utc>) -> Result<(), StoreError> {
    let held = unit.find::<slot::Entity>().filter(slot::Column::RunId.eq(run)).filter(slot::Column::Step.ne(""));
    let held = held.filter(slot::Column::Waiting.eq(false)).order_by_asc(slot::Column::SlotKey);
    for place in held.all().await? {
        free(unit, &place, now).await?;
    }
    Ok(())
}

async fn free(unit: &Unit, place: &slot::Model, now: DateTime<Utc>) -> Result<(), StoreError> {
    if place.step.is_empty() {
        give_back(unit, place, now).await
    } else {
        step_slots::give_back(unit, place, now).await
    }
}

/// Gives one place back, and lets the next ones in.
async fn give_back(unit: &Unit, place: &slot::Model, now: DateTime<Utc>) -> Result<(), StoreError> {
    unit.lock(&place.slot_key).await?;
    unit.delete::<slot::Entity>()
        .filter(slot::Column::SlotKey.eq(place.slot_key.as_str()))
        .filter(slot::Column::RunId.eq(place.run_id))
        .filter(slot::Column::Step.eq(place.step.as_str()))
        .exec()
        .await?;
    let next = unpark(unit, &place.slot_key, 1, now).await?;
    if next > 0 {
        unit.announce(super::listen::QUEUED);
    }
    Ok(())
}

/// Frees places whose holders are gone.
pub(super) async fn free_expired(weir: &Weir) -> Result<(), StoreError> {
    const AT_ONCE: u64 = 100;
    let now = weir.now();
    let expired = weir.store().system().await?.expired_slots(now, AT_ONCE).await?;
    let any = !expired.is_empty();
    for place in expired {
        let freed = weir.store().write(TenantId::from_uuid(place.tenant_id), move |unit| async move {
            unit.lock(&place.slot_key).await?;
            let places = unit.find::<slot::Entity>().filter(slot::Column::SlotKey.eq(place.slot_key.as_str()));
            let place =
                places.filter(slot::Column::RunId.eq(place.run_id)).filter(slot::Column::Step.eq(place.step.as_str()));
            match place.one().await? {
                // Its holder, or another worker that took the run up, may have come back.
                Some(place) if place.until <= now => free(&unit, &place, now).await,
                _ => Ok::<_, StoreError>(()),
            }
        });
        freed.await?;
    }
    if any {
        weir.runs().offer_slots();
        weir.runs().wake();
    }
    Ok(())
}

/// Hands places to runs that wait behind a limit, in the order they came. Says how many.
pub(super) async fn unpark(unit: &Unit, key: &str, most: u64, now: DateTime<Utc>) -> Result<u64, StoreError> {
    use run::Column as C;
    let next: Vec<(uuid::Uuid,)> = unit
        .find::<run::Entity>()
        .filter(C::ParkedFor.eq(key))
        .order_by_asc(C::Priority)
        .order_by_asc(C::Id)
        .limit(most)
        .with(|select| select.select_only().column(C::Id))
        .tuples()
        .await?;
    if next.is_empty() {
        return Ok(0);
    }
    for (run,) in &next {
        take(unit, key, *run, now, far_future()).await?;
    }
    unit.update::<run::Entity>()
        .set(C::ParkedFor, None::<String>)
        // Its place in the queue is the one that it came with.
        .set_expression(C::AvailableAt, Expr::col(C::CreatedAt))
        .filter(C::Id.is_in(next.into_iter().map(|(id,)| id)))
        .exec()
        .await
}

/// Units that are held under a limit.
pub(super) async fn held(unit: &impl entities::Scope, key: &str, now: DateTime<Utc>) -> Result<i64, StoreError> {
    held_by_others(unit, key, (uuid::Uuid::nil(), ""), now).await
}

/// Units that others hold than this step of this run; without a step's name, than the run itself.
pub(super) async fn held_by_others(
    unit: &impl entities::Scope,
    key: &str,
    (run, step): (uuid::Uuid, &str),
    now: DateTime<Utc>,
) -> Result<i64, StoreError> {
    let places = holders(unit, key, now).await?;
    let others = places.iter().filter(|place| place.run_id != run || place.step != step);
    Ok(others.map(|place| i64::from(place.units)).sum())
}

/// Who holds places under a limit, the longest first.
pub(super) async fn holders(
    scope: &impl entities::Scope,
    key: &str,
    now: DateTime<Utc>,
) -> Result<Vec<slot::Model>, StoreError> {
    let held = scope.find::<slot::Entity>().filter(slot::Column::SlotKey.eq(key)).filter(slot::Column::Until.gt(now));
    held.filter(slot::Column::Waiting.eq(false)).order_by_asc(slot::Column::TakenAt).all().await
}

async fn oldest(unit: &Unit, key: &str, now: DateTime<Utc>) -> Result<Option<RunId>, StoreError> {
    Ok(holders(unit, key, now).await?.first().map(|place| RunId::from_uuid(place.run_id)))
}

async fn take(
    unit: &Unit,
    key: &str,
    run: uuid::Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(), StoreError> {
    use slot::Column as C;
    let place = slot::Model {
        tenant_id: unit.tenant().uuid(),
        slot_key: key.to_owned(),
        run_id: run,
        step: String::new(),
        units: 1,
        taken_at: now,
        until,
        waiting: false,
    };
    unit.upsert_all(vec![place], &[C::TenantId, C::SlotKey, C::RunId, C::Step], &[C::Until]).await
}

/// How full the limit of a call is now.
pub(crate) struct AtLimit {
    pub(crate) held: i64,
    pub(crate) most: i32,
}

/// How full the limit is that a call with these inputs would count under.
pub(crate) async fn at_limit(
    weir: &Weir,
    tenant: TenantId,
    resolved: &Resolved,
    inputs: &Value,
) -> Result<Option<AtLimit>, ServiceError> {
    let limit = limit_of(&resolved.plan, resolved.flow_id, inputs);
    let Some((key, most)) = limit.map_err(|failure| ServiceError::BadRequest(failure.message))? else {
        return Ok(None);
    };
    let reader = weir.store().read(tenant).await?;
    Ok(Some(AtLimit { held: held(&reader, &key, weir.now()).await?, most }))
}

/// Root runs of a tenant that execute now.
pub(crate) async fn executing(weir: &Weir, tenant: TenantId) -> Result<u64, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let running = reader.find::<run::Entity>().filter(run::Column::Status.eq(RunStatus::Running.as_str()));
    Ok(running.filter(run::Column::Depth.eq(0)).count().await?)
}

/// Why a run that was never begun ended at its limit.
pub(super) fn skipped() -> Failure {
    let message =
        "As many runs of this flow as may execute at once did so already, and the flow says `on_limit: skip`.";
    Failure::new(FailureKind::Cancelled, "concurrency_skipped", message)
}

pub(super) fn overdue() -> Failure {
    let message = "The run waited behind the flow's `concurrency` limit as long as its `max_wait` allows. Try again later, or raise the limit.";
    Failure::new(FailureKind::RateLimited, "queue_timeout", message)
}
