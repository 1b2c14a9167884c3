//! Media types by file name ending, and which of them are worth compressing.
use std::path::Path;

/// The type to serve a file as, and whether it shrinks. An unknown ending is served as bytes, never guessed.
pub(crate) fn media_type(logical: &str) -> (&'static str, bool) {
    match Path::new(logical).extension().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "css" => ("text/css; charset=utf-8", true),
        "js" | "mjs" => ("text/javascript; charset=utf-8", true),
        "wasm" => ("application/wasm", true),
        "svg" => ("image/svg+xml", true),
        "json" => ("application/json", true),
        "webmanifest" => ("application/manifest+json", true),
        "txt" => ("text/plain; charset=utf-8", true),
        "html" => ("text/html; charset=utf-8", true),
        "ico" => ("image/x-icon", true),
        "png" => ("image/png", false),
        "jpg" | "jpeg" => ("image/jpeg", false),
        "webp" => ("image/webp", false),
        "woff2" => ("font/woff2", false),
        _ => ("application/octet-stream", false),
    }
}
