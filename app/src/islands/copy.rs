//! Taking a text along. Without scripts the text can be selected as a whole, and the button is not there.

use std::time::Duration;

use leptos::prelude::*;

use crate::icon::Icon;

/// How long the tick stays.
const SAID: Duration = Duration::from_secs(2);

/// A button that copies `text`.
#[island]
pub(crate) fn Copy(text: String, label: String) -> impl IntoView {
    let (done, set_done) = signal(false);
    let title = label.clone();
    let copy = move |_| {
        #[cfg(feature = "hydrate")]
        if let Some(window) = web_sys::window() {
            let _ = window.navigator().clipboard().write_text(&text);
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = &text;
        set_done.set(true);
        set_timeout(move || set_done.set(false), SAID);
    };
    view! {
        <button type="button" class="button plain square scripted" class:done=move || done.get() title=title on:click=copy>
            {Icon::Copy.view()}
            {Icon::Check.view()}
            <span class="said" aria-live="polite">
                {move || if done.get() { "Copied".to_owned() } else { label.clone() }}
            </span>
        </button>
    }
}
