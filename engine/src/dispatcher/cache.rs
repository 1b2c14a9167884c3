//! Whether a step's output may be taken from the cache, and kept there.
//!
//! Invariant: nothing unsafe is ever taken from a cache; a hit settles the unit as `cached` and costs nothing.

use domain::wire::Usage;
use domain::{NanoUsd, StepStatus};
use language::Effect;
use language::plan::CacheMode;

use super::graph::Graph;
use super::signal::CacheHit;
use super::state::State;
use super::turn::Turn;
use super::unit::Place;

impl Turn<'_> {
    pub(super) fn may_look_up(&self, place: Place) -> bool {
        self.state.may_cache(self.graph, place).is_some_and(|mode| matches!(mode, CacheMode::On | CacheMode::ReadOnly))
    }

    pub(super) fn cache_answered(&mut self, place: Place, hit: Option<CacheHit>) {
        if !self.answers(place) {
            return;
        }
        match hit {
            Some(CacheHit { output, saved }) => {
                let free = Usage { cost_nano_usd: Some(NanoUsd::ZERO), saved_nano_usd: saved, ..Usage::default() };
                self.settle_success(place, StepStatus::Cached, output, Some(free));
            }
            None if self.state.unit(place).holds_slots => self.start_attempt(place),
            None => self.start_or_queue(place),
        }
    }
}

impl State {
    /// The cache's mode for a configured unit; `None` where nothing may be cached.
    #[must_use]
    pub fn may_cache(&self, graph: &Graph, place: Place) -> Option<CacheMode> {
        let plan = &graph.plan().steps[place.step];
        let cache = plan.cache.as_ref().filter(|cache| cache.mode != CacheMode::Off)?;
        let unit = self.find(place)?;
        if graph.effect(place.step, unit.entry, unit.config.as_ref()) == Effect::Unsafe || plan.repeat.is_some() {
            return None;
        }
        // What a model makes with a temperature differs each time, and that is what was asked for.
        let temperature =
            unit.config.as_ref().and_then(|config| config.get("temperature")).and_then(serde_json::Value::as_f64);
        (cache.force || temperature.is_none_or(|temperature| temperature <= 0.0)).then_some(cache.mode)
    }
}
