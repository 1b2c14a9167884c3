//! Weir's mark: three streams falling over an edge.

use leptos::prelude::*;

fn mark() -> AnyView {
    view! {
        <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true" focusable="false">
            <rect class="ground" width="32" height="32" rx="8"></rect>
            <g class="stream" fill="none" stroke-width="2.6" stroke-linecap="round">
                <path d="M6 9.5h6c5 0 5 7 8.5 7H26"></path>
                <path d="M6 15.5h4.500c5 0 5 7 8.500 7H26" opacity=".75"></path>
                <path d="M6 21.500h3c2.500 0 3.200 1.500 4 3" opacity=".5"></path>
            </g>
        </svg>
    }
    .into_any()
}

/// The mark with the name.
pub(crate) fn wordmark() -> AnyView {
    view! { <span class="wordmark">{mark()}"Weir"</span> }.into_any()
}
