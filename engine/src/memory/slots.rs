//! Slots in memory, for the runs of one world.
//!
//! Invariant: no more units are held than there are; whoever waits is served in the order of asking, and nobody who came
//! later overtakes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::{Failure, FailureKind, RunId};
use tokio::sync::{Mutex as AsyncMutex, watch};

use crate::event::LimitKind;
use crate::ports::{PortError, SlotAnswer, SlotLimit, SlotRequest, Slots};

/// The units of a pool, and what stands in for the tenant's settings.
#[derive(Debug)]
pub struct MemoryPools {
    /// A pool that is not named here has as many units as anybody wants.
    most: HashMap<String, u32>,
    lines: Mutex<Lines>,
    /// Changes whenever something was freed.
    freed: watch::Sender<u64>,
}

impl Default for MemoryPools {
    fn default() -> Self {
        Self { most: HashMap::new(), lines: Mutex::default(), freed: watch::Sender::new(0) }
    }
}

/// Who asks: run, step, item.
type Asker = (RunId, String, Option<u32>);

#[derive(Debug, Default)]
struct Lines {
    held: HashMap<(LimitKind, String), Vec<(Asker, u32)>>,
    /// In the order of asking.
    waiting: Vec<(Asker, SlotRequest)>,
}

impl MemoryPools {
    #[must_use]
    pub fn new(most: impl IntoIterator<Item = (String, u32)>) -> Self {
        Self { most: most.into_iter().collect(), ..Self::default() }
    }

    /// The slots as one run sees them.
    #[must_use]
    pub fn of_run(self: &Arc<Self>, run: RunId) -> MemorySlots {
        MemorySlots { pools: Arc::clone(self), run, news: AsyncMutex::new(self.freed.subscribe()) }
    }

    /// Units that are held under a limit now.
    #[must_use]
    pub fn held(&self, kind: LimitKind, key: &str) -> u32 {
        let lines = self.lines();
        lines.held.get(&(kind, key.to_owned())).map_or(0, |held| held.iter().map(|(_, units)| units).sum())
    }

    /// Frees what a run holds and waits for, as the end of its lease does.
    pub fn free(&self, run: RunId) {
        self.remove(|asker| asker.0 == run);
    }

    fn remove(&self, gone: impl Fn(&Asker) -> bool) {
        let mut lines = self.lines();
        lines.held.values_mut().for_each(|held| held.retain(|(asker, _)| !gone(asker)));
        lines.held.retain(|_, held| !held.is_empty());
        lines.waiting.retain(|(asker, _)| !gone(asker));
        drop(lines);
        self.freed.send_modify(|times| *times += 1);
    }

    fn most(&self, limit: &SlotLimit) -> u32 {
        limit.most.or_else(|| self.most.get(&limit.key).copied()).unwrap_or(u32::MAX)
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, asker: &Asker, request: SlotRequest) -> SlotAnswer {
        let mut lines = self.lines();
        let is_mine = |limit: &SlotLimit| {
            let held = lines.held.get(&(limit.kind, limit.key.clone()));
            held.is_some_and(|held| held.iter().any(|(other, _)| other == asker))
        };
        if request.limits.iter().all(is_mine) {
            return SlotAnswer::Taken;
        }
        for limit in &request.limits {
            let most = self.most(limit);
            if limit.units > most {
                let message = format!("{} units of pool `{}` are wanted, and it has {most}.", limit.units, limit.key);
                return SlotAnswer::Refused(Failure::new(FailureKind::Flow, "pool_too_small", message));
            }
            let mine = lines.waiting.iter().position(|(other, _)| other == asker).unwrap_or(lines.waiting.len());
            let ahead = lines.waiting[..mine].iter().flat_map(|(_, request)| &request.limits);
            let ahead: u64 = ahead.filter(|other| same(other, limit)).map(|other| u64::from(other.units)).sum();
            let held = lines.held.get(&(limit.kind, limit.key.clone())).into_iter().flatten();
            let held: u64 = held.filter(|(other, _)| other != asker).map(|(_, units)| u64::from(*units)).sum();
            if held + ahead + u64::from(limit.units) > u64::from(most) {
                let kind = limit.kind;
                if mine == lines.waiting.len() {
                    lines.waiting.push((asker.clone(), request));
                }
                return SlotAnswer::Full(kind);
            }
        }
        lines.waiting.retain(|(other, _)| other != asker);
        // Whoever stood behind it may have room beside it.
        self.freed.send_modify(|times| *times += 1);
        for limit in request.limits {
            let held = lines.held.entry((limit.kind, limit.key)).or_default();
            held.retain(|(other, _)| other != asker);
            held.push((asker.clone(), limit.units));
        }
        SlotAnswer::Taken
    }
}

fn same(one: &SlotLimit, other: &SlotLimit) -> bool {
    one.kind == other.kind && one.key == other.key
}

/// The slots of one run.
#[derive(Debug)]
pub struct MemorySlots {
    pools: Arc<MemoryPools>,
    run: RunId,
    /// What was freed since it was last looked at is not missed.
    news: AsyncMutex<watch::Receiver<u64>>,
}

#[async_trait]
impl Slots for MemorySlots {
    async fn take(&self, request: SlotRequest) -> Result<SlotAnswer, PortError> {
        let asker = (self.run, request.step.clone(), request.item);
        Ok(self.pools.take(&asker, request))
    }

    async fn give_back(&self, step: &str, item: Option<u32>) -> Result<(), PortError> {
        self.pools.remove(|asker| asker.0 == self.run && asker.1 == step && asker.2 == item);
        Ok(())
    }

    async fn offered(&self) {
        // The sender lives as long as the pools, so this ends with news alone.
        if self.news.lock().await.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(step: &str, units: u32) -> SlotRequest {
        let limit = SlotLimit { kind: LimitKind::Pool, key: "gpu".to_owned(), units, most: None };
        SlotRequest { step: step.to_owned(), item: None, limits: vec![limit] }
    }

    #[tokio::test]
    async fn who_asks_for_much_is_not_overtaken_by_those_who_ask_for_little() {
        let pools = Arc::new(MemoryPools::new([("gpu".to_owned(), 3)]));
        let runs: Vec<MemorySlots> =
            (1..=3).map(|run| pools.of_run(RunId::from_uuid(uuid::Uuid::from_u128(run)))).collect();
        assert_eq!(runs[0].take(request("a", 2)).await.unwrap(), SlotAnswer::Taken);
        assert_eq!(runs[1].take(request("a", 3)).await.unwrap(), SlotAnswer::Full(LimitKind::Pool));
        assert_eq!(runs[2].take(request("a", 1)).await.unwrap(), SlotAnswer::Full(LimitKind::Pool));
        runs[0].give_back("a", None).await.unwrap();
        assert_eq!(runs[2].take(request("a", 1)).await.unwrap(), SlotAnswer::Full(LimitKind::Pool), "it came later");
        assert_eq!(runs[1].take(request("a", 3)).await.unwrap(), SlotAnswer::Taken);
        assert_eq!(runs[1].take(request("a", 3)).await.unwrap(), SlotAnswer::Taken, "asking again changes nothing");
        assert_eq!(pools.held(LimitKind::Pool, "gpu"), 3);
        assert!(matches!(runs[0].take(request("b", 4)).await.unwrap(), SlotAnswer::Refused(_)));
    }
}
