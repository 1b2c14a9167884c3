//! Commands: shown as they are, and as something to take along.

use leptos::prelude::*;

use crate::islands::Copy;

/// A command with a button to copy it.
pub(crate) fn command(text: &str, label: &'static str) -> AnyView {
    view! {
        <div class="command">
            <pre class="code block" tabindex="0" role="region" aria-label=label>{text.to_owned()}</pre>
            <Copy text=text.to_owned() label="Copy the command".to_owned()/>
        </div>
    }
    .into_any()
}

/// One line to take along: a key, an id.
pub(crate) fn copy_line(text: &str, label: &'static str) -> AnyView {
    view! {
        <div class="copy-line">
            <code>{text.to_owned()}</code>
            <Copy text=text.to_owned() label=label.to_owned()/>
        </div>
    }
    .into_any()
}
