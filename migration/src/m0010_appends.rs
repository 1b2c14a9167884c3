//! The journal by appends: what was made durable together lies in one row together.
//!
//! Invariant: what runs had journaled before is there as it was, one entry a row.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::{dialect, roles};

pub(crate) struct Migration;

impl MigrationName for Migration {
    fn name(&self) -> &str {
        "m0010_appends"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let at = if manager.get_database_backend() == DbBackend::Postgres {
            // The rows of all tenants are moved, which forced row level security hides from the owner too.
            connection.execute_unprepared("ALTER TABLE events NO FORCE ROW LEVEL SECURITY").await?;
            r#"to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"#
        } else {
            "at"
        };
        dialect::run(manager, APPENDS).await?;
        let entry = format!(r#"'[{{"position":' || position || ',"at":"' || {at} || '","event":' || data || '}}]'"#);
        connection
            .execute_unprepared(&format!(
                "INSERT INTO appends (tenant_id, run_id, position, first, entries)
                 SELECT tenant_id, run_id, position, position, {entry} FROM events"
            ))
            .await?;
        connection.execute_unprepared("DROP TABLE events").await?;
        roles::fence(manager, "appends", "tenant_id", "SELECT, INSERT").await
    }
}

/// `position` is that of the last entry, so that whoever reads on behind one finds its row first.
const APPENDS: &str = "
CREATE TABLE appends (
    tenant_id {uuid} NOT NULL,
    run_id {uuid} NOT NULL,
    position {big} NOT NULL,
    first {big} NOT NULL,
    entries {json} NOT NULL,
    PRIMARY KEY (tenant_id, run_id, position),
    FOREIGN KEY (tenant_id, run_id) REFERENCES runs (tenant_id, id)
) {end}
";
