//! The HTML document around the application: head, assets, the script that wakes it.
//!
//! Invariant: nothing on the page comes from another host, and no inline script or style runs without the nonce.

use actix_web::http::header::{CONTENT_SECURITY_POLICY, HeaderValue};
use leptos::nonce::use_nonce;
use leptos::prelude::*;
use leptos_meta::MetaTags;

use crate::context::page_state;
use crate::data::{AssetNames, Theme};
use crate::routes::App;

/// Readies rendering; call once before the first page, from any thread.
pub fn start() {
    // Only a second call fails, and then all is ready already.
    let _ = any_spawner::Executor::init_tokio();
}

/// The whole document. The host provides [`crate::data::PageState`], `Arc<dyn ConsoleData>` and [`AssetNames`].
pub fn shell() -> impl IntoView {
    let assets = use_context::<AssetNames>().unwrap_or_default();
    let state = use_context::<crate::data::PageState>().unwrap_or_default();
    provide_context(std::sync::Arc::new(state));
    let (theme, single_keys) = (page_state().theme, page_state().single_keys);
    set_policy();
    view! {
        <!DOCTYPE html>
        <html lang="en" data-theme=(theme != Theme::System).then(|| theme.as_str()) data-single-keys=single_keys.as_str()>
            <head>
                <meta charset="utf-8"/>
                <meta name="viewport" content="width=device-width, initial-scale=1"/>
                <meta name="color-scheme" content="light dark"/>
                <link rel="icon" href=assets.favicon.clone() type="image/svg+xml"/>
                {(!assets.font.is_empty()).then(|| view! {
                    <link rel="preload" href=assets.font.clone() r#as="font" type="font/woff2" crossorigin="anonymous"/>
                })}
                <link rel="stylesheet" href=assets.css.clone()/>
                {wake(&assets)}
                <MetaTags/>
            </head>
            <body>
                <App/>
            </body>
        </html>
    }
}

/// The links and the module script that wake the islands; nothing when no client was built.
fn wake(assets: &AssetNames) -> Option<impl IntoView + use<>> {
    if assets.js.is_empty() || assets.wasm.is_empty() {
        return None;
    }
    let nonce = use_nonce();
    // Islands that come later (see `islands::morph`) are woken by the same function.
    let script = format!(
        "import * as weir from '{js}';\
         window.weirWake=()=>document.querySelectorAll('leptos-island:not([data-awake])').forEach(island=>{{\
         island.dataset.awake='';weir[island.dataset.component]?.(island)}});\
         weir.default({{module_or_path:'{wasm}'}}).then(()=>{{weir.hydrate();window.weirWake()}})",
        js = assets.js,
        wasm = assets.wasm
    );
    Some(view! {
        <link rel="modulepreload" href=assets.js.clone()/>
        <link rel="preload" href=assets.wasm.clone() r#as="fetch" type="application/wasm" crossorigin="anonymous"/>
        <script type="module" nonce=nonce inner_html=script></script>
    })
}

fn set_policy() {
    let (Some(response), Some(nonce)) = (use_context::<leptos_actix::ResponseOptions>(), use_nonce()) else {
        return;
    };
    let policy = format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' \
         data:; font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    if let Ok(value) = HeaderValue::from_str(&policy) {
        response.insert_header(CONTENT_SECURITY_POLICY, value);
    }
}
