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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_id_of_a_moment_follows_all_of_the_moment_before() {
        let moment = chrono::DateTime::from_timestamp_millis(1_790_000_000_000).unwrap();
        let late = uuid::Builder::from_unix_timestamp_millis(1_789_999_999_999, &[0xff; 10]).into_uuid();
        assert!(late < first_id_at(moment));
        assert_eq!(first_id_at(moment).get_version_num(), 7);
    }
}
