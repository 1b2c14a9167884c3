//! The money accounts of runs with caps, on the store.
//!
//! Invariant: what is set aside and what is spent never exceed a cap together; a reservation is taken in all accounts or in
//! none; what a lost worker had set aside counts as spent, because nobody knows what became of it.

use std::sync::Arc;

use async_trait::async_trait;
use domain::{NanoUsd, RunId, TenantId, VersionId};
use engine::money::{Account, Purse, has_caps};
use engine::ports::{Money, OverCap, PortError, Reserved};
use entities::{Scope as _, StoreError, Unit, account, run};
use language::Plan;
use sea_orm::{ColumnTrait, Condition};

use super::journal::RunJournal;
use crate::{ServiceError, Weir};

/// One account and what it may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cap {
    run: uuid::Uuid,
    account: Account,
}

/// The accounts that a run's attempts are paid from.
pub(super) struct RunMoney {
    weir: Weir,
    tenant: TenantId,
    run: uuid::Uuid,
    plan: Arc<Plan>,
    /// Those of the flows that called this one, outermost first.
    outer: Vec<Cap>,
    journal: Arc<RunJournal>,
}

/// The accounts of a run: its own, where its flow has caps, and those of every flow between it and its root.
pub(super) async fn of_run(
    weir: &Weir,
    row: &run::Model,
    plan: &Arc<Plan>,
    journal: &Arc<RunJournal>,
) -> Result<Option<Arc<dyn Money>>, ServiceError> {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let mut outer = Vec::new();
    let mut caller = row.parent_run_id.zip(row.parent_step.clone());
    while let Some((parent, step)) = caller {
        let above = super::row(weir, tenant, RunId::from_uuid(parent)).await?;
        let plan = crate::flows::plan(weir, tenant, VersionId::from_uuid(above.version_id)).await?;
        let accounts = Purse::named(&plan, &step).accounts(&plan).into_iter();
        outer.splice(0..0, accounts.map(|account| Cap { run: above.id, account }));
        // A run that goes its own way has no step that pays for it.
        caller = above.parent_run_id.zip(above.parent_step);
    }
    if outer.is_empty() && !has_caps(plan) {
        return Ok(None);
    }
    let (weir, plan, journal) = (weir.clone(), Arc::clone(plan), Arc::clone(journal));
    Ok(Some(Arc::new(RunMoney { weir, tenant, run: row.id, plan, outer, journal })))
}

impl RunMoney {
    /// In one order everywhere, so that no two runs wait for each other's rows.
    fn caps(&self, purse: &Purse) -> Vec<Cap> {
        let own = purse.accounts(&self.plan).into_iter().map(|account| Cap { run: self.run, account });
        self.outer.iter().cloned().chain(own).collect()
    }
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
    async fn reserve(&self, purse: &Purse, amount: NanoUsd) -> Result<Result<Reserved, OverCap>, PortError> {
        // The account's row points at the run's.
        self.journal.ensure_written().await?;
        let caps = self.caps(purse);
        let kept = self.weir.store().write(self.tenant, move |unit| async move {
            for cap in caps {
                reserve(&unit, &cap, amount.0).await?;
            }
            Ok(())
        });
        match kept.await {
            Ok(()) => Ok(Ok(Reserved { amount, purse: purse.clone() })),
            Err(Refused::OverCap(over)) => Ok(Err(over)),
            Err(Refused::Store(error)) => Err(PortError::Unavailable(error.to_string())),
        }
    }

    async fn settle(&self, reserved: Reserved, cost: Option<NanoUsd>) -> Result<(), PortError> {
        let caps = self.caps(&reserved.purse);
        let spent = cost.unwrap_or(reserved.amount).0;
        let kept = self.weir.store().write(self.tenant, move |unit| async move {
            for cap in caps {
                let account = locked(&unit, &cap).await?;
                let rest = account.reserved_nano_usd - reserved.amount.0;
                change(&unit, &cap, rest, account.spent_nano_usd + spent).await?;
            }
            Ok::<_, StoreError>(())
        });
        kept.await.map_err(|error| PortError::Unavailable(error.to_string()))
    }
}

async fn reserve(unit: &Unit, cap: &Cap, amount: i64) -> Result<(), Refused> {
    let account = locked(unit, cap).await?;
    let left = account.cap_nano_usd - account.spent_nano_usd - account.reserved_nano_usd;
    if amount > left {
        let whose = cap.account.whose.clone();
        let (cap, left) = (NanoUsd(account.cap_nano_usd), NanoUsd(left.max(0)));
        return Err(Refused::OverCap(OverCap { whose, cap, left }));
    }
    Ok(change(unit, cap, account.reserved_nano_usd + amount, account.spent_nano_usd).await?)
}

/// The account, made where there is none yet, and locked until the unit ends.
async fn locked(unit: &Unit, cap: &Cap) -> Result<account::Model, StoreError> {
    let fresh = account::Model {
        tenant_id: unit.tenant().uuid(),
        run_id: cap.run,
        name: cap.account.name.clone(),
        cap_nano_usd: cap.account.cap.0,
        reserved_nano_usd: 0,
        spent_nano_usd: 0,
    };
    unit.insert_if_absent(fresh.clone()).await?;
    let rows = unit.find::<account::Entity>().filter(of(cap.run, &cap.account.name));
    Ok(rows.for_update().one().await?.unwrap_or(fresh))
}

async fn change(unit: &Unit, cap: &Cap, reserved: i64, spent: i64) -> Result<(), StoreError> {
    unit.update::<account::Entity>()
        .set(account::Column::ReservedNanoUsd, reserved.max(0))
        .set(account::Column::SpentNanoUsd, spent)
        .filter(of(cap.run, &cap.account.name))
        .exec()
        .await?;
    Ok(())
}

fn of(run: uuid::Uuid, name: &str) -> Condition {
    Condition::all().add(account::Column::RunId.eq(run)).add(account::Column::Name.eq(name))
}

/// The account whose cap a failure with this code is about; `None` where it is about none.
pub(super) fn exceeded(plan: &Plan, step: &str, code: &str) -> Option<Account> {
    let fits = |account: &Account| account.whose.code() == code;
    Purse::named(plan, step).accounts(plan).into_iter().find(fits)
}

/// Raises the cap of an account of a run. Gives the cap that stood before; an equal or lower one changes nothing.
pub(super) async fn raise(unit: &Unit, run: uuid::Uuid, account: Account, to: NanoUsd) -> Result<NanoUsd, StoreError> {
    let cap = Cap { run, account };
    let before = locked(unit, &cap).await?.cap_nano_usd;
    if to.0 > before {
        unit.update::<account::Entity>()
            .set(account::Column::CapNanoUsd, to.0)
            .filter(of(run, &cap.account.name))
            .exec()
            .await?;
    }
    Ok(NanoUsd(before))
}
