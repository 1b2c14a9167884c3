//! The console's built assets, inside the program: hashed names, stored compressed, cached for good.
//!
//! Invariant: an address with a hash in it never changes its content.

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use app::data::AssetNames;

struct Asset {
    logical: &'static str,
    file: &'static str,
    media_type: &'static str,
    sha256: &'static str,
    bytes: &'static [u8],
    brotli: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

static ASSETS: &[Asset] = include!(concat!(env!("WEIR_ASSETS_DIR"), "/assets.rs"));

/// The addresses that pages link to; empty ones when the client was not built.
pub(super) fn names() -> AssetNames {
    let address = |logical: &str| {
        let found = ASSETS.iter().find(|asset| asset.logical == logical);
        found.map(|asset| format!("/assets/{}", asset.file)).unwrap_or_default()
    };
    let font = ASSETS.iter().find(|asset| asset.logical == "fonts/geist.woff2");
    AssetNames {
        css: address("console.css"),
        js: address("console.js"),
        wasm: address("console.wasm"),
        favicon: address("favicon.svg"),
        font: font.map(|asset| format!("/assets/{}", asset.file)).unwrap_or_default(),
    }
}

pub(super) async fn asset(request: HttpRequest, file: web::Path<String>) -> HttpResponse {
    match ASSETS.iter().find(|asset| asset.file == file.as_str()) {
        Some(asset) => answer(&request, asset, "public, max-age=31536000, immutable"),
        None => HttpResponse::NotFound().content_type("text/plain; charset=utf-8").body("There is no such asset.\n"),
    }
}

/// Browsers ask for these at a fixed place.
pub(super) async fn favicon(request: HttpRequest) -> HttpResponse {
    match ASSETS.iter().find(|asset| asset.logical == "favicon.svg") {
        Some(asset) => answer(&request, asset, "public, max-age=86400"),
        None => HttpResponse::NotFound().finish(),
    }
}

fn answer(request: &HttpRequest, asset: &Asset, caching: &'static str) -> HttpResponse {
    let tag = format!("\"{}\"", asset.sha256);
    let header = |name| request.headers().get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let mut response = if header(header::IF_NONE_MATCH).is_some_and(|known| known.contains(&tag)) {
        HttpResponse::NotModified()
    } else {
        HttpResponse::Ok()
    };
    response
        .insert_header((header::CACHE_CONTROL, caching))
        .insert_header((header::ETAG, tag.clone()))
        .insert_header((header::VARY, "accept-encoding"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"));
    if header(header::IF_NONE_MATCH).is_some_and(|known| known.contains(&tag)) {
        return response.finish();
    }
    let accepted = header(header::ACCEPT_ENCODING).unwrap_or_default();
    let accepts =
        |coding: &str| accepted.split(',').any(|part| part.split(';').next().is_some_and(|name| name.trim() == coding));
    let (coding, bytes) = match (asset.brotli, asset.gzip) {
        (Some(brotli), _) if accepts("br") => ("br", brotli),
        (_, Some(gzip)) if accepts("gzip") => ("gzip", gzip),
        // Said outright, so that no middleware compresses it again at every request.
        _ => ("identity", asset.bytes),
    };
    response.content_type(asset.media_type).insert_header((header::CONTENT_ENCODING, coding)).body(bytes)
}
