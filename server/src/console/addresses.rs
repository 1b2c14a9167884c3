//! What there is at each address of the console, and by which methods.
//!
//! Invariant: a method that nothing here takes is refused with 405 and what is taken, an address that nothing is at with
//! 404; neither reaches a page or a form.

use actix_web::HttpResponse;
use actix_web::http::{Method, header};
use domain::ErrorCode;

use crate::problem::Fault;

/// Read: pages, streams and downloads. `{}` stands for one name.
const READ: &[&str] = &[
    "/",
    "/sign-in",
    "/sign-in/{}",
    "/setup/{}",
    "/t/{}",
    "/t/{}/flows",
    "/t/{}/flows/{}",
    "/t/{}/flows/{}/yaml",
    "/t/{}/flows/{}/run",
    "/t/{}/flows/{}/runs",
    "/t/{}/flows/{}/versions",
    "/t/{}/runs",
    "/t/{}/runs.csv",
    "/t/{}/runs.json",
    "/t/{}/runs/live",
    "/t/{}/runs/{}",
    "/t/{}/runs/{}/steps",
    "/t/{}/runs/{}/data",
    "/t/{}/runs/{}/journal",
    "/t/{}/runs/{}/raw",
    "/t/{}/runs/{}/events",
    "/t/{}/approvals",
    "/t/{}/approvals/{}",
    "/t/{}/keys",
    "/t/{}/keys/new",
    "/t/{}/connections",
    "/t/{}/connections/new",
    "/t/{}/connections/{}",
    "/t/{}/members",
    "/t/{}/audit",
    "/t/{}/account",
    "/t/{}/settings",
    "/t/{}/files/{}",
];

/// Written: forms, by the address they are sent to.
const WRITTEN: &[&str] = &[
    "/sign-in",
    "/sign-out",
    "/preferences",
    "/setup/{}",
    "/t/{}/keys/new",
    "/t/{}/keys/{}/revoke",
    "/t/{}/connections/new",
    "/t/{}/connections/{}",
    "/t/{}/connections/{}/delete",
    "/t/{}/connections/{}/test",
    "/t/{}/members/{}/role",
    "/t/{}/members/{}/remove",
    "/t/{}/account/sessions/{}/end",
    "/t/{}/settings",
    "/t/{}/runs/{}/cancel",
    "/t/{}/runs/{}/{}",
    "/t/{}/runs/{}/steps/{}/resolve",
    "/t/{}/approvals/{}",
    "/t/{}/flows/{}/run",
];

/// Answers what no page and no form should see: an address without anything, a method that is not taken.
pub(super) fn turned_away(method: &Method, path: &str) -> Option<Result<HttpResponse, Fault>> {
    if path.starts_with("/_fn/") {
        return None;
    }
    let (read, written) = (is_one_of(READ, path), is_one_of(WRITTEN, path));
    let reads = matches!(*method, Method::GET | Method::HEAD);
    let taken = if reads { read } else { *method == Method::POST && written };
    // An address that nothing is at has a page that says so.
    if taken || (reads && !written) {
        return None;
    }
    let allow = match (read, written) {
        (true, true) => "GET, HEAD, POST, OPTIONS",
        (true, false) => "GET, HEAD, OPTIONS",
        (false, true) => "POST, OPTIONS",
        (false, false) => {
            let fault = Fault::new(ErrorCode::NotFound, "There is nothing at this address.");
            return Some(Err(fault));
        }
    };
    if *method == Method::OPTIONS {
        return Some(Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish()));
    }
    let detail = format!("{method} is not taken here; {allow} are.");
    Some(Err(Fault::new(ErrorCode::MethodNotAllowed, detail).header(header::ALLOW, allow)))
}

fn is_one_of(patterns: &[&str], path: &str) -> bool {
    let path = if path == "/" { path } else { path.trim_end_matches('/') };
    patterns.iter().any(|pattern| {
        let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (None, None) => return true,
                (Some("{}"), Some(part)) if !part.is_empty() => {}
                (Some(wanted), Some(part)) if wanted == part => {}
                _ => return false,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError as _;

    use super::*;

    fn answer(method: &Method, path: &str) -> Option<(u16, Option<String>)> {
        let answer = match turned_away(method, path)? {
            Ok(answer) => answer,
            Err(fault) => fault.error_response(),
        };
        let allow = answer.headers().get(header::ALLOW).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Some((answer.status().as_u16(), allow))
    }

    #[test]
    fn methods_are_taken_where_there_is_something_for_them() {
        for path in ["/", "/sign-in", "/t/acme/", "/t/acme/runs/run_1/steps", "/t/acme/nothing", "/nothing"] {
            assert_eq!(answer(&Method::GET, path), None, "{path}");
        }
        for path in ["/sign-in", "/t/acme/keys/new", "/t/acme/keys/new/", "/_fn/search"] {
            assert_eq!(answer(&Method::POST, path), None, "{path}");
        }
        let allowed = |status, allow: &str| Some((status, Some(allow.to_owned())));
        assert_eq!(answer(&Method::POST, "/t/acme/runs"), allowed(405, "GET, HEAD, OPTIONS"));
        assert_eq!(answer(&Method::DELETE, "/t/acme/connections/x"), allowed(405, "GET, HEAD, POST, OPTIONS"));
        assert_eq!(answer(&Method::GET, "/sign-out"), allowed(405, "POST, OPTIONS"));
        assert_eq!(answer(&Method::OPTIONS, "/t/acme"), allowed(204, "GET, HEAD, OPTIONS"));
        for (method, path) in [(Method::POST, "/nothing"), (Method::POST, "/t/acme/runs/x/y/z"), (Method::PUT, "/t//")]
        {
            assert_eq!(answer(&method, path), Some((404, None)), "{method} {path}");
        }
    }

    /// The router's own words for its pages.
    #[test]
    fn every_page_of_the_router_is_listed() {
        let routes = include_str!("../../../app/src/routes.rs");
        let mut pages = 0;
        for line in routes.lines().filter(|line| line.contains("<Route ") && line.contains("path!(\"")) {
            let path = line.split("path!(\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
            if path.starts_with('*') {
                continue;
            }
            let whole = if path.starts_with('/') { path.to_owned() } else { format!("/t/:tenant/{path}") };
            let names = |part: &str| if part.starts_with(':') { "x".to_owned() } else { part.to_owned() };
            let whole: Vec<String> = whole.split('/').map(names).collect();
            assert!(is_one_of(READ, &whole.join("/")), "{path}");
            pages += 1;
        }
        assert!(pages > 15, "the router's pages are written in a form that this rule does not read");
    }

    /// The forms' own words for their addresses.
    #[test]
    fn every_form_that_acts_is_listed_and_no_other() {
        let source = include_str!("forms.rs");
        let (_, arms) = source.split_once("match parts.as_slice() {").unwrap();
        let (arms, _) = arms.split_once("_ => Err").unwrap();
        let mut forms: Vec<String> = arms
            .lines()
            .filter_map(|line| line.trim().strip_prefix('[').and_then(|rest| rest.split_once("] =>")))
            .map(|(parts, _)| {
                let part =
                    |part: &str| part.trim().strip_prefix('"').map_or("{}".to_owned(), |part| part.replace('"', ""));
                format!("/{}", parts.split(',').map(part).collect::<Vec<_>>().join("/"))
            })
            .collect();
        forms.sort();
        let mut listed: Vec<String> = WRITTEN.iter().map(|path| (*path).to_owned()).collect();
        listed.sort();
        assert_eq!(forms, listed);
    }
}
