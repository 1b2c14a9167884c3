//! What every part of a page may ask without waiting: who is here, where they are, what was just done.
//!
//! Invariant: taken from the host, once a request.

use std::sync::Arc;

use domain::{Permission, Role};
use leptos::prelude::*;

use crate::data::{FormState, PageState};

pub(crate) fn page_state() -> Arc<PageState> {
    use_context::<Arc<PageState>>().unwrap_or_default()
}

/// The refused form of this page, or an empty one.
pub(crate) fn form_state() -> FormState {
    page_state().form.clone().unwrap_or_default()
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
