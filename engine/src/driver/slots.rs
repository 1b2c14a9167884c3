//! Slots of attempts under limits that count over runs: what is asked for, and when it is given back.
//!
//! Invariant: what a unit neither seeks nor holds any more is given back in the same turn.

use domain::Failure;
use language::plan::{CacheMode, ConcurrencyPlan};

use super::Driver;
use crate::dispatcher::{Place, Signal};
use crate::event::LimitKind;
use crate::ports::{PortError, SlotAnswer, SlotLimit, SlotRequest};
use crate::run::DriveError;
use crate::template::limit_key;

impl Driver {
    pub(super) async fn take_slots(&mut self, place: Place) -> Result<Option<Signal>, DriveError> {
        let Some(slots) = self.surroundings.slots.clone() else {
            return Ok(Some(Signal::SlotsAnswered { place, answer: SlotAnswer::Taken }));
        };
        // A store that is away is no fault of the step: the run rests.
        let connection = self.limit_of_connection(place).await?;
        let cache = self.single_flight(place).await?;
        let cache = cache.map(|key| SlotLimit { kind: LimitKind::Cache, key, units: 1, most: Some(1) });
        let answer = match self.limits_of(place, connection.into_iter().chain(cache)) {
            Err(failure) => SlotAnswer::Refused(failure),
            Ok(limits) if limits.is_empty() => SlotAnswer::Taken,
            Ok(limits) => {
                // Also where it is full: the request stands in line until it is given back.
                self.slots_of.insert(place);
                let step = self.prepared.plan().steps[place.step].name.clone();
                slots.take(SlotRequest { step, item: place.item, limits }).await?
            }
        };
        Ok(Some(Signal::SlotsAnswered { place, answer }))
    }

    fn limits_of(&self, place: Place, further: impl Iterator<Item = SlotLimit>) -> Result<Vec<SlotLimit>, Failure> {
        let plan = &self.prepared.plan().steps[place.step];
        let pool = plan.resources.as_ref().map(|resources| SlotLimit {
            kind: LimitKind::Pool,
            key: resources.pool.clone(),
            units: resources.units,
            most: None,
        });
        let step = plan.concurrency.as_ref().map(|concurrency| self.limit_of_step(place, concurrency)).transpose()?;
        Ok(pool.into_iter().chain(step).chain(further).collect())
    }

    /// What the tenant says of the connection that the attempt goes through.
    async fn limit_of_connection(&self, place: Place) -> Result<Option<SlotLimit>, PortError> {
        let unit = self.state.unit(place);
        if !self.prepared.graph().connects(place.step, unit.entry, unit.config.as_ref()) {
            return Ok(None);
        }
        let text = |field: &str| unit.config.as_ref().and_then(|config| config.get(field)?.as_str());
        let model = text("model").or(self.run.default_model.as_deref());
        let named = text("connection").or_else(|| model.and_then(|model| Some(model.split_once('/')?.0)));
        let Some(key) = named.map(str::to_owned) else { return Ok(None) };
        let most = self.surroundings.models.most_at_once(&key).await?;
        Ok(most.map(|most| SlotLimit { kind: LimitKind::Connection, key, units: 1, most: Some(most) }))
    }

    fn limit_of_step(&self, place: Place, concurrency: &ConcurrencyPlan) -> Result<SlotLimit, Failure> {
        let plan = &self.prepared.plan().steps[place.step];
        let key = match &concurrency.key {
            Some(template) => limit_key(template, &self.run.flow, &self.run.inputs)?,
            None => String::new(),
        };
        let key = format!("{}:{}:{key}", self.run.flow, plan.name);
        Ok(SlotLimit { kind: LimitKind::Step, key, units: 1, most: Some(concurrency.limit) })
    }

    /// The key under which one attempt at a time makes an output for the step cache.
    async fn single_flight(&self, place: Place) -> Result<Option<String>, PortError> {
        if self.surroundings.cache.is_none()
            || self.state.may_cache(self.prepared.graph(), place) != Some(CacheMode::On)
        {
            return Ok(None);
        }
        let unit = self.state.unit(place);
        let executor = self.prepared.entry(place.step, unit.entry).and_then(|entry| entry.executor.clone());
        let Some(executor) = executor else { return Ok(None) };
        let config = unit.config.clone().unwrap_or_default();
        self.depends_on(place, &executor, &config).key().await
    }

    pub(super) async fn give_slots_back(&mut self) -> Result<(), DriveError> {
        let over: Vec<Place> = self.slots_of.iter().copied().filter(|place| !self.state.wants_slots(*place)).collect();
        for place in over {
            self.slots_of.remove(&place);
            if let Some(slots) = self.surroundings.slots.clone() {
                slots.give_back(&self.prepared.plan().steps[place.step].name, place.item).await?;
            }
        }
        Ok(())
    }
}
