//! The offline documentation: the REST interface as pages, from the same document that clients are made from.
//!
//! Invariant: works without JavaScript and without any other host.

mod page;
mod written;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
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
        .route("/docs/flow.schema.json", web::get().to(schema));
    for page in written::PAGES {
        config.route(&format!("/docs/{}", page.slug), web::get().to(text));
    }
    config.service(web::scope("/docs").default_service(web::to(fallback::fallback)));
}

async fn reference(state: Shared) -> HttpResponse {
    html(page::reference(&crate::api::openapi::as_json(&state.openapi)))
}

async fn text(request: HttpRequest) -> Result<HttpResponse, Fault> {
    let slug = request.path().trim_start_matches("/docs/");
    let (title, body) = written::page(slug)
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

#[cfg(test)]
mod tests {
    use actix_web::{App, http::StatusCode, test};

    use super::*;

    #[actix_web::test]
    async fn every_written_page_has_an_address_and_links_to_pages_that_are_there() {
        let app = test::init_service(App::new().configure(configure)).await;
        let mut links = Vec::new();
        for page in written::PAGES {
            let at = format!("/docs/{}", page.slug);
            let answer = test::call_service(&app, test::TestRequest::get().uri(&at).to_request()).await;
            assert_eq!(answer.status(), StatusCode::OK, "{at}");
            let body = String::from_utf8(test::read_body(answer).await.to_vec()).unwrap();
            let base = url::Url::parse(&format!("http://weir{at}")).unwrap();
            for link in body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
                links.push((at.clone(), base.join(link).unwrap()));
            }
        }
        let known = |path: &str| written::PAGES.iter().any(|page| path == format!("/docs/{}", page.slug));
        let dead = links.into_iter().filter(|(_, link)| {
            let ours = link.host_str() == Some("weir") && link.path().starts_with("/docs/");
            ours && !known(link.path()) && !link.path().contains('.')
        });
        let dead: Vec<String> = dead.map(|(at, link)| format!("{at} -> {link}")).collect();
        assert!(dead.is_empty(), "links to pages that are not there: {dead:#?}");
    }
}
