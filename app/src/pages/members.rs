//! Who is here, what their role lets them do, and, for who may, the way to change that.
//!
//! Invariant: what the service would refuse (the last owner, an owner's role by somebody else) is not offered.

use chrono::{DateTime, Utc};
use domain::wire::MemberView;
use domain::{Permission, Role};
use leptos::prelude::*;

use crate::components::code::command;
use crate::components::field::{Field, csrf};
use crate::components::loaded::loaded;
use crate::components::page::Head;
use crate::components::time::ago_or;
use crate::context::{Here, here, page_state};
use crate::data::At;
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;
use crate::shell::tile;

#[component]
pub(crate) fn List() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let asked = tenant.clone();
    let members = ask(|data| async move { data.members(&asked).await });
    // Inviting by mail needs a mail server; until then whoever runs this one vouches for the address.
    let adding = here.may(Permission::MembersWrite).then(|| {
        let line = format!("weir member add EMAIL --tenant {tenant} --role developer");
        view! {
            <details class="disclosure adding">
                <summary>{Icon::ChevronRight.view()}"Add a member"</summary>
                <div class="stack-s narrow">
                    <p class="quiet">"Whoever runs this server adds people, on its command line, and gets a link to pass on:"</p>
                    {command(&line, "The command that adds a member")}
                </div>
            </details>
        }
    });
    view! {
        {Head::new("Members").lead("People of this tenant. A role is the same for the console, the API and the keys they make.").view()}
        {loaded(members, move |answer| table(&here, answer))}
        {adding}
    }
}

fn table(here: &Here, answer: At<Vec<MemberView>>) -> AnyView {
    let At { now, value } = answer;
    let owners = value.iter().filter(|member| member.role == Role::Owner).count();
    let write = here.may(Permission::MembersWrite);
    let rows: Vec<AnyView> = value.iter().map(|member| row(here, now, member, owners, write)).collect();
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Member"</th>
                    <th scope="col">"Role"</th>
                    <th scope="col" class="number">"Keys"</th>
                    <th scope="col">"Last active"</th>
                    <th scope="col">"Since"</th>
                    {write.then(|| view! { <th scope="col"><span class="said">"Actions"</span></th> })}
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(here: &Here, now: DateTime<Utc>, member: &MemberView, owners: usize, write: bool) -> AnyView {
    let mine = page_state().session.as_ref().is_some_and(|session| session.email == member.email);
    let actions = write.then(|| view! { <td class="number">{actions(here, member, owners)}</td> });
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
                <div><span class="role">{member.role.as_str()}</span><p class="quiet">{member.role.sentence()}</p></div>
            </td>
            <td class="number" data-label="Keys">{member.active_keys}</td>
            <td data-label="Last active">{ago_or(now, member.last_active_at, "Never")}</td>
            <td data-label="Since">{ago_or(now, Some(member.created_at), "")}</td>
            {actions}
        </tr>
    }
    .into_any()
}

fn actions(here: &Here, member: &MemberView, owners: usize) -> AnyView {
    let owner = member.role == Role::Owner;
    let body = if owner && here.role != Role::Owner {
        view! { <div class="menu-sheet"><p>"Only an owner changes who is an owner."</p></div> }.into_any()
    } else if owner && owners < 2 {
        view! { <div class="menu-sheet"><p>"The last owner stays one. Make somebody else an owner first."</p></div> }
            .into_any()
    } else {
        view! { <div class="menu-sheet">{role_form(here, member)}{removal(here, member)}</div> }.into_any()
    };
    view! {
        <details class="menu right confirm">
            <summary class="button plain">"Change"<span class="said">" "{member.email.clone()}</span></summary>
            {body}
        </details>
    }
    .into_any()
}

fn role_form(here: &Here, member: &MemberView) -> AnyView {
    let id = member.id.to_string();
    let offered = Role::ALL.iter().filter(|&&role| role != Role::Owner || here.role == Role::Owner);
    let roles: Vec<(String, String)> =
        offered.map(|role| (role.as_str().to_owned(), format!("{}: {}", role.as_str(), role.sentence()))).collect();
    view! {
        <form method="post" action=path::member_act(&here.tenant, &id, "role")>
            {csrf()}
            {Field::new("role", "Role").apart(&id).value(member.role.as_str())
                .hint("Counts at once, for their keys too.").select(&roles)}
            <button class="button primary wide">"Save the role"</button>
        </form>
    }
    .into_any()
}

fn removal(here: &Here, member: &MemberView) -> AnyView {
    let keys = match member.active_keys {
        0 => String::new(),
        1 => " One key that they made ends with it.".to_owned(),
        count => format!(" {count} keys that they made end with it."),
    };
    view! {
        <form method="post" action=path::member_act(&here.tenant, &member.id.to_string(), "remove")>
            {csrf()}
            <p>"They lose this tenant at once; their account and other tenants stay."{keys}</p>
            <button class="button danger wide">"Remove "{member.email.clone()}</button>
        </form>
    }
    .into_any()
}
