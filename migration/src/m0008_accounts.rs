//! Accounts by name: a run's own, those of its groups, and its handlers' allowance.
//!
//! Invariant: what runs under way had spent stays counted.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0008_accounts"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            // The rows of all tenants are moved, which forced row level security hides from the owner too.
            manager.get_connection().execute_unprepared("ALTER TABLE accounts NO FORCE ROW LEVEL SECURITY").await?;
        }
        dialect::run(manager, ACCOUNTS).await?;
        roles::fence(manager, "run_accounts", "tenant_id", "SELECT, INSERT, UPDATE, DELETE").await
    }
}

const ACCOUNTS: &str = "
CREATE TABLE run_accounts (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    name {text} NOT NULL,
    cap_nano_usd {big} NOT NULL,
    reserved_nano_usd {big} NOT NULL,
    spent_nano_usd {big} NOT NULL,
    PRIMARY KEY (tenant_id, run_id, name),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
;
INSERT INTO run_accounts (tenant_id, run_id, name, cap_nano_usd, reserved_nano_usd, spent_nano_usd)
SELECT tenant_id, run_id, '', cap_nano_usd, reserved_nano_usd, spent_nano_usd FROM accounts
;
DROP TABLE accounts
;
";
