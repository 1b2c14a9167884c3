//! The run's timers, soonest first.
//!
//! Invariant: a timer fires at most once for each time it was started for; whether it still matters is the
//! dispatcher's business.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use chrono::{DateTime, Utc};
use domain::StepStatus;

use crate::dispatcher::{Place, State, Timer};

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(DateTime<Utc>, Timer)>>,
}

impl Timers {
    pub(super) fn add(&mut self, timer: Timer, at: DateTime<Utc>) {
        let entry = Reverse((at, timer));
        self.heap.push(entry);
    }

    pub(super) fn next(&self) -> Option<(DateTime<Utc>, Timer)> {
        self.heap.peek().map(|Reverse(entry)| *entry)
    }

    pub(super) fn take_due(&mut self, now: DateTime<Utc>) -> Option<(DateTime<Utc>, Timer)> {
        let (at, _) = self.next()?;
        if at > now { None } else { self.heap.pop().map(|Reverse(entry)| entry) }
    }

    /// The first timer that would still change something while nothing executes. Those before it are dropped.
    /// `resting`: attempts that go on elsewhere.
    pub(super) fn next_wake(&mut self, state: &State, resting: &BTreeSet<Place>) -> Option<DateTime<Utc>> {
        loop {
            let (at, timer) = self.next()?;
            let status = |place| state.find(place).map(|unit| unit.status);
            let matters = match timer {
                Timer::Run => state.end.is_none() && state.handling.is_none(),
                Timer::Handlers => state.end.is_none() && state.handling.is_some(),
                Timer::Group(group) => state.groups[group].status.is_none(),
                Timer::Retry(place) => status(place) == Some(StepStatus::RetryWait),
                Timer::Wake(place) => status(place) == Some(StepStatus::Waiting),
                Timer::Queue(place) => status(place) == Some(StepStatus::Queued),
                Timer::Total(step) => !state.steps[step].unit.status.is_settled(),
                Timer::Attempt(place, _) => resting.contains(&place),
            };
            if matters {
                return Some(at);
            }
            self.heap.pop();
        }
    }
}
