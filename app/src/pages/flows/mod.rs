//! Flows: the list, and a flow's tabs.

mod experiments;
mod glance;
pub(in crate::pages) mod inputs;
mod list;
mod runs;
pub(in crate::pages) mod start;
mod versions;
mod yaml;

use domain::Permission;
use domain::wire::FlowDetail;
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use crate::components::page::{Head, tabs};
use crate::context::{Here, here};
use crate::forms::path;
use crate::icon::Icon;
use crate::load::{Asked, ask};

pub(crate) use glance::Glance;
pub(crate) use list::List;
pub(crate) use runs::Runs;
pub(crate) use start::Start;
pub(crate) use versions::Versions;
pub(crate) use yaml::Yaml;

/// A flow's page: which flow, and for whom.
#[derive(Clone)]
struct FlowPage {
    here: Here,
    flow: String,
}

impl FlowPage {
    fn take() -> Self {
        let flow = use_params_map().with_untracked(|params| params.get("flow")).unwrap_or_default();
        Self { here: here(), flow }
    }

    fn detail(&self) -> Asked<FlowDetail> {
        let (tenant, flow) = (self.here.tenant(), self.flow.clone());
        ask(|data| async move { data.flow(&tenant, &flow).await })
    }

    fn tab(&self, tab: &str) -> String {
        path::flow_tab(&self.here.tenant, &self.flow, tab)
    }

    /// Head and tabs; `current` is the tab's word in the address, empty for the first.
    fn head(&self, current: &'static str) -> AnyView {
        let run = (current != "run" && self.here.may(Permission::RunsStart))
            .then(|| view! { <a class="button primary" href=self.tab("run")>{Icon::Play.view()}"Run"</a> });
        let tab = |label, word: &'static str| {
            let href = if word.is_empty() { path::flow(&self.here.tenant, &self.flow) } else { self.tab(word) };
            (label, href, word == current)
        };
        let mut shown = vec![tab("Overview", ""), tab("YAML", "yaml")];
        if self.here.may(Permission::RunsStart) {
            shown.push(tab("Run", "run"));
        }
        shown.extend([tab("Runs", "runs"), tab("Versions", "versions")]);
        view! {
            {Head::new(self.flow.clone())
                .crumb("Flows", path::section(&self.here.tenant, "flows"))
                .actions(run)
                .view()}
            {tabs("Flow", shown)}
        }
        .into_any()
    }
}
