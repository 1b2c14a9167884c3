//! Whose turn it is: runs are taken from the queue tenant by tenant, in proportion to their weights.
//!
//! Invariant: pure (stride scheduling); a tenant that had nothing to do saves nothing up, and one with a long queue
//! takes no more than its weight while another has work.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use domain::TenantId;

/// How far a tenant of weight 1 moves with each run. A multiple of many weights, so that little is lost to rounding.
const STRIDE: u64 = 720_720;

/// A tenant with runs that may be taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) tenant: TenantId,
    pub(super) weight: u32,
}

/// How far each tenant has come.
#[derive(Debug, Default)]
pub(super) struct Turns {
    passed: HashMap<TenantId, u64>,
    /// Where a tenant begins that comes anew.
    base: u64,
}

impl Turns {
    /// How many of the next `limit` runs each tenant may have. Who has fewer leaves the rest to the others.
    pub(super) fn shares(&mut self, candidates: &[Candidate], limit: usize) -> Vec<(TenantId, usize)> {
        self.passed.retain(|tenant, passed| {
            *passed > self.base || candidates.iter().any(|candidate| candidate.tenant == *tenant)
        });
        // Whoever comes anew has its place from now on, whatever is taken before its turn comes.
        for candidate in candidates {
            let place = self.place(candidate.tenant);
            self.passed.insert(candidate.tenant, place);
        }
        let mut queue: BinaryHeap<Reverse<(u64, TenantId, u32)>> = candidates
            .iter()
            .map(|candidate| Reverse((self.place(candidate.tenant), candidate.tenant, candidate.weight)))
            .collect();
        let mut shares: Vec<(TenantId, usize)> = Vec::new();
        for _ in 0..limit {
            let Some(Reverse((passed, tenant, weight))) = queue.pop() else { break };
            match shares.iter_mut().find(|(known, _)| *known == tenant) {
                Some((_, share)) => *share += 1,
                None => shares.push((tenant, 1)),
            }
            queue.push(Reverse((passed + step(weight), tenant, weight)));
        }
        shares
    }

    /// These runs were taken.
    pub(super) fn taken(&mut self, candidate: Candidate, runs: usize) {
        let (place, step) = (self.place(candidate.tenant), step(candidate.weight));
        // The one who is served was the furthest behind; nobody who comes later begins behind its last run.
        self.base = self.base.max(place + step * runs.saturating_sub(1) as u64);
        self.passed.insert(candidate.tenant, place + step * runs as u64);
    }

    fn place(&self, tenant: TenantId) -> u64 {
        self.passed.get(&tenant).copied().unwrap_or(self.base)
    }
}

fn step(weight: u32) -> u64 {
    STRIDE / u64::from(weight.clamp(1, 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(number: u128, weight: u32) -> Candidate {
        Candidate { tenant: TenantId::from_uuid(uuid::Uuid::from_u128(number)), weight }
    }

    /// Takes runs in batches of `batch`; gives how many each tenant had.
    fn serve(turns: &mut Turns, candidates: &[Candidate], batch: usize, batches: usize) -> Vec<usize> {
        let mut had = vec![0; candidates.len()];
        for _ in 0..batches {
            for (served, share) in turns.shares(candidates, batch) {
                let index = candidates.iter().position(|candidate| candidate.tenant == served).unwrap();
                had[index] += share;
                turns.taken(candidates[index], share);
            }
        }
        had
    }

    #[test]
    fn equal_tenants_take_turns_however_large_a_batch_is() {
        let pair = [tenant(1, 1), tenant(2, 1)];
        assert_eq!(serve(&mut Turns::default(), &pair, 32, 4), [64, 64]);
        let had = serve(&mut Turns::default(), &pair, 1, 101);
        assert!(had[0].abs_diff(had[1]) <= 1, "{had:?}");
    }

    #[test]
    fn weights_are_proportions() {
        let had = serve(&mut Turns::default(), &[tenant(1, 1), tenant(2, 3)], 8, 10);
        assert_eq!(had, [20, 60]);
    }

    #[test]
    fn who_was_idle_has_saved_nothing_up_and_waits_for_nobody() {
        let mut turns = Turns::default();
        let (old, new) = (tenant(1, 1), tenant(2, 1));
        serve(&mut turns, &[old], 10, 100);
        let had = serve(&mut turns, &[old, new], 1, 20);
        assert!(had[1] >= 10 && had[0] >= 8, "{had:?}");
    }

    #[test]
    fn what_is_remembered_does_not_grow_with_the_tenants_that_were() {
        let mut turns = Turns::default();
        for number in 0..1_000 {
            serve(&mut turns, &[tenant(number, 1)], 1, 2);
        }
        assert!(turns.passed.len() < 10, "{}", turns.passed.len());
    }
}
