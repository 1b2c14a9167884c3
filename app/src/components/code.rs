//! Commands: shown as they are, and as something to take along.

use leptos::prelude::*;

use super::copy::Copy;

/// A command with a button to copy it.
pub(crate) fn command(text: &str, label: &'static str) -> AnyView {
    view! {
        <div class="command">
            <pre class="code block wrap" tabindex="0" role="region" aria-label=label>{text.to_owned()}</pre>
            <Copy text=text label="Copy the command"/>
        </div>
    }
    .into_any()
}
