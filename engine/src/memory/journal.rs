//! A journal in memory, with somebody who watches it grow.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::RunId;

use crate::event::Entry;
use crate::executor::{Progress, Unwatched};
use crate::ports::{Journal, PortError};

/// Hears of every entry of every run of a world, and of progress inside attempts.
pub trait Observer: Send + Sync {
    /// `depth` is 0 for the root run.
    fn entry(&self, run: RunId, depth: u32, entry: &Entry);

    fn progress(&self, run: RunId, depth: u32, step: &str) -> Arc<dyn Progress> {
        let _ = (run, depth, step);
        Arc::new(Unwatched)
    }
}

/// Nobody watches.
#[derive(Debug, Default, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn entry(&self, _run: RunId, _depth: u32, _entry: &Entry) {}
}

/// One run's entries.
pub struct MemoryJournal {
    run: RunId,
    depth: u32,
    entries: Mutex<Vec<Entry>>,
    observer: Arc<dyn Observer>,
}

impl MemoryJournal {
    #[must_use]
    pub fn new(run: RunId, depth: u32, observer: Arc<dyn Observer>) -> Self {
        Self { run, depth, entries: Mutex::default(), observer }
    }

    /// A journal that has these entries already.
    #[must_use]
    pub fn with_history(run: RunId, entries: Vec<Entry>) -> Self {
        Self { run, depth: 0, entries: Mutex::new(entries), observer: Arc::new(Unobserved) }
    }

    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, entries: &[Entry]) -> Result<(), PortError> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(entries);
        for entry in entries {
            self.observer.entry(self.run, self.depth, entry);
        }
        Ok(())
    }
}
