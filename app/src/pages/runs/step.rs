//! One step of a run, opened: its attempts, what it got, what it gave, what it cost.

use domain::StepStatus;
use domain::wire::{AttemptView, StepView};
use leptos::prelude::*;

use super::detail::failure;
use crate::components::figure::{count_text, money_or_dash};
use crate::components::json;
use crate::components::prose::prose;
use crate::components::status::{step_pill, step_word};
use crate::components::time::{between_ms, duration_or, duration_text};
use crate::forms::path;
use crate::graph::executor_icon;
use crate::icon::Icon;

/// Attempts that are listed.
const SHOWN: usize = 50;

pub(super) fn panel(tenant: &str, step: &StepView) -> AnyView {
    let child = step.child_run_id.as_ref().map(|run| {
        let href = path::run(tenant, &run.to_string());
        view! { <a class="button" href=href>{Icon::Workflow.view()}"Child run"</a> }
    });
    view! {
        <section class="card step-panel" aria-label=format!("Step {}", step.name)>
            <header>
                <h2 class="row">{executor_icon(&step.executor).view()}{step.name.clone()}</h2>
                {step_pill(step.status)}
                {child}
            </header>
            <div class="body">
                {facts(step)}
                {step.error.as_ref().map(|error| failure(error, None))}
                {attempts(step)}
                {step.output.as_ref().map(|output| view! {
                    <section class="stack-s"><h3>"Output"</h3>{json::value(output, "Output", tenant)}</section>
                })}
                {step.config.as_ref().map(|config| view! {
                    <section class="stack-s"><h3>"Config as rendered"</h3>{json::value(config, "Config as rendered", tenant)}</section>
                })}
            </div>
        </section>
    }
    .into_any()
}

fn facts(step: &StepView) -> AnyView {
    let usage = step.usage.clone().unwrap_or_default();
    let units: Vec<(String, u64)> = usage.units.into_iter().collect();
    let skipped = step.skip_reason.as_deref().map(skip_words);
    let items = (!step.items.is_empty()).then(|| item_counts(step));
    view! {
        <dl class="facts across">
            <div><dt>"Executor"</dt><dd><code>{step.executor.clone()}</code></dd></div>
            {step.group.clone().map(|group| view! { <div><dt>"Group"</dt><dd>{group}</dd></div> })}
            <div><dt>"Duration"</dt><dd>{duration_or(step.duration_ms, "–")}</dd></div>
            {items.map(|text| view! { <div><dt>"Items"</dt><dd>{text}</dd></div> })}
            {phase_words(step).map(|words| view! { <div><dt>"Part"</dt><dd>{words}</dd></div> })}
            <div><dt>"Attempts"</dt><dd>{step.attempts}</dd></div>
            {skipped.map(|text| view! { <div><dt>"Skipped"</dt><dd>{text}</dd></div> })}
            {usage.model.map(|model| view! { <div><dt>"Model"</dt><dd><code>{model}</code></dd></div> })}
            {units.into_iter().map(|(unit, count)| view! {
                <div><dt>{unit_words(&unit)}</dt><dd>{count_text(count)}{usage.estimated.then_some(" (estimated)")}</dd></div>
            }).collect_view()}
            <div><dt>"Cost"</dt><dd>{money_or_dash(step.cost_nano_usd)}</dd></div>
        </dl>
    }
    .into_any()
}

/// The attempts, where there is more to see than one; of very many those that failed come first.
fn attempts(step: &StepView) -> Option<AnyView> {
    let list = &step.attempt_list;
    if list.len() < 2 && step.items.is_empty() {
        return None;
    }
    let mut shown: Vec<&AttemptView> = list.iter().collect();
    shown.sort_by_key(|attempt| (attempt.error.is_none() && list.len() > SHOWN, attempt.item, attempt.number));
    let left = shown.len().saturating_sub(SHOWN) as u64 + step.attempts_omitted;
    let title = if step.items.is_empty() { "Attempts" } else { "Attempts by item, items counted from 0" };
    let rest = (left > 0).then(|| view! { <p class="small quiet">{format!("{} more attempts. The run's events tell of each.", count_text(left))}</p> });
    let section = view! {
        <section class="stack-s">
            <h3>{title}</h3>
            <ol class="attempts">{shown.into_iter().take(SHOWN).map(attempt).collect_view()}</ol>
            {rest}
        </section>
    };
    Some(section.into_any())
}

/// "4 items, 1 failed", for a step with items.
pub(super) fn items_words(step: &StepView) -> Option<String> {
    let all: u64 = step.items.values().sum();
    let failed: u64 = ["failed", "timed_out"].into_iter().filter_map(|status| step.items.get(status)).sum();
    let failed = if failed > 0 { format!(", {} failed", count_text(failed)) } else { String::new() };
    (all > 0).then(|| format!("{} {}{failed}", count_text(all), if all == 1 { "item" } else { "items" }))
}

/// "3 succeeded, 1 failed".
fn item_counts(step: &StepView) -> String {
    let word = |status: &str| {
        StepStatus::parse(status).map_or_else(|| status.to_owned(), |status| step_word(status).to_lowercase())
    };
    let parts: Vec<String> =
        step.items.iter().map(|(status, &count)| format!("{} {}", count_text(count), word(status))).collect();
    parts.join(", ")
}

/// Where the step stands in the flow, unless among its main steps.
pub(super) fn phase_words(step: &StepView) -> Option<&'static str> {
    match step.phase.as_deref()? {
        "compensation" => Some("undo"),
        "on_error" => Some("on error"),
        "finally" => Some("finally"),
        _ => None,
    }
}

fn attempt(attempt: &AttemptView) -> AnyView {
    let took = attempt.ended_at.map(|end| duration_text(between_ms(attempt.started_at, end)));
    let error = attempt.error.as_ref().map(|error| format!("{} ({})", error.message, error.code));
    view! {
        <li>
            <strong>{match attempt.item {
                Some(item) if attempt.number > 1 => format!("Item {item}, attempt {}", attempt.number),
                Some(item) => format!("Item {item}"),
                None => format!("Attempt {}", attempt.number),
            }}</strong>
            {way_words(attempt).map(|words| view! { <span class="quiet">{words}</span> })}
            <span>{step_word(attempt.status)}</span>
            <span class="quiet">{took.unwrap_or_else(|| "going on".to_owned())}</span>
            {error.map(|text| view! { <p>{prose(&text)}</p> })}
        </li>
    }
    .into_any()
}

/// "fallback 1, iteration 2", where it is not the step's own way done once.
fn way_words(attempt: &AttemptView) -> Option<String> {
    let way = attempt.entry.as_deref().filter(|entry| *entry != "main").map(|entry| match entry {
        "compensation" => "undo".to_owned(),
        fallback => fallback.replace('_', " "),
    });
    let iteration = attempt.iteration.map(|iteration| format!("iteration {iteration}"));
    let words: Vec<String> = way.into_iter().chain(iteration).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// Why a step was skipped, in words.
pub(super) fn skip_words(reason: &str) -> String {
    match reason {
        "condition" => "its condition was false".to_owned(),
        "upstream_failed" => "a step it follows failed".to_owned(),
        "upstream_skipped" => "the steps it follows were skipped".to_owned(),
        "fail_fast" => "another step failed first".to_owned(),
        "cancelled" => "the run was cancelled".to_owned(),
        other => other.replace('_', " "),
    }
}

fn unit_words(unit: &str) -> String {
    let spaced = unit.replace('_', " ");
    let mut letters = spaced.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
