//! Slots for attempts of steps: a pool's units, a step's `concurrency`, one maker a cached output, on the store.
//!
//! Invariant: whoever counts, takes or gives back under a limit holds its lock; who came later does not overtake who
//! stands in line; a run that was given back to the queue while it stands in line is woken when there is room for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use engine::event::LimitKind;
use engine::ports::{PortError, SlotAnswer, SlotLimit, SlotRequest, Slots};
use entities::{Scope as _, StoreError, Unit, run, slot, tenant};
use sea_orm::{ColumnTrait, QuerySelect};

use super::desk::LocalRun;
use super::far_future;
use super::journal::RunJournal;
use super::slots::held_by_others;
use crate::Weir;

/// Runs that are woken for one freed place.
const WOKEN: usize = 20;

/// The slots of one run.
pub(super) struct RunSlots {
    pub(super) weir: Weir,
    pub(super) tenant: TenantId,
    pub(super) run: RunId,
    pub(super) lease: chrono::Duration,
    pub(super) journal: Arc<RunJournal>,
    pub(super) local: Arc<LocalRun>,
}

/// A limit as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Wanted {
    key: String,
    kind: LimitKind,
    units: i32,
    most: Option<i32>,
}

#[async_trait]
impl Slots for RunSlots {
    async fn take(&self, request: SlotRequest) -> Result<SlotAnswer, PortError> {
        // The slot's row points at the run's.
        self.journal.ensure_written().await?;
        let (run, now) = (self.run.uuid(), self.weir.now());
        let asker = name(&request.step, request.item);
        let mut wanted: Vec<Wanted> = request.limits.iter().map(stored).collect();
        // In one order everywhere, so that no two wait for each other's locks.
        wanted.sort();
        let until = now + self.lease;
        let taken = self.weir.store().write(self.tenant, move |unit| async move {
            let answer = take(&unit, run, &asker, wanted, now, until).await?;
            Ok::<_, StoreError>(answer)
        });
        let (answer, moved) = taken.await.map_err(|error| PortError::Unavailable(error.to_string()))?;
        if moved {
            self.weir.runs().offer_slots();
        }
        Ok(answer)
    }

    async fn give_back(&self, step: &str, item: Option<u32>) -> Result<(), PortError> {
        let (run, asker, now) = (self.run.uuid(), name(step, item), self.weir.now());
        let given = self.weir.store().write(self.tenant, move |unit| async move {
            let rows = unit.find::<slot::Entity>().filter(slot::Column::RunId.eq(run));
            let rows = rows.filter(slot::Column::Step.eq(asker)).order_by_asc(slot::Column::SlotKey).all().await?;
            for row in rows {
                give_back(&unit, &row, now).await?;
            }
            Ok::<_, StoreError>(())
        });
        given.await.map_err(|error| PortError::Unavailable(error.to_string()))?;
        self.weir.runs().offer_slots();
        Ok(())
    }

    async fn offered(&self) {
        self.local.offers.notified().await;
    }
}

/// `step`, or `step#3` for an item.
fn name(step: &str, item: Option<u32>) -> String {
    item.map_or_else(|| step.to_owned(), |item| format!("{step}#{item}"))
}

fn stored(limit: &SlotLimit) -> Wanted {
    let kind = match limit.kind {
        LimitKind::Pool => "pool",
        LimitKind::Step => "step",
        LimitKind::Connection => "connection",
        LimitKind::Cache => "cache",
    };
    let count = |units: u32| i32::try_from(units).unwrap_or(i32::MAX);
    Wanted {
        key: format!("{kind}:{}", limit.key),
        kind: limit.kind,
        units: count(limit.units),
        most: limit.most.map(count),
    }
}

