//! The rail's links: only what exists, and only what the reader may see.

use domain::Permission;
use domain::wire::TenantView;
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::context::{Here, here};
use crate::forms::path;
use crate::icon::Icon;

/// One place of the rail: its part of the address, and the letter that leads there after G.
pub(super) struct Section {
    pub(super) label: &'static str,
    pub(super) key: &'static str,
    name: &'static str,
    icon: Icon,
    /// Whether it is about the tenant rather than its work.
    about: bool,
}

/// What this reader may go to, in the rail's order.
pub(super) fn sections(here: &Here) -> Vec<Section> {
    let section = |label, key, name, icon, about| Section { label, key, name, icon, about };
    let mut all = vec![
        section("Overview", "O", "", Icon::LayoutDashboard, false),
        section("Flows", "F", "flows", Icon::Workflow, false),
        section("Runs", "R", "runs", Icon::Activity, false),
        section("Approvals", "A", "approvals", Icon::CircleCheck, false),
    ];
    for (permission, shown) in [
        (Permission::KeysRead, section("API keys", "K", "keys", Icon::KeyRound, true)),
        (Permission::ConnectionsRead, section("Connections", "C", "connections", Icon::Plug, true)),
        (Permission::MembersRead, section("Members", "M", "members", Icon::Users, true)),
        (Permission::AuditRead, section("Audit log", "L", "audit", Icon::ScrollText, true)),
        (Permission::TenantRead, section("Settings", "S", "settings", Icon::Settings, true)),
    ] {
        if here.may(permission) {
            all.push(shown);
        }
    }
    all
}

pub(super) fn links(tenant: &TenantView) -> AnyView {
    let (about, work): (Vec<Section>, Vec<Section>) = sections(&here()).into_iter().partition(|section| section.about);
    let list = |sections: Vec<Section>| {
        view! { <ul class="links">{sections.iter().map(|section| link(tenant, section)).collect_view()}</ul> }
    };
    view! { <nav class="rail-nav" aria-label="Sections">{list(work)}{list(about)}</nav> }.into_any()
}

fn link(tenant: &TenantView, section: &Section) -> AnyView {
    let overview = section.name.is_empty();
    let href = if overview { path::overview(&tenant.name) } else { path::section(&tenant.name, section.name) };
    let now = use_location().pathname.get_untracked();
    let now = now.trim_end_matches('/');
    let below = !overview && now.strip_prefix(href.as_str()).is_some_and(|rest| rest.starts_with('/'));
    let current = (now == href || below).then_some("page");
    view! {
        <li><a class="rail-link" href=href aria-current=current data-go=section.key>{section.icon.view()}{section.label}</a></li>
    }
    .into_any()
}
