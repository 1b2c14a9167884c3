//! What running a whole flow twice would do to the outside world.
//!
//! Invariant: never milder than what a run of it may do; where nobody can tell beforehand it is unsafe.

use std::collections::BTreeSet;

use language::plan::Plan;
use language::{Callee, CostKind, Effect, EffectRule};
use serde_json::{Map, Value};

use crate::dispatcher::effect_by_method;
use crate::executor::Registry;

/// What a flow's own steps do, and the flows that it calls besides, which do what they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    pub own: Effect,
    pub calls: BTreeSet<Callee>,
}

impl Effects {
    #[must_use]
    pub fn of(plan: &Plan, registry: &Registry) -> Self {
        let mut found = Self { own: Effect::Pure, calls: BTreeSet::new() };
        for step in &plan.steps {
            found.add(&step.executor, &step.config, step.effect, registry);
            for way in &step.fallbacks {
                found.add(&way.executor, &way.config, way.effect, registry);
            }
        }
        found
    }

    fn add(&mut self, executor: &str, config: &Map<String, Value>, written: Option<Effect>, registry: &Registry) {
        let Some(executor) = registry.get(executor) else {
            self.own = Effect::Unsafe;
            return;
        };
        let spec = executor.spec();
        let effect = match (&spec.effect, written) {
            (_, Some(written)) => written,
            (EffectRule::Always(effect), None) => *effect,
            (EffectRule::ByMethod { field }, None) => effect_by_method(field, &Value::Object(config.clone())),
            (EffectRule::StrictestChild, None) => {
                let called = language::callees(config).filter(|_| spec.cost == CostKind::Child);
                let effect = if called.is_some() { Effect::Pure } else { Effect::Unsafe };
                self.calls.extend(called.into_iter().flatten());
                effect
            }
        };
        self.own = self.own.max(effect);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::kit::{Seen, folder, plan_of, registry};

    #[test]
    fn a_flow_is_as_strict_as_its_strictest_step_handlers_and_fallbacks_included() {
        let registry = registry(&Arc::<Seen>::default());
        let effect = |yaml: &str| Effects::of(&plan_of(&folder(yaml), &registry), &registry).own;
        assert_eq!(effect("steps:\n  - {name: a, executor: act}\n"), Effect::Pure);
        assert_eq!(effect("steps:\n  - {name: a, executor: pay}\n"), Effect::Unsafe);
        assert_eq!(effect("steps:\n  - {name: a, executor: pay, effect: idempotent}\n"), Effect::Idempotent);
        assert_eq!(
            effect("steps:\n  - {name: a, executor: act}\nfinally:\n  - {name: b, executor: pay}\n"),
            Effect::Unsafe
        );
        let falls = "steps:\n  - {name: a, executor: act, on_error: {fallback: [{executor: pay}]}}\n";
        assert_eq!(effect(falls), Effect::Unsafe);
    }
}
