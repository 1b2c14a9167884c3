//! All flows of the tenant, with their health.

use domain::wire::{FlowSummary, Page};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::components::code::command;
use crate::components::figure::{empty, money_or_dash, percent_or_dash};
use crate::components::loaded::loaded;
use crate::components::page::Head;
use crate::components::query;
use crate::components::status::recent_dots;
use crate::components::time::{ago_or, duration_or};
use crate::context::{Here, here, page_state};
use crate::data::At;
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;

#[component]
pub(crate) fn List() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let cursor = use_query_map().with_untracked(|query| query.get("cursor")).filter(|cursor| !cursor.is_empty());
    let behind = cursor.clone();
    let flows = ask(|data| async move { data.flows(&tenant, behind.as_deref()).await });
    view! {
        {Head::new("Flows").lead("Each flow is a typed endpoint: run it here, call it by API, watch it step by step.").view()}
        {loaded(flows, move |answer| list(&here, cursor.is_some(), answer))}
    }
}

fn list(here: &Here, is_behind: bool, answer: At<Page<FlowSummary>>) -> AnyView {
    let At { now, value } = answer;
    let section = path::section(&here.tenant, "flows");
    let next =
        value.next_cursor.filter(|_| value.has_more).map(|cursor| query::address(&section, &[("cursor", &cursor)]));
    if value.data.is_empty() && !is_behind {
        return none();
    }
    let rows = table(here, At { now, value: value.data });
    if next.is_none() && !is_behind {
        return rows;
    }
    view! {
        {rows}
        <nav class="pager" aria-label="Pages">
            <span>{is_behind.then(|| view! { <a class="button" href=section>{Icon::ArrowLeft.view()}"First"</a> })}</span>
            <span>{next.map(|href| view! { <a class="button" href=href>"More flows"{Icon::ArrowRight.view()}</a> })}</span>
        </nav>
    }
    .into_any()
}

fn table(here: &Here, answer: At<Vec<FlowSummary>>) -> AnyView {
    let At { now, value } = answer;
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Flow"</th>
                    <th scope="col">"Latest runs"</th>
                    <th scope="col" class="number">"Success, 7 days"</th>
                    <th scope="col" class="number">"p95"</th>
                    <th scope="col" class="number">"Cost a run"</th>
                    <th scope="col" class="number">"Last run"</th>
                </tr></thead>
                <tbody>
                    {value.into_iter().map(|flow| view! {
                        <tr class="leads">
                            <td class="main">
                                <a href=path::flow(&here.tenant, &flow.name)>{flow.name.clone()}</a>
                                {flow.broken.then(|| view! { " "<span class="tag-pill bad">{Icon::TriangleAlert.view()}"has problems"</span> })}
                                {flow.version.is_none().then(|| view! { " "<span class="tag-pill">"draft"</span> })}
                                {flow.description.clone().map(|text| view! { <p>{text}</p> })}
                            </td>
                            <td class="beside wide">{recent_dots(&flow.recent)}</td>
                            <td class="number" data-label="Success, 7 days">{percent_or_dash(flow.success_rate)}</td>
                            <td class="number" data-label="p95">{duration_or(flow.p95_ms, "–")}</td>
                            <td class="number" data-label="Cost a run">{money_or_dash(flow.cost_per_run_nano_usd)}</td>
                            <td class="number" data-label="Last run">{ago_or(now, flow.last_run_at, "Never")}</td>
                        </tr>
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
    .into_any()
}

fn none() -> AnyView {
    let base = page_state().base_url.clone();
    let line = format!(
        "curl -X PUT {base}/api/v1/flows/hello \\\n  -H 'Authorization: Bearer …' \\\n  -H 'Content-Type: application/yaml' \\\n  --data-binary @flow.yaml"
    );
    let view = empty(
        Icon::Workflow,
        "No flows yet",
        "A flow is a YAML file. Send one by API, or put a folder in with the command line: weir flow import.",
        command(&line, "Sending a flow with curl"),
    );
    view! { <div class="card">{view}</div> }.into_any()
}
