//! Runs that start runs: what a child that goes on in its next epoch had used before, how many runs a tree has, and runs
//! that need attention in the indexes of the queue, since their time may pass while they rest.
//!
//! Invariant: both indexes of the queue hold exactly the statuses that a claim looks at.

use sea_orm_migration::prelude::*;

use crate::dialect;

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0014_trees"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TREES).await
    }
}

/// A program of before asks for fewer statuses, which these indexes hold too.
const TREES: &str = "
ALTER TABLE runs ADD COLUMN counted {json}
;
CREATE INDEX runs_tree ON runs (tenant_id, root_run_id) WHERE parent_run_id IS NOT NULL
;
DROP INDEX runs_claimable
;
CREATE INDEX runs_claimable ON runs (available_at, id) WHERE status IN ('queued', 'running', 'waiting', 'needs_attention')
;
DROP INDEX runs_ready
;
CREATE INDEX runs_ready ON runs (tenant_id, priority, available_at, id) WHERE status IN ('queued', 'running', 'waiting', 'needs_attention')
";
