//! Code as it is, and as something to take along.

use leptos::prelude::*;

use super::copy::Copy;

/// A block of code that may scroll, reachable by keyboard.
pub(crate) fn block(text: &str, label: &'static str) -> AnyView {
    view! { <pre class="code block" tabindex="0" role="region" aria-label=label>{text.to_owned()}</pre> }.into_any()
}

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
