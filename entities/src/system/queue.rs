//! The run queue across tenants: claiming and keeping leases.
//!
//! Invariant: `available_at` of a leased run is the end of its lease, so a claim looks at runs that may be taken and at no
//! others; each claim raises the fencing token, so of two holders only the later one can write.

use domain::{RunId, TenantId};
use sea_orm::prelude::{DateTimeUtc, Expr};
use sea_orm::{ColumnTrait, QueryOrder};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Statement, Value};

use super::{System, SystemUnit};
use crate::error::StoreError;
use crate::rows::run;

/// A worker's wish for runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who takes them; unique for each start of a process.
    pub owner: String,
    pub now: DateTimeUtc,
    pub lease_until: DateTimeUtc,
    /// At most this many.
    pub limit: u64,
}

/// The statuses are written out: only then is the partial index used. The choice is materialised, because a plan that
/// evaluated it again would lock more runs than were asked for.
const CLAIM_ON_POSTGRES: &str = "
    WITH chosen AS MATERIALIZED (
        SELECT tenant_id, id FROM runs
        WHERE status IN ('queued', 'running', 'waiting') AND available_at <= $3
        ORDER BY available_at, id LIMIT $4 FOR UPDATE SKIP LOCKED)
    UPDATE runs SET status = 'running', lease_owner = $1, lease_until = $2, available_at = $2,
           fencing_token = runs.fencing_token + 1, claims = runs.claims + 1
    FROM chosen WHERE runs.tenant_id = chosen.tenant_id AND runs.id = chosen.id
    RETURNING runs.*";

/// On SQLite there is one writer, so nothing need be locked or skipped.
const CLAIM_ON_SQLITE: &str = "
    UPDATE runs SET status = 'running', lease_owner = ?1, lease_until = ?2, available_at = ?2,
           fencing_token = fencing_token + 1, claims = claims + 1
    WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM runs
        WHERE status IN ('queued', 'running', 'waiting') AND available_at <= ?3
        ORDER BY available_at, id LIMIT ?4)
    RETURNING *";

impl SystemUnit {
    /// Takes runs that may be taken, oldest first: queued ones, and those whose holder let the lease run out.
    /// They come back as they are after the claim.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn claim_runs(&self, claim: &Claim) -> Result<Vec<run::Model>, StoreError> {
        let connection = self.connection();
        let backend = connection.get_database_backend();
        let sql = if backend == DbBackend::Postgres { CLAIM_ON_POSTGRES } else { CLAIM_ON_SQLITE };
        let values: [Value; 4] = [
            claim.owner.clone().into(),
            claim.lease_until.into(),
            claim.now.into(),
            i64::try_from(claim.limit).unwrap_or(i64::MAX).into(),
        ];
        let rows = connection.query_all_raw(Statement::from_sql_and_values(backend, sql, values)).await?;
        let runs = rows.iter().map(|row| run::Model::from_query_result(row, ""));
        Ok(runs.collect::<Result<Vec<_>, _>>()?)
    }

    /// Keeps a worker's leases on these runs for longer. Says how many it still holds: the others were taken by somebody,
    /// or are over.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn extend_leases(&self, owner: &str, runs: Vec<RunId>, until: DateTimeUtc) -> Result<u64, StoreError> {
        use run::Column;
        let extended = run::Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(until))
            .col_expr(Column::AvailableAt, Expr::value(until))
            .filter(Column::LeaseOwner.eq(owner))
            .filter(Column::Id.is_in(runs.into_iter().map(RunId::uuid)))
            .exec(self.connection())
            .await?;
        Ok(extended.rows_affected)
    }
}

impl SystemUnit {
    /// Makes runs that other processes hold claimable at once. For a store that only one process works on: whoever else
    /// holds a lease there is dead.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn adopt_runs(&self, owner: &str, now: DateTimeUtc) -> Result<u64, StoreError> {
        use run::Column;
        let adopted = run::Entity::update_many()
            .col_expr(Column::AvailableAt, Expr::value(now))
            .filter(Column::LeaseOwner.is_not_null())
            .filter(Column::LeaseOwner.ne(owner))
            .exec(self.connection())
            .await?;
        Ok(adopted.rows_affected)
    }
}

impl System {
    /// When the next run can be claimed, however far away; `None` when nothing waits.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn next_available(&self) -> Result<Option<DateTimeUtc>, StoreError> {
        use run::Column;
        let next: Option<(DateTimeUtc,)> = run::Entity::find()
            .select_only()
            .column(Column::AvailableAt)
            .filter(Expr::cust("status IN ('queued', 'running', 'waiting')"))
            .order_by_asc(Column::AvailableAt)
            .limit(1)
            .into_tuple()
            .one(&self.connection)
            .await?;
        Ok(next.map(|(at,)| at))
    }

    /// Of these runs, those that somebody asked to cancel.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn cancelled_among(&self, runs: &[(TenantId, RunId)]) -> Result<Vec<(TenantId, RunId)>, StoreError> {
        use run::Column;
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<(uuid::Uuid, uuid::Uuid)> = run::Entity::find()
            .select_only()
            .column(Column::TenantId)
            .column(Column::Id)
            .filter(Column::Id.is_in(runs.iter().map(|(_, run)| run.uuid())))
            .filter(Column::CancelRequestedAt.is_not_null())
            .into_tuple()
            .all(&self.connection)
            .await?;
        Ok(found.into_iter().map(|(tenant, run)| (TenantId::from_uuid(tenant), RunId::from_uuid(run))).collect())
    }
}
