//! The application and its map of pages.
//!
//! Invariant: whatever the address, an answer in the console's own words; an unknown one is a 404.

use leptos::prelude::*;
use leptos_meta::{Title, provide_meta_context};
use leptos_router::SsrMode::Async;
use leptos_router::components::{ParentRoute, Route, Router, Routes};
use leptos_router::path;

use crate::pages::{
    account, approvals, audit, connections, errors, flows, keys, members, overview, runs, settings, sign_in,
};
use crate::shell::TenantShell;

/// The console, rendered by the server inside `shell`.
#[component]
pub(crate) fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Title formatter=|title: String| if title.is_empty() { "Weir".to_owned() } else { format!("{title} · Weir") }/>
        <Router>
            <Pages/>
        </Router>
    }
}

#[component]
fn Pages() -> impl IntoView {
    view! {
        <Routes fallback=|| errors::unknown_address()>
            <Route path=path!("/") view=sign_in::Start ssr=Async/>
            <Route path=path!("/sign-in") view=sign_in::SignIn ssr=Async/>
            <Route path=path!("/setup/:token") view=sign_in::Setup ssr=Async/>
            <ParentRoute path=path!("/t/:tenant") view=TenantShell ssr=Async>
                <Route path=path!("") view=overview::Overview/>
                <Route path=path!("flows") view=flows::List/>
                <Route path=path!("flows/:flow") view=flows::Glance/>
                <Route path=path!("flows/:flow/yaml") view=flows::Yaml/>
                <Route path=path!("flows/:flow/run") view=flows::Start/>
                <Route path=path!("flows/:flow/runs") view=flows::Runs/>
                <Route path=path!("flows/:flow/versions") view=flows::Versions/>
                <Route path=path!("runs") view=runs::List/>
                <Route path=path!("runs/:run") view=runs::Timeline/>
                <Route path=path!("runs/:run/steps") view=runs::Steps/>
                <Route path=path!("runs/:run/data") view=runs::Data/>
                <Route path=path!("runs/:run/journal") view=runs::Journal/>
                <Route path=path!("runs/:run/raw") view=runs::Raw/>
                <Route path=path!("approvals") view=approvals::List/>
                <Route path=path!("approvals/:approval") view=approvals::Question/>
                <Route path=path!("keys") view=keys::List/>
                <Route path=path!("keys/new") view=keys::New/>
                <Route path=path!("connections") view=connections::List/>
                <Route path=path!("connections/new") view=connections::New/>
                <Route path=path!("connections/:name") view=connections::Edit/>
                <Route path=path!("members") view=members::List/>
                <Route path=path!("audit") view=audit::List/>
                <Route path=path!("account") view=account::Account/>
                <Route path=path!("settings") view=settings::Settings/>
                <Route path=path!("*any") view=errors::Unknown/>
            </ParentRoute>
        </Routes>
    }
}
