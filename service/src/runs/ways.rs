//! Which way of doing a step an attempt is one of: its own, a fallback or an undoing, and in which iteration.
//!
//! Invariant: a fold of the journal, like the rows that it goes into.

use std::collections::{BTreeMap, BTreeSet};

use engine::Event;
use language::Plan;
use language::plan::Phase;

/// A step, or one of its items (-1: the step itself).
pub(super) type Place = (String, i32);

/// Where an event about a step happened.
pub(super) fn place_of(step: &str, event: &Event) -> Place {
    (step.to_owned(), event.item().map_or(-1, |item| i32::try_from(item).unwrap_or(i32::MAX)))
}

#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    undoing: BTreeSet<String>,
    repeated: BTreeSet<String>,
    /// Fallback (0: none) and iteration, where they are not the first.
    now: BTreeMap<Place, (u32, u32)>,
}

impl Ways {
    pub(super) fn of(plan: &Plan) -> Self {
        let named = |is: fn(&language::plan::StepPlan) -> bool| {
            plan.steps.iter().filter(|step| is(step)).map(|step| step.name.clone()).collect()
        };
        Self {
            undoing: named(|step| matches!(step.phase, Phase::Compensation { .. })),
            repeated: named(|step| step.repeat.is_some()),
            now: BTreeMap::new(),
        }
    }

    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            // What is done again begins with its own way.
            Event::RunRestarted { .. } => self.now.clear(),
            Event::FallbackStarted { step, entry, .. } => {
                self.now.insert(place_of(step, event), (*entry, 1));
            }
            Event::IterationDue { step, iteration, .. } => {
                self.now.entry(place_of(step, event)).or_insert((0, 1)).1 = *iteration;
            }
            _ => {}
        }
    }

    /// `main`, `fallback_1` ... or `compensation`.
    pub(super) fn entry(&self, place: &Place) -> String {
        match self.now.get(place).map_or(0, |(entry, _)| *entry) {
            0 if self.undoing.contains(&place.0) => "compensation".to_owned(),
            0 => "main".to_owned(),
            fallback => format!("fallback_{fallback}"),
        }
    }

    /// Counted from 1; none for a step that is not repeated.
    pub(super) fn iteration(&self, place: &Place) -> Option<i32> {
        self.repeated.contains(&place.0).then(|| {
            let iteration = self.now.get(place).map_or(1, |(_, iteration)| *iteration);
            i32::try_from(iteration).unwrap_or(i32::MAX)
        })
    }
}
