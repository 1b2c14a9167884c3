//! Menus are plain disclosures and filters plain forms, so both work without a script; this adds what is expected of
//! them: Escape and a press elsewhere close a menu, a choice in a filter counts at once.

use leptos::prelude::*;

/// Listens to the whole page; shows nothing. One a page.
#[island]
pub(crate) fn Menus() -> impl IntoView {
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| browser::listen());
    view! { <span hidden=true></span> }
}

#[cfg(feature = "hydrate")]
mod browser {
    use leptos::prelude::*;
    use wasm_bindgen::JsCast;
    use web_sys::{Event, HtmlDetailsElement, HtmlElement, HtmlFormElement, HtmlSelectElement, Node};

    pub(super) fn listen() {
        // The listeners live as long as the page.
        let _ = window_event_listener(leptos::ev::keydown, |event| {
            if event.key() == "Escape" {
                close_all(None);
            }
        });
        let _ = window_event_listener(leptos::ev::click, |event| close_all(target::<Node>(&event).as_ref()));
        let _ = window_event_listener(leptos::ev::change, |event| apply(&event));
    }

    fn target<T: JsCast>(event: &Event) -> Option<T> {
        event.target().and_then(|target| target.dyn_into::<T>().ok())
    }

    /// Sends a form that says `data-apply` as soon as one of its choices changes.
    fn apply(event: &Event) {
        let form = target::<HtmlSelectElement>(event)
            .and_then(|select| select.closest("form[data-apply]").ok().flatten())
            .and_then(|form| form.dyn_into::<HtmlFormElement>().ok());
        if let Some(form) = form {
            let _ = form.request_submit();
        }
    }

    /// Closes all open menus but the one that holds `inside`; the focus goes back to what opened them.
    fn close_all(inside: Option<&Node>) {
        let Ok(open) = document().query_selector_all("details.menu[open]") else { return };
        for index in 0..open.length() {
            let Some(menu) = open.item(index).and_then(|node| node.dyn_into::<HtmlDetailsElement>().ok()) else {
                continue;
            };
            if inside.is_some_and(|node| menu.contains(Some(node))) {
                continue;
            }
            let had_focus = document().active_element().is_some_and(|focused| menu.contains(Some(&focused)));
            menu.set_open(false);
            if had_focus
                && inside.is_none()
                && let Ok(Some(summary)) = menu.query_selector("summary")
                && let Ok(summary) = summary.dyn_into::<HtmlElement>()
            {
                let _ = summary.focus();
            }
        }
    }
}
