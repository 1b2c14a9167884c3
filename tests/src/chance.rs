//! The random choices of a suite, all from one seed.
//!
//! Invariant: the seed is printed, and `WEIR_SUITE_SEED` makes the same choices again. When they fall is up to the machine.
use std::{
    env,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Numbers by SplitMix64: small, and good enough to choose a victim and a moment.
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    state: u64,
}

impl Chance {
    /// From `WEIR_SUITE_SEED`, else from the clock.
    pub fn of_this_run() -> Self {
        let seed = match env::var("WEIR_SUITE_SEED") {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("WEIR_SUITE_SEED is `{text}`, which is no number")),
            Err(_) => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
                u64::from(now.subsec_nanos()) ^ now.as_secs()
            }
        };
        Self { seed, state: seed }
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number from 0 up to, and without, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index fits")
    }

    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
        least + Duration::from_millis(self.below(span.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_makes_the_same_choices_and_another_makes_others() {
        let choices = |seed| {
            let mut chance = Chance { seed, state: seed };
            (0..20).map(|_| chance.below(1_000)).collect::<Vec<_>>()
        };
        assert_eq!(choices(7), choices(7));
        assert_ne!(choices(7), choices(8));
        assert!(choices(7).iter().all(|choice| *choice < 1_000));
    }
}
