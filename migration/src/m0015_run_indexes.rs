//! The indexes of runs by flow and by status begin with what they are for. As long as PostgreSQL has no statistics of a table,
//! it takes an index that begins with the tenant and ends with the run for as good as the primary key, and would read a
//! tenant's whole index for each reference to a run.
//!
//! Invariant: of the indexes that hold every run, none but the primary key begins with the tenant.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0015_run_indexes"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, INDEXES).await
    }
}

const INDEXES: &str = "
DROP INDEX runs_flow
;
CREATE INDEX runs_flow ON runs (flow_id, tenant_id, id)
;
DROP INDEX runs_status
;
CREATE INDEX runs_status ON runs (status, tenant_id, id)
";
