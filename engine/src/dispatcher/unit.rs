//! One line of attempts: a step's own, or that of one item of a `for_each` step.
//!
//! Invariant: at most one attempt of a unit is under way; attempts count on over retries, fallbacks and iterations, so
//! that a number names an attempt for good.

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, NanoUsd, RunId, StepStatus};
use language::Effect;
use language::plan::StepIndex;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lineage::{Line, Lineage};
use crate::event::{SecretUse, SkipReason, Stored, Waiting};
use crate::retry::outcome_is_unknown;

/// Where a unit stands: a step, or one item of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    pub step: StepIndex,
    pub item: Option<u32>,
}

impl Place {
    #[must_use]
    pub const fn of(step: StepIndex) -> Self {
        Self { step, item: None }
    }

    #[must_use]
    pub const fn item(step: StepIndex, item: u32) -> Self {
        Self { step, item: Some(item) }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Unit {
    pub status: StepStatus,
    pub attempts: u32,
    /// 0 is the step's own way, n its nth fallback.
    pub entry: u32,
    /// Counts from 1.
    pub iteration: u32,
    /// The epoch that outgoing keys carry; 1 carries none. It grows where a restart follows a known failure.
    pub key_epoch: u32,
    pub config: Option<Value>,
    pub secrets: Vec<SecretUse>,
    pub output: Option<Stored>,
    pub error: Option<Failure>,
    pub reason: Option<SkipReason>,
    /// When the next attempt or iteration is due.
    pub retry_at: Option<DateTime<Utc>>,
    pub waiting: Option<Waiting>,
    /// Since when it waits for slots.
    #[serde(default)]
    pub queued_at: Option<DateTime<Utc>>,
    pub started_at: Option<DateTime<Utc>>,
    /// When the attempt under way began.
    pub attempt_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub cost: Option<NanoUsd>,
    /// Child runs of the last attempt.
    pub children: Vec<RunId>,
    /// The strictest of what they do.
    #[serde(default)]
    pub child_effect: Option<Effect>,
    /// It ended while an attempt was under way, or while a person was asked about one: nobody knows what became of its call.
    #[serde(default)]
    pub(super) cut: bool,
    /// Whose children it goes on with when it is begun again.
    #[serde(default)]
    lineage: Option<Box<Lineage>>,
    /// Attempts before this entry and iteration.
    pub(crate) attempts_before: u32,
    /// When this entry's first attempt began.
    pub(super) entry_at: Option<DateTime<Utc>>,
    /// An iteration ended, and whether it was the last was not answered yet.
    pub(super) until_due: bool,
    /// Slots under limits beyond the run are taken for it, or for the attempt under way.
    #[serde(skip)]
    pub(super) holds_slots: bool,
    #[serde(skip)]
    pub(super) asked: bool,
    /// Why the running attempt was told to stop.
    #[serde(skip)]
    pub(super) stop: Option<SkipReason>,
    /// The failure that an `on_error` value is being rendered for.
    #[serde(skip)]
    pub(super) falling_back: Option<(Failure, Option<Usage>)>,
}

impl Default for Unit {
    fn default() -> Self {
        Self {
            status: StepStatus::Pending,
            attempts: 0,
            entry: 0,
            iteration: 1,
            key_epoch: 1,
            config: None,
            secrets: Vec::new(),
            output: None,
            error: None,
            reason: None,
            retry_at: None,
            waiting: None,
            queued_at: None,
            started_at: None,
            attempt_at: None,
            ended_at: None,
            cost: Some(NanoUsd::ZERO),
            children: Vec::new(),
            child_effect: None,
            cut: false,
            lineage: None,
            attempts_before: 0,
            entry_at: None,
            until_due: false,
            holds_slots: false,
            asked: false,
            stop: None,
            falling_back: None,
        }
    }
}

impl Unit {
    /// The record's `success`: a boolean once settled.
    #[must_use]
    pub fn success(&self) -> Option<bool> {
        self.status.is_settled().then(|| self.status.is_success())
    }

    /// Why its running attempt was told to stop.
    pub(crate) const fn stop(&self) -> Option<SkipReason> {
        self.stop
    }

    /// Whether it neither rests nor has ended.
    pub(super) fn is_begun(&self) -> bool {
        self.status != StepStatus::Pending || self.asked
    }

    /// Begun and not settled.
    pub(super) fn is_open(&self) -> bool {
        self.is_begun() && !self.status.is_settled()
    }

    /// `starts_child` says whether it runs another flow.
    pub(super) fn attempt_started(&mut self, attempt: u32, starts_child: bool, at: DateTime<Utc>) {
        self.status = StepStatus::Running;
        self.attempts = attempt;
        self.retry_at = None;
        self.queued_at = None;
        self.attempt_at = Some(at);
        self.started_at.get_or_insert(at);
        self.entry_at.get_or_insert(at);
        self.children.clear();
        self.child_effect = None;
        self.cut = false;
        self.asked = false;
        if starts_child {
            let line = self.line();
            self.lineage.get_or_insert_default().attempt_started(self.entry, line);
        }
    }

    pub(super) fn child_started(&mut self, run: RunId, effect: Option<Effect>) {
        self.children.push(run);
        self.child_effect = self.child_effect.max(effect);
        let line = self.line();
        self.lineage.get_or_insert_default().child_started(self.entry, line);
    }

    fn line(&self) -> Line {
        Line { attempt: self.attempts, iteration: self.iteration, key_epoch: self.key_epoch }
    }

    /// The attempts whose children the present one goes on with, newest first.
    #[must_use]
    pub fn earlier(&self) -> &[Line] {
        self.lineage.as_ref().map_or(&[], |lineage| lineage.earlier(self.entry, self.attempts))
    }

    /// The children that come are new ones.
    pub(super) fn forget_children(&mut self) {
        self.lineage = None;
    }

    /// Nothing of it was ever made ready: it ended before its turn came.
    pub(super) const fn is_unbegun(&self) -> bool {
        self.config.is_none() && self.entry == 0
    }

    /// A person wants a parked unit to be tried again.
    pub(super) fn begin_again(&mut self) {
        self.status = StepStatus::Ready;
        self.asked = false;
        self.lineage = self.lineage.take().map(|lineage| Box::new(lineage.begun_again()));
    }

    pub(super) fn iteration_ended(&mut self, output: &Stored) {
        self.status = StepStatus::Ready;
        self.output = Some(output.clone());
        self.until_due = true;
        if let Some(lineage) = &mut self.lineage {
            lineage.forget(self.entry);
        }
    }

    /// The next way to do it: a config of its own, and attempts that count anew.
    pub(super) fn fall_back(&mut self, entry: u32, failure: &Failure) {
        self.entry = entry;
        self.error = Some(failure.clone());
        self.config = None;
        self.secrets.clear();
        self.output = None;
        self.iteration = 1;
        self.until_due = false;
        self.status = StepStatus::Ready;
        self.begin_count();
    }

    pub(super) fn next_iteration(&mut self, iteration: u32, at: DateTime<Utc>) {
        self.iteration = iteration;
        self.retry_at = Some(at);
        self.status = StepStatus::RetryWait;
        self.until_due = false;
        self.asked = false;
        self.begin_count();
    }

    fn begin_count(&mut self) {
        self.attempts_before = self.attempts;
        self.entry_at = None;
    }

    /// Whether it ends in the middle of an attempt, or with a call in doubt, by a stop or a limit of time.
    pub(super) fn is_cut_by(&self, end: StepStatus) -> bool {
        let open = self.status == StepStatus::Running || self.is_in_doubt();
        open && matches!(end, StepStatus::Cancelled | StepStatus::TimedOut)
    }

    /// A person is asked what became of its call, and has not said it.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.status == StepStatus::NeedsAttention && self.error.as_ref().is_some_and(outcome_is_unknown)
    }

    /// What is left of it when the run is restarted: its number of attempts, what became of the last one, and the children
    /// that it goes on with. What succeeded and is done again all the same was undone, its children with it.
    pub(super) fn restarted(&self, epoch: u32) -> Self {
        // A call whose outcome nobody knows keeps its key, so that the other side can tell that it is the same call.
        let unknown = self.cut || matches!(self.status, StepStatus::Running | StepStatus::NeedsAttention);
        Self {
            attempts: self.attempts,
            attempts_before: self.attempts,
            key_epoch: if unknown { self.key_epoch } else { epoch },
            cost: self.cost,
            lineage: self
                .lineage
                .clone()
                .filter(|_| !self.status.is_success())
                .map(|lineage| Box::new(lineage.begun_again())),
            ..Self::default()
        }
    }
}

/// The items of a `for_each` step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Items {
    /// The list itself.
    pub values: Stored,
    pub units: Vec<Unit>,
    pub succeeded: usize,
    pub failed: usize,
    pub(super) settled: usize,
    pub(super) running: usize,
    /// Items that wait for a place under `max_parallel`.
    #[serde(skip)]
    pub(super) queue: std::collections::VecDeque<u32>,
    /// The first item that was not begun.
    #[serde(skip)]
    pub(super) next: usize,
    /// The first item that is not settled.
    #[serde(skip)]
    pub(super) oldest: usize,
    /// No further item begins.
    #[serde(skip)]
    pub(super) closed: bool,
}