/// The answer, and whether the asker left a line: others may have moved up then.
async fn take(
    unit: &Unit,
    run: uuid::Uuid,
    asker: &str,
    wanted: Vec<Wanted>,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<(SlotAnswer, bool), StoreError> {
    let own = unit.find::<slot::Entity>().filter(slot::Column::RunId.eq(run)).filter(slot::Column::Step.eq(asker));
    let own = own.order_by_asc(slot::Column::SlotKey).all().await?;
    let is_mine = |limit: &Wanted| own.iter().any(|row| row.slot_key == limit.key && !row.waiting && row.until > now);
    if wanted.iter().all(is_mine) {
        return Ok((SlotAnswer::Taken, false));
    }
    let mut full = None;
    for limit in &wanted {
        unit.lock(&limit.key).await?;
        let most = match limit.most {
            Some(most) => most,
            None => match units_of(unit, limit).await? {
                Ok(most) => most,
                Err(failure) => return Ok((SlotAnswer::Refused(failure), false)),
            },
        };
        let line = line(unit, &limit.key).await?;
        let mine = |row: &&slot::Model| row.run_id == run && row.step == asker;
        let ahead = line.iter().take_while(|row| !mine(row)).map(|row| i64::from(row.units)).sum::<i64>();
        let held = held_by_others(unit, &limit.key, (run, asker), now).await?;
        if held + ahead + i64::from(limit.units) > i64::from(most) {
            full = Some((limit, line.into_iter().find(|row| mine(&row))));
            break;
        }
    }
    let row = |limit: &Wanted, since, until, waiting| slot::Model {
        tenant_id: unit.tenant().uuid(),
        slot_key: limit.key.clone(),
        run_id: run,
        step: asker.to_owned(),
        units: limit.units,
        taken_at: since,
        until,
        waiting,
    };
    let (rows, answer) = match full {
        None => (wanted.iter().map(|limit| row(limit, now, until, false)).collect(), SlotAnswer::Taken),
        Some((limit, waiting)) => {
            // Who moves from one line to another keeps the time that it came at.
            let since = waiting.or_else(|| own.iter().find(|row| row.waiting).cloned()).map_or(now, |row| row.taken_at);
            (vec![row(limit, since, far_future(), true)], SlotAnswer::Full(limit.kind))
        }
    };
    let stays = |old: &slot::Model| rows.iter().any(|new: &slot::Model| new.slot_key == old.slot_key);
    // Whoever stood behind it in a line that it leaves may have room now. These keys are locked, or come after those that are.
    let mut moved = false;
    for gone in own.iter().filter(|old| !stays(old)) {
        give_back(unit, gone, now).await?;
        moved = true;
    }
    let served = answer == SlotAnswer::Taken && own.iter().any(|row| row.waiting);
    use slot::Column as C;
    let changing = [C::Units, C::TakenAt, C::Until, C::Waiting];
    unit.upsert_all(rows, &[C::TenantId, C::SlotKey, C::RunId, C::Step], &changing).await?;
    for limit in wanted.iter().filter(|_| served) {
        wake_line(unit, &limit.key, now).await?;
    }
    Ok((answer, moved || served))
}

/// The size of a pool by the tenant's settings.
async fn units_of(unit: &Unit, limit: &Wanted) -> Result<Result<i32, Failure>, StoreError> {
    let fault = |code: &str, message: String| Ok(Err(Failure::new(FailureKind::Flow, code, message)));
    let pool = limit.key.strip_prefix("pool:").unwrap_or(&limit.key);
    let Some(most) = pool_size(unit, pool).await? else {
        let message = format!(
            "There is no pool `{pool}`. Give it units in the tenant's settings: `PATCH /api/v1/tenant` with \
             `{{\"pools\": {{\"{pool}\": 4}}}}`."
        );
        return fault("unknown_pool", message);
    };
    if limit.units > most {
        let message = format!("{} units of pool `{pool}` are wanted, and it has {most}.", limit.units);
        return fault("pool_too_small", message);
    }
    Ok(Ok(most))
}

async fn pool_size(unit: &impl entities::Scope, pool: &str) -> Result<Option<i32>, StoreError> {
    let pools = unit.find::<tenant::Entity>().one().await?.and_then(|tenant| tenant.pools);
    let pools: BTreeMap<String, i32> = pools.and_then(|pools| pools.read().ok()).unwrap_or_default();
    Ok(pools.get(pool).copied())
}

/// Who stands in line under a limit, first come first.
async fn line(scope: &impl entities::Scope, key: &str) -> Result<Vec<slot::Model>, StoreError> {
    let rows =
        scope.find::<slot::Entity>().filter(slot::Column::SlotKey.eq(key)).filter(slot::Column::Waiting.eq(true));
    let rows = rows.order_by_asc(slot::Column::TakenAt).order_by_asc(slot::Column::RunId);
    rows.order_by_asc(slot::Column::Step).all().await
}

/// Gives back what a step's attempt held or waited for, and wakes the next in line.
pub(super) async fn give_back(unit: &Unit, place: &slot::Model, now: DateTime<Utc>) -> Result<(), StoreError> {
    unit.lock(&place.slot_key).await?;
    remove(unit, place).await?;
    wake_line(unit, &place.slot_key, now).await
}

/// Lets those ask again who stand first in a line. Who calls this holds the limit's lock.
async fn wake_line(unit: &Unit, key: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
    let next = line(unit, key).await?;
    let mut runs: Vec<uuid::Uuid> = next.iter().map(|row| row.run_id).take(WOKEN).collect();
    runs.dedup();
    if runs.is_empty() {
        return Ok(());
    }
    use run::Column as C;
    // Those that execute hear of it themselves, and their rows are not to be waited for here.
    let resting = unit.find::<run::Entity>().filter(C::Id.is_in(runs)).filter(C::LeaseOwner.is_null());
    let resting = resting.filter(C::Status.eq(RunStatus::Queued.as_str())).filter(C::AvailableAt.gt(now));
    let resting: Vec<(uuid::Uuid,)> = resting.with(|select| select.select_only().column(C::Id)).tuples().await?;
    if !resting.is_empty() {
        let ids = resting.into_iter().map(|(id,)| id);
        unit.update::<run::Entity>().set(C::AvailableAt, now).filter(C::Id.is_in(ids)).exec().await?;
    }
    unit.announce(super::listen::SLOTS);
    unit.announce(super::listen::QUEUED);
    Ok(())
}

async fn remove(unit: &Unit, place: &slot::Model) -> Result<(), StoreError> {
    unit.delete::<slot::Entity>()
        .filter(slot::Column::SlotKey.eq(place.slot_key.as_str()))
        .filter(slot::Column::RunId.eq(place.run_id))
        .filter(slot::Column::Step.eq(place.step.as_str()))
        .exec()
        .await?;
    Ok(())
}

/// Whether a run that is being given back need not wait: there came room for it since it asked.
pub(super) async fn may_go_on(unit: &Unit, run: uuid::Uuid, now: DateTime<Utc>) -> Result<bool, StoreError> {
    let mine = unit.find::<slot::Entity>().filter(slot::Column::RunId.eq(run)).filter(slot::Column::Waiting.eq(true));
    for place in mine.order_by_asc(slot::Column::SlotKey).all().await? {
        unit.lock(&place.slot_key).await?;
        let held = held_by_others(unit, &place.slot_key, (run, &place.step), now).await?;
        let line = line(unit, &place.slot_key).await?;
        let first = line.first().is_some_and(|row| row.run_id == run && row.step == place.step);
        // Who is first and finds nothing held can go on whatever the limit; more is found out by asking.
        let most = match place.slot_key.strip_prefix("pool:") {
            Some(pool) => pool_size(unit, pool).await?.unwrap_or_default(),
            None => 1,
        };
        if first && (held == 0 || held + i64::from(place.units) <= i64::from(most)) {
            return Ok(true);
        }
    }
    Ok(false)
}
