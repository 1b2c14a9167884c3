//! The audit log: who did what to which thing, newest first. Read only; what is shown stands in the address.

use chrono::{DateTime, Utc};
use domain::Permission;
use domain::wire::{AuditView, Page};
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use crate::components::field::Field;
use crate::components::figure::{dash, empty};
use crate::components::json;
use crate::components::loaded::loaded;
use crate::components::page::Head;
use crate::components::query;
use crate::components::time::{ago, full};
use crate::context::{Here, here};
use crate::data::{At, AuditFilter, ConsoleError, Since};
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;
use crate::pages::errors;

/// What can be filtered by at a glance; single actions come by a press on one.
const AREAS: &[(&str, &str)] = &[
    ("", "All actions"),
    ("approval", "Approvals"),
    ("channel", "Channels"),
    ("connection", "Connections"),
    ("experiment", "Experiments"),
    ("flow", "Flows"),
    ("key", "API keys"),
    ("member", "Members"),
    ("run", "Runs"),
    ("secret", "Secrets"),
    ("tenant", "Tenant"),
];

/// The filter as it stands in the address.
#[derive(Debug, Clone, PartialEq, Default)]
struct Words {
    actor: String,
    action: String,
    target: String,
    since: String,
    cursor: String,
}

impl Words {
    fn address(&self, tenant: &str) -> String {
        let since = if self.since == Since::default().as_str() { "" } else { &self.since };
        let words = [
            ("actor", self.actor.as_str()),
            ("action", &self.action),
            ("target", &self.target),
            ("since", since),
            ("cursor", &self.cursor),
        ];
        query::address(&path::section(tenant, "audit"), &words)
    }

    fn filter(&self) -> AuditFilter {
        let some = |word: &String| Some(word.trim().to_owned()).filter(|word| !word.is_empty());
        AuditFilter {
            actor: some(&self.actor),
            action: some(&self.action),
            target: some(&self.target),
            since: self.since(),
            cursor: some(&self.cursor),
        }
    }

    fn since(&self) -> Since {
        Since::parse(&self.since).unwrap_or_default()
    }
}

#[component]
pub(crate) fn List() -> impl IntoView {
    let here = here();
    if !here.may(Permission::AuditRead) {
        return errors::body(&ConsoleError::Forbidden);
    }
    let words = use_query_map().with_untracked(|query| {
        let word = |key: &str| query.get(key).unwrap_or_default();
        Words {
            actor: word("actor"),
            action: word("action"),
            target: word("target"),
            since: word("since"),
            cursor: word("cursor"),
        }
    });
    let (tenant, filter) = (here.tenant(), words.filter());
    let entries = ask(|data| async move { data.audit(&tenant, &filter).await });
    view! {
        {Head::new("Audit log").lead("Every change, with who made it. An entry is written together with its change and is never altered.").view()}
        {filters(&here, &words)}
        {loaded(entries, move |answer| list(&here, &words, answer))}
    }
    .into_any()
}

fn filters(here: &Here, words: &Words) -> AnyView {
    let mut areas: Vec<(String, String)> =
        AREAS.iter().map(|&(value, label)| (value.to_owned(), label.to_owned())).collect();
    // A single action of the address is still said.
    if !AREAS.iter().any(|(value, _)| *value == words.action) {
        areas.push((words.action.clone(), words.action.clone()));
    }
    let times: Vec<(String, String)> =
        Since::ALL.iter().map(|since| (since.as_str().to_owned(), since.label().to_owned())).collect();
    let filtered = Words { cursor: String::new(), ..words.clone() } != Words::default();
    let clear =
        filtered.then(|| view! { <a class="button plain" href=path::section(&here.tenant, "audit")>"Clear"</a> });
    view! {
        <form class="filters fields" method="get" action=path::section(&here.tenant, "audit") data-apply="">
            {Field::new("actor", "Who").placeholder("E-mail or key's name").autocomplete("off").value(words.actor.clone()).line("text")}
            {Field::new("action", "Action").value(words.action.clone()).select(&areas)}
            {Field::new("target", "What").placeholder("Name or id").autocomplete("off").value(words.target.clone()).line("text")}
            {Field::new("since", "Time").value(words.since().as_str()).select(&times)}
            <div class="row"><button class="button">{Icon::Search.view()}"Filter"</button>{clear}</div>
        </form>
    }
    .into_any()
}

