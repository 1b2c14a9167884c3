//! Outputs of steps that are kept for whoever asks the same, and the money accounts of runs with a cap.
//!
//! Invariant: what is reserved and what is spent are in one row, so that one statement can tell whether there is enough.

use sea_orm_migration::prelude::*;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0005_cache_money"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        dialect::run(manager, TABLES).await?;
        for table in ["step_cache", "accounts"] {
            roles::fence(manager, table, "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await?;
        }
        roles::open_to_system(manager, "step_cache", "SELECT, DELETE").await
    }
}

const TABLES: &str = "
CREATE TABLE step_cache (
    tenant_id {uuid} NOT NULL REFERENCES tenants (id),
    cache_key {text} NOT NULL,
    value {json},
    value_blob {uuid},
    cost_nano_usd {big},
    tags {json} NOT NULL,
    created_at {time} NOT NULL,
    expires_at {time} NOT NULL,
    PRIMARY KEY (tenant_id, cache_key),
    FOREIGN KEY (tenant_id, value_blob) REFERENCES blobs (tenant_id, id)
) {end}
;
CREATE INDEX step_cache_expiry ON step_cache (expires_at)
;
CREATE TABLE accounts (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    cap_nano_usd {big} NOT NULL,
    reserved_nano_usd {big} NOT NULL,
    spent_nano_usd {big} NOT NULL,
    PRIMARY KEY (tenant_id, run_id),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
";
