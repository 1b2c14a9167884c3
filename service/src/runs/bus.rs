//! What happens in runs, told to whoever watches in this process.
//!
//! Invariant: a message is a hint and may be missed; the journal is the truth. Nothing here waits for a slow watcher.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use domain::wire::EventView;
use domain::{RunId, TenantId};
use engine::Entry;
use tokio::sync::broadcast;

use super::entries::view_of;
use super::wait::SettledRun;

/// Messages that a slow watcher may be behind before it has to read the journal instead.
const BACKLOG: usize = 64;
/// Watched runs after which those that nobody watches any more are looked for.
const SWEEP_AT: usize = 1_024;

/// One message about a run.
#[derive(Debug, Clone)]
pub enum Live {
    /// Entries that are durable.
    Events(Arc<Happened>),
    /// A piece of text as it arrives from a model, behind `from` bytes of the attempt's. Never journaled.
    Delta { of: Speaker, attempt: u32, from: usize, text: Arc<str> },
    /// How far along an attempt is. Never journaled.
    Progress { of: Speaker, attempt: u32, done: u64, total: Option<u64>, unit: Arc<str> },
    /// Something changed that this process did not do: read the rows.
    Changed,
    /// The run reached a terminal status.
    Settled(Arc<SettledRun>),
    /// The run was given up before anything of it was durable.
    Abandoned,
}

/// Whose attempt says something: a step's, or that of one of its items.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Speaker {
    pub step: Arc<str>,
    pub item: Option<u32>,
}

/// Entries, and how watchers see them. Most runs have a caller who waits for the end alone, so the views are made when
/// somebody asks.
#[derive(Debug)]
pub struct Happened {
    entries: Vec<Entry>,
    views: OnceLock<Vec<EventView>>,
}

impl Happened {
    pub(super) fn new(entries: Vec<Entry>) -> Self {
        Self { entries, views: OnceLock::new() }
    }

    pub(super) fn views(&self) -> &[EventView] {
        self.views.get_or_init(|| self.entries.iter().map(view_of).collect())
    }
}

/// Cheap to clone; one a process.
#[derive(Debug, Clone, Default)]
pub struct Bus {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    runs: Mutex<HashMap<RunId, broadcast::Sender<Live>>>,
    tenants: Mutex<HashMap<TenantId, broadcast::Sender<RunId>>>,
}

impl Bus {
    /// Hears what happens in one run from now on. Whoever calls this has checked that it may.
    #[must_use]
    pub fn of_run(&self, run: RunId) -> broadcast::Receiver<Live> {
        subscribe(&self.inner.runs, run)
    }

    /// Hears which runs of a tenant change: started, moved on, settled.
    #[must_use]
    pub fn of_tenant(&self, tenant: TenantId) -> broadcast::Receiver<RunId> {
        subscribe(&self.inner.tenants, tenant)
    }

    pub(super) fn tell(&self, run: RunId, message: Live) {
        send(&self.inner.runs, &run, message);
    }

    pub(super) fn tell_tenant(&self, tenant: TenantId, run: RunId) {
        send(&self.inner.tenants, &tenant, run);
    }

    /// Tells every watcher to read the rows again: something may have been missed.
    pub(super) fn tell_all_changed(&self) {
        let runs = self.inner.runs.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in runs.values() {
            // Nobody there is fine.
            let _ = sender.send(Live::Changed);
        }
    }
}

fn subscribe<K: std::hash::Hash + Eq, M: Clone>(
    map: &Mutex<HashMap<K, broadcast::Sender<M>>>,
    key: K,
) -> broadcast::Receiver<M> {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    if map.len() >= SWEEP_AT && map.len().is_power_of_two() {
        map.retain(|_, sender| sender.receiver_count() > 0);
    }
    map.entry(key).or_insert_with(|| broadcast::channel(BACKLOG).0).subscribe()
}

fn send<K: std::hash::Hash + Eq, M: Clone>(map: &Mutex<HashMap<K, broadcast::Sender<M>>>, key: &K, message: M) {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(sender) = map.get(key)
        && sender.send(message).is_err()
    {
        map.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_hears_its_own_run_and_none_is_kept_that_nobody_watches() {
        let bus = Bus::default();
        let [one, two] = [1, 2].map(|number| RunId::from_uuid(uuid::Uuid::from_u128(number)));
        let mut watcher = bus.of_run(one);
        bus.tell(two, Live::Changed);
        assert!(watcher.try_recv().is_err());
        bus.tell(one, Live::Changed);
        assert!(matches!(watcher.try_recv(), Ok(Live::Changed)));
        drop(watcher);
        bus.tell(one, Live::Changed);
        assert!(bus.inner.runs.lock().unwrap().is_empty());
    }
}
