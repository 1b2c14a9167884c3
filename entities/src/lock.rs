//! Names that units of work lock, where two could decide on the same rows at the same time.
//!
//! Invariant: a lock lasts as long as its unit. SQLite has one writer, so there is nothing to lock there.

use domain::TenantId;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::error::StoreError;
use crate::link::Connection;
use crate::scope::{Linked, Scope, Unit};

impl Unit {
    /// Waits until no other unit of this tenant holds the name. Take several in one order.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn lock(&self, name: &str) -> Result<(), StoreError> {
        lock(self.connection(), self.tenant(), name).await
    }
}

pub(crate) async fn lock(connection: &Connection, tenant: TenantId, name: &str) -> Result<(), StoreError> {
    if connection.get_database_backend() == DbBackend::Postgres {
        let text = format!("{tenant} {name}");
        let statement = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text";
        connection.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, statement, [text.into()])).await?;
    }
    Ok(())
}
