//! The schema, one file a migration; SQLite and PostgreSQL alike. Expand first, contract in a later release.
//!
//! Invariant: migrations run as the owner of the tables (`WEIR_MIGRATE_URL`), never as the role that serves requests, and
//! a database that knows migrations this program does not know is refused.

mod dialect;
mod m0001_foundation;
mod m0002_experiments;
mod m0003_queue;
mod m0004_inbox;
mod m0005_cache_money;
mod m0006_kept_values;
mod m0007_waiting_slots;
mod m0008_accounts;
mod m0009_run_words;
mod m0010_appends;
mod m0011_connection_prices;
mod m0012_trace_context;
mod m0014_trees;
mod m0015_run_indexes;
mod roles;

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{ConnectOptions, Database, DatabaseConnection, DbBackend};

/// The list of migrations, oldest first.
#[derive(Debug)]
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_foundation::Migration),
            Box::new(m0002_experiments::Migration),
            Box::new(m0003_queue::Migration),
            Box::new(m0004_inbox::Migration),
            Box::new(m0005_cache_money::Migration),
            Box::new(m0006_kept_values::Migration),
            Box::new(m0007_waiting_slots::Migration),
            Box::new(m0008_accounts::Migration),
            Box::new(m0009_run_words::Migration),
            Box::new(m0010_appends::Migration),
            Box::new(m0011_connection_prices::Migration),
            Box::new(m0012_trace_context::Migration),
            Box::new(m0014_trees::Migration),
            Box::new(m0015_run_indexes::Migration),
        ]
    }
}

/// How the schema of a database stands to this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    Current,
    /// These migrations have not run yet, oldest first.
    Behind(Vec<String>),
    /// The database was migrated by a newer program.
    Ahead(Vec<String>),
}

/// Brings the schema up to date. Several programs may do so at once; one does the work, the others wait.
///
/// On PostgreSQL `url` is the owner's, and `login` the role that requests connect as, which becomes a member of
/// `weir_app` and `weir_system`.
///
/// # Errors
/// Whatever the database said, and a message of our own when its schema is newer than this program.
pub async fn migrate(url: &str, login: Option<&str>) -> Result<(), DbErr> {
    let connection = connect(url).await?;
    let result = migrate_on(&connection, login).await;
    connection.close().await?;
    result
}

/// Says how a schema stands without changing anything.
///
/// # Errors
/// Whatever the database said.
pub async fn standing(url: &str) -> Result<Standing, DbErr> {
    let connection = connect(url).await?;
    let result = standing_of(&connection).await;
    connection.close().await?;
    result
}

async fn connect(url: &str) -> Result<DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(url);
    // One connection, so that the advisory lock below and the work are on the same one.
    options.max_connections(1).sqlx_logging(false);
    Database::connect(options).await
}

async fn migrate_on(connection: &DatabaseConnection, login: Option<&str>) -> Result<(), DbErr> {
    let postgres = connection.get_database_backend() == DbBackend::Postgres;
    if postgres {
        connection.execute_unprepared("SELECT pg_advisory_lock(8700117)").await?;
    } else {
        connection.execute_unprepared("PRAGMA journal_mode = WAL").await?;
    }
    if let Standing::Ahead(names) = standing_of(connection).await? {
        return Err(DbErr::Custom(format!(
            "the database was migrated by a newer program (it knows {}); use that version or restore an older backup",
            names.join(", ")
        )));
    }
    if postgres {
        roles::create(connection, login).await?;
    }
    Migrator::up(connection, None).await?;
    if postgres {
        connection.execute_unprepared("SELECT pg_advisory_unlock(8700117)").await?;
    }
    Ok(())
}

async fn standing_of(connection: &DatabaseConnection) -> Result<Standing, DbErr> {
    let manager = SchemaManager::new(connection);
    let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    if !manager.has_table("seaql_migrations").await? {
        return Ok(Standing::Behind(known));
    }
    let applied: Vec<String> =
        Migrator::get_migration_models(connection).await?.into_iter().map(|row| row.version).collect();
    let unknown: Vec<String> = applied.iter().filter(|name| !known.contains(name)).cloned().collect();
    if !unknown.is_empty() {
        return Ok(Standing::Ahead(unknown));
    }
    let missing: Vec<String> = known.into_iter().filter(|name| !applied.contains(name)).collect();
    Ok(if missing.is_empty() { Standing::Current } else { Standing::Behind(missing) })
}
