//! What is added to runs that are in the store, under their holders' fencing tokens.
//!
//! Invariant: an update is kept whole, and only if nobody else has written the run since its holder did; of updates that are
//! kept together, one that cannot be takes none of its neighbours with it.

use std::fmt::Write as _;

use domain::TenantId;
use sea_orm::sea_query::{Expr, LockType, SimpleExpr};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait, DbErr, EntityTrait as _, IdenStatic as _, ModelTrait as _,
    QueryFilter as _, QuerySelect as _, Value,
};

use crate::bulk::{self, Rewritten};
use crate::error::StoreError;
use crate::whole_run::WholeRun;
use crate::{attempt, item, run, step};

/// A run as it is from now on.
#[derive(Debug, Clone)]
pub struct RunUpdate {
    /// The run's row, with the fencing token of who writes, and the rows that are new or changed.
    pub rows: Box<WholeRun>,
    /// What changes of the run's row.
    pub columns: Vec<run::Column>,
    /// The position that the store must be at.
    pub before: Option<i64>,
    /// Only if nothing came from outside that the run has not heard, and it holds no place under a limit.
    pub undisturbed: bool,
}

/// On SQLite and, once the run's row is locked, on PostgreSQL: whoever brings something locks the row too.
const UNDISTURBED: &str = "runs.cancel_requested_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM run_inbox WHERE run_inbox.tenant_id = runs.tenant_id AND run_inbox.run_id = runs.id AND run_inbox.taken_at IS NULL) \
     AND NOT EXISTS (SELECT 1 FROM slots WHERE slots.tenant_id = runs.tenant_id AND slots.run_id = runs.id)";

impl RunUpdate {
    #[must_use]
    pub fn of(rows: WholeRun, columns: Vec<run::Column>) -> Self {
        let rows = Box::new(rows);
        Self { rows, columns, before: None, undisturbed: false }
    }

    pub(crate) fn check(&self, tenant: TenantId) -> Result<(), StoreError> {
        self.rows.check(tenant)
    }

    /// The change of the run's row on SQLite. It changes one row, or another holder has the run.
    pub(crate) fn fence(&self) -> (String, Vec<Value>) {
        use run::Column as C;
        let row = &self.rows.run;
        let mut text = "UPDATE \"runs\" SET ".to_owned();
        for (index, column) in self.columns.iter().enumerate() {
            let lead = if index == 0 { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{lead}\"{}\" = ?", column.as_str());
        }
        text.push_str(" WHERE \"tenant_id\" = ? AND \"id\" = ? AND \"fencing_token\" = ?");
        let mut values: Vec<Value> = self.columns.iter().map(|column| row.get(*column)).collect();
        values.extend([row.get(C::TenantId), row.get(C::Id), row.get(C::FencingToken)]);
        if let Some(before) = self.before {
            text.push_str(" AND \"event_position\" = ?");
            values.push(before.into());
        }
        if self.undisturbed {
            let _ = write!(text, " AND {UNDISTURBED}");
        }
        text.push(';');
        (text, values)
    }

    /// What follows the change of the run's row on SQLite.
    pub(crate) fn rest(&self) -> (String, Vec<Value>) {
        let (mut script, mut values) = (String::new(), Vec::new());
        bulk::add_rewrite_to(&mut script, &mut values, &self.rows.steps);
        bulk::add_rewrite_to(&mut script, &mut values, &self.rows.attempts);
        bulk::add_rewrite_to(&mut script, &mut values, &self.rows.items);
        bulk::add_to(&mut script, &mut values, &self.rows.appends);
        bulk::add_to(&mut script, &mut values, &self.rows.ledger);
        bulk::add_absent_to(&mut script, &mut values, &self.rows.words);
        (script, values)
    }

    /// In a unit, on either database.
    pub(crate) async fn write(&self, connection: &impl ConnectionTrait) -> Result<(), StoreError> {
        use run::Column as C;
        let row = &self.rows.run;
        let held = || {
            let key = Condition::all().add(C::TenantId.eq(row.tenant_id)).add(C::Id.eq(row.id));
            key.add(C::FencingToken.eq(row.fencing_token))
        };
        let mut update = run::Entity::update_many().filter(held());
        if let Some(before) = self.before {
            update = update.filter(C::EventPosition.eq(before));
        }
        if self.undisturbed {
            let lock = run::Entity::find().select_only().column(C::Id).filter(held()).lock(LockType::Update);
            lock.into_tuple::<(uuid::Uuid,)>().one(connection).await?;
            update = update.filter(Expr::cust(UNDISTURBED));
        }
        for column in &self.columns {
            update = update.col_expr(*column, SimpleExpr::Value(row.get(*column)));
        }
        if update.exec(connection).await?.rows_affected != 1 {
            return Err(StoreError::Stale);
        }
        let rest = self.write_rest(connection).await;
        rest.map_err(StoreError::from)
    }

    async fn write_rest(&self, connection: &impl ConnectionTrait) -> Result<(), DbErr> {
        bulk::rewrite(connection, &self.rows.steps).await?;
        bulk::rewrite(connection, &self.rows.attempts).await?;
        bulk::rewrite(connection, &self.rows.items).await?;
        bulk::insert(connection, &self.rows.appends).await?;
        bulk::insert(connection, &self.rows.ledger).await?;
        bulk::insert_absent(connection, &self.rows.words).await
    }
}

impl Rewritten for step::Model {
    fn key() -> &'static [step::Column] {
        use step::Column as C;
        &[C::TenantId, C::RunId, C::Name]
    }

    fn changing() -> &'static [step::Column] {
        use step::Column as C;
        &[
            C::Status,
            C::Success,
            C::Skipped,
            C::Cached,
            C::SkipReason,
            C::Attempts,
            C::Error,
            C::Config,
            C::ConfigBlob,
            C::Output,
            C::OutputBlob,
            C::StartedAt,
            C::EndedAt,
            C::DurationMs,
            C::Usage,
            C::CostNanoUsd,
            C::ChildRunId,
            C::Waiting,
        ]
    }
}

impl Rewritten for attempt::Model {
    fn key() -> &'static [attempt::Column] {
        use attempt::Column as C;
        &[C::TenantId, C::RunId, C::Step, C::Item, C::Number]
    }

    fn changing() -> &'static [attempt::Column] {
        use attempt::Column as C;
        &[C::Status, C::EndedAt, C::Error, C::Usage, C::CostNanoUsd]
    }
}

impl Rewritten for item::Model {
    fn key() -> &'static [item::Column] {
        use item::Column as C;
        &[C::TenantId, C::RunId, C::Step, C::Item]
    }

    fn changing() -> &'static [item::Column] {
        use item::Column as C;
        &[
            C::Status,
            C::Attempts,
            C::Error,
            C::Output,
            C::OutputBlob,
            C::Waiting,
            C::StartedAt,
            C::EndedAt,
            C::DurationMs,
            C::CostNanoUsd,
            C::ChildRunId,
        ]
    }
}
