//! All runs: filters live in the address, and the list follows along.

use domain::RunStatus;
use leptos::prelude::*;
use leptos_router::hooks::use_query_map;

use super::table;
use crate::components::figure::{count_text, empty};
use crate::components::loaded::loaded;
use crate::components::page::Head;
use crate::components::query;
use crate::components::status::run_word;
use crate::context::{Here, here};
use crate::data::{At, RunFilter, RunsView, Since};
use crate::forms::path;
use crate::icon::Icon;
use crate::islands::Live;
use crate::load::ask;

/// The filter as it stands in the address.
#[derive(Debug, Clone, PartialEq, Default)]
struct Words {
    status: String,
    flow: String,
    search: String,
    since: String,
    cursor: String,
}

impl Words {
    /// The address with these words; empty ones and the usual range are left out.
    fn address(&self, tenant: &str) -> String {
        self.behind(&path::section(tenant, "runs"), &self.cursor)
    }

    /// The address of everything that the filter lets through, as a file.
    fn export(&self, tenant: &str, format: &str) -> String {
        self.behind(&path::runs_export(tenant, format), "")
    }

    fn behind(&self, path: &str, cursor: &str) -> String {
        let since = if self.since == Since::default().as_str() { "" } else { &self.since };
        let words = [
            ("status", self.status.as_str()),
            ("flow", &self.flow),
            ("search", &self.search),
            ("since", since),
            ("cursor", cursor),
        ];
        query::address(path, &words)
    }

