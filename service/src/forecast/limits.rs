//! The limits that stand in the flow itself, against what is expected of a run and what its inputs say.
//!
//! Invariant: what only a run can tell hits nothing.

use domain::wire::{LimitForecast, Outlook, Spread, StepForecast};
use language::Plan;

use super::figures::{self, Totals};
use super::outlook::{Rest, StepOutlook};

pub(super) fn planned(
    plan: &Plan,
    (outlooks, steps): (&[StepOutlook], &[StepForecast]),
    totals: &Totals,
) -> Vec<LimitForecast> {
    let mut limits = Vec::new();
    if let Some(timeout) = plan.timeout_ms {
        limits.push(against("timeout", "The flow's `timeout` is", timeout, "ms", totals.duration_ms));
    }
    if let Some(cap) = plan.max_cost {
        limits.push(against("max_cost", "The flow's `max_cost` is", money(cap), "nano-dollars", totals.cost_nano_usd));
    }
    limits.extend(of_groups(plan, steps));
    limits.extend(of_steps(plan, outlooks, steps));
    limits.push(max_wait(plan, outlooks, totals.duration_ms));
    limits
}

fn money(cap: language::plan::MaxCost) -> u64 {
    u64::try_from(cap.nano_usd).unwrap_or_default()
}

fn of_groups(plan: &Plan, steps: &[StepForecast]) -> Vec<LimitForecast> {
    let mut limits = Vec::new();
    for group in &plan.groups {
        let members: Vec<&StepForecast> = group.members.iter().filter_map(|member| steps.get(*member)).collect();
        if let Some(timeout) = group.timeout_ms {
            let words = format!("The `timeout` of the group `{}` is", group.name);
            // Together they take at least as long as the longest of them.
            let longest = figures::longest_of(&members);
            limits.push(against(&format!("groups.{}.timeout", group.name), &words, timeout, "ms", longest));
        }
        if let Some(cap) = group.max_cost {
            let words = format!("The `max_cost` of the group `{}` is", group.name);
            let cost = figures::sum(members.iter().copied(), |step| step.cost_nano_usd);
            limits.push(against(&format!("groups.{}.max_cost", group.name), &words, money(cap), "nano-dollars", cost));
        }
    }
    limits
}

/// Those of single steps, where they would be hit.
fn of_steps(plan: &Plan, outlooks: &[StepOutlook], steps: &[StepForecast]) -> Vec<LimitForecast> {
    let mut limits = Vec::new();
    for ((step, outlook), expected) in plan.steps.iter().zip(outlooks).zip(steps) {
        if outlook.outlook == Outlook::Skipped {
            continue;
        }
        if let Some(timeout) = step.total_timeout_ms {
            let words = format!("The `total_timeout` of step `{}` is", step.name);
            let limit = against("total_timeout", &words, timeout, "ms", expected.duration_ms);
            limits.extend(Some(limit).filter(|limit| limit.hit));
        }
        if let (Some(each), Some(items)) = (&step.for_each, outlook.items)
            && items > u64::from(each.max_items)
        {
            let sentence =
                format!("Step `{}` has {items} items, and its `max_items` is {}.", step.name, each.max_items);
            limits.push(LimitForecast { name: "max_items".to_owned(), hit: true, sentence });
        }
    }
    limits
}

/// How long a caller waits for the outputs.
fn max_wait(plan: &Plan, outlooks: &[StepOutlook], duration_ms: Option<Spread>) -> LimitForecast {
    let words = "A caller who waits is answered 202 after";
    let mut limit = against("max_wait", words, plan.max_wait_ms, "ms", duration_ms);
    limit.hit = duration_ms.is_some_and(|spread| spread.p50 > plan.max_wait_ms);
    let rests = |outlook: &StepOutlook| match outlook.rest {
        Some(Rest::For(ms)) => ms > engine::limits::IN_PLACE_WAIT_MS,
        Some(Rest::Open) => true,
        None => false,
    };
    let resting = plan.steps.iter().zip(outlooks).find(|(_, of)| of.outlook == Outlook::Runs && rests(of));
    if let Some((step, outlook)) = resting {
        let how = match outlook.rest {
            Some(Rest::For(ms)) => format!("waits {ms} ms"),
            _ => "waits for something from outside".to_owned(),
        };
        limit.hit = true;
        limit.sentence =
            format!("{} Step `{}` {how}: a run that rests is answered 202 at once.", limit.sentence, step.name);
    }
    limit
}

fn against(name: &str, words: &str, limit: u64, unit: &str, expected: Option<Spread>) -> LimitForecast {
    let usual = match expected {
        None => "nothing is known of earlier runs".to_owned(),
        Some(spread) if spread.p10 == spread.p90 => format!("expected are {} {unit}", spread.p90),
        Some(spread) => format!("8 of 10 runs take {} to {} {unit}", spread.p10, spread.p90),
    };
    LimitForecast {
        name: name.to_owned(),
        hit: expected.is_some_and(|spread| spread.p90 > limit),
        sentence: format!("{words} {limit} {unit}; {usual}."),
    }
}
