//! The tenant at a glance: first steps, key figures, runs a day, what ran last.

use domain::Permission;
use leptos::prelude::*;

use super::runs::table;
use crate::components::chart::runs_by_day;
use crate::components::figure::{count_text, empty, figure, percent};
use crate::components::loaded::loaded;
use crate::components::page::{Head, card};
use crate::components::svg::Svg;
use crate::components::time::duration_text;
use crate::context::{Here, here};
use crate::data::{At, Checklist, OverviewView};
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;

#[component]
pub(crate) fn Overview() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let view = ask(|data| async move { data.overview(&tenant).await });
    let run = here.may(Permission::RunsStart).then(|| {
        view! { <a class="button primary" href=path::section(&here.tenant, "flows")>{Icon::Play.view()}"Run a flow"</a> }
    });
    view! {
        {Head::new("Overview").actions(run).view()}
        {loaded(view, move |answer| glance(&here, answer))}
    }
}

fn glance(here: &Here, answer: At<OverviewView>) -> AnyView {
    let At { now, value } = answer;
    let runs = path::section(&here.tenant, "runs");
    let figures = [
        figure("Runs, 7 days", count_text(value.runs), "", runs.clone()),
        figure(
            "Succeeded",
            value.success_rate.map_or_else(|| "–".to_owned(), |share| percent(share).replace(" %", "")),
            if value.success_rate.is_some() { "%" } else { "" },
            format!("{runs}?status=succeeded"),
        ),
        figure("95th percentile", value.p95_ms.map_or_else(|| "–".to_owned(), duration_text), "", runs.clone()),
        figure(
            "Cost, 7 days",
            value.cost_nano_usd.map_or_else(|| "–".to_owned(), |cost| cost.to_string()),
            "",
            runs.clone(),
        ),
        figure("Going on now", count_text(value.active), "", format!("{runs}?status=running&since=all")),
    ];
    let recent = if value.recent.is_empty() {
        let flows = path::section(&here.tenant, "flows");
        empty(
            Icon::Activity,
            "Nothing has run yet",
            "Start a flow with a document or call it by API; its runs appear here as they happen.",
            view! { <a class="button" href=flows>"Choose a flow"</a> }.into_any(),
        )
    } else {
        table::runs(&here.tenant, now, &value.recent, true)
    };
    view! {
        <div class="stack">
            {checklist(here, &value.checklist)}
            <div class="figures">{figures.into_iter().collect_view()}</div>
            {card("Runs by day", ().into_any(), view! { <div class="body">{runs_by_day(&value.days)}</div> }.into_any())}
            {card("Latest runs", view! { <a class="small" href=runs>"All runs"</a> }.into_any(), recent)}
        </div>
    }
    .into_any()
}

/// The first steps, until all are done.
fn checklist(here: &Here, list: &Checklist) -> AnyView {
    let flow = list
        .suggested_flow
        .as_ref()
        .map_or_else(|| path::section(&here.tenant, "flows"), |flow| path::flow_tab(&here.tenant, flow, "run"));
    let steps: Vec<(bool, bool, &str, &str, String, &str)> = vec![
        (
            list.ran_a_flow,
            here.may(Permission::RunsStart),
            "Run a flow",
            "Give it a document and watch each step as it happens.",
            flow,
            "Run",
        ),
        (
            list.connected_a_model,
            here.may(Permission::ConnectionsWrite),
            "Connect a model",
            "Any endpoint that speaks the OpenAI protocol, with your own key.",
            path::section(&here.tenant, "connections"),
            "Connect",
        ),
        (
            list.made_a_key,
            here.may(Permission::KeysWrite),
            "Create an API key",
            "Each flow is an endpoint; a key opens it.",
            path::key_new(&here.tenant),
            "Create",
        ),
        (
            list.called_by_api,
            true,
            "Call a flow by API",
            "One curl line, typed in and out, with your documents.",
            list.suggested_flow
                .as_ref()
                .map_or_else(|| path::section(&here.tenant, "flows"), |flow| path::flow_tab(&here.tenant, flow, "run")),
            "Show me",
        ),
    ];
    let done = steps.iter().filter(|step| step.0).count();
    if done == steps.len() {
        return ().into_any();
    }
    let mut meter = Svg::fluid("meter");
    meter.rect(0, 0, format!("{}%", done * 100 / steps.len()), "100%", 3, "done");
    let total = steps.len();
    view! {
        <section class="card">
            <header>
                <h2>"First steps"</h2>
                <span class="row small quiet">{format!("{done} of {total}")}{meter.into_view("meter-box")}</span>
            </header>
            <ol class="steps-to-do">
                {steps.into_iter().map(|(done, may, title, text, href, act)| view! {
                    <li class=if done { "done" } else { "" }>
                        {if done { Icon::CircleCheck.view() } else { Icon::CircleDashed.view() }}
                        <div>
                            <strong>{title}{done.then(|| view! { <span class="said">", done"</span> })}</strong>
                            <p>{text}</p>
                        </div>
                        {(!done && may).then(|| view! { <a class="button" href=href>{act}<span class="said">": "{title}</span></a> })}
                    </li>
                }).collect_view()}
            </ol>
        </section>
    }
    .into_any()
}
