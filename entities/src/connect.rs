//! How the store connects to either database, and whom it refuses to be.
//!
//! Invariant: on PostgreSQL no connection serves a role that row level security does not hold back.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::sqlite::{SqliteJournalMode, SqliteSynchronous};
use sea_orm::sqlx::{AssertSqlSafe, Connection as _, Executor};
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection, DbBackend, Statement};

use crate::error::StoreError;
use crate::store::Durability;

/// What a connection to SQLite keeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keeps {
    /// As its pragma says it: KiB, negative.
    pages: &'static str,
    /// Prepared statements.
    texts: usize,
}

/// The writer goes through all indexes of the large tables again and again, and its statements may be sixteen runs each.
pub(crate) const A_WRITERS: Keeps = Keeps { pages: "-32000", texts: 96 };
/// Of readers there are many, and what one reads the system has in memory.
pub(crate) const A_READERS: Keeps = Keeps { pages: "-2000", texts: 256 };

pub(crate) fn sqlite_options(url: &str, durability: Durability, connections: u32, keeps: Keeps) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options.max_connections(connections).min_connections(1).sqlx_logging(false).record_stmt_in_spans(false);
    options.test_before_acquire(false).idle_timeout(None::<Duration>).max_lifetime(None::<Duration>);
    options.map_sqlx_sqlite_opts(move |options| {
        options
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match durability {
                Durability::Full => SqliteSynchronous::Full,
                Durability::Normal => SqliteSynchronous::Normal,
            })
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .statement_cache_capacity(keeps.texts)
            .pragma("temp_store", "memory")
            .pragma("cache_size", keeps.pages)
            // What is written again and again goes into the database less often than every 4 MB would make it.
            .pragma("wal_autocheckpoint", "4000")
    });
    options
}

/// What each connection to PostgreSQL says first. A process that is stopped in the middle of a unit holds its locks, and whoever
/// skips locked rows would skip its runs for as long as it stands still; a unit that lives is never idle for so long.
pub(crate) const SAID_FIRST: &str = "SET ROLE weir_app; SET idle_in_transaction_session_timeout = '10s'";

/// A connection that was idle for longer is tried before it is used. Trying each would be a trip more for every unit.
const IDLE: Duration = Duration::from_secs(1);

/// `also` is what each connection says besides.
pub(crate) fn postgres_options(url: &str, connections: u32, also: &str) -> ConnectOptions {
    let mut connect = ConnectOptions::new(url);
    connect.max_connections(connections).sqlx_logging(false).record_stmt_in_spans(false);
    connect.acquire_timeout(Duration::from_secs(10)).test_before_acquire(false);
    let said: Arc<str> = format!("{SAID_FIRST}; {also}").into();
    connect.map_sqlx_postgres_pool_opts(move |pool| {
        let said = Arc::clone(&said);
        let pool = pool.after_connect(move |connection, _| {
            let said = said.to_string();
            Box::pin(async move {
                connection.execute(AssertSqlSafe(said)).await?;
                Ok(())
            })
        });
        pool.before_acquire(|connection, of| {
            Box::pin(async move { Ok(of.idle_for < IDLE || connection.ping().await.is_ok()) })
        })
    });
    connect
}

/// Row level security is no wall for a role that may bypass it or owns the tables.
pub(crate) async fn refuse_mighty_role(pool: &DatabaseConnection) -> Result<(), StoreError> {
    let row = pool
        .query_one_raw(Statement::from_string(
            DbBackend::Postgres,
            "SELECT r.rolname::text AS name, r.rolsuper AS super, r.rolbypassrls AS bypass,
                    EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                            WHERE n.nspname = 'public' AND c.relowner = r.oid) AS owner
             FROM pg_roles r WHERE r.rolname = current_user",
        ))
        .await?
        .ok_or_else(|| StoreError::Role("the database role is not known to the database".to_owned()))?;
    let read = |column: &str| row.try_get::<bool>("", column).map_err(StoreError::from);
    let name: String = row.try_get("", "name").map_err(StoreError::from)?;
    let fault = if read("super")? {
        "is a superuser"
    } else if read("bypass")? {
        "may bypass row level security"
    } else if read("owner")? {
        "owns tables"
    } else {
        return Ok(());
    };
    Err(StoreError::Role(format!(
        "the effective database role `{name}` {fault}, so tenants would not be kept apart; let DATABASE_URL name a plain \
         role that is a member of weir_app, and WEIR_MIGRATE_URL the owner"
    )))
}
