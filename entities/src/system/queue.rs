//! The run queue across tenants: claiming and keeping leases.
//!
//! Invariant: `available_at` of a leased run is the end of its lease, so a claim looks at runs that may be taken and at no
//! others; each claim raises the fencing token, so of two holders only the later one can write.

use domain::{RunId, TenantId};
use sea_orm::prelude::{DateTimeUtc, Expr};
use sea_orm::sea_query::{LockBehavior, LockType};
use sea_orm::{ColumnTrait, QueryOrder};
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, Statement, Value};

use super::{System, SystemUnit};
use crate::error::StoreError;
use crate::rows::{inbox, run, slot};

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
        WHERE tenant_id = $5 AND status IN ('queued', 'running', 'waiting', 'needs_attention') AND priority = $6 AND available_at <= $3
        ORDER BY available_at, id LIMIT $4 FOR UPDATE SKIP LOCKED)
    UPDATE runs SET status = 'running', lease_owner = $1, lease_until = $2, available_at = $2,
           fencing_token = runs.fencing_token + 1, claims = runs.claims + 1
    FROM chosen WHERE runs.tenant_id = chosen.tenant_id AND runs.id = chosen.id
    RETURNING runs.*";

/// SQLite has no statistics of its tables, and takes an index that begins with the status for the best one whatever else is
/// asked, so that each look at the queue would read all of it.
fn indexed(backend: DbBackend, sql: &str) -> String {
    let [ready, claimable] =
        if backend == DbBackend::Sqlite { ["INDEXED BY runs_ready", "INDEXED BY runs_claimable"] } else { [""; 2] };
    sql.replace("{ready}", ready).replace("{claimable}", claimable)
}

/// On SQLite there is one writer, so nothing need be locked or skipped.
const CLAIM_ON_SQLITE: &str = "
    UPDATE runs SET status = 'running', lease_owner = ?1, lease_until = ?2, available_at = ?2,
           fencing_token = fencing_token + 1, claims = claims + 1
    WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM runs {ready}
        WHERE tenant_id = ?5 AND status IN ('queued', 'running', 'waiting', 'needs_attention') AND priority = ?6 AND available_at <= ?3
        ORDER BY available_at, id LIMIT ?4)
    RETURNING *";

/// The tenants that have runs in the index of claimable ones, each found by one step through it, and of those the ones
/// that have a run for now. Costs a few index look-ups a tenant, however long the queues are.
const READY: &str = "
    WITH RECURSIVE present (tenant_id) AS (
        SELECT tenant_id FROM (
            SELECT tenant_id FROM runs {ready} WHERE status IN ('queued', 'running', 'waiting', 'needs_attention') ORDER BY tenant_id LIMIT 1) AS first
        UNION ALL
        SELECT (SELECT following.tenant_id FROM runs AS following {ready}
                WHERE following.status IN ('queued', 'running', 'waiting', 'needs_attention') AND following.tenant_id > present.tenant_id
                ORDER BY following.tenant_id LIMIT 1)
        FROM present WHERE present.tenant_id IS NOT NULL)
    SELECT tenants.id, tenants.queue_weight, tenants.max_running
    FROM present JOIN tenants ON tenants.id = present.tenant_id
    WHERE tenants.suspended_at IS NULL AND EXISTS (
        SELECT 1 FROM runs AS ready {ready}
        WHERE ready.tenant_id = present.tenant_id AND ready.status IN ('queued', 'running', 'waiting', 'needs_attention')
          AND ready.priority IN (1, 2, 3, 4, 5) AND ready.available_at <= $1)";

/// Each with one step through the index.
const READY_PRIORITIES: &str = "
    SELECT levels.priority FROM (SELECT 1 AS priority UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4 UNION ALL SELECT 5) AS levels
    WHERE EXISTS (SELECT 1 FROM runs {ready} WHERE runs.tenant_id = $2 AND runs.status IN ('queued', 'running', 'waiting', 'needs_attention')
                  AND runs.priority = levels.priority AND runs.available_at <= $1)";

/// One step through the index, whatever it holds.
const NEXT_AVAILABLE: &str = "
    SELECT available_at FROM runs {claimable}
    WHERE status IN ('queued', 'running', 'waiting', 'needs_attention') ORDER BY available_at LIMIT 1";

