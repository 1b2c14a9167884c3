//! The rail's links: only what exists, and only what the reader may see.

use domain::Permission;
use domain::wire::TenantView;
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::context::here;
use crate::forms::path;
use crate::icon::Icon;

pub(super) fn links(tenant: &TenantView) -> AnyView {
    let may = here();
    let section = |label, icon, name: &str| link(label, icon, path::section(&tenant.name, name), false);
    view! {
        <nav class="rail-nav" aria-label="Sections">
            <ul class="links">
                {link("Overview", Icon::LayoutDashboard, path::overview(&tenant.name), true)}
                {section("Flows", Icon::Workflow, "flows")}
                {section("Runs", Icon::Activity, "runs")}
                {section("Approvals", Icon::CircleCheck, "approvals")}
            </ul>
            <ul class="links">
                {may.may(Permission::KeysRead).then(|| section("API keys", Icon::KeyRound, "keys"))}
                {may.may(Permission::ConnectionsRead).then(|| section("Connections", Icon::Plug, "connections"))}
                {may.may(Permission::MembersRead).then(|| section("Members", Icon::Users, "members"))}
                {may.may(Permission::TenantRead).then(|| section("Settings", Icon::Settings, "settings"))}
            </ul>
        </nav>
    }
    .into_any()
}

fn link(label: &'static str, icon: Icon, href: String, exact: bool) -> AnyView {
    let now = use_location().pathname.get_untracked();
    let now = now.trim_end_matches('/');
    let below = !exact && now.strip_prefix(href.as_str()).is_some_and(|rest| rest.starts_with('/'));
    let current = (now == href || below).then_some("page");
    view! { <li><a class="rail-link" href=href aria-current=current>{icon.view()}{label}</a></li> }.into_any()
}