fn list(here: &Here, words: &Words, answer: At<Page<AuditView>>) -> AnyView {
    let At { now, value } = answer;
    if value.data.is_empty() {
        let next = view! { <a class="button" href=query::address(&path::section(&here.tenant, "audit"), &[("since", "all")])>"Show all time"</a> };
        let text = "Nothing was done under this filter. Widen the time, or clear it.";
        let view = empty(Icon::ScrollText, "No entries", text, next.into_any());
        return view! { <div class="card">{view}</div> }.into_any();
    }
    let older = value.next_cursor.filter(|_| value.has_more);
    let older = older.map(|cursor| Words { cursor, ..words.clone() }.address(&here.tenant));
    let newest =
        (!words.cursor.is_empty()).then(|| Words { cursor: String::new(), ..words.clone() }.address(&here.tenant));
    let rows: Vec<AnyView> = value.data.iter().map(|entry| row(here, words, now, entry)).collect();
    view! {
        <div class="table-wrap">
            <table class="table audit">
                <thead><tr>
                    <th scope="col">"Who"</th>
                    <th scope="col">"Action"</th>
                    <th scope="col">"What"</th>
                    <th scope="col">"Details"</th>
                    <th scope="col" class="number">"When"</th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
        <nav class="pager" aria-label="Pages">
            <span>{newest.map(|href| view! { <a class="button" href=href>{Icon::ArrowLeft.view()}"Newest"</a> })}</span>
            <span>{older.map(|href| view! { <a class="button" href=href>"Older"{Icon::ArrowRight.view()}</a> })}</span>
        </nav>
    }
    .into_any()
}

fn row(here: &Here, words: &Words, now: DateTime<Utc>, entry: &AuditView) -> AnyView {
    let only = |change: fn(&mut Words, String), value: &str| {
        let mut narrowed = Words { cursor: String::new(), ..words.clone() };
        change(&mut narrowed, value.to_owned());
        narrowed.address(&here.tenant)
    };
    let by_actor = only(|words, value| words.actor = value, &entry.actor);
    let by_action = only(|words, value| words.action = value, &entry.action);
    let name = entry.target.clone().or_else(|| entry.target_id.clone());
    let target = name.map(|name| {
        let href = only(|words, value| words.target = value, entry.target_id.as_deref().unwrap_or(&name));
        view! { <a href=href>{name}</a> }
    });
    let kind = match entry.actor_kind.as_str() {
        "api_key" => Some("key"),
        "system" => Some("program"),
        _ => None,
    };
    view! {
        <tr>
            <td class="whole" data-label="Who"><span><a href=by_actor>{entry.actor.clone()}</a>{kind.map(|kind| view! { " "<span class="tag-pill">{kind}</span> })}</span></td>
            <td class="whole" data-label="Action"><a href=by_action><code>{entry.action.clone()}</code></a></td>
            <td class="whole" data-label="What"><span><span class="quiet">{entry.target_kind.replace('_', " ")}</span>" "{target}</span></td>
            <td class="whole grow">{details(here, entry)}</td>
            <td class="number" data-label="When">{ago(now, entry.at)}</td>
        </tr>
    }
    .into_any()
}

fn details(here: &Here, entry: &AuditView) -> AnyView {
    let id = entry.id.to_string();
    let bare = entry.data.as_object().is_none_or(serde_json::Map::is_empty);
    let code = |text: &Option<String>| text.clone().map_or_else(dash, |text| view! { <code>{text}</code> }.into_any());
    view! {
        <details class="disclosure">
            <summary>{Icon::ChevronRight.view()}"Details"<span class="said">" of "{entry.action.clone()}", entry "{id.clone()}</span></summary>
            <dl class="facts">
                <dt>"Exactly"</dt><dd>{full(entry.at)}</dd>
                <dt>"From"</dt><dd>{code(&entry.address)}</dd>
                <dt>"Request"</dt><dd>{code(&entry.request_id)}</dd>
                <dt>"Target"</dt><dd>{code(&entry.target_id)}</dd>
                <dt>"Entry"</dt><dd><code>{id.clone()}</code></dd>
            </dl>
            {(!bare).then(|| json::named(&entry.data, format!("Data of entry {id}"), &here.tenant))}
        </details>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_stands_in_the_address_and_is_read_back_from_it() {
        let words =
            Words { actor: "maria@acme.test".into(), action: "member".into(), since: "all".into(), ..Words::default() };
        assert_eq!(words.address("acme"), "/t/acme/audit?actor=maria%40acme.test&action=member&since=all");
        let filter = words.filter();
        assert_eq!(
            (filter.actor.as_deref(), filter.action.as_deref(), filter.target),
            (Some("maria@acme.test"), Some("member"), None)
        );
        assert_eq!(filter.since, Since::All);
    }
}
