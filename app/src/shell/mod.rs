//! The frame around a tenant's pages: rail, tenant switcher, account menu, and the sheet that the page stands on.

mod account;
mod mark;
mod rail;
mod switcher;

use domain::Role;
use leptos::prelude::*;
use leptos_router::components::Outlet;
use leptos_router::hooks::use_params_map;

use crate::context::{Here, page_state};
use crate::data::ConsoleError;
use crate::islands::Menus;
use crate::pages::errors;

pub(crate) use mark::wordmark;
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
                {rail::links(tenant)}
                <div class="rail-foot">{account::account(&session.email)}</div>
            </header>
            <div class="sheet">
                <main class="page" id="main" tabindex="-1"><Outlet/></main>
            </div>
        </div>
        <Menus/>
    }
    .into_any()
}
