//! What running a whole flow twice would do to the outside world.
//!
//! Invariant: never milder than what a run of it may do; where nobody can tell beforehand it is unsafe.

use std::collections::BTreeSet;

use language::plan::Plan;
use language::{CostKind, Effect, EffectRule};
use serde_json::{Map, Value};

use crate::dispatcher::effect_by_method;
use crate::executor::Registry;

/// What a flow's own steps do, and the flows that it calls besides, which do what they do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effects {
    pub own: Effect,
    pub calls: BTreeSet<String>,
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
                let are_known = spec.cost == CostKind::Child && names(&Value::Object(config.clone()), &mut self.calls);
                if are_known { Effect::Pure } else { Effect::Unsafe }
            }
        };
        self.own = self.own.max(effect);
    }
}

/// Finds the flows that a config calls; false where one is computed.
fn names(config: &Value, found: &mut BTreeSet<String>) -> bool {
    match config {
        Value::Object(fields) => fields.iter().all(|(key, value)| match (key.as_str(), value) {
            ("flow_name" | "default", Value::String(name)) => name_of(name, found),
            ("flows", Value::Array(flows)) => flows.iter().all(|flow| match flow {
                Value::String(name) => name_of(name, found),
                nested => names(nested, found),
            }),
            // Whatever the callee is given, it names no flow.
            ("inputs", _) => true,
            (_, value) => names(value, found),
        }),
        Value::Array(items) => items.iter().all(|item| names(item, found)),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn name_of(text: &str, found: &mut BTreeSet<String>) -> bool {
    let is_written = language::is_flow_name(text);
    if is_written {
        found.insert(text.to_owned());
    }
    is_written
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

    #[test]
    fn written_names_of_flows_are_found_and_computed_ones_make_it_unsafe() {
        let found = |config: Value| {
            let mut calls = BTreeSet::new();
            names(&config, &mut calls).then(|| calls.into_iter().collect::<Vec<_>>())
        };
        use serde_json::json;
        assert_eq!(found(json!({"flow_name": "a", "inputs": {"default": "{{ x }}"}})), Some(vec!["a".to_owned()]));
        assert_eq!(
            found(json!({"routes": [{"condition": "x", "flow_name": "a"}], "default": "b"})),
            Some(vec!["a".to_owned(), "b".to_owned()])
        );
        assert_eq!(found(json!({"flows": ["a", {"flow_name": "c"}]})), Some(vec!["a".to_owned(), "c".to_owned()]));
        assert_eq!(found(json!({"flow_name": "{{ inputs.flow }}"})), None);
    }
}
