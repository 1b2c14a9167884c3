//! A run: what it is, when each step ran, what went in and out; it follows along while it goes on.

use chrono::{DateTime, Utc};
use domain::wire::{StepView, UsageTotals};
use domain::{Failure, Permission};
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::acts;
use super::bars::{Stretch, draw, draw_axis};
use super::step::{items_words, panel, phase_words, skip_words};
use super::table::{short_id, trigger_words};
use crate::components::figure::{count_text, dash, empty, money_or_dash};
use crate::components::json;
use crate::components::loaded::loaded;
use crate::components::page::{Head, card, tabs};
use crate::components::prose::prose;
use crate::components::status::{run_pill, step_mark, step_status};
use crate::components::time::{between_ms, duration_or, duration_text, full};
use crate::context::{Here, here};
use crate::data::{At, RunView};
use crate::forms::path;
use crate::icon::Icon;
use crate::islands::{Copy, Live};
use crate::load::ask;

#[component]
pub(crate) fn Timeline() -> impl IntoView {
    page("", timeline)
}

#[component]
pub(crate) fn Steps() -> impl IntoView {
    page("steps", steps)
}

#[component]
pub(crate) fn Data() -> impl IntoView {
    page("data", data)
}

/// A run's page with one of its tabs.
pub(super) fn page(tab: &'static str, body: impl FnOnce(&Here, &At<RunView>) -> AnyView + Send + 'static) -> AnyView {
    let here = here();
    let id = use_params_map().with_untracked(|params| params.get("run")).unwrap_or_default();
    let (tenant, run) = (here.tenant(), id.clone());
    let view = ask(|data| async move { data.run(&tenant, &run).await });
    loaded(view, move |answer| {
        let at_work = !answer.value.run.summary.status.is_terminal();
        let live = at_work.then(|| view! { <Live address=path::run_events(&here.tenant, &id) polite=false/> });
        view! {
            {head(&here, &answer)}
            {facts(&here, &answer)}
            {acts::waiting(&here, &answer.value)}
            <div class="tab-row">{run_tabs(&here, &id, tab)}{live}</div>
            {body(&here, &answer)}
        }
        .into_any()
    })
}

fn run_tabs(here: &Here, id: &str, current: &'static str) -> AnyView {
    let tab = |label, word: &'static str| {
        let href = if word.is_empty() { path::run(&here.tenant, id) } else { path::run_tab(&here.tenant, id, word) };
        (label, href, word == current)
    };
    tabs(
        "Run",
        vec![
            tab("Timeline", ""),
            tab("Steps", "steps"),
            tab("Input and output", "data"),
            tab("Events", "journal"),
            tab("Raw", "raw"),
        ],
    )
}

fn head(here: &Here, answer: &At<RunView>) -> AnyView {
    let summary = &answer.value.run.summary;
    let id = summary.id.to_string();
    let again = here.may(Permission::RunsStart).then(|| {
        let href = path::flow_tab(&here.tenant, &summary.flow, "run");
        view! { <a class="button" href=href>{Icon::Play.view()}"Run the flow"</a> }
    });
    Head::new(format!("{} {}", summary.flow, short_id(&id)))
        .crumb("Runs", path::section(&here.tenant, "runs"))
        .crumb(summary.flow.clone(), path::flow(&here.tenant, &summary.flow))
        .beside(view! { {run_pill(summary.status)}{summary.test.then(|| view! { <span class="tag-pill water">"test"</span> })} }.into_any())
        .actions(view! { {again}{acts::buttons(here, &answer.value)} })
        .lead(view! { <span class="id"><code>{id.clone()}</code><Copy text=id.clone() label="Copy the run's id".to_owned()/></span> })
        .view()
}