/// A tenant with runs that may be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadyTenant {
    pub tenant: TenantId,
    pub weight: u32,
    /// Root runs that may execute at once.
    pub max_running: Option<i32>,
}

impl System {
    /// The tenants that have runs which may be taken now. Suspended ones are left out.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn ready_tenants(&self, now: DateTimeUtc) -> Result<Vec<ReadyTenant>, StoreError> {
        let connection = &self.connection;
        let backend = connection.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, indexed(backend, READY), [now.into()]);
        let rows = connection.query_all_raw(statement).await?;
        let ready = |row: &sea_orm::QueryResult| {
            Ok(ReadyTenant {
                tenant: TenantId::from_uuid(row.try_get("", "id")?),
                weight: u32::try_from(row.try_get::<i32>("", "queue_weight")?).unwrap_or(1),
                max_running: row.try_get("", "max_running")?,
            })
        };
        rows.iter().map(ready).collect::<Result<Vec<_>, sea_orm::DbErr>>().map_err(StoreError::from)
    }

    /// Limits with places whose holders are gone.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn expired_slots(&self, now: DateTimeUtc, limit: u64) -> Result<Vec<slot::Model>, StoreError> {
        let held = slot::Entity::find().filter(slot::Column::Until.lte(now)).filter(slot::Column::Waiting.eq(false));
        let rows = held.order_by_asc(slot::Column::Until);
        Ok(rows.limit(limit).all(&self.connection).await?)
    }
}

