//! Showing a password while it is typed.

use leptos::prelude::*;

/// A button that shows the password in the field with the id `field`.
#[island]
pub(crate) fn ShowPassword(field: String) -> impl IntoView {
    let (shown, set_shown) = signal(false);
    let toggle = move |_| {
        set_shown.update(|shown| *shown = !*shown);
        #[cfg(feature = "hydrate")]
        {
            use wasm_bindgen::JsCast;
            let input = document()
                .get_element_by_id(&field)
                .and_then(|found| found.dyn_into::<web_sys::HtmlInputElement>().ok());
            if let Some(input) = input {
                input.set_type(if shown.get_untracked() { "text" } else { "password" });
            }
        }
        #[cfg(not(feature = "hydrate"))]
        let _ = &field;
    };
    view! {
        <button type="button" class="scripted" aria-pressed=move || shown.get().to_string() on:click=toggle>
            {move || if shown.get() { "Hide" } else { "Show" }}
            <span class="said">" password"</span>
        </button>
    }
}
