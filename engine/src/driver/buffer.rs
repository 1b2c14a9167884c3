//! Entries that nobody outside has seen yet.
//!
//! Invariant: entries leave in order, and those of a failed append stay where they are.

use std::time::Duration;

use tokio::time::Instant;

use crate::event::Entry;
use crate::limits;
use crate::ports::{Journal, PortError};

#[derive(Debug, Default)]
pub(super) struct Buffer {
    entries: Vec<Entry>,
    since: Option<Instant>,
}

impl Buffer {
    pub(super) fn push(&mut self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            self.since.get_or_insert_with(Instant::now);
            self.entries.extend(entries);
        }
    }

    pub(super) async fn flush(&mut self, journal: &dyn Journal) -> Result<(), PortError> {
        if !self.entries.is_empty() {
            journal.append(&self.entries).await?;
            self.entries.clear();
            self.since = None;
        }
        Ok(())
    }

    /// Comes when the oldest entry has waited long enough; never while there is none.
    pub(super) async fn due(&self) {
        match self.since {
            Some(since) => tokio::time::sleep_until(since + Duration::from_millis(limits::FLUSH_MS)).await,
            None => std::future::pending().await,
        }
    }
}
