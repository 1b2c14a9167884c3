//! What doing a step twice does to the outside world.
//!
//! Invariant: `None` only where the run alone can tell.

use super::{StepFacts, Way};
use crate::catalogue::{Effect, EffectRule};
use crate::flow::Step;
use crate::templates;

/// What the author says, else what the executor does.
pub(crate) fn of_step(step: &Step, facts: &StepFacts<'_>) -> Option<Effect> {
    step.effect.or_else(|| of_way(&facts.own))
}

pub(crate) fn of_way(way: &Way<'_>) -> Option<Effect> {
    match &way.spec?.effect {
        EffectRule::Always(effect) => Some(*effect),
        EffectRule::StrictestChild => None,
        EffectRule::ByMethod { field } => {
            let method = match way.config.and_then(|config| config.get(field)) {
                Some(node) => node.as_str()?.to_ascii_uppercase(),
                None if has_body(way) => "POST".to_owned(),
                None => "GET".to_owned(),
            };
            if templates::is_template(&method) {
                return None;
            }
            Some(match method.as_str() {
                "GET" | "HEAD" | "OPTIONS" => Effect::Pure,
                "PUT" | "DELETE" => Effect::Idempotent,
                _ => Effect::Unsafe,
            })
        }
    }
}

/// Without a method, a request with a body is a POST.
fn has_body(way: &Way<'_>) -> bool {
    way.config.is_some_and(|config| ["json", "form", "body", "file"].iter().any(|key| config.get(key).is_some()))
}
