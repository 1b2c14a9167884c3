//! The wasm entry point: hydrates the console. Nothing else lives here, so that native builds link no useless library.
use wasm_bindgen::prelude::wasm_bindgen;

/// Called once by the page's module script when the wasm has arrived.
#[wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_body(app::App);
}