fn facts(here: &Here, answer: &At<RunView>) -> AnyView {
    let run = &answer.value.run;
    let summary = &run.summary;
    let (tenant, parent) = (here.tenant(), summary.parent_run_id.map(|run| run.to_string()));
    let elapsed = elapsed(answer);
    view! {
        <dl class="facts across run-head">
            <div><dt>"Started"</dt><dd>{full(summary.started_at.unwrap_or(summary.created_at))}</dd></div>
            <div><dt>"Duration"</dt><dd>{duration_or(elapsed, "not yet")}</dd></div>
            <div><dt>"Cost"</dt><dd>{money_or_dash(summary.cost_nano_usd)}</dd></div>
            {tokens(&run.usage).map(|text| view! { <div><dt>"Tokens"</dt><dd>{text}</dd></div> })}
            <div><dt>"Version"</dt><dd>{summary.version}</dd></div>
            <div><dt>"Started by"</dt><dd>{summary.started_by.clone()}" "<span class="quiet">{trigger_words(&summary.trigger)}</span></dd></div>
            {parent.map(|run| view! { <div><dt>"Parent run"</dt><dd><a href=path::run(&tenant, &run)><code>{short_id(&run)}</code></a></dd></div> })}
            {summary.trace_id.map(|trace| view! { <div><dt>"Trace"</dt><dd><code>{trace.to_string()}</code></dd></div> })}
            {summary.experiment.clone().map(|name| view! {
                <div><dt>"Experiment"</dt><dd>{name}{summary.variant.clone().map(|variant| view! { " "<span class="quiet">{variant}</span> })}</dd></div>
            })}
        </dl>
        {summary.error.as_ref().map(|error| failure(error, run.failed_step.as_deref()))}
    }
    .into_any()
}

fn elapsed(answer: &At<RunView>) -> Option<u64> {
    let summary = &answer.value.run.summary;
    summary
        .duration_ms
        .or_else(|| summary.started_at.map(|from| between_ms(from, summary.ended_at.unwrap_or(answer.now))))
}

