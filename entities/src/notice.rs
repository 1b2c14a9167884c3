//! Announcements between processes on PostgreSQL: what a unit announces is heard when it commits, and not otherwise.
//!
//! Invariant: an announcement is a hint that something changed, never the change; whoever misses one finds the change in
//! the rows.

use sea_orm::sqlx::postgres::PgListener;
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::error::StoreError;
use crate::scope::{Linked, Unit};

pub(crate) const CHANNEL: &str = "weir";

impl Unit {
    /// Announces a change to every process on this store, once the unit is kept. At most 8,000 bytes.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn announce(&self, notice: &str) -> Result<(), StoreError> {
        let connection = self.connection();
        if connection.get_database_backend() == DbBackend::Postgres {
            let notify = "SELECT pg_notify($1, $2)::text";
            connection
                .query_one_raw(Statement::from_sql_and_values(
                    DbBackend::Postgres,
                    notify,
                    [CHANNEL.into(), notice.into()],
                ))
                .await?;
        }
        Ok(())
    }
}

/// Hears announcements. Reconnects by itself; what was announced meanwhile is lost, which it says with `None`.
#[derive(Debug)]
pub struct Listener {
    listener: PgListener,
}

impl Listener {
    pub(crate) async fn connect(url: &str) -> Result<Self, StoreError> {
        let unavailable = |error: sea_orm::sqlx::Error| StoreError::Unavailable(error.to_string());
        let mut listener = PgListener::connect(url).await.map_err(unavailable)?;
        listener.listen(CHANNEL).await.map_err(unavailable)?;
        Ok(Self { listener })
    }

    /// The next announcement; `None` when some may have been missed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is gone and does not come back.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let notice = self.listener.try_recv().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(notice.map(|notice| notice.payload().to_owned()))
    }
}
