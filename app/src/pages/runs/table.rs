//! Runs as a table, used wherever runs are listed.

use chrono::{DateTime, Utc};
use domain::wire::RunSummary;
use leptos::prelude::*;

use crate::components::figure::money_or_dash;
use crate::components::prose::prose;
use crate::components::status::run_status;
use crate::components::time::{ago, between_ms, duration_or};
use crate::forms::path;

/// A run's id, short enough for a column: its end, where ids of one moment differ.
pub(crate) fn short_id(id: &str) -> String {
    let start = id.char_indices().rev().nth(7).map_or(0, |(at, _)| at);
    id[start..].to_owned()
}

/// Where a run was started from.
pub(crate) fn trigger_words(trigger: &str) -> String {
    match trigger {
        "api" => "by API".to_owned(),
        "console" => "in the console".to_owned(),
        "cli" => "on the command line".to_owned(),
        "flow" => "by a flow".to_owned(),
        other => format!("by {}", other.replace('_', " ")),
    }
}

pub(crate) fn runs(tenant: &str, now: DateTime<Utc>, runs: &[RunSummary], with_flow: bool) -> AnyView {
    let rows: Vec<AnyView> = runs.iter().map(|run| row(tenant, now, run, with_flow)).collect();
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">{if with_flow { "Flow" } else { "Run" }}</th>
                    <th scope="col">"Status"</th>
                    <th scope="col">"Started by"</th>
                    <th scope="col" class="number">"Duration"</th>
                    <th scope="col" class="number">"Cost"</th>
                    <th scope="col" class="number">"When"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(tenant: &str, now: DateTime<Utc>, run: &RunSummary, with_flow: bool) -> AnyView {
    let id = run.id.to_string();
    let elapsed = run.duration_ms.or_else(|| match (run.started_at, run.status.is_terminal()) {
        (Some(started), false) => Some(between_ms(started, now)),
        _ => None,
    });
    let error = run.error.as_ref().map(|error| error.message.clone());
    view! {
        <tr class="leads">
            <td class="main">
                <a href=path::run(tenant, &id)>
                    {if with_flow { run.flow.clone() } else { short_id(&id) }}
                    <span class="said">{format!(" run {}", short_id(&id))}</span>
                </a>
                {with_flow.then(|| view! { " "<span class="quiet mono small">{short_id(&id)}</span> })}
                {run.test.then(|| view! { " "<span class="tag-pill water">"test"</span> })}
                {error.map(|text| view! { <p class="cut error-line">{prose(&text)}</p> })}
            </td>
            <td class="beside">{run_status(run.status)}</td>
            <td class="whole" data-label="Started by"><span class="cut">{run.started_by.clone()}" "<span class="quiet">{trigger_words(&run.trigger)}</span></span></td>
            <td class="number" data-label="Duration">{duration_or(elapsed, "–")}</td>
            <td class="number" data-label="Cost">{money_or_dash(run.cost_nano_usd)}</td>
            <td class="number" data-label="When">{ago(now, run.created_at)}</td>
        </tr>
    }
    .into_any()
}
