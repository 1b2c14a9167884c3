//! What time makes worthless is removed here, a bounded number of rows at a time.
//!
//! Invariant: only rows past their own `expires_at` go.

use sea_orm::prelude::DateTimeUtc;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::SystemUnit;
use crate::error::StoreError;
use crate::rows::{idempotency_key, one_time_link, session};

impl SystemUnit {
    /// Removes expired sessions, links and idempotency keys; says how many.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn sweep_expired(&self, now: DateTimeUtc) -> Result<u64, StoreError> {
        let connection = self.connection();
        let mut gone = 0;
        gone += session::Entity::delete_many()
            .filter(session::Column::ExpiresAt.lt(now))
            .exec(connection)
            .await?
            .rows_affected;
        gone += one_time_link::Entity::delete_many()
            .filter(one_time_link::Column::ExpiresAt.lt(now))
            .exec(connection)
            .await?
            .rows_affected;
        gone += idempotency_key::Entity::delete_many()
            .filter(idempotency_key::Column::ExpiresAt.lt(now))
            .exec(connection)
            .await?
            .rows_affected;
        Ok(gone)
    }
}
