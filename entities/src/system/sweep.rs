//! What time makes worthless is removed here, a bounded number of rows at a time.
//!
//! Invariant: only rows past their own `expires_at` go, and counts of failed sign-ins that count no more.

use chrono::Duration;
use sea_orm::prelude::DateTimeUtc;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::SystemUnit;
use crate::error::StoreError;
use crate::rows::{cached_output, idempotency_key, kept_value, one_time_link, session, sign_in_failure};

/// Longer than any window and any wait of signing in.
const COUNTS_KEPT: Duration = Duration::hours(1);

impl SystemUnit {
    /// Removes expired sessions, links, idempotency keys and kept values, and old counts of failed sign-ins; says how many.
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
        gone += sign_in_failure::Entity::delete_many()
            .filter(sign_in_failure::Column::WindowStartedAt.lt(now - COUNTS_KEPT))
            .exec(connection)
            .await?
            .rows_affected;
        gone += kept_value::Entity::delete_many()
            .filter(kept_value::Column::ExpiresAt.lt(now))
            .exec(connection)
            .await?
            .rows_affected;
        gone += cached_output::Entity::delete_many()
            .filter(cached_output::Column::ExpiresAt.lt(now))
            .exec(connection)
            .await?
            .rows_affected;
        Ok(gone)
    }
}
