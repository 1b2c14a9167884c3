//! Whose children a unit goes on with when it is begun again: by a restart, or by a person who wants a parked step done again.
//!
//! Invariant: a retry has children of its own; what is begun again goes on with those of the last attempts, and a child
//! belongs to one entry for good.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An attempt that may have children: what its key was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub attempt: u32,
    pub iteration: u32,
    pub key_epoch: u32,
}

/// By entry: the step's own way, and its fallbacks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lineage(BTreeMap<u32, Lines>);

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Lines {
    /// The last attempt since the unit was begun of which a child is known.
    parent: Option<Line>,
    /// Attempts after that one, newest first. What they started may have been lost to the journal with their worker, and is
    /// found by its key all the same.
    since: Vec<Line>,
    /// Those from before the unit was begun, newest first. More than one, since an attempt may end before it came to all of its
    /// children.
    earlier: Vec<Line>,
}

impl Lines {
    fn child_started(&mut self, line: Line) {
        // A retry is on its own.
        if self.parent.replace(line).is_some_and(|before| before.attempt != line.attempt) {
            self.earlier.clear();
        }
        self.since.clear();
    }

    fn begun_again(&mut self) {
        let known = std::mem::take(&mut self.since).into_iter().chain(self.parent.take());
        self.earlier.splice(..0, known);
    }
}

impl Lineage {
    pub(super) fn attempt_started(&mut self, entry: u32, line: Line) {
        self.0.entry(entry).or_default().since.insert(0, line);
    }

    pub(super) fn child_started(&mut self, entry: u32, line: Line) {
        self.0.entry(entry).or_default().child_started(line);
    }

    /// Those whose children this attempt goes on with, newest first.
    pub(super) fn earlier(&self, entry: u32, attempt: u32) -> &[Line] {
        let lines = self.0.get(&entry);
        let goes_on = lines.filter(|lines| lines.parent.is_none_or(|parent| parent.attempt == attempt));
        goes_on.map_or(&[], |lines| &lines.earlier)
    }

    /// What it did is done: the next children of this entry are new ones.
    pub(super) fn forget(&mut self, entry: u32) {
        self.0.remove(&entry);
    }

    /// Of the unit that is begun again.
    pub(super) fn begun_again(mut self) -> Self {
        self.0.values_mut().for_each(Lines::begun_again);
        self
    }
}
