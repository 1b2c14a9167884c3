//! A run as the API gives it, to read, copy and compare.

use domain::wire::StepView;
use leptos::prelude::*;
use serde::Serialize;

use super::detail::page;
use crate::components::code::command;
use crate::components::json;
use crate::components::page::card;
use crate::context::{Here, page_state};
use crate::data::{At, RunView};
use crate::islands::Copy;

/// What a button copies at most.
const COPIED_BYTES: usize = 64 * 1024;

#[component]
pub(crate) fn Raw() -> impl IntoView {
    page("raw", raw)
}

/// The two answers that make up a run.
#[derive(Serialize)]
struct Steps<'a> {
    data: &'a [StepView],
}

fn raw(here: &Here, answer: &At<RunView>) -> AnyView {
    let run = &answer.value.run;
    let address = format!("{}/api/v1/runs/{}", page_state().base_url, run.summary.id);
    let whole = serde_json::to_value(run).unwrap_or_default();
    let steps = serde_json::to_value(Steps { data: &answer.value.steps }).unwrap_or_default();
    let line = |address: &str| format!("curl {address} \\\n  -H 'Authorization: Bearer '$WEIR_KEY");
    let copy = |value: &serde_json::Value, label: &str| {
        let text = serde_json::to_string_pretty(value).unwrap_or_default();
        // The button holds the text a second time; a large one is fetched instead.
        (text.len() <= COPIED_BYTES).then(|| view! { <Copy text=text label=label.to_owned()/> }).into_any()
    };
    let part = |value: &serde_json::Value, label: &'static str, call: &'static str, address: &str| {
        view! {
            <div class="body stack-s">
                {command(&line(address), call)}
                {json::value(value, label, &here.tenant)}
            </div>
        }
        .into_any()
    };
    view! {
        <div class="stack">
            {card("Run", copy(&whole, "Copy the run as JSON"), part(&whole, "The run", "A call for the run", &address))}
            {card("Steps", copy(&steps, "Copy the steps as JSON"), part(&steps, "Its steps", "A call for its steps", &format!("{address}/steps")))}
        </div>
    }
    .into_any()
}
