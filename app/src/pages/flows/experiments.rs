//! What a flow's experiments have found so far, variant by variant.
//!
//! Invariant: a figure stands beside its interval, and where the traffic is not split as asked, that is said before any figure.

use chrono::{DateTime, Utc};
use domain::NanoUsd;
use domain::wire::{DurationInterval, Estimate, ExperimentState, ExperimentView, Readout, VariantReadout};
use leptos::prelude::*;

use crate::components::figure::{count_text, dash, percent};
use crate::components::prose::prose;
use crate::components::time::{ago, duration_or, duration_text};
use crate::icon::Icon;

/// The experiments of a flow, each as a card; nothing where there is none.
pub(super) fn cards(now: DateTime<Utc>, experiments: &[ExperimentView]) -> AnyView {
    experiments.iter().map(|experiment| one(now, experiment)).collect_view().into_any()
}

fn one(now: DateTime<Utc>, experiment: &ExperimentView) -> AnyView {
    let (class, icon, word) = match experiment.state {
        ExperimentState::Running => ("status good pill", Icon::Activity, "Running"),
        ExperimentState::Paused => ("status pill", Icon::CircleStop, "Paused"),
        ExperimentState::RolledBack => ("status bad pill", Icon::RotateCcw, "Rolled back"),
    };
    let note = experiment.note.as_ref().map(|text| {
        view! { <div class="note bad">{Icon::RotateCcw.view()}<div>{prose(text)}</div></div> }
    });
    let figures = experiment.readout.as_ref().map(|readout| figures(experiment, readout));
    view! {
        <section class="card experiment">
            <header>
                <h2>"Experiment "{experiment.name.clone()}</h2>
                <span class=class>{icon.view()}{word}</span>
                <span class="quiet small">{percent(experiment.share)}" of the calls, since "{ago(now, experiment.started_at)}</span>
            </header>
            {note.map(|note| view! { <div class="body">{note}</div> })}
            {figures}
        </section>
    }
    .into_any()
}

fn figures(experiment: &ExperimentView, readout: &Readout) -> AnyView {
    let suspicious = readout.sample_ratio.suspicious.then(|| {
        view! {
            <div class="body">
                <div class="note warn">
                    {Icon::TriangleAlert.view()}
                    <div>"The calls are not split as the weights say, so these figures must not be compared. Look for what keeps calls from one side."</div>
                </div>
            </div>
        }
    });
    let rows: Vec<AnyView> =
        readout.variants.iter().map(|variant| row(variant, variant.name == experiment.control)).collect();
    view! {
        {suspicious}
        <div class="table-wrap">
            <table class="table even">
                <thead><tr>
                    <th scope="col">"Variant"</th>
                    <th scope="col" class="number">"Version"</th>
                    <th scope="col" class="number">"Runs"</th>
                    <th scope="col" class="number">"Succeeded"</th>
                    <th scope="col" class="number">"p50"</th>
                    <th scope="col" class="number">"p95"</th>
                    <th scope="col" class="number">"Mean cost"</th>
                    <th scope="col" class="number">"Feedback"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(variant: &VariantReadout, control: bool) -> AnyView {
    let feedback = match variant.mean_score {
        Some(score) => {
            let count = count_text(variant.feedback);
            view! { {estimate(Some(score), grade)}" "<span class="quiet">"from "{count}</span> }.into_any()
        }
        None => dash(),
    };
    view! {
        <tr>
            <td class="main"><strong>{variant.name.clone()}</strong>{control.then(|| view! { " "<span class="tag-pill">"control"</span> })}</td>
            <td class="number" data-label="Version">{variant.version}</td>
            <td class="number" data-label="Runs">{count_text(variant.runs)}</td>
            <td class="number" data-label="Succeeded">{estimate(variant.success_rate, percent)}</td>
            <td class="number" data-label="p50">{duration(variant.p50_ms, variant.p50_interval_ms)}</td>
            <td class="number" data-label="p95">{duration(variant.p95_ms, variant.p95_interval_ms)}</td>
            <td class="number" data-label="Mean cost">{estimate(variant.mean_cost_nano_usd, money)}</td>
            <td class="number" data-label="Feedback">{feedback}</td>
        </tr>
    }
    .into_any()
}

/// A figure, with its interval beside it.
fn estimate(found: Option<Estimate>, said: fn(f64) -> String) -> AnyView {
    let Some(found) = found else { return dash() };
    let interval = format!("{} to {}", said(found.low), said(found.high));
    view! { {said(found.value)}" "<span class="quiet small interval">{interval}</span> }.into_any()
}

fn duration(found: Option<u64>, interval: Option<DurationInterval>) -> AnyView {
    let interval = interval.map(|interval| {
        let said = format!("{} to {}", duration_text(interval.low), duration_text(interval.high));
        view! { " "<span class="quiet small interval">{said}</span> }
    });
    view! { {duration_or(found, "–")}{interval} }.into_any()
}

fn grade(score: f64) -> String {
    format!("{score:.2}")
}

#[expect(clippy::cast_possible_truncation, reason = "a mean of whole nano dollars, to be read")]
fn money(nano: f64) -> String {
    NanoUsd(nano.round() as i64).to_string()
}
