//! Makes ids: version 7 UUIDs that grow within a process. They carry their time, so lists need no other order and no
//! other index than the primary key.
//!
//! Invariant: two ids made one after the other in one process compare in that order, even when the clock steps back; every
//! id made at or after a moment is at least [`first_id_at`] of that moment.

use std::sync::Mutex;

use uuid::Uuid;

static LAST: Mutex<(u64, u16)> = Mutex::new((0, 0));

/// A new id. Wrap it into its type: `RunId::from_uuid(new_id())`.
#[must_use]
pub fn new_id() -> Uuid {
    let (millis, counter) = next_tick(u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or_default());
    let mut random: [u8; 10] = rand::random();
    // The 12 bits after the version hold the counter, the other 62 are random.
    [random[0], random[1]] = counter.to_be_bytes();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// The smallest id that can have been made at or after a moment: turns "created after" into a range of ids.
#[must_use]
pub fn first_id_at(moment: chrono::DateTime<chrono::Utc>) -> Uuid {
    let millis = u64::try_from(moment.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid()
}

fn next_tick(now: u64) -> (u64, u16) {
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    *last = match *last {
        (millis, _) if now > millis => (now, rand::random::<u16>() & 0x3ff),
        (millis, counter) if counter < 0xfff => (millis, counter + 1),
        (millis, _) => (millis + 1, 0),
    };
    *last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_within_a_process_and_carry_their_time() {
        let before = chrono::Utc::now();
        let made: Vec<Uuid> = (0..20_000).map(|_| new_id()).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(made[0] >= first_id_at(before));
        assert!(made[0] < first_id_at(before + chrono::Duration::minutes(1)));
        assert_eq!(made[0].get_version_num(), 7);
    }
}
