//! One text of SQL for both databases: column types are written as `{uuid}`, `{time}` and so on and filled in here.
//!
//! Invariant: nothing but these placeholders differs between the two schemas. JSON is kept as text on both, because
//! `jsonb` reorders keys and refuses NUL characters, and what a flow returns must come back as it was.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

const TYPES: &[(&str, &str, &str)] = &[
    // placeholder, PostgreSQL, SQLite
    ("{uuid}", "uuid", "BLOB"),
    ("{time}", "timestamptz", "TEXT"),
    ("{json}", "text", "TEXT"),
    ("{text}", "text", "TEXT"),
    ("{bytes}", "bytea", "BLOB"),
    ("{bool}", "boolean", "INTEGER"),
    ("{int}", "integer", "INTEGER"),
    ("{big}", "bigint", "INTEGER"),
    ("{false}", "false", "0"),
    // Strict tables refuse a value of the wrong type instead of storing it as something else.
    ("{end}", "", "STRICT"),
];

/// Runs statements that are separated by lines holding only `;`.
pub(crate) async fn run(manager: &SchemaManager<'_>, text: &str) -> Result<(), DbErr> {
    let postgres = manager.get_database_backend() == DbBackend::Postgres;
    let mut sql = text.to_owned();
    for (placeholder, on_postgres, on_sqlite) in TYPES {
        sql = sql.replace(placeholder, if postgres { on_postgres } else { on_sqlite });
    }
    for statement in sql.split("\n;").map(str::trim).filter(|statement| !statement.is_empty()) {
        manager.get_connection().execute_unprepared(statement).await?;
    }
    Ok(())
}
