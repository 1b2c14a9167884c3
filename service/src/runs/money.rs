//! The money accounts of runs with a cap, on the store.
//!
//! Invariant: what is set aside and what is spent never exceed a cap together; a reservation is taken in all accounts or in
//! none; what a lost worker had set aside counts as spent, because nobody knows what became of it.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{NanoUsd, RunId, TenantId, VersionId};
use engine::ports::{Money, OverCap, PortError, Reserved};
use entities::{Scope as _, StoreError, Unit, account, run};
use language::Plan;
use sea_orm::ColumnTrait;

use super::journal::RunJournal;
use crate::{ServiceError, Weir};

/// One account and what it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cap {
    run: uuid::Uuid,
    nano_usd: i64,
}

/// The accounts that a run's attempts are paid from.
pub(super) struct RunMoney {
    weir: Weir,
    tenant: TenantId,
    caps: Vec<Cap>,
    journal: Arc<RunJournal>,
}

/// The accounts of a run: its own, where its flow has a cap, and its root's.
pub(super) async fn of_run(
    weir: &Weir,
    row: &run::Model,
    plan: &Plan,
    journal: &Arc<RunJournal>,
) -> Result<Option<Arc<dyn Money>>, ServiceError> {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let mut caps = Vec::new();
    if row.depth > 0 {
        let root = super::row(weir, tenant, RunId::from_uuid(row.root_run_id)).await?;
        let plan = crate::flows::plan(weir, tenant, VersionId::from_uuid(root.version_id)).await?;
        caps.extend(plan.max_cost.map(|cap| Cap { run: root.id, nano_usd: cap.nano_usd }));
    }
    caps.extend(plan.max_cost.map(|cap| Cap { run: row.id, nano_usd: cap.nano_usd }));
    if caps.is_empty() {
        return Ok(None);
    }
    Ok(Some(Arc::new(RunMoney { weir: weir.clone(), tenant, caps, journal: Arc::clone(journal) })))
}

#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("over the cap")]
    OverCap(OverCap),
}

#[async_trait]
impl Money for RunMoney {
    async fn reserve(&self, amount: NanoUsd) -> Result<Result<Reserved, OverCap>, PortError> {
        // The account's row points at the run's.
        self.journal.ensure_written().await?;
        let caps = self.caps.clone();
        let kept = self.weir.store().write(self.tenant, move |unit| async move {
            for cap in caps {
                reserve(&unit, cap, amount.0).await?;
            }
            Ok(())
        });
        match kept.await {
            Ok(()) => Ok(Ok(Reserved { id: crate::ids::new_uuid().to_string(), amount })),
            Err(Refused::OverCap(over)) => Ok(Err(over)),
            Err(Refused::Store(error)) => Err(PortError::Unavailable(error.to_string())),
        }
    }

    async fn settle(&self, reserved: Reserved, cost: Option<NanoUsd>) -> Result<(), PortError> {
        let caps = self.caps.clone();
        let spent = cost.unwrap_or(reserved.amount).0;
        let kept = self.weir.store().write(self.tenant, move |unit| async move {
            for cap in caps {
                let account = locked(&unit, cap).await?;
                change(&unit, cap, account.reserved_nano_usd - reserved.amount.0, account.spent_nano_usd + spent)
                    .await?;
            }
            Ok::<_, StoreError>(())
        });
        kept.await.map_err(|error| PortError::Unavailable(error.to_string()))
    }
}

async fn reserve(unit: &Unit, cap: Cap, amount: i64) -> Result<(), Refused> {
    let account = locked(unit, cap).await?;
    let left = account.cap_nano_usd - account.spent_nano_usd - account.reserved_nano_usd;
    if amount > left {
        return Err(Refused::OverCap(OverCap { cap: NanoUsd(account.cap_nano_usd), left: NanoUsd(left.max(0)) }));
    }
    Ok(change(unit, cap, account.reserved_nano_usd + amount, account.spent_nano_usd).await?)
}

/// The account, made where there is none yet, and locked until the unit ends.
async fn locked(unit: &Unit, cap: Cap) -> Result<account::Model, StoreError> {
    let fresh = account::Model {
        tenant_id: unit.tenant().uuid(),
        run_id: cap.run,
        cap_nano_usd: cap.nano_usd,
        reserved_nano_usd: 0,
        spent_nano_usd: 0,
    };
    unit.insert_if_absent(fresh.clone()).await?;
    let rows = unit.find::<account::Entity>().filter(account::Column::RunId.eq(cap.run));
    Ok(rows.for_update().one().await?.unwrap_or(fresh))
}

async fn change(unit: &Unit, cap: Cap, reserved: i64, spent: i64) -> Result<(), StoreError> {
    unit.update::<account::Entity>()
        .set(account::Column::ReservedNanoUsd, reserved.max(0))
        .set(account::Column::SpentNanoUsd, spent)
        .filter(account::Column::RunId.eq(cap.run))
        .exec()
        .await?;
    Ok(())
}
