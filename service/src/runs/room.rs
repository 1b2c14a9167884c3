//! How many runs may still join a tree. Counting them all for each that joins would cost the more the larger the tree is.
//!
//! Invariant: a tree is counted again before an eighth of the room that was last seen is used, and before a hundred more
//! joined it, so that one worker stays within the limit, and each other that has the tree adds fewer than a hundred to it.

use std::sync::atomic::{AtomicI64, Ordering};

/// The part of the room that one process may use before it looks again.
const PART: u64 = 8;
/// Never more than this many: others may have used the room meanwhile.
const MOST: u64 = 100;

/// Runs that may join a tree before it is counted again; below zero where more asked.
#[derive(Debug, Default)]
pub(super) struct Room(AtomicI64);

impl Room {
    /// Whether one more may join that nobody counts.
    pub(super) fn take(&self) -> bool {
        self.0.fetch_sub(1, Ordering::Relaxed) > 0
    }

    /// The tree was seen to have room for so many more.
    pub(super) fn seen(&self, room: u64) {
        self.0.store(i64::try_from((room / PART).min(MOST)).unwrap_or_default(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 10_000;

    /// One more run by one worker. False: it counted, and there is no room.
    fn joins(room: &Room, runs: &mut u64, counts: &mut u32) -> bool {
        if room.take() {
            *runs += 1;
            return true;
        }
        *counts += 1;
        if *runs >= LIMIT {
            return false;
        }
        *runs += 1;
        room.seen(LIMIT - *runs);
        true
    }

    #[test]
    fn a_tree_that_one_worker_has_grows_to_its_limit_and_is_counted_seldom() {
        let (room, mut runs, mut counts) = (Room::default(), 0, 0);
        while joins(&room, &mut runs, &mut counts) {}
        assert_eq!(runs, LIMIT);
        assert!(counts < 200, "counted {counts} times");
    }

    #[test]
    fn workers_who_counted_long_ago_add_few_to_a_tree_that_another_filled() {
        let others: Vec<Room> = (0..8).map(|_| Room::default()).collect();
        let (room, mut runs, mut counts) = (Room::default(), 0, 0);
        others.iter().for_each(|other| assert!(joins(other, &mut runs, &mut counts)));
        while joins(&room, &mut runs, &mut counts) {}
        assert_eq!(runs, LIMIT, "the one keeps to it");
        others.iter().for_each(|other| while joins(other, &mut runs, &mut counts) {});
        assert!(runs <= LIMIT + 8 * MOST, "{runs}");
    }
}
