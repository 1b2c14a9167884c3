//! Settings that do not go together, and settings that do nothing.
//!
//! Invariant: a plan that waits, acts unsafely or undoes is stored.

use super::{StepFacts, Subject, effects};
use crate::catalogue::{CostKind, Effect};
use crate::codes;
use crate::flow::{Cache, Step, StepOnError};
use crate::limits;
use crate::node::Kind;
use crate::plan::{CacheMode, MaxCost, OnExceeded, OnLimit, Phase, Save};
use crate::report::Report;

pub(super) fn check(subject: Subject<'_>, steps: &[StepFacts<'_>], report: &mut Report) {
    for (step, facts) in subject.steps.iter().zip(steps) {
        items(step, report);
        handler(step, facts, report);
        places(step, report);
        special(step, facts, report);
        if let Some(cache) = &step.cache {
            self::cache(step, facts, cache, report);
        }
        if let Some(save) = &subject.flow.save
            && save.value == Save::None
            && let Some(why) = must_be_stored(step, facts)
        {
            let message = format!("`save: none` cannot go with `{}`: {why}", step.name.value);
            let hint = "Such a run must be found again after a crash; write `save: all`.";
            report.hint(save.span, codes::UNFIT, (message, hint));
        }
    }
    money(subject, steps, report);
}

fn items(step: &Step, report: &mut Report) {
    let Some(list) = &step.for_each else {
        if let Some((key, span)) = &step.item_keys {
            let message = format!("`{key}` belongs to a step with `for_each`");
            report.add(*span, codes::NO_ITEMS, message);
        }
        return;
    };
    if let Kind::List(items) = &list.kind
        && step.phase == Phase::Main
        && items.len() > step.max_items.unwrap_or(limits::ITEMS) as usize
    {
        let most = step.max_items.unwrap_or(limits::ITEMS);
        let message = format!("the list has {} items; at most {most} are allowed", items.len());
        report.hint(list.span, codes::UNFIT, (message, "Say more with `max_items`."));
    }
}

fn handler(step: &Step, facts: &StepFacts<'_>, report: &mut Report) {
    let controls = std::iter::once(&facts.own).chain(&facts.fallbacks).map(|way| {
        let control = way.spec.and_then(|spec| spec.control);
        (control, way.executor)
    });
    let is_fallback = |index: usize| index > 0;
    for (index, (control, executor)) in controls.enumerate() {
        if control.is_none() {
            continue;
        }
        if step.phase != Phase::Main {
            let message = format!("`{}` cannot wait here", executor.value);
            let hint = "Handlers and compensations have a minute in all; they cannot wait for anybody.";
            report.hint(executor.span, codes::UNFIT, (message, hint));
        } else if is_fallback(index) || step.repeat.is_some() {
            let message = format!("`{}` can be neither a fallback nor repeated", executor.value);
            report.add(executor.span, codes::UNFIT, message);
        }
    }
    if let Some(compensate) = &step.compensate
        && step.phase != Phase::Main
    {
        report.add(compensate.span, codes::UNFIT, "a handler's step cannot be compensated");
    }
    if step.on_error == Some(StepOnError::Attention) && step.phase != Phase::Main {
        let message = "a handler's step cannot wait for a person: `on_error: attention` is for the flow's own steps";
        report.add(step.span.before(), codes::UNFIT, message);
    }
}

/// Words that mean something to some executors alone.
fn special(step: &Step, facts: &StepFacts<'_>, report: &mut Report) {
    let ways = || std::iter::once(&facts.own).chain(&facts.fallbacks);
    // What is not known has been reported, and may be any executor.
    if ways().any(|way| way.spec.is_none()) {
        return;
    }
    let [first_token, on_unknown] = step.special_keys;
    let name = &facts.own.executor.value;
    if let Some(span) = first_token
        && ways().all(|way| way.spec.is_some_and(|spec| !spec.streams))
    {
        let message = format!("`{name}` does not stream: there is no first token to wait for");
        report.hint(span, codes::IDLE, (message, "Write `timeout`."));
    }
    let of_fallbacks = facts.fallbacks.iter().map(effects::of_way);
    let is_safe = |effect: Option<Effect>| effect.is_some_and(|effect| effect != Effect::Unsafe);
    if let Some(span) = on_unknown
        && std::iter::once(effects::of_step(step, facts)).chain(of_fallbacks).all(is_safe)
    {
        let message = "the step may be run twice without harm, so it is simply tried again";
        let hint = "`on_unknown` decides about unsafe steps; if this one is, write `effect: unsafe`.";
        report.hint(span, codes::IDLE, (message, hint));
    }
}

