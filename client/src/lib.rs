//! The wasm entry point: readies the console's islands. Nothing else lives here, so that native builds link no useless
//! library.
//!
//! The islands' own functions are exports of `app`; the page's module script calls them, one for each island it finds.
use app as _;
use wasm_bindgen::prelude::wasm_bindgen;

/// Called once by the page's module script when the wasm has arrived. The mark tells styles and suites that scripts
/// have taken over.
#[wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_islands();
    if let Some(root) = leptos::prelude::document().document_element() {
        // A page without the mark works as well, so a refusal needs no answer.
        let _ = root.set_attribute("data-hydrated", "");
    }
}
