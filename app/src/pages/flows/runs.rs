//! A flow's own runs: the list of runs with the flow fixed.

use leptos::prelude::*;

use super::FlowPage;
use crate::components::figure::empty;
use crate::components::loaded::loaded;
use crate::data::{RunFilter, Since};
use crate::forms::path;
use crate::icon::Icon;
use crate::islands::Live;
use crate::load::ask;
use crate::pages::runs::table;

#[component]
pub(crate) fn Runs() -> impl IntoView {
    let page = FlowPage::take();
    let (tenant, flow) = (page.here.tenant(), page.flow.clone());
    let filter = RunFilter { flow: Some(flow), since: Since::All, ..RunFilter::default() };
    let runs = ask(|data| async move { data.runs(&tenant, &filter).await });
    let all = format!("{}?flow={}", path::section(&page.here.tenant, "runs"), page.flow);
    view! {
        {page.head("runs")}
        <div class="filters"><a class="button plain" href=all>"Filter these runs"{Icon::ArrowRight.view()}</a><Live address=path::runs_live(&page.here.tenant) polite=true/></div>
        {loaded(runs, move |answer| {
            if answer.value.page.data.is_empty() {
                let next = view! { <a class="button primary" href=page.tab("run")>"Run it"</a> };
                let view = empty(Icon::Activity, "It has not run yet", "Its runs appear here as they happen.", next.into_any());
                return view! { <div class="card">{view}</div> }.into_any();
            }
            table::runs(&page.here.tenant, answer.now, &answer.value.page.data, false)
        })}
    }
}