impl SystemUnit {
    /// Takes runs of one tenant that may be taken, by priority, then the oldest first: queued ones, and those whose
    /// holder let the lease run out. They come back as they are after the claim.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn claim_runs(&self, claim: &Claim, ready: &ReadyTenant) -> Result<Vec<run::Model>, StoreError> {
        let mut left = claim.limit;
        if let Some(most) = ready.max_running {
            crate::lock::lock(self.connection(), ready.tenant, "executing").await?;
            let room = i64::from(most) - self.executing(ready.tenant, claim.now).await?;
            left = left.min(u64::try_from(room).unwrap_or_default());
        }
        let mut taken = Vec::new();
        for priority in self.ready_priorities(ready.tenant, claim.now).await? {
            if left == 0 {
                break;
            }
            let runs = self.claim_at(claim, ready.tenant, priority, left).await?;
            left -= runs.len() as u64;
            taken.extend(runs);
        }
        Ok(taken)
    }

    /// The priorities of a tenant's runs that may be taken now, from first to last: mostly one, so that a claim is mostly one statement.
    async fn ready_priorities(&self, tenant: TenantId, now: DateTimeUtc) -> Result<Vec<i32>, StoreError> {
        let connection = self.connection();
        let values: [Value; 2] = [now.into(), tenant.uuid().into()];
        let backend = connection.get_database_backend();
        let statement = Statement::from_sql_and_values(backend, indexed(backend, READY_PRIORITIES), values);
        let rows = connection.query_all_raw(statement).await?;
        let mut priorities: Vec<i32> =
            rows.iter().map(|row| row.try_get("", "priority")).collect::<Result<_, sea_orm::DbErr>>()?;
        priorities.sort_unstable();
        Ok(priorities)
    }

    async fn claim_at(
        &self,
        claim: &Claim,
        tenant: TenantId,
        priority: i32,
        limit: u64,
    ) -> Result<Vec<run::Model>, StoreError> {
        let connection = self.connection();
        let backend = connection.get_database_backend();
        let sql = if backend == DbBackend::Postgres { CLAIM_ON_POSTGRES } else { CLAIM_ON_SQLITE };
        let values: [Value; 6] = [
            claim.owner.clone().into(),
            claim.lease_until.into(),
            claim.now.into(),
            i64::try_from(limit).unwrap_or(i64::MAX).into(),
            tenant.uuid().into(),
            priority.into(),
        ];
        let rows =
            connection.query_all_raw(Statement::from_sql_and_values(backend, indexed(backend, sql), values)).await?;
        let runs = rows.iter().map(|row| run::Model::from_query_result(row, ""));
        Ok(runs.collect::<Result<Vec<_>, _>>()?)
    }

    /// Root runs of a tenant that somebody executes now.
    async fn executing(&self, tenant: TenantId, now: DateTimeUtc) -> Result<i64, StoreError> {
        use run::Column;
        let counted: Option<(i64,)> = run::Entity::find()
            .select_only()
            .column_as(Column::Id.count(), "runs")
            .filter(Column::TenantId.eq(tenant.uuid()))
            .filter(Column::Status.eq("running"))
            .filter(Column::Depth.eq(0))
            .filter(Column::LeaseUntil.gt(now))
            .into_tuple()
            .one(self.connection())
            .await?;
        Ok(counted.map_or(0, |(count,)| count))
    }

    /// Keeps the places of those of these runs for longer that this worker still holds.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn extend_slots(&self, owner: &str, runs: Vec<RunId>, until: DateTimeUtc) -> Result<u64, StoreError> {
        let runs = runs.into_iter().map(RunId::uuid);
        let mut held = sea_orm::sea_query::Query::select();
        held.columns([run::Column::TenantId, run::Column::Id]).from(run::Entity);
        held.and_where(run::Column::LeaseOwner.eq(owner)).and_where(run::Column::Id.is_in(runs));
        // Both columns: the slots of a run are found by the tenant first.
        let of_run = Expr::tuple([Expr::col(slot::Column::TenantId), Expr::col(slot::Column::RunId)]);
        let extended = slot::Entity::update_many()
            .col_expr(slot::Column::Until, Expr::value(until))
            .filter(sea_orm::ExprTrait::in_subquery(of_run, held))
            .filter(slot::Column::Waiting.eq(false))
            .exec(self.connection())
            .await?;
        Ok(extended.rows_affected)
    }

    /// Keeps a worker's leases on these runs for longer. Says how many: the others were taken by somebody, are over, or are
    /// being written this moment and have their turn with the next renewal. Waiting for those, a renewal of parents and
    /// children could wait for a unit that waits for it.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn extend_leases(&self, owner: &str, runs: Vec<RunId>, until: DateTimeUtc) -> Result<u64, StoreError> {
        use run::Column;
        let mut held = sea_orm::sea_query::Query::select();
        held.column(Column::Id).from(run::Entity).and_where(Column::LeaseOwner.eq(owner));
        held.and_where(Column::Id.is_in(runs.into_iter().map(RunId::uuid)));
        held.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
        let extended = run::Entity::update_many()
            .col_expr(Column::LeaseUntil, Expr::value(until))
            .col_expr(Column::AvailableAt, Expr::value(until))
            .filter(Column::LeaseOwner.eq(owner))
            .filter(Column::Id.in_subquery(held))
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
        let backend = self.connection.get_database_backend();
        let statement = Statement::from_string(backend, indexed(backend, NEXT_AVAILABLE));
        let next = self.connection.query_one_raw(statement).await?;
        Ok(next.map(|row| row.try_get("", "available_at")).transpose()?)
    }

    /// Of these runs, those with something in their inbox.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn with_open_inbox(&self, runs: &[(TenantId, RunId)]) -> Result<Vec<(TenantId, RunId)>, StoreError> {
        use inbox::Column;
        if runs.is_empty() {
            return Ok(Vec::new());
        }
        let found: Vec<(uuid::Uuid, uuid::Uuid)> = inbox::Entity::find()
            .select_only()
            .column(Column::TenantId)
            .column(Column::RunId)
            .filter(Column::RunId.is_in(runs.iter().map(|(_, run)| run.uuid())))
            .filter(Column::TakenAt.is_null())
            .distinct()
            .into_tuple()
            .all(&self.connection)
            .await?;
        Ok(found.into_iter().map(|(tenant, run)| (TenantId::from_uuid(tenant), RunId::from_uuid(run))).collect())
    }

    /// Of the runs that this worker holds, those that somebody asked to cancel.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn cancelled_of(&self, owner: &str) -> Result<Vec<(TenantId, RunId)>, StoreError> {
        use run::Column;
        let found: Vec<(uuid::Uuid, uuid::Uuid)> = run::Entity::find()
            .select_only()
            .column(Column::TenantId)
            .column(Column::Id)
            .filter(Column::LeaseOwner.eq(owner))
            .filter(Column::CancelRequestedAt.is_not_null())
            .into_tuple()
            .all(&self.connection)
            .await?;
        Ok(found.into_iter().map(|(tenant, run)| (TenantId::from_uuid(tenant), RunId::from_uuid(run))).collect())
    }
}