impl Items {
    pub(super) fn new(values: Stored, count: u32) -> Self {
        Self {
            values,
            units: vec![Unit::default(); count as usize],
            succeeded: 0,
            failed: 0,
            settled: 0,
            running: 0,
            queue: std::collections::VecDeque::new(),
            next: 0,
            oldest: 0,
            closed: false,
        }
    }

    /// How many are on their way to their first or next attempt.
    pub(super) fn preparing(&self) -> usize {
        let upto = self.next.min(self.units.len());
        self.units[self.oldest.min(upto)..upto].iter().filter(|unit| unit.status == StepStatus::Ready).count()
    }

    /// The first item that was not begun yet.
    pub(super) fn next_fresh(&mut self) -> Option<u32> {
        while self.next < self.units.len() && self.units[self.next].is_begun() {
            self.next += 1;
        }
        (self.next < self.units.len()).then(|| u32::try_from(self.next).unwrap_or(u32::MAX))
    }

    /// Items that did not succeed are as if they had not been begun, but for the number of their attempts. Their keys
    /// stay: it is the same call.
    pub(super) fn open_again(&mut self) {
        for unit in &mut self.units {
            if !unit.status.is_success() {
                *unit = unit.restarted(unit.key_epoch);
            }
        }
        self.count_again();
    }

    /// The counters from the units alone.
    pub(super) fn count_again(&mut self) {
        (self.succeeded, self.failed, self.settled, self.running) = (0, 0, 0, 0);
        (self.next, self.oldest, self.closed) = (0, 0, false);
        self.queue.clear();
        for item in 0..self.units.len() {
            if self.units[item].status.is_settled() {
                self.item_settled(item);
            }
        }
    }

    pub(super) fn item_settled(&mut self, item: usize) {
        self.settled += 1;
        while self.units.get(self.oldest).is_some_and(|unit| unit.status.is_settled()) {
            self.oldest += 1;
        }
        let unit = &self.units[item];
        self.succeeded += usize::from(unit.status.is_success());
        self.failed += usize::from(unit.status.is_failure());
    }

    /// Whether nothing is under way and nothing will begin.
    pub(super) fn is_done(&self) -> bool {
        let begun =
            if self.closed { self.units.iter().filter(|unit| unit.is_begun()).count() } else { self.units.len() };
        self.settled >= begun
    }

    /// How many finished in each way, for whoever counts.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.settled
    }
}
