//! Connections: the services that flows call, with their keys, which are written, tried out and never shown again.

use std::collections::BTreeMap;

use domain::Permission;
use domain::wire::{ConnectionView, ModelRate};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::components::field::{Field, csrf, form_message};
use crate::components::figure::{dash, empty};
use crate::components::loaded::loaded;
use crate::components::page::{Head, card};
use crate::components::time::ago;
use crate::context::{Here, form_state, here};
use crate::data::{At, ConsoleError};
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;
use crate::pages::errors;

/// What people choose by, and the kind on the wire.
const KINDS: &[(&str, &str)] =
    &[("openai", "OpenAI-compatible endpoint"), ("http", "Web API"), ("postgres", "PostgreSQL database")];

#[component]
pub(crate) fn List() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let connections = ask(|data| async move { data.connections(&tenant).await });
    let add = here.may(Permission::ConnectionsWrite).then(|| {
        view! { <a class="button primary" href=path::connection_new(&here.tenant)>{Icon::Plus.view()}"Add a connection"</a> }
    });
    view! {
        {Head::new("Connections").lead("Services that this tenant's flows may call: model providers, web APIs, databases. Keys are encrypted and never shown again.").actions(add).view()}
        {loaded(connections, move |answer| table(&here, answer))}
    }
}

