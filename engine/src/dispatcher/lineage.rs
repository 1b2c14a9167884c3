//! Whose children a unit goes on with when it is begun again: by a restart, or by a person who wants a parked step done again.
//!
//! Invariant: a retry has children of its own; what is begun again goes on with those of the last attempts, and a child
//! belongs to one entry for good.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An attempt that had children: what its key was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub attempt: u32,
    pub iteration: u32,
    pub key_epoch: u32,
}

/// By entry: the step's own way, and its fallbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lineage {
    /// The last attempt with children since the unit was begun.
    own: BTreeMap<u32, Line>,
    /// Those from before that, newest first. More than one, since an attempt may end before it came to all of its children.
    earlier: BTreeMap<u32, Vec<Line>>,
}

impl Lineage {
    pub(super) fn child_started(&mut self, entry: u32, line: Line) {
        // A retry is on its own.
        if self.own.insert(entry, line).is_some_and(|before| before.attempt != line.attempt) {
            self.earlier.remove(&entry);
        }
    }

    /// Those whose children this attempt goes on with, newest first.
    pub(super) fn earlier(&self, entry: u32, attempt: u32) -> &[Line] {
        match self.own.get(&entry) {
            Some(own) if own.attempt != attempt => &[],
            _ => self.earlier.get(&entry).map_or(&[], Vec::as_slice),
        }
    }

    /// What it did is done: the next children of this entry are new ones.
    pub(super) fn forget(&mut self, entry: u32) {
        self.own.remove(&entry);
        self.earlier.remove(&entry);
    }

    /// Of the unit that is begun again.
    pub(super) fn begun_again(mut self) -> Self {
        for (entry, line) in std::mem::take(&mut self.own) {
            self.earlier.entry(entry).or_default().insert(0, line);
        }
        self
    }
}
