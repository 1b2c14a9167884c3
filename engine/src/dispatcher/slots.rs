//! Slots under limits that count over runs: a pool's units, a step's `concurrency`, one maker a cached output.
//!
//! Invariant: no attempt of a limited unit is under way without its slots; a unit that seeks some holds its place in its
//! group or among its items, so that nothing overtakes it there.

use domain::{Failure, FailureKind, StepStatus};
use language::plan::{OnLimit, StepIndex};

use super::signal::{Command, Timer};
use super::state::State;
use super::turn::{Turn, later};
use super::unit::Place;
use crate::event::{Event, LimitKind, SkipReason};
use crate::ports::SlotAnswer;

impl Turn<'_> {
    /// Whether attempts of this unit count under a limit beyond the run.
    pub(super) fn is_limited(&self, place: Place) -> bool {
        let plan = self.plan(place.step);
        let unit = self.state.unit(place);
        plan.resources.is_some()
            || plan.concurrency.is_some()
            || self.graph.connects(place.step, unit.entry, unit.config.as_ref())
            || self.may_look_up(place)
    }

    pub(super) fn seek_slots(&mut self, place: Place) {
        self.state.seek(place);
        self.command(Command::TakeSlots { place });
    }

    pub(super) fn slots_answered(&mut self, place: Place, answer: SlotAnswer) {
        if !self.state.seekers.contains(&place) {
            return;
        }
        match answer {
            SlotAnswer::Taken => self.slots_taken(place),
            SlotAnswer::Full(kind) => self.no_room(place, kind),
            SlotAnswer::Refused(failure) => {
                self.state.seekers.remove(&place);
                self.end_children(place);
                self.unit_failed(place, failure, None, StepStatus::Failed);
            }
        }
    }

    fn slots_taken(&mut self, place: Place) {
        let resumed = self.state.unit(place).status == StepStatus::Running;
        self.state.seekers.remove(&place);
        self.state.unit_mut(place).holds_slots = true;
        if resumed {
            self.go_on_with_attempt(place);
        } else if self.may_look_up(place) {
            // Whoever held the slot may just have made what is wanted.
            let unit = self.state.unit_mut(place);
            unit.status = StepStatus::Ready;
            unit.asked = true;
            self.command(Command::LookUp { place });
        } else {
            self.start_attempt(place);
        }
    }

    fn no_room(&mut self, place: Place, kind: LimitKind) {
        // An attempt that its worker left behind had its slots, and waits for them.
        let begins = self.state.unit(place).status != StepStatus::Running;
        let concurrency = self.plan(place.step).concurrency.as_ref().filter(|_| kind == LimitKind::Step && begins);
        match concurrency.map(|concurrency| concurrency.on_limit) {
            Some(OnLimit::Reject) => {
                self.state.seekers.remove(&place);
                let failure = self.crowded(place, "concurrency_limit", "its `on_limit` says `reject`");
                self.unit_failed(place, failure, None, StepStatus::Failed);
            }
            Some(OnLimit::Skip) if place.item.is_none() => {
                self.state.seekers.remove(&place);
                self.skip(place.step, SkipReason::Concurrency);
            }
            _ => self.wait_for_slots(place, kind),
        }
    }

    fn wait_for_slots(&mut self, place: Place, kind: LimitKind) {
        let unit = self.state.unit(place);
        if unit.queued_at.is_none() && unit.status != StepStatus::Running {
            let step_starts = self.state.steps[place.step].unit.started_at.is_none();
            self.emit(Event::StepQueued { step: self.name(place.step), item: place.item, limit: kind });
            if step_starts {
                self.start_total_timer(place.step);
            }
        }
        let since = self.state.unit(place).queued_at.unwrap_or(self.at);
        let most = self.plan(place.step).concurrency.as_ref().and_then(|concurrency| concurrency.max_wait_ms);
        if let Some(most) = most {
            self.command(Command::StartTimer { timer: Timer::Queue(place), at: later(since, most) });
        }
    }

    /// Slots may be free now: everybody who seeks some asks again, first come first.
    pub(super) fn slots_offered(&mut self) {
        let mut seeking: Vec<Place> = self.state.seekers.iter().copied().collect();
        seeking.sort_by_key(|place| (self.state.unit(*place).queued_at, *place));
        for place in seeking {
            self.command(Command::TakeSlots { place });
        }
    }

    pub(super) fn queued_too_long(&mut self, place: Place) {
        let waited = self.state.find(place).and_then(|unit| unit.queued_at);
        let waited = waited.filter(|_| self.state.seekers.contains(&place));
        let most = self.plan(place.step).concurrency.as_ref().and_then(|concurrency| concurrency.max_wait_ms);
        let (Some(since), Some(most)) = (waited, most) else { return };
        if later(since, most) > self.at {
            return;
        }
        self.state.seekers.remove(&place);
        let failure = self.crowded(place, "queue_timeout", "its `max_wait` is over");
        self.unit_failed(place, failure, None, StepStatus::TimedOut);
    }

    fn crowded(&self, place: Place, code: &str, why: &str) -> Failure {
        let message = format!(
            "As many attempts of {} as may execute at once did so already, and {why}. Try again later, or raise the limit.",
            self.called(place)
        );
        Failure::new(FailureKind::RateLimited, code, message).at_line(Some(self.plan(place.step).line)).retryable(false)
    }
}

impl State {
    pub(super) fn seek(&mut self, place: Place) {
        let unit = self.unit_mut(place);
        if unit.status != StepStatus::Running {
            unit.status = StepStatus::Queued;
        }
        self.seekers.insert(place);
    }

    /// Units that seek slots now, and have none yet.
    pub fn seekers(&self) -> impl Iterator<Item = Place> {
        self.seekers.iter().copied()
    }

    /// Whether a unit seeks slots, or holds some.
    #[must_use]
    pub fn wants_slots(&self, place: Place) -> bool {
        self.seekers.contains(&place) || self.find(place).is_some_and(|unit| unit.holds_slots)
    }

    /// How many of a step's items will take a place among those under way once they have their slots.
    pub(super) fn seeking_items(&self, step: StepIndex) -> usize {
        let items = self.seekers.range(Place::item(step, 0)..=Place::item(step, u32::MAX));
        items.filter(|place| self.unit(**place).status != StepStatus::Running).count()
    }

    /// The same for the members of a group.
    pub(super) fn seeking_members(&self, members: &[StepIndex]) -> usize {
        let seeks = |step: &&StepIndex| {
            self.seekers.contains(&Place::of(**step)) && self.steps[**step].unit.status != StepStatus::Running
        };
        members.iter().filter(seeks).count()
    }
}