fn table(here: &Here, answer: At<Vec<ConnectionView>>) -> AnyView {
    let At { now, value } = answer;
    if value.is_empty() {
        let next = here.may(Permission::ConnectionsWrite).then(|| {
            view! { <a class="button primary" href=path::connection_new(&here.tenant)>"Add a connection"</a> }
        });
        let view = empty(
            Icon::Plug,
            "Nothing connected",
            "Steps that ask a model need a connection: any endpoint that speaks the OpenAI protocol will do, on this machine or elsewhere. Web APIs and databases are connected here too.",
            next.into_any(),
        );
        return view! { <div class="card">{view}</div> }.into_any();
    }
    let tenant = here.tenant();
    let write = here.may(Permission::ConnectionsWrite);
    view! {
        <div class="table-wrap">
            <table class="table even">
                <thead><tr>
                    <th scope="col">"Name"</th>
                    <th scope="col">"Kind"</th>
                    <th scope="col">"Endpoint"</th>
                    <th scope="col">"Key"</th>
                    <th scope="col">"Changed"</th>
                    {write.then(|| view! { <th scope="col"><span class="said">"Actions"</span></th> })}
                </tr></thead>
                <tbody>
                    {value.into_iter().map(|connection| {
                        let built_in = connection.kind == "simulated";
                        let name = connection.name.clone();
                        view! {
                            <tr class=if write && !built_in { "leads" } else { "" }>
                                <td class="main">
                                    {if write && !built_in {
                                        view! { <a href=path::connection(&tenant, &name)>{name.clone()}</a> }.into_any()
                                    } else {
                                        view! { <strong>{name.clone()}</strong> }.into_any()
                                    }}
                                </td>
                                <td data-label="Kind">{kind_words(&connection.kind)}</td>
                                <td class="whole" data-label="Endpoint">
                                    {match (&connection.base_url, built_in) {
                                        (_, true) => view! { <span class="tag-pill warn">"simulated, for the demo only"</span> }.into_any(),
                                        (Some(url), _) => view! { <code>{url.clone()}</code> }.into_any(),
                                        (None, _) => dash(),
                                    }}
                                </td>
                                <td data-label="Key">
                                    {match (connection.has_key, built_in) {
                                        (_, true) => dash(),
                                        (true, _) => view! { <span class="tag-pill good">{Icon::Check.view()}"stored"</span> }.into_any(),
                                        (false, _) => view! { <span class="quiet">"without a key"</span> }.into_any(),
                                    }}
                                </td>
                                <td data-label="Changed">{ago(now, connection.updated_at)}</td>
                                {write.then(|| view! { <td class="number">{test_button(&tenant, &name, "", "button plain")}</td> })}
                            </tr>
                        }
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
    .into_any()
}

/// What a kind is called.
fn kind_words(kind: &str) -> &'static str {
    match kind {
        "openai" => "Models",
        "http" => "Web API",
        "postgres" => "PostgreSQL",
        "simulated" => "Simulated",
        _ => "Other",
    }
}

/// One real call, on a press. The answer is said on the page that the button stands on.
fn test_button(tenant: &str, name: &str, next: &str, class: &'static str) -> AnyView {
    view! {
        <form method="post" action=path::connection_test(tenant, name)>
            {csrf()}
            <input type="hidden" name="next" value=next.to_owned()/>
            <button class=class>{Icon::Activity.view()}"Test"<span class="said">" "{name.to_owned()}</span></button>
        </form>
    }
    .into_any()
}

fn trial(here: &Here, connection: &ConnectionView) -> AnyView {
    let page = path::connection(&here.tenant, &connection.name);
    let body = view! {
        <div class="body stack-s">
            <p class="quiet">"Makes one real call with what is stored: changes are to be saved first. It costs nothing and changes nothing."</p>
            {test_button(&here.tenant, &connection.name, &page, "button")}
        </div>
    };
    card("Test", ().into_any(), body.into_any())
}

#[component]
pub(crate) fn New() -> impl IntoView {
    let here = here();
    if !here.may(Permission::ConnectionsWrite) {
        return errors::body(&ConsoleError::Forbidden);
    }
    view! {
        {head(&here, "Add a connection")}
        <div class="stack narrow">{form(&here, None)}</div>
    }
    .into_any()
}

#[component]
pub(crate) fn Edit() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let name = use_params_map().with_untracked(|params| params.get("name")).unwrap_or_default();
    let connections = ask(|data| async move { data.connections(&tenant).await });
    view! {
        {head(&here, &name)}
        {loaded(connections, move |At { value, .. }| {
            match value.iter().find(|connection| connection.name == name) {
                Some(connection) if here.may(Permission::ConnectionsWrite) => {
                    view! { <div class="stack narrow">{form(&here, Some(connection))}{trial(&here, connection)}{removal(&here, connection)}</div> }.into_any()
                }
                Some(_) => errors::body(&ConsoleError::Forbidden),
                None => errors::body(&ConsoleError::NotFound),
            }
        })}
    }
}

fn head(here: &Here, title: &str) -> AnyView {
    Head::new(title).crumb("Connections", path::section(&here.tenant, "connections")).view()
}

fn form(here: &Here, present: Option<&ConnectionView>) -> AnyView {
    let state = form_state();
    let action = present.map_or_else(
        || path::connection_new(&here.tenant),
        |connection| path::connection(&here.tenant, &connection.name),
    );
    let kinds: Vec<(String, String)> =
        KINDS.iter().map(|&(value, label)| (value.to_owned(), label.to_owned())).collect();
    let has_key = present.is_some_and(|connection| connection.has_key);
    let fields = view! {
        <form class="body form" method="post" action=action>
            {csrf()}
            {form_message(&state)}
            {present.is_none().then(|| {
                Field::new("name", "Name")
                    .hint("How flows call it: name/model. Lower-case letters, digits, dashes and underscores.")
                    .placeholder("openai")
                    .required()
                    .mono()
                    .autocomplete("off")
                    .with("pattern", "[a-z][a-z0-9_\\-]{0,62}")
                    .state(&state)
                    .line("text")
            })}
            {Field::new("kind", "Kind").value(present.map_or("openai", |connection| connection.kind.as_str())).state(&state).select(&kinds)}
            {Field::new("base_url", "Base URL")
                .hint("For models up to and with /v1, for example http://127.0.0.1:11434/v1 for a server on this machine; for a database postgres://user@host:5432/name.")
                .placeholder("https://api.openai.com/v1")
                .value(present.and_then(|connection| connection.base_url.clone()).unwrap_or_default())
                .required()
                .mono()
                .autocomplete("off")
                .state(&state)
                .line("url")}
            {Field::new("api_key", "Key")
                .tag(if has_key { "stored" } else { "optional" })
                .hint(if has_key { "Leave it empty to keep the stored key." } else { "Encrypted at once, never shown again." })
                .autocomplete("off")
                .state(&state)
                .password()}
            {Field::new("more_base_urls", "More addresses")
                .tag("optional")
                .hint("Further addresses of the same model provider, with blanks between them. Calls go where answers come soonest, and around what is down.")
                .value(present.map(|connection| connection.more_base_urls.join(" ")).unwrap_or_default())
                .mono()
                .autocomplete("off")
                .state(&state)
                .line("text")}
            {Field::new("max_concurrency", "Calls at once")
                .tag("optional")
                .hint("How many attempts may use the connection at the same time, over all flows; the others wait in line.")
                .value(present.and_then(|connection| connection.max_concurrency).map(|most| most.to_string()).unwrap_or_default())
                .with("min", "1")
                .autocomplete("off")
                .state(&state)
                .line("number")}
            {Field::new("prices", "Prices")
                .tag("optional")
                .hint("A line a model: its name (or * for all others), then US dollars for a million tokens of input, of output and, where it differs, of cached input. Runs under a max_cost need them, except for well-known models at OpenAI.")
                .placeholder("llama-3.3-70b 0.59 0.79")
                .value(present.map(|connection| price_lines(&connection.prices)).unwrap_or_default())
                .mono()
                .state(&state)
                .area()}
            <div class="form-foot">
                <button class="button primary">{if present.is_some() { "Save" } else { "Add the connection" }}</button>
                <a class="button plain" href=path::section(&here.tenant, "connections")>"Cancel"</a>
            </div>
        </form>
    };
    view! { <section class="card">{fields}</section> }.into_any()
}

/// As the form's field takes them.
fn price_lines(prices: &BTreeMap<String, ModelRate>) -> String {
    let line = |(model, rate): (&String, &ModelRate)| {
        let cached = rate.cached_input.map(|dollars| format!(" {dollars}")).unwrap_or_default();
        format!("{model} {} {}{cached}", rate.input, rate.output)
    };
    prices.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn removal(here: &Here, connection: &ConnectionView) -> AnyView {
    let body = view! {
        <form class="body form" method="post" action=path::connection_delete(&here.tenant, &connection.name)>
            {csrf()}
            <p class="quiet">"Steps that name this connection fail until another one takes its name. The stored key is gone for good."</p>
            <div><button class="button danger">{Icon::Trash2.view()}"Remove "{connection.name.clone()}</button></div>
        </form>
    };
    card("Remove", ().into_any(), body.into_any())
}
