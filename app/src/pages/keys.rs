//! API keys: what opens this tenant's endpoints. A key is shown once, when it is made.

use domain::Permission;
use domain::wire::{CreatedKey, KeyView};
use leptos::prelude::*;

use crate::components::code::{command, copy_line};
use crate::components::field::{Field, choices, csrf, form_message};
use crate::components::figure::empty;
use crate::components::loaded::loaded;
use crate::components::page::Head;
use crate::components::time::{ago, ago_or};
use crate::context::{Here, form_state, here, page_state};
use crate::data::{At, ConsoleError};
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;
use crate::pages::errors;

#[component]
pub(crate) fn List() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let keys = ask(|data| async move { data.keys(&tenant).await });
    let add = here.may(Permission::KeysWrite).then(|| {
        view! { <a class="button primary" href=path::key_new(&here.tenant)>{Icon::Plus.view()}"Create a key"</a> }
    });
    view! {
        {Head::new("API keys").lead("A key may never do more than the person who made it may at the time.").actions(add).view()}
        {loaded(keys, move |answer| table(&here, answer))}
    }
}

fn table(here: &Here, answer: At<Vec<KeyView>>) -> AnyView {
    let At { now, value } = answer;
    if value.is_empty() {
        let next = here.may(Permission::KeysWrite).then(|| {
            view! { <a class="button primary" href=path::key_new(&here.tenant)>"Create a key"</a> }
        });
        let view = empty(
            Icon::KeyRound,
            "No keys yet",
            "Every flow is an endpoint. Create a key to call it from your own program.",
            next.into_any(),
        );
        return view! { <div class="card">{view}</div> }.into_any();
    }
    let write = here.may(Permission::KeysWrite);
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Name"</th>
                    <th scope="col">"Key"</th>
                    <th scope="col">"May"</th>
                    <th scope="col">"Last used"</th>
                    <th scope="col">"Ends"</th>
                    <th scope="col"><span class="said">"Actions"</span></th>
                </tr></thead>
                <tbody>{value.into_iter().map(|key| row(here, now, &key, write)).collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(here: &Here, now: chrono::DateTime<chrono::Utc>, key: &KeyView, write: bool) -> AnyView {
    let ended = key.expires_at.is_some_and(|at| at <= now);
    let may = if key.scopes.is_empty() { "all that its maker may".to_owned() } else { key.scopes.join(", ") };
    view! {
        <tr>
            <td class="main">
                <strong>{key.name.clone()}</strong>
                {key.test.then(|| view! { " "<span class="tag-pill water">"test"</span> })}
                <p class="small">"by "{key.created_by.clone()}", "{ago(now, key.created_at)}</p>
            </td>
            <td class="whole" data-label="Key"><code class="nowrap">{format!("{}…{}", key.prefix, key.last_four)}</code></td>
            <td class="whole" data-label="May"><span class="quiet">{may}</span></td>
            <td data-label="Last used">{ago_or(now, key.last_used_at, "Never")}</td>
            <td data-label="Ends">
                {match (key.revoked_at, ended) {
                    (Some(at), _) => view! { <span class="tag-pill bad">"revoked "{ago(now, at)}</span> }.into_any(),
                    (None, true) => view! { <span class="tag-pill warn">"expired"</span> }.into_any(),
                    (None, false) => ago_or(now, key.expires_at, "Never"),
                }}
            </td>
            <td class="number">
                {(write && key.revoked_at.is_none()).then(|| view! {
                    <details class="menu right confirm">
                        <summary class="button plain danger">"Revoke"<span class="said">" "{key.name.clone()}</span></summary>
                        <form class="menu-sheet" method="post" action=path::key_revoke(&here.tenant, &key.id.to_string())>
                            {csrf()}
                            <p>"Calls with this key are refused from now on. This cannot be undone."</p>
                            <button class="button danger wide">"Revoke "{key.name.clone()}</button>
                        </form>
                    </details>
                })}
            </td>
        </tr>
    }
    .into_any()
}

#[component]
pub(crate) fn New() -> impl IntoView {
    let here = here();
    if !here.may(Permission::KeysWrite) {
        return errors::body(&ConsoleError::Forbidden);
    }
    let created = page_state().created_key.clone();
    let head = |title| Head::new(title).crumb("API keys", path::section(&here.tenant, "keys")).view();
    match created {
        Some(key) => view! { {head("Key created")}<div class="stack narrow">{show_once(&here, &key)}</div> }.into_any(),
        None => view! { {head("Create a key")}<div class="stack narrow">{form(&here)}</div> }.into_any(),
    }
}

fn show_once(here: &Here, key: &CreatedKey) -> AnyView {
    let base = page_state().base_url.clone();
    let line = format!("curl -H 'Authorization: Bearer {}' \\\n  {base}/api/v1/flows", key.key);
    view! {
        <section class="card">
            <div class="body stack-s">
                <div class="note warn">
                    {Icon::TriangleAlert.view()}
                    <div><p><strong>"This is the only time you see it."</strong></p><p>"Copy the key now and keep it where your program finds it. We store only its fingerprint."</p></div>
                </div>
                <h2>{key.name.clone()}</h2>
                {copy_line(&key.key, "Copy the key")}
                <h3>"Try it"</h3>
                {command(&line, "A call with curl")}
                <div class="form-foot"><a class="button primary" href=path::section(&here.tenant, "keys")>"I stored it"</a></div>
            </div>
        </section>
    }
    .into_any()
}

fn form(here: &Here) -> AnyView {
    let state = form_state();
    let expiry: Vec<(String, String)> = [("30", "30 days"), ("90", "90 days"), ("365", "One year"), ("0", "Never")]
        .into_iter()
        .map(|(value, label)| (value.to_owned(), label.to_owned()))
        .collect();
    view! {
        <section class="card">
            <form class="body form" method="post" action=path::key_new(&here.tenant)>
                {csrf()}
                {form_message(&state)}
                {Field::new("name", "Name").hint("Where it is used, so that you know it again: invoice importer, staging.")
                    .required().autocomplete("off").with("maxlength", "80").state(&state).line("text")}
                {choices("access", "May", state.value("access").unwrap_or("run"), &[
                    ("run", "Run flows", "Start runs, send files, read flows and runs."),
                    ("read", "Read only", "Look at flows and runs."),
                    ("all", "Everything you may", "Also change flows, connections and keys, as far as your role goes."),
                ])}
                {choices("mode", "Mode", state.value("mode").unwrap_or("live"), &[
                    ("live", "Live", "Real runs."),
                    ("test", "Test", "Runs are marked, never billed, and unsafe effects are skipped."),
                ])}
                {Field::new("expires_in_days", "Ends after").value("90").state(&state).select(&expiry)}
                <div class="form-foot">
                    <button class="button primary">"Create the key"</button>
                    <a class="button plain" href=path::section(&here.tenant, "keys")>"Cancel"</a>
                </div>
            </form>
        </section>
    }
    .into_any()
}
