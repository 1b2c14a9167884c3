//! Downloads of a tenant's files, for the console's session.
//!
//! Invariant: a stored file is always an attachment, so that nothing a tenant uploaded runs as a page of ours.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, web};
use domain::Permission;
use service::ServiceError;

use super::Host;
use super::visitor::Visitor;

pub(super) async fn download(
    request: HttpRequest,
    host: web::Data<Host>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (tenant, file) = path.into_inner();
    match read(&request, &host, &tenant, &file).await {
        Ok(response) => response,
        Err(error) => crate::problem::Fault::from(error).error_response(),
    }
}

async fn read(request: &HttpRequest, host: &Host, tenant: &str, file: &str) -> Result<HttpResponse, ServiceError> {
    let visitor = request.extensions().get::<Arc<Visitor>>().cloned();
    let visitor = visitor.ok_or(ServiceError::Unauthenticated("Sign in first."))?;
    let actor = visitor.actor(tenant)?;
    let id = file.parse().map_err(|_| ServiceError::not_found("file", file))?;
    service::authz::check(&actor, Permission::FilesRead)?;
    let (found, bytes) = service::blobs::get_file(&host.weir, actor.tenant, id).await?;
    Ok(HttpResponse::Ok()
        .insert_header(crate::api::files::attachment(&found.name))
        .insert_header((header::CONTENT_TYPE, "application/octet-stream"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(bytes))
}
