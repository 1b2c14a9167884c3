//! Menus are plain disclosures and filters plain forms, so both work without a script; this adds what is expected of
//! them: Escape and a press elsewhere close a menu, a choice in a filter counts at once, `?` tells the shortcuts, and G with
//! a letter goes to a section.
//!
//! Invariant: a single key does nothing while somebody types, with another key held, or where they are turned off.

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
    use web_sys::{
        Element, Event, HtmlDetailsElement, HtmlDialogElement, HtmlElement, HtmlFormElement, HtmlSelectElement,
        KeyboardEvent, Node,
    };

    /// How long after G a letter still belongs to it.
    const FOLLOWS_MS: f64 = 1_500.0;
    /// Pixels left beside a link that is brought into view.
    const MARGIN: i32 = 16;

    pub(super) fn listen() {
        // The listeners live as long as the page.
        let led = StoredValue::new(0.0_f64);
        let _ = window_event_listener(leptos::ev::keydown, move |event| {
            if event.key() == "Escape" {
                close_all(None);
            } else if is_single(&event) && single_key(&event.key(), led) {
                event.prevent_default();
            }
        });
        show_present();
        let _ = window_event_listener(leptos::ev::click, |event| close_all(target::<Node>(&event).as_ref()));
        let _ = window_event_listener(leptos::ev::change, |event| apply(&event));
    }

    fn target<T: JsCast>(event: &Event) -> Option<T> {
        event.target().and_then(|target| target.dyn_into::<T>().ok())
    }

    /// Whether a key stands for itself: nothing is typed into, nothing else is held, and nobody turned these off.
    fn is_single(event: &KeyboardEvent) -> bool {
        let off = document().document_element().and_then(|root| root.get_attribute("data-single-keys"));
        let typing = target::<Element>(event)
            .and_then(|at| at.closest("input, textarea, select, [contenteditable], dialog[open]").ok().flatten());
        !event.ctrl_key() && !event.meta_key() && !event.alt_key() && typing.is_none() && off.as_deref() != Some("off")
    }

    /// Does what a key says; whether it says something. `led` is when G was pressed last.
    fn single_key(key: &str, led: StoredValue<f64>) -> bool {
        let now = js_sys::Date::now();
        let follows = now - led.get_value() < FOLLOWS_MS;
        led.set_value(0.0);
        let key = key.to_ascii_uppercase();
        match key.as_str() {
            "?" => open_shortcuts(),
            "G" if !follows => {
                led.set_value(now);
                true
            }
            "T" if follows => press(".rail > details.menu:not([open]) > summary"),
            // A letter and nothing that could end the selector.
            letter if follows && letter.len() == 1 && letter.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                press(&format!("[data-go=\"{letter}\"]"))
            }
            _ => false,
        }
    }

    fn open_shortcuts() -> bool {
        let dialog =
            document().get_element_by_id("shortcuts").and_then(|found| found.dyn_into::<HtmlDialogElement>().ok());
        dialog.is_some_and(|dialog| !dialog.open() && dialog.show_modal().is_ok())
    }

    fn press(selector: &str) -> bool {
        let found = document().query_selector(selector).ok().flatten();
        let Some(found) = found.and_then(|found| found.dyn_into::<HtmlElement>().ok()) else { return false };
        let _ = found.focus();
        found.click();
        true
    }

    /// Brings the links of the present section and tab into the bars of a narrow screen.
    fn show_present() {
        for bar in [".rail-nav", ".tabs"] {
            let Ok(Some(bar)) = document().query_selector(bar) else { continue };
            let Ok(Some(link)) = bar.query_selector("[aria-current]") else { continue };
            let (Ok(bar), Ok(link)) = (bar.dyn_into::<HtmlElement>(), link.dyn_into::<HtmlElement>()) else { continue };
            let end = link.offset_left() - bar.offset_left() + link.offset_width();
            let beyond = end - bar.client_width();
            if beyond > 0 {
                bar.set_scroll_left(beyond + MARGIN);
            }
        }
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
