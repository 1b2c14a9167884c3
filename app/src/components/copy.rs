//! Taking a text along. Without scripts the text can be selected as a whole, and the button is not there.

use leptos::prelude::*;

use super::Icon;
use crate::context::scripted;

/// A button that copies `text`.
#[component]
pub(crate) fn Copy(#[prop(into)] text: String, #[prop(into, default = "Copy".to_owned())] label: String) -> impl IntoView {
    let ready = scripted();
    let (done, set_done) = signal(false);
    let title = label.clone();
    let copy = move |_| {
        to_clipboard(&text);
        set_done.set(true);
        set_timeout(move || set_done.set(false), std::time::Duration::from_secs(2));
    };
    view! {
        <button type="button" class="button plain square" hidden=move || !ready.get() title=title on:click=copy>
            {move || if done.get() { Icon::Check.view() } else { Icon::Copy.view() }}
            <span class="said" aria-live="polite">
                {move || if done.get() { "Copied".to_owned() } else { label.clone() }}
            </span>
        </button>
    }
}

#[cfg(feature = "hydrate")]
fn to_clipboard(text: &str) {
    if let Some(window) = web_sys::window() {
        let _ = window.navigator().clipboard().write_text(text);
    }
}

#[cfg(not(feature = "hydrate"))]
fn to_clipboard(_text: &str) {}

/// One line to take along: a key, a command, an id.
pub(crate) fn copy_line(text: &str, label: &'static str) -> AnyView {
    view! {
        <div class="copy-line">
            <code>{text.to_owned()}</code>
            <Copy text=text label=label/>
        </div>
    }
    .into_any()
}
