//! Who is here and what their role lets them do.

use leptos::prelude::*;

use crate::components::loaded::loaded;
use crate::components::page::Head;
use crate::components::time::ago_or;
use crate::context::{here, page_state};
use crate::data::At;
use crate::load::ask;
use crate::shell::tile;
use domain::wire::MemberView;

#[component]
pub(crate) fn List() -> impl IntoView {
    let tenant = here().tenant();
    let members = ask(|data| async move { data.members(&tenant).await });
    view! {
        {Head::new("Members").lead("People of this tenant. A role is the same for the console, the API and the keys they make.").view()}
        {loaded(members, table)}
    }
}

fn table(answer: At<Vec<MemberView>>) -> AnyView {
    let At { now, value } = answer;
    let me = page_state().session.as_ref().map(|session| session.email.clone()).unwrap_or_default();
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Member"</th>
                    <th scope="col">"Role"</th>
                    <th scope="col">"Last active"</th>
                    <th scope="col">"Since"</th>
                </tr></thead>
                <tbody>
                    {value.into_iter().map(|member| {
                        let mine = member.email == me;
                        let role = member.role.as_str();
                        view! {
                            <tr>
                                <td class="main">
                                    <span class="person">
                                        {tile(&member.email)}
                                        <strong class="cut">{member.email.clone()}</strong>
                                        {mine.then(|| view! { <span class="tag-pill">"you"</span> })}
                                    </span>
                                </td>
                                <td class="whole" data-label="Role">
                                    <div><span class="role">{role}</span><p class="quiet">{member.role.sentence()}</p></div>
                                </td>
                                <td data-label="Last active">{ago_or(now, member.last_active_at, "Never")}</td>
                                <td data-label="Since">{ago_or(now, Some(member.created_at), "")}</td>
                            </tr>
                        }
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
    .into_any()
}