/// What has begun of a step is not thrown away, and an item is not left out.
fn places(step: &Step, report: &mut Report) {
    let (Some(concurrency), at) = (&step.concurrency, step.span.before()) else { return };
    match concurrency.on_limit {
        Some(OnLimit::ReplaceOldest) => {
            let message = format!("the `concurrency` of step `{}` cannot say `replace_oldest`", step.name.value);
            let hint = "An attempt under way is not given up for another. Say it of the flow, or let the step `queue`.";
            report.hint(at, codes::UNFIT, (message, hint));
        }
        Some(OnLimit::Skip) if step.for_each.is_some() => {
            let message = format!("the items of step `{}` cannot be skipped by `on_limit: skip`", step.name.value);
            let hint = "Let them `queue`, or let them fail with `reject` and say `on_item_error: drop`.";
            report.hint(at, codes::UNFIT, (message, hint));
        }
        _ => {}
    }
}

fn cache(step: &Step, facts: &StepFacts<'_>, cache: &Cache, report: &mut Report) {
    if cache.mode == Some(CacheMode::Off) {
        return;
    }
    let Some(spec) = facts.own.spec else { return };
    if spec.control.is_some() {
        let message = format!("`{}` waits; there is nothing to keep", spec.name);
        report.add(cache.span, codes::UNFIT, message);
    } else if effects::of_step(step, facts) == Some(Effect::Unsafe) {
        let message = "the step acts on the outside world, so it is never taken from a cache";
        let hint = "Where running it twice does no harm, say so: `effect: idempotent` or `effect: pure`.";
        report.hint(cache.span, codes::IDLE, (message, hint));
    } else if spec.cost == CostKind::Tokens && cache.force != Some(true) {
        let temperature = step.config.as_ref().and_then(|config| config.get("temperature"));
        let temperature = temperature.and_then(|node| match &node.kind {
            Kind::Number(number) => number.as_f64(),
            _ => None,
        });
        if temperature.is_some_and(|temperature| temperature > 0.0) {
            let message = "a step with a temperature above 0 is not taken from a cache";
            report.hint(cache.span, codes::IDLE, (message, "Write `cache: {force: true}` if one answer will do."));
        }
    }
}

/// Why a run with this step cannot go without being stored.
fn must_be_stored(step: &Step, facts: &StepFacts<'_>) -> Option<&'static str> {
    let ways = || std::iter::once(&facts.own).chain(&facts.fallbacks);
    if ways().any(|way| way.spec.is_some_and(|spec| spec.control.is_some())) {
        return Some("it waits");
    }
    if matches!(step.phase, Phase::Compensation { .. }) {
        return Some("it undoes another step");
    }
    if step.on_error == Some(StepOnError::Attention) {
        return Some("a person may have to repair it");
    }
    let unsafe_effect = effects::of_step(step, facts).is_none_or(|effect| effect == Effect::Unsafe)
        || facts.fallbacks.iter().any(|way| effects::of_way(way).is_none_or(|effect| effect == Effect::Unsafe));
    unsafe_effect.then_some("it acts on the outside world, or nobody can tell")
}

fn money(subject: Subject<'_>, steps: &[StepFacts<'_>], report: &mut Report) {
    let flow = subject.flow;
    let caps: Vec<MaxCost> =
        flow.max_cost.into_iter().chain(flow.groups.iter().filter_map(|group| group.max_cost)).collect();
    if caps.iter().any(|cap| cap.on_exceeded == OnExceeded::Fallback)
        && steps.iter().all(|facts| facts.fallbacks.is_empty())
    {
        let message = "`on_exceeded: fallback`, but no step has a fallback";
        let hint = "Give the expensive steps a cheaper way: `on_error: {fallback: [...]}`.";
        report.hint(flow.span.before(), codes::IDLE, (message, hint));
    }
    if let Some(save) = &flow.save
        && save.value == Save::None
        && caps.iter().any(|cap| cap.on_exceeded == OnExceeded::Approve)
    {
        report.add(
            save.span,
            codes::UNFIT,
            "`save: none` cannot go with `on_exceeded: approve`: the run may have to wait",
        );
    }
}
