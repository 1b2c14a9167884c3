//! What happened in a run, event by event, as its journal has it.

use domain::wire::EventView;
use leptos::prelude::*;
use leptos_router::hooks::{use_params_map, use_query_map};

use super::detail::page;
use crate::components::figure::empty;
use crate::components::json;
use crate::components::loaded::loaded;
use crate::components::time::{between_ms, duration_text, full};
use crate::context::{Here, here};
use crate::data::{At, EventsView};
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;

#[component]
pub(crate) fn Journal() -> impl IntoView {
    let id = use_params_map().with_untracked(|params| params.get("run")).unwrap_or_default();
    let after = use_query_map().with_untracked(|query| query.get("after")).and_then(|text| text.parse().ok());
    let (tenant, run, after) = (here().tenant(), id.clone(), after.unwrap_or(0_u64));
    let events = ask(move |data| async move { data.events(&tenant, &run, after).await });
    page("journal", move |here, run| {
        let (here, began) = (here.clone(), run.value.run.summary.created_at);
        loaded(events, move |answer| table(&here, &id, after, began, answer))
    })
}

fn table(here: &Here, run: &str, after: u64, began: chrono::DateTime<chrono::Utc>, answer: At<EventsView>) -> AnyView {
    let EventsView { events, next } = answer.value;
    if events.is_empty() {
        let text = "A run's events appear here as they happen. A flow that saves only failures writes none for a run that went well.";
        let view = empty(Icon::Activity, "No events", text, ().into_any());
        return view! { <div class="card">{view}</div> }.into_any();
    }
    let address = path::run_tab(&here.tenant, run, "journal");
    let first =
        (after > 0).then(|| view! { <a class="button" href=address.clone()>{Icon::ArrowLeft.view()}"First"</a> });
    let later = next.map(|after| view! { <a class="button" href=format!("{address}?after={after}")>"Later"{Icon::ArrowRight.view()}</a> });
    let rows: Vec<AnyView> = events.into_iter().map(|event| row(here, began, event)).collect();
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col" class="number">"#"</th>
                    <th scope="col">"After"</th>
                    <th scope="col">"Event"</th>
                    <th scope="col">"Step"</th>
                    <th scope="col">"Details"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        <nav class="pager" aria-label="Pages"><span>{first}</span><span>{later}</span></nav>
    }
    .into_any()
}

fn row(here: &Here, began: chrono::DateTime<chrono::Utc>, event: EventView) -> AnyView {
    let label = format!("Details of event {}", event.position);
    let after = duration_text(between_ms(began, event.at));
    let bare = event.data.as_object().is_none_or(serde_json::Map::is_empty);
    let tenant = here.tenant();
    view! {
        <tr>
            <td class="number" data-label="Position">{event.position}</td>
            <td data-label="After"><span class="nowrap">{after}</span><span class="said">", "{full(event.at)}</span></td>
            <td class="whole"><code>{event.event}</code></td>
            <td class="whole" data-label="Step">{event.step.map(|step| view! { <code>{step}</code> })}</td>
            <td class="whole grow">
                {(!bare).then(|| view! {
                    <details class="disclosure">
                        <summary>{Icon::ChevronRight.view()}"Details"<span class="said">" of event "{event.position}</span></summary>
                        <p class="small quiet">{full(event.at)}</p>
                        {json::named(&event.data, label, &tenant)}
                    </details>
                })}
            </td>
        </tr>
    }
    .into_any()
}