    /// What the words ask for; an unknown word counts as absent.
    fn filter(&self) -> RunFilter {
        let some = |word: &String| (!word.is_empty()).then(|| word.clone());
        RunFilter {
            status: RunStatus::parse(&self.status),
            flow: some(&self.flow),
            search: some(&self.search),
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
    let words = use_query_map().with_untracked(|query| {
        let word = |key: &str| query.get(key).unwrap_or_default();
        Words {
            status: word("status"),
            flow: word("flow"),
            search: word("search").trim().to_owned(),
            since: word("since"),
            cursor: word("cursor"),
        }
    });
    let (tenant, filter) = (here.tenant(), words.filter());
    let runs = ask(|data| async move { data.runs(&tenant, &filter).await });
    // Older pages stand still; only the newest follows along.
    let live = words.cursor.is_empty().then(|| view! { <Live address=path::runs_live(&here.tenant) polite=true/> });
    let actions = view! { {live}{export(&here, &words)} };
    view! {
        {Head::new("Runs").actions(actions).view()}
        {loaded(runs, move |answer| list(&here, &words, &answer))}
    }
}

/// What the filter lets through, as files: all of it, not this page.
fn export(here: &Here, words: &Words) -> AnyView {
    let format = |label: &'static str, about: &'static str, format: &str| {
        let href = words.export(&here.tenant, format);
        view! {
            <a class="menu-item" href=href rel="external" download="">
                {Icon::Download.view()}<span>{label}" "<span class="quiet">{about}</span></span>
            </a>
        }
    };
    view! {
        <details class="menu right">
            <summary class="button">{Icon::Download.view()}"Export"</summary>
            <div class="menu-sheet">
                <p class="menu-title">"All runs under this filter"</p>
                {format("CSV", "for spreadsheets", "csv")}
                {format("JSON", "for programs", "json")}
            </div>
        </details>
    }
    .into_any()
}

fn list(here: &Here, words: &Words, answer: &At<RunsView>) -> AnyView {
    let At { now, value } = answer;
    let rows = if value.page.data.is_empty() {
        let filtered = *words != Words::default();
        let view = if filtered {
            let clear = path::section(&here.tenant, "runs");
            empty(
                Icon::Search,
                "No runs match",
                "Nothing under this filter. Widen the time or clear it.",
                view! { <a class="button" href=clear>"Clear the filter"</a> }.into_any(),
            )
        } else {
            let flows = path::section(&here.tenant, "flows");
            empty(
                Icon::Activity,
                "No runs in the last 7 days",
                "Runs appear here as they happen, from the console and the API alike.",
                view! { <a class="button" href=flows>"Choose a flow"</a> }.into_any(),
            )
        };
        view! { <div class="card">{view}</div> }.into_any()
    } else {
        table::runs(&here.tenant, *now, &value.page.data, true)
    };
    let next = value.page.next_cursor.clone().filter(|_| value.page.has_more);
    let older = next.map(|cursor| Words { cursor, ..words.clone() }.address(&here.tenant));
    let newest =
        (!words.cursor.is_empty()).then(|| Words { cursor: String::new(), ..words.clone() }.address(&here.tenant));
    view! {
        {filters(here, words, value)}
        {rows}
        <nav class="pager" aria-label="Pages">
            <span>{newest.map(|href| view! { <a class="button" href=href>{Icon::ArrowLeft.view()}"Newest"</a> })}</span>
            <span>{older.map(|href| view! { <a class="button" href=href>"Older"{Icon::ArrowRight.view()}</a> })}</span>
        </nav>
    }
    .into_any()
}

fn filters(here: &Here, words: &Words, value: &RunsView) -> AnyView {
    let total: u64 = value.counts.iter().map(|(_, count)| count).sum();
    let chip = |label: &'static str, status: &str, count: u64| {
        let href = Words { status: status.to_owned(), cursor: String::new(), ..words.clone() }.address(&here.tenant);
        let current = words.status == status;
        // The counts know nothing of words.
        let number = words.search.is_empty().then(|| view! { " "<span class="number">{count_text(count)}</span> });
        view! { <li><a class="chip" href=href aria-current=current.then_some("true")>{label}{number}</a></li> }
            .into_any()
    };
    let chosen = RunStatus::parse(&words.status);
    let mut chips = vec![chip("All", "", total)];
    for &status in RunStatus::ALL {
        let count = value.counts.iter().find(|(counted, _)| *counted == status).map_or(0, |&(_, count)| count);
        if count > 0 || chosen == Some(status) {
            chips.push(chip(run_word(status), status.as_str(), count));
        }
    }
    view! {
        <div class="filters" role="group" aria-label="Filters">
            <ul class="chips">{chips}</ul>
            {selects(here, words, &value.flows)}
        </div>
    }
    .into_any()
}

/// Flow and time, as a plain form; with scripts a choice counts at once.
fn selects(here: &Here, words: &Words, flows: &[String]) -> AnyView {
    let chosen_flow = words.flow.clone();
    let chosen_since = words.since();
    let status = words.status.clone();
    // A flow of the address that is gone is still said.
    let mut names = flows.to_vec();
    if !chosen_flow.is_empty() && !names.contains(&chosen_flow) {
        names.push(chosen_flow.clone());
    }
    view! {
        <form class="row filter-form" method="get" action=path::section(&here.tenant, "runs") data-apply="">
            {(!status.is_empty()).then(|| view! { <input type="hidden" name="status" value=status/> })}
            <label class="said" for="filter-search">"Search"</label>
            <input class="input compact" id="filter-search" type="search" name="search" value=words.search.clone()
                placeholder="Search" maxlength="200" autocomplete="off"
                title="Words of the inputs and outputs that a flow names in `search`"/>
            <label class="said" for="filter-flow">"Flow"</label>
            <select class="input compact" id="filter-flow" name="flow">
                <option value="" selected=chosen_flow.is_empty()>"All flows"</option>
                {names.into_iter().map(|name| {
                    let selected = name == chosen_flow;
                    view! { <option value=name.clone() selected=selected>{name.clone()}</option> }
                }).collect_view()}
            </select>
            <label class="said" for="filter-since">"Time"</label>
            <select class="input compact" id="filter-since" name="since">
                {Since::ALL.iter().map(|&since| view! {
                    <option value=since.as_str() selected=since == chosen_since>{since.label()}</option>
                }).collect_view()}
            </select>
            <button class="button unscripted">"Apply"</button>
        </form>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_holds_only_what_differs_from_the_usual() {
        let words = Words { status: "failed".into(), flow: "a b&c".into(), since: "7d".into(), ..Words::default() };
        assert_eq!(words.address("acme"), "/t/acme/runs?status=failed&flow=a%20b%26c");
        assert_eq!(Words::default().address("acme"), "/t/acme/runs");
        assert_eq!(
            Words { cursor: "c".into(), ..words }.export("acme", "csv"),
            "/t/acme/runs.csv?status=failed&flow=a%20b%26c"
        );
    }
}
