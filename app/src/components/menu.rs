//! Menus are plain disclosures, so they open without a script; scripts only add what is expected of a menu.

#[cfg(feature = "hydrate")]
use leptos::prelude::*;

/// Closes open menus with Escape (the focus goes back to what opened them) and with a press elsewhere.
pub(crate) fn close_menus_as_expected() {
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| {
        let keys = window_event_listener(leptos::ev::keydown, |event| {
            if event.key() == "Escape" {
                browser::close_all(None);
            }
        });
        let presses = window_event_listener(leptos::ev::click, |event| {
            use wasm_bindgen::JsCast;
            let pressed = event.target().and_then(|target| target.dyn_into::<web_sys::Node>().ok());
            browser::close_all(pressed.as_ref());
        });
        on_cleanup(move || {
            keys.remove();
            presses.remove();
        });
    });
}

#[cfg(feature = "hydrate")]
mod browser {
    use leptos::prelude::document;
    use wasm_bindgen::JsCast;
    use web_sys::{HtmlDetailsElement, HtmlElement, Node};

    /// Closes all open menus but the one that holds `inside`.
    pub(super) fn close_all(inside: Option<&Node>) {
        let Ok(open) = document().query_selector_all("details.menu[open]") else { return };
        for index in 0..open.length() {
            let Some(menu) = open.item(index).and_then(|node| node.dyn_into::<HtmlDetailsElement>().ok()) else {
                continue;
            };
            let within_sheet = inside.is_some_and(|node| menu.contains(Some(node)));
            if within_sheet {
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
