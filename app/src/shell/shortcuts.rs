//! The keys that do something, told in a dialog that `?` opens and on the account's page.
//!
//! Invariant: a key leads only where a link of the rail leads too; single keys can be turned off, and Ctrl and ⌘ ones clash
//! with nothing that browsers and screen readers have.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::rail;
use crate::components::field::csrf;
use crate::context::{Here, here, page_state};
use crate::data::SingleKeys;
use crate::forms::path;
use crate::icon::Icon;

/// The dialog, closed until its key is pressed. The menus' island opens it.
pub(super) fn dialog() -> AnyView {
    let next = use_location().pathname.get_untracked();
    view! {
        <dialog class="shortcuts" id="shortcuts" aria-labelledby="shortcuts-title">
            <header class="row">
                <h2 id="shortcuts-title">"Keyboard shortcuts"</h2>
                <form method="dialog"><button class="button plain">"Close"</button></form>
            </header>
            {shortcut_list(&here())}
            {single_keys_form(&next)}
        </dialog>
    }
    .into_any()
}

/// What each key does, for what this reader may see.
pub(crate) fn shortcut_list(here: &Here) -> AnyView {
    let off = page_state().single_keys == SingleKeys::Off;
    let mut keys: Vec<(Vec<&'static str>, String, bool)> = vec![
        (vec!["Ctrl", "K"], "Go to a page or a flow (⌘ K on a Mac)".to_owned(), false),
        (vec!["Esc"], "Close a menu or a dialog".to_owned(), false),
        (vec!["?"], "Show these shortcuts".to_owned(), true),
    ];
    keys.extend(
        rail::sections(here)
            .into_iter()
            .map(|section| (vec!["G", section.key], format!("Go to {}", section.label), true)),
    );
    keys.push((vec!["G", "T"], "Switch tenant".to_owned(), true));
    view! {
        <dl class="keys">
            {keys.into_iter().map(|(keys, does, single)| view! {
                <div class=if single && off { "off" } else { "" }>
                    <dt>{keys.into_iter().map(|key| view! { <kbd>{key}</kbd>" " }).collect_view()}</dt>
                    <dd>{does}</dd>
                </div>
            }).collect_view()}
        </dl>
    }
    .into_any()
}

/// Turns single keys off, or on again.
pub(crate) fn single_keys_form(next: &str) -> AnyView {
    let (said, value, label) = match page_state().single_keys {
        SingleKeys::On => (
            "Keys without Ctrl are on. Software that types for you may press them by accident.",
            "off",
            "Turn them off",
        ),
        SingleKeys::Off => ("Keys without Ctrl are off.", "on", "Turn them on"),
    };
    view! {
        <form class="single-keys" method="post" action=path::PREFERENCES>
            {csrf()}
            <input type="hidden" name="next" value=next.to_owned()/>
            <p class="small quiet">{said}</p>
            <button class="button" name="single_keys" value=value>{Icon::Keyboard.view()}{label}</button>
        </form>
    }
    .into_any()
}
