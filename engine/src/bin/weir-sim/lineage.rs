//! Which children a run may have: a retry has new ones, and what is begun again goes on with those that it had.
//!
//! Invariant: looks at the journal, and at when each child came to be: one that the journal never heard of is gone on with as
//! well.

use std::collections::{BTreeMap, BTreeSet};

use domain::RunId;
use engine::Event;
use engine::dispatcher::Graph;
use engine::event::{Outside, Resolution};
use language::plan::Phase;

use crate::world::Simulated;

type Where<'a> = (&'a str, Option<u32>);

/// The children of one entry of a unit, since it was begun and before.
#[derive(Default)]
struct Line {
    /// The attempt that had the last ones.
    attempt: Option<u32>,
    own: BTreeSet<RunId>,
    /// Of these an attempt may go on with some.
    earlier: BTreeSet<RunId>,
    all: BTreeSet<RunId>,
    /// Where in the journal the unit was begun again.
    begun_again: u64,
}

impl Line {
    fn started(&mut self, attempt: u32, run: RunId, born: u64) -> Result<(), &'static str> {
        let is_first = self.attempt.is_none();
        if self.attempt.is_some_and(|last| last != attempt) {
            // A retry.
            self.own.clear();
            self.earlier.clear();
            if self.all.contains(&run) {
                return Err("a retry goes on with an old child");
            }
        }
        let is_known = self.earlier.contains(&run) || born < self.begun_again;
        if is_first && !self.earlier.is_empty() && !is_known {
            return Err("a unit that was begun again has a new child first");
        }
        self.attempt = Some(attempt);
        self.own.insert(run);
        self.all.insert(run);
        Ok(())
    }

    fn begun_again(&mut self, position: u64) {
        self.begun_again = position;
        self.attempt = None;
        let own = std::mem::take(&mut self.own);
        self.earlier.extend(own);
    }

    fn forget(&mut self) {
        self.attempt = None;
        self.own.clear();
        self.earlier.clear();
    }
}

#[derive(Default)]
struct Lines<'a> {
    by_entry: BTreeMap<(Where<'a>, u32), Line>,
    entries: BTreeMap<Where<'a>, u32>,
    parked: BTreeSet<Where<'a>>,
    done: BTreeSet<Where<'a>>,
}

impl<'a> Lines<'a> {
    fn of(&mut self, place: Where<'a>) -> &mut Line {
        let entry = self.entries.get(&place).copied().unwrap_or_default();
        self.by_entry.entry((place, entry)).or_default()
    }

    fn each(&mut self, wanted: impl Fn(Where<'a>) -> bool, change: impl Fn(&mut Line)) {
        let lines = self.by_entry.iter_mut().filter(|((place, _), _)| wanted(*place));
        lines.for_each(|(_, line)| change(line));
    }

    /// What succeeded was undone if it is done again.
    fn restarted(&mut self, position: u64, is_of_an_end: impl Fn(&str) -> bool) {
        let done = std::mem::take(&mut self.done);
        let anew = |place: Where<'_>| done.contains(&place) || is_of_an_end(place.0);
        self.each(anew, Line::forget);
        self.each(|place| !anew(place), |line| line.begun_again(position));
        self.entries.clear();
        self.parked.clear();
    }
}

pub(crate) fn goes_on_with_its_children(graph: &Graph, run: &Simulated) -> Result<(), String> {
    let of_an_end = |step: &str| {
        let phase = graph.step_named(step).map(|step| graph.plan().steps[step].phase);
        matches!(phase, Some(Phase::OnError | Phase::Finally))
    };
    let mut lines = Lines::default();
    for entry in &run.journal {
        let place: Where<'_> = (entry.event.step().unwrap_or_default(), entry.event.item());
        match &entry.event {
            Event::RunRestarted { .. } => lines.restarted(entry.position, of_an_end),
            Event::FallbackStarted { entry, .. } => {
                lines.entries.insert(place, *entry);
            }
            Event::IterationEnded { .. } => lines.of(place).forget(),
            Event::StepNeedsAttention { .. } => {
                lines.parked.insert(place);
            }
            Event::OutsideReceived { what: Outside::Resolve { step, item, resolution: Resolution::Retry }, .. }
                if lines.parked.remove(&(step.as_str(), *item)) =>
            {
                lines.each(|place| place == (step.as_str(), *item), |line| line.begun_again(entry.position));
                if item.is_none() {
                    let done = lines.done.clone();
                    let open = |place: Where<'_>| place.0 == step && place.1.is_some() && !done.contains(&place);
                    lines.each(open, |line| line.begun_again(entry.position));
                    lines.entries.retain(|place, _| !open(*place));
                }
            }
            Event::StepSettled { status, .. } | Event::ItemSettled { status, .. } if status.is_success() => {
                lines.done.insert(place);
            }
            Event::ChildStarted { attempt, run_id, .. } => {
                let told = lines.of(place).started(*attempt, *run_id, run.born[run_id]);
                told.map_err(|what| format!("{what}: {place:?}, attempt {attempt}, {run_id}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}
