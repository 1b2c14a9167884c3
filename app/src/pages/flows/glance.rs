//! A flow at a glance: its graph, its figures, its inputs, its problems.

use domain::wire::FlowDetail;
use leptos::prelude::*;

use super::FlowPage;
use super::inputs::{InputField, fields};
use super::yaml::problems;
use crate::components::figure::{empty, money_or_dash, percent_or_dash};
use crate::components::loaded::loaded;
use crate::components::page::card;
use crate::components::status::recent_dots;
use crate::components::time::{ago_or, duration_or};
use crate::data::At;
use crate::graph::flow_graph;
use crate::icon::Icon;

#[component]
pub(crate) fn Glance() -> impl IntoView {
    let page = FlowPage::take();
    let flow = page.detail();
    view! {
        {page.head("")}
        {loaded(flow, move |answer| glance(&page, answer))}
    }
}

fn glance(page: &FlowPage, answer: At<FlowDetail>) -> AnyView {
    let At { now, value: flow } = answer;
    let summary = &flow.summary;
    let graph = if flow.nodes.is_empty() {
        empty(Icon::Workflow, "No graph", "The text does not check, so there is nothing to draw yet.", ().into_any())
    } else {
        flow_graph(&flow.nodes, &flow.edges, &page.tab("yaml"))
    };
    let labels: Vec<String> = summary.labels.iter().map(|(key, value)| format!("{key}: {value}")).collect();
    let facts = view! {
        <div class="body">
            <dl class="facts">
                <dt>"Version"</dt>
                <dd>{summary.version.map_or_else(|| "draft only".to_owned(), |version| format!("{version} on stable"))}</dd>
                <dt>"Latest runs"</dt><dd>{recent_dots(&summary.recent)}</dd>
                <dt>"Success"</dt><dd>{percent_or_dash(summary.success_rate)}</dd>
                <dt>"p95"</dt><dd>{duration_or(summary.p95_ms, "–")}</dd>
                <dt>"Cost a run"</dt><dd>{money_or_dash(summary.cost_per_run_nano_usd)}</dd>
                <dt>"Last run"</dt><dd>{ago_or(now, summary.last_run_at, "Never")}</dd>
                <dt>"Changed"</dt><dd>{ago_or(now, Some(summary.updated_at), "")}</dd>
            </dl>
            {(!labels.is_empty()).then(|| view! {
                <div class="row labels">{labels.into_iter().map(|label| view! { <span class="tag-pill">{label}</span> }).collect_view()}</div>
            })}
        </div>
    };
    view! {
        {summary.description.clone().map(|text| view! { <p class="about">{text}</p> })}
        {problems(&flow.report, &page.tab("yaml"))}
        <div class="split">
            {card("Steps", view! { <span class="small quiet">{flow.nodes.len()}</span> }.into_any(), graph)}
            <div class="stack">
                {card("At a glance", ().into_any(), facts.into_any())}
                {card("Inputs", ().into_any(), inputs(&fields(&flow.input_schema)))}
            </div>
        </div>
    }
    .into_any()
}

fn inputs(fields: &[InputField]) -> AnyView {
    if fields.is_empty() {
        return view! { <p class="body quiet">"Takes any JSON object and any files."</p> }.into_any();
    }
    let rows: Vec<_> = fields.to_vec();
    view! {
        <ul class="input-list">
            {rows.into_iter().map(|field| view! {
                <li>
                    <span class="row">
                        <code>{field.name}</code>
                        <span class="tag-pill">{field.kind.word()}</span>
                        {field.required.then(|| view! { <span class="tag-pill water">"required"</span> })}
                    </span>
                    {match field.description {
                        Some(text) => view! { <p class="quiet small">{text}</p> }.into_any(),
                        None => ().into_any(),
                    }}
                </li>
            }).collect_view()}
        </ul>
    }
    .into_any()
}
