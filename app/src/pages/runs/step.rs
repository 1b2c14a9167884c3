//! One step of a run, opened: its attempts, what it got, what it gave, what it cost.

use domain::wire::{AttemptView, StepView};
use leptos::prelude::*;

use super::detail::failure;
use crate::components::figure::{count_text, money_or_dash};
use crate::components::json;
use crate::components::status::{step_pill, step_word};
use crate::components::time::{between_ms, duration_or, duration_text};
use crate::forms::path;
use crate::graph::executor_icon;
use crate::icon::Icon;

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
                {(step.attempt_list.len() > 1).then(|| view! {
                    <section><h3>"Attempts"</h3><ol class="attempts">{step.attempt_list.iter().map(attempt).collect_view()}</ol></section>
                })}
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
    view! {
        <dl class="facts across">
            <div><dt>"Executor"</dt><dd><code>{step.executor.clone()}</code></dd></div>
            {step.group.clone().map(|group| view! { <div><dt>"Group"</dt><dd>{group}</dd></div> })}
            <div><dt>"Duration"</dt><dd>{duration_or(step.duration_ms, "–")}</dd></div>
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

fn attempt(attempt: &AttemptView) -> AnyView {
    let took = attempt.ended_at.map(|end| duration_text(between_ms(attempt.started_at, end)));
    let error = attempt.error.as_ref().map(|error| format!("{} ({})", error.message, error.code));
    view! {
        <li>
            <strong>{format!("Attempt {}", attempt.number)}</strong>
            <span>{step_word(attempt.status)}</span>
            <span class="quiet">{took.unwrap_or_else(|| "going on".to_owned())}</span>
            {error.map(|text| view! { <p>{text}</p> })}
        </li>
    }
    .into_any()
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
