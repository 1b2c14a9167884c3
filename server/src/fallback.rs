//! What no operation answers: a path that is not there, or a method that is not taken there.
//!
//! Invariant: 405 and `OPTIONS` name the methods in `Allow`, from the same document that describes the operations.

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use domain::ErrorCode;
use utoipa::openapi::OpenApi;

use crate::problem::Fault;

/// Path templates with their methods.
pub(crate) struct Routes(Vec<(Vec<String>, Vec<&'static str>)>);

impl Routes {
    pub(crate) fn of(document: &OpenApi) -> Self {
        let routes = document.paths.paths.iter().map(|(path, item)| {
            let mut methods = Vec::new();
            for (operation, name) in [
                (&item.get, "GET"),
                (&item.put, "PUT"),
                (&item.post, "POST"),
                (&item.patch, "PATCH"),
                (&item.delete, "DELETE"),
            ] {
                if operation.is_some() {
                    methods.push(name);
                    if name == "GET" {
                        methods.push("HEAD");
                    }
                }
            }
            (path.split('/').map(ToOwned::to_owned).collect(), methods)
        });
        Self(routes.collect())
    }

    /// The methods that are taken at a path; none where there is nothing.
    fn methods(&self, path: &str) -> Vec<&'static str> {
        let parts: Vec<&str> = path.split('/').collect();
        let mut methods: Vec<&'static str> = self
            .0
            .iter()
            .filter(|(template, _)| {
                template.len() == parts.len()
                    && template
                        .iter()
                        .zip(&parts)
                        .all(|(wanted, part)| wanted == part || (wanted.starts_with('{') && !part.is_empty()))
            })
            .flat_map(|(_, methods)| methods.iter().copied())
            .collect();
        methods.sort_unstable();
        methods.dedup();
        if !methods.is_empty() {
            methods.push("OPTIONS");
        }
        methods
    }
}

/// The handler behind all operations.
pub(crate) async fn fallback(request: HttpRequest, routes: web::Data<Routes>) -> Result<HttpResponse, Fault> {
    let allowed = routes.methods(request.path());
    if allowed.is_empty() {
        return Err(Fault::new(
            ErrorCode::NotFound,
            "There is nothing at this address. The operations are listed at /docs.",
        ));
    }
    let allow = allowed.join(", ");
    if request.method() == Method::OPTIONS {
        return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish());
    }
    let detail = format!("{} is not taken here; {allow} are.", request.method());
    Err(Fault::new(ErrorCode::MethodNotAllowed, detail).header(header::ALLOW, &allow))
}
