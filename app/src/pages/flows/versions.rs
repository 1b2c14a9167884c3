//! The versions of a flow: immutable, newest first, with the channels that point at them and the experiments between them.

use domain::wire::{ExperimentView, VersionSummary};
use leptos::prelude::*;

use super::{FlowPage, experiments};
use crate::components::figure::empty;
use crate::components::loaded::loaded;
use crate::components::time::ago;
use crate::data::At;
use crate::icon::Icon;
use crate::load::ask;

#[component]
pub(crate) fn Versions() -> impl IntoView {
    let page = FlowPage::take();
    let (tenant, flow) = (page.here.tenant(), page.flow.clone());
    let versions = ask(|data| async move {
        Ok((data.flow_versions(&tenant, &flow).await?, data.experiments(&tenant, &flow).await?))
    });
    view! {
        {page.head("versions")}
        {loaded(versions, table)}
    }
}

fn table(answer: At<(Vec<VersionSummary>, Vec<ExperimentView>)>) -> AnyView {
    let At { now, value: (value, experiments) } = answer;
    if value.is_empty() {
        let view = empty(
            Icon::GitBranch,
            "No version yet",
            "A version is made when a text that checks is published.",
            ().into_any(),
        );
        return view! { <div class="card">{view}</div> }.into_any();
    }
    view! {
        {experiments::cards(now, &experiments)}
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Version"</th>
                    <th scope="col">"Channels"</th>
                    <th scope="col">"By"</th>
                    <th scope="col">"Content"</th>
                    <th scope="col" class="number">"Made"</th>
                </tr></thead>
                <tbody>
                    {value.into_iter().map(|version| view! {
                        <tr>
                            <td class="main"><strong class="number">{version.number}</strong></td>
                            <td class="beside">
                                <span class="row">{version.channels.into_iter().map(|channel| view! { <span class="tag-pill water">{channel}</span> }).collect_view()}</span>
                            </td>
                            <td data-label="By">{version.created_by}</td>
                            <td data-label="Content"><code>{version.hash.get(..12).unwrap_or(&version.hash).to_owned()}</code></td>
                            <td class="number" data-label="Made">{ago(now, version.created_at)}</td>
                        </tr>
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
    .into_any()
}
