//! Child runs: kept by their keys as a store keeps them, and the attempts that wait for them, which die with their worker.
//!
//! Invariant: what becomes of a child is decided by the seed, its key and its epoch alone; a child that ended well is never
//! run again.

use std::collections::BTreeMap;

use domain::{Failure, FailureKind, RunId};
use engine::dispatcher::{AttemptResult, FailedAttempt, Line, Place, Signal, State, SucceededAttempt};
use engine::event::Stored;
use engine::ports::Child;
use language::Effect;
use serde_json::json;

use crate::dice::Dice;

/// What a child is found by: who started it, and as which of an attempt's children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    place: Place,
    entry: u32,
    line: Line,
    stage: u32,
}

#[derive(Debug, Clone)]
struct Kid {
    child: Child,
    key: Key,
    epoch: u32,
    /// `None` while it goes on.
    end: Option<Result<(), FailureKind>>,
    /// It gave its place back, and wakes its parent when it is over.
    rests: bool,
    /// How far its parent's journal had come when the attempt began that first started it.
    born: u64,
}

/// An attempt that starts children, one after the other.
#[derive(Debug)]
struct Task {
    place: Place,
    attempt: u32,
    /// How far the journal had come durably when it began.
    since: u64,
    stage: u32,
    kid: Option<usize>,
    stopped: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Kids {
    seed: u64,
    kids: Vec<Kid>,
    tasks: Vec<Task>,
    /// How often which way was gone, for the tally.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

impl Kids {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(crate) fn begin(&mut self, place: Place, attempt: u32, since: u64) {
        self.tasks.push(Task { place, attempt, since, stage: 0, kid: None, stopped: false });
    }

    /// The worker is gone; the children are not.
    pub(crate) fn lose_tasks(&mut self) {
        self.tasks.clear();
    }

    /// Tasks that can do something now.
    pub(crate) fn ready(&self) -> Vec<usize> {
        let rests = |task: &Task| task.kid.is_some_and(|kid| self.kids[kid].rests);
        (0..self.tasks.len()).filter(|task| !rests(&self.tasks[*task])).collect()
    }

    /// Whether an attempt does nothing but wait for a child that rests.
    pub(crate) fn is_resting(&self) -> bool {
        !self.tasks.is_empty() && self.ready().is_empty()
    }

    /// The next thing that a task does, and what the run hears of it.
    pub(crate) fn advance(&mut self, task: usize, state: &State) -> Option<Signal> {
        let Task { place, attempt, since, stage, kid, stopped } = self.tasks[task];
        let Some(kid) = kid else {
            // A start is not given up in the middle: what was started by a worker of before is found, and ended.
            let kid = self.start(state, place, attempt, stage, since);
            self.tasks[task].kid = Some(kid);
            if stopped {
                self.end(kid, Err(FailureKind::Cancelled));
            }
            return Some(Signal::ChildStarted { place, attempt, child: self.kids[kid].child });
        };
        let Some(end) = self.kids[kid].end else {
            self.live(kid);
            return None;
        };
        if end.is_ok() && stage + 1 < self.stages(place) {
            (self.tasks[task].kid, self.tasks[task].stage) = (None, stage + 1);
            return None;
        }
        self.tasks.swap_remove(task);
        Some(ended(place, attempt, if stopped { Err(FailureKind::Cancelled) } else { end }))
    }

    /// With grace the attempt's end is waited for, without it is over already; its child ends in either case.
    pub(crate) fn stop(&mut self, place: Place, attempt: u32, grace: bool, known: &[RunId]) {
        let of = |task: &Task| (task.place, task.attempt) == (place, attempt);
        let mut ending: Vec<usize> = self.tasks.iter().filter(|task| of(task)).filter_map(|task| task.kid).collect();
        if grace {
            self.tasks.iter_mut().filter(|task| of(task)).for_each(|task| task.stopped = true);
        } else {
            ending.extend((0..self.kids.len()).filter(|kid| known.contains(&self.kids[*kid].child.run)));
            self.tasks.retain(|task| !of(task));
        }
        ending.into_iter().for_each(|kid| self.end(kid, Err(FailureKind::Cancelled)));
    }

    /// One that rests is over.
    pub(crate) fn wake(&mut self, dice: &mut Dice) {
        let resting: Vec<usize> = (0..self.kids.len()).filter(|kid| self.kids[*kid].rests).collect();
        if !resting.is_empty() {
            let kid = resting[dice.below(resting.len())];
            self.end(kid, self.outcome(self.fate(kid, 2)));
        }
    }

    /// The run is over. Whoever killed it has killed its children.
    pub(crate) fn parent_ended(&mut self, state: &State, killed: bool) -> Result<(), String> {
        let known: Vec<RunId> = state.places().flat_map(|place| state.unit(place).children.clone()).collect();
        for kid in 0..self.kids.len() {
            let run = self.kids[kid].child.run;
            if self.kids[kid].end.is_none() && known.contains(&run) && !killed {
                return Err(format!("the run ended and its child {:?} goes on", self.kids[kid]));
            }
            self.end(kid, Err(FailureKind::Cancelled));
        }
        Ok(())
    }

    /// When each child was first started, by its parent's journal.
    pub(crate) fn born(&self) -> BTreeMap<RunId, u64> {
        self.kids.iter().map(|kid| (kid.child.run, kid.born)).collect()
    }

    fn start(&mut self, state: &State, place: Place, attempt: u32, stage: u32, born: u64) -> usize {
        let unit = state.unit(place);
        let entry = unit.entry;
        let key = |line: Line| Key { place, entry, line, stage };
        let own = key(Line { attempt, iteration: unit.iteration, key_epoch: unit.key_epoch });
        let found = |key: &Key| self.kids.iter().position(|kid| kid.key == *key);
        if let Some(kid) = found(&own) {
            return kid;
        }
        if let Some(kid) = unit.earlier().iter().map(|line| key(*line)).find_map(|key| found(&key)) {
            let known = &mut self.kids[kid];
            known.key = own;
            let way = if matches!(known.end, Some(Err(_))) {
                (known.end, known.epoch) = (None, known.epoch + 1);
                "child goes on"
            } else {
                "child stays"
            };
            *self.seen.entry(way).or_default() += 1;
            return kid;
        }
        let run = RunId::from_uuid(uuid::Uuid::from_u128(self.kids.len() as u128 + 1));
        let effect = self.at(place, 7).pick(&[Effect::Pure, Effect::Idempotent, Effect::Unsafe]);
        let child = Child { run, effect };
        self.kids.push(Kid { child, key: own, epoch: 1, end: None, rests: false, born });
        self.kids.len() - 1
    }

    /// It ends, or rests first.
    fn live(&mut self, kid: usize) {
        let mut fate = self.fate(kid, 1);
        if fate.chance(35) {
            self.kids[kid].rests = true;
            *self.seen.entry("child rests").or_default() += 1;
        } else {
            self.end(kid, self.outcome(fate));
        }
    }

    fn outcome(&self, mut fate: Dice) -> Result<(), FailureKind> {
        match fate.below(10) {
            0..6 => Ok(()),
            6 | 7 => Err(FailureKind::Rejected),
            8 => Err(FailureKind::Timeout),
            _ => Err(FailureKind::Provider),
        }
    }

    fn end(&mut self, kid: usize, end: Result<(), FailureKind>) {
        let kid = &mut self.kids[kid];
        kid.end.get_or_insert(end);
        kid.rests = false;
    }

    fn stages(&self, place: Place) -> u32 {
        1 + self.at(place, 9).small(3)
    }

    fn at(&self, place: Place, what: u64) -> Dice {
        let item = place.item.map_or(0, |item| u64::from(item) + 1);
        Dice::new(self.seed ^ (place.step as u64 ^ item << 20 ^ what << 40).wrapping_mul(0x9E6C_63D0_876A_46D5))
    }

    /// The same whatever number the child has.
    fn fate(&self, kid: usize, what: u64) -> Dice {
        let Kid { key, epoch, .. } = &self.kids[kid];
        let Line { attempt, iteration, .. } = key.line;
        let mixed = [key.entry, attempt, iteration, key.stage, *epoch]
            .into_iter()
            .fold(what, |mixed, part| mixed.wrapping_mul(131).wrapping_add(u64::from(part)));
        self.at(key.place, 1_000 + mixed)
    }
}

fn ended(place: Place, attempt: u32, end: Result<(), FailureKind>) -> Signal {
    let result: AttemptResult = match end {
        Ok(()) => Ok(SucceededAttempt { output: Stored::Inline(json!(attempt)), usage: None }),
        Err(kind) => {
            Err(FailedAttempt { failure: Failure::new(kind, kind.as_str(), "as the child's dice fell"), usage: None })
        }
    };
    Signal::AttemptEnded { place, attempt, result }
}
