//! The offline documentation: the REST interface as pages, from the same document that clients are made from.
//!
//! Invariant: works without JavaScript and without any other host.

mod page;
mod written;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use domain::ErrorCode;

use crate::fallback;
use crate::problem::Fault;
use crate::state::Shared;

const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

pub(crate) fn configure(config: &mut web::ServiceConfig) {
    config
        .route("/docs", web::get().to(reference))
        .route("/docs/docs.css", web::get().to(style))
        .route("/docs/flow.schema.json", web::get().to(schema))
        .route("/docs/{page:language|language/.*|errors|configuration|operate/.*}", web::get().to(text))
        .service(web::scope("/docs").default_service(web::to(fallback::fallback)));
}

async fn reference(state: Shared) -> HttpResponse {
    html(page::reference(&crate::api::openapi::as_json(&state.openapi)))
}

async fn text(page: web::Path<String>) -> Result<HttpResponse, Fault> {
    let (title, body) = written::page(&page)
        .ok_or_else(|| Fault::new(ErrorCode::NotFound, "There is no such page. The pages are listed at /docs."))?;
    Ok(html(page::page(title, body)))
}

/// JSON Schema of flow files, for editors.
async fn schema(state: Shared) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/schema+json")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .json(language::schema(state.weir.catalogue()))
}

async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/css; charset=utf-8")
        .insert_header((header::CACHE_CONTROL, "public, max-age=3600"))
        .body(include_str!("docs.css"))
}

fn html(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_POLICY))
        .body(body)
}