/// "1,204 in, 310 out", for whatever kinds of tokens there are.
fn tokens(usage: &UsageTotals) -> Option<String> {
    let parts: Vec<String> = [("input_tokens", "in"), ("cached_tokens", "cached"), ("output_tokens", "out")]
        .into_iter()
        .filter_map(|(unit, word)| usage.units.get(unit).map(|&count| format!("{} {word}", count_text(count))))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// A fault with everything one can act on.
pub(super) fn failure(error: &Failure, step: Option<&str>) -> AnyView {
    let place = error.line.map(|line| format!(", line {line} of the flow"));
    view! {
        <div class="note bad failure">
            {Icon::CircleX.view()}
            <div>
                <p><strong>{prose(&error.message)}</strong></p>
                <p class="small quiet">
                    {step.map(|step| view! { "In step "<code>{step.to_owned()}</code>": " })}
                    <code>{error.code.clone()}</code>
                    {place}
                    {if error.retryable { ", another try can help" } else { "" }}
                </p>
            </div>
        </div>
    }
    .into_any()
}

fn timeline(here: &Here, answer: &At<RunView>) -> AnyView {
    let At { now, value } = answer;
    if value.steps.is_empty() {
        let view = empty(
            Icon::Hourglass,
            "Not started yet",
            "Its steps appear here as soon as a worker takes it.",
            ().into_any(),
        );
        return view! { <div class="card">{view}</div> }.into_any();
    }
    let stretch = Stretch::of(value, *now);
    let id = value.run.summary.id.to_string();
    let open = chosen_step(value).map(|step| step.name.as_str());
    let lanes: Vec<AnyView> = value
        .steps
        .iter()
        .map(|step| {
            let href = format!("{}?step={}#step", path::run(&here.tenant, &id), step.name);
            lane(href, open == Some(step.name.as_str()), stretch, *now, step)
        })
        .collect();
    let chosen = chosen_step(value).map(|step| panel(&here.tenant, step));
    view! {
        <section class="card">
            <header>
                <h2>"Timeline"</h2>
                <div class="legend" inner_html=LEGEND></div>
            </header>
            <div class="timeline flush">
                <div class="axis" aria-hidden="true">
                    <span>"Step"</span>
                    <span inner_html=draw_axis(&stretch.ticks())></span>
                    <span class="lane-end">"Duration"</span>
                </div>
                <ol class="lanes">{lanes}</ol>
            </div>
        </section>
        <div class="step-place" id="step">{chosen}</div>
    }
    .into_any()
}

/// The step in the address, else the one that failed.
fn chosen_step(view: &RunView) -> Option<&StepView> {
    let asked = use_query_map().with_untracked(|query| query.get("step"));
    let name = asked.or_else(|| view.run.failed_step.clone())?;
    view.steps.iter().find(|step| step.name == name)
}

const LEGEND: &str = "<span><svg aria-hidden=\"true\" viewBox=\"0 0 12 12\"><rect class=\"good\" width=\"12\" height=\"12\"/></svg>Run</span>\
    <span><svg aria-hidden=\"true\" viewBox=\"0 0 12 12\"><rect class=\"bad\" width=\"12\" height=\"12\"/><path d=\"M0 9 9 0M3 12 12 3\" stroke=\"#fff\" stroke-opacity=\".7\" stroke-width=\"2\"/></svg>Failed</span>\
    <span><svg aria-hidden=\"true\" viewBox=\"0 0 12 12\"><path d=\"M0 6h12\" stroke=\"currentColor\" stroke-dasharray=\"2 3\" stroke-width=\"1.5\"/></svg>Wait before a retry</span>\
    <span><svg aria-hidden=\"true\" viewBox=\"0 0 12 12\"><rect class=\"calm\" width=\"12\" height=\"12\"/></svg>Waiting</span>";

fn lane(href: String, chosen: bool, stretch: Stretch, now: DateTime<Utc>, step: &StepView) -> AnyView {
    let current = chosen.then_some("true");
    let took = step
        .duration_ms
        .or_else(|| step.started_at.filter(|_| !step.status.is_settled()).map(|from| between_ms(from, now)))
        .map_or_else(|| if step.skipped { "skipped".to_owned() } else { "–".to_owned() }, duration_text);
    let drawn = draw(&stretch.bars(step, now));
    view! {
        <li>
            <a class="lane" href=href aria-current=current>
                <span class="lane-name">
                    {step_mark(step.status)}
                    <span class="cut"><strong>{step.name.clone()}</strong>" "<span class="kind">{step.executor.clone()}</span></span>
                    {phase_words(step).map(|words| view! { <span class="tag-pill">{words}</span> })}
                    {match items_words(step) {
                        Some(words) => view! { <span class="tag-pill">{words}</span> }.into_any(),
                        None => (step.attempts > 1).then(|| view! { <span class="tag-pill">{Icon::RotateCcw.view()}{step.attempts}<span class="said">" attempts"</span></span> }).into_any(),
                    }}
                </span>
                <span class="lane-bars" inner_html=drawn></span>
                <span class="lane-end">{took}</span>
            </a>
        </li>
    }
    .into_any()
}

fn steps(here: &Here, answer: &At<RunView>) -> AnyView {
    let run = answer.value.run.summary.id.to_string();
    let rows: Vec<AnyView> = answer
        .value
        .steps
        .iter()
        .map(|step| {
            let href = format!("{}?step={}#step", path::run(&here.tenant, &run), step.name);
            let used = step.usage.as_ref().and_then(|usage| tokens(&UsageTotals { units: usage.units.clone() }));
            let reason = step
                .error
                .as_ref()
                .map(|error| error.message.clone())
                .or_else(|| step.skip_reason.as_deref().map(skip_words));
            view! {
                <tr class="leads">
                    <td class="main">
                        <a href=href>{step.name.clone()}</a>
                        {phase_words(step).map(|words| view! { " "<span class="tag-pill">{words}</span> })}
                        {items_words(step).map(|words| view! { " "<span class="tag-pill">{words}</span> })}
                        {reason.map(|text| view! { <p class="cut error-line">{prose(&text)}</p> })}
                    </td>
                    <td class="beside">{step_status(step.status)}</td>
                    <td data-label="Executor"><code>{step.executor.clone()}</code></td>
                    <td class="number" data-label="Attempts">{step.attempts}</td>
                    <td class="number" data-label="Duration">{duration_or(step.duration_ms, "–")}</td>
                    <td class="number" data-label="Tokens">{used.map_or_else(dash, IntoAny::into_any)}</td>
                    <td class="number" data-label="Cost">{money_or_dash(step.cost_nano_usd)}</td>
                </tr>
            }
            .into_any()
        })
        .collect();
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Step"</th>
                    <th scope="col">"Status"</th>
                    <th scope="col">"Executor"</th>
                    <th scope="col" class="number">"Attempts"</th>
                    <th scope="col" class="number">"Duration"</th>
                    <th scope="col" class="number">"Tokens"</th>
                    <th scope="col" class="number">"Cost"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn data(here: &Here, answer: &At<RunView>) -> AnyView {
    let run = &answer.value.run;
    let outputs = match &run.outputs {
        Some(outputs) => json::value(outputs, "Outputs", &here.tenant),
        None if run.summary.status.is_terminal() => {
            view! { <p class="quiet">"The run ended without an output."</p> }.into_any()
        }
        None => view! { <p class="quiet">"Not there yet: the run goes on."</p> }.into_any(),
    };
    view! {
        <div class="stack">
            {card("Inputs", ().into_any(), view! { <div class="body stack-s">{json::value(&run.inputs, "Inputs", &here.tenant)}</div> }.into_any())}
            {card("Outputs", ().into_any(), view! { <div class="body stack-s">{outputs}</div> }.into_any())}
        </div>
    }
    .into_any()
}
