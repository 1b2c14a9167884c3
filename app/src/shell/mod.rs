//! The frame around a tenant's pages: rail, tenant switcher, account menu, and the sheet that the page stands on.

mod account;
mod mark;
mod rail;
mod shortcuts;
mod switcher;

use domain::wire::TenantView;
use domain::{Permission, Role};
use leptos::prelude::*;
use leptos_router::components::Outlet;
use leptos_router::hooks::use_params_map;

use crate::context::{Here, page_state};
use crate::data::ConsoleError;
use crate::forms::path;
use crate::islands::{Menus, Palette};
use crate::pages::errors;

pub(crate) use account::theme_form;
pub(crate) use mark::wordmark;
pub(crate) use shortcuts::{shortcut_list, single_keys_form};
pub(crate) use switcher::tile;

/// Everything below `/t/{tenant}`. A tenant of which the reader is no member does not exist for them.
#[component]
pub(crate) fn TenantShell() -> impl IntoView {
    let state = page_state();
    let name = use_params_map().with_untracked(|params| params.get("tenant")).unwrap_or_default();
    let Some(session) = state.session.as_ref() else {
        return errors::outside(&ConsoleError::Unauthenticated);
    };
    let Some(tenant) = session.tenants.iter().find(|tenant| tenant.name == name) else {
        return errors::outside(&ConsoleError::NotFound);
    };
    provide_context(Here { tenant: name.as_str().into(), role: tenant.role.unwrap_or(Role::Viewer) });
    view! {
        <a class="skip" href="#main">"Skip to the page"</a>
        <div class="frame">
            <header class="rail">
                {switcher::switcher(&session.tenants, tenant)}
                <Palette places=places(&session.tenants, &tenant.name) flows=path::section(&tenant.name, "flows")/>
                {rail::links(tenant)}
                <div class="rail-foot">{account::account(&tenant.name, &session.email)}</div>
            </header>
            <div class="sheet">
                <main class="page" id="main" tabindex="-1"><Outlet/></main>
            </div>
        </div>
        {shortcuts::dialog()}
        <Menus/>
    }
    .into_any()
}

/// Where the palette leads: what this reader may see and do here, and the other tenants.
fn places(tenants: &[TenantView], present: &str) -> Vec<(String, String)> {
    let here = crate::context::here();
    let page = |label: &str, section: &str| (label.to_owned(), path::section(present, section));
    let mut places =
        vec![("Overview".to_owned(), path::overview(present)), page("Flows", "flows"), page("Runs", "runs")];
    places.push(page("Approvals", "approvals"));
    places.push(("Failed runs".to_owned(), format!("{}?status=failed", path::section(present, "runs"))));
    for (permission, label, section) in [
        (Permission::KeysRead, "API keys", "keys"),
        (Permission::KeysWrite, "Create an API key", "keys/new"),
        (Permission::ConnectionsRead, "Connections", "connections"),
        (Permission::ConnectionsWrite, "Add a connection", "connections/new"),
        (Permission::MembersRead, "Members", "members"),
        (Permission::AuditRead, "Audit log", "audit"),
        (Permission::TenantRead, "Settings", "settings"),
    ] {
        if here.may(permission) {
            places.push(page(label, section));
        }
    }
    places.push(page("Your account", "account"));
    places.push(page("Keyboard shortcuts", "account"));
    places.push(("API reference".to_owned(), "/docs".to_owned()));
    for tenant in tenants.iter().filter(|tenant| tenant.name != present) {
        places.push((format!("Switch to {}", tenant.name), path::overview(&tenant.name)));
    }
    places
}
