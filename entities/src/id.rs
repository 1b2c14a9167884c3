//! Ids carry their time (version 7 UUIDs), so lists need no other order and no other index than the primary key.
//!
//! Invariant: every id made at or after a moment is at least [`first_id_at`] of that moment.

use uuid::Uuid;

/// The smallest id that can have been made at or after a moment: turns "created after" into a range of ids.
#[must_use]
pub fn first_id_at(moment: chrono::DateTime<chrono::Utc>) -> Uuid {
    let millis = u64::try_from(moment.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}
