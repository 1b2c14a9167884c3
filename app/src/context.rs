//! What every part of a page may ask without waiting: who is here, where they are, what was just done.
//!
//! Invariant: taken once from the host and carried to the browser, so that both halves write the same page.

use std::sync::Arc;

use domain::{Permission, Role};
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::data::{FormState, PageState};

/// The page's state and the address it was made for.
#[derive(Clone)]
pub(crate) struct Page {
    state: Arc<PageState>,
    path: Arc<str>,
    /// Set as soon as the reader goes elsewhere: what was typed or done belongs to the first page alone.
    left: StoredValue<bool>,
}

/// Takes the state from the host (on the server) or from the page (in the browser). Called once, by the application.
pub(crate) fn provide_page_state() {
    let state = SharedValue::new(|| use_context::<PageState>().unwrap_or_default()).into_inner();
    provide_context(Arc::new(state));
}

/// Remembers the first address. Called once, inside the router.
pub(crate) fn provide_first_page() {
    let location = use_location();
    let path: Arc<str> = location.pathname.get_untracked().into();
    let left = StoredValue::new(false);
    let first = Arc::clone(&path);
    Effect::new(move |_| {
        if location.pathname.with(|now| **now != *first) {
            left.set_value(true);
        }
    });
    provide_context(Page { state: page_state(), path, left });
}

pub(crate) fn page_state() -> Arc<PageState> {
    use_context::<Arc<PageState>>().unwrap_or_default()
}

/// The state of the page the server sent, or nothing once the reader has gone elsewhere.
pub(crate) fn first_page_state() -> Option<Arc<PageState>> {
    let page = use_context::<Page>()?;
    let here = use_location().pathname.with_untracked(|now| **now == *page.path);
    (here && !page.left.get_value()).then_some(page.state)
}

/// The refused form of this page, if there is one.
pub(crate) fn form_state() -> FormState {
    first_page_state().and_then(|state| state.form.clone()).unwrap_or_default()
}

/// The tenant in the address and what the reader may do there.
#[derive(Clone)]
pub(crate) struct Here {
    pub(crate) tenant: Arc<str>,
    pub(crate) role: Role,
}

impl Here {
    pub(crate) fn may(&self, permission: Permission) -> bool {
        self.role.grants(permission)
    }

    pub(crate) fn tenant(&self) -> String {
        self.tenant.to_string()
    }
}

/// Pages below `/t/{tenant}` are shown only inside the shell, which provides this.
pub(crate) fn here() -> Here {
    use_context::<Here>().unwrap_or(Here { tenant: "".into(), role: Role::Viewer })
}

/// True once scripts run: what needs them stays hidden until then.
pub(crate) fn scripted() -> ReadSignal<bool> {
    let (ready, set_ready) = signal(false);
    Effect::new(move |_| set_ready.set(true));
    ready
}
