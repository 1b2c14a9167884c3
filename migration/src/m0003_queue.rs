//! The queue: fairness between tenants, limits on what executes at once, runs that are parked behind a limit.
//!
//! Invariant: a place under a limit is a lease: whoever dies with it loses it when the lease runs out.

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0003_queue"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await?;
        roles::fence(manager, "slots", "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await?;
        roles::open_to_system(manager, "slots", "SELECT, UPDATE, DELETE").await
    }
}

const TABLES: &str = "
ALTER TABLE tenants ADD COLUMN queue_weight {int} NOT NULL DEFAULT 1
;
ALTER TABLE tenants ADD COLUMN max_running {int}
;
ALTER TABLE tenants ADD COLUMN pools {json}
;
ALTER TABLE runs ADD COLUMN slot_key {text}
;
ALTER TABLE runs ADD COLUMN slot_limit {int}
;
ALTER TABLE runs ADD COLUMN parked_for {text}
;
ALTER TABLE runs ADD COLUMN queue_deadline {time}
;
CREATE INDEX runs_ready ON runs (tenant_id, priority, available_at, id) WHERE status IN ('queued', 'running', 'waiting')
;
CREATE INDEX runs_parked ON runs (tenant_id, parked_for, priority, id) WHERE parked_for IS NOT NULL
;
CREATE TABLE slots (
    tenant_id {uuid} NOT NULL,
    slot_key {text} NOT NULL,
    run_id {uuid} NOT NULL,
    step {text} NOT NULL,
    units {int} NOT NULL,
    taken_at {time} NOT NULL,
    until {time} NOT NULL,
    PRIMARY KEY (tenant_id, slot_key, run_id, step),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
CREATE INDEX slots_run ON slots (tenant_id, run_id)
;
CREATE INDEX slots_until ON slots (until)
";
