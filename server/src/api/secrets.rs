//! Secrets: written, never shown again.

use actix_web::{HttpResponse, delete, get, put, web};
use domain::wire::{Page, SecretView};
use serde::Deserialize;
use service::secrets;
use utoipa::ToSchema;

use super::PageParams;
use crate::extract::{Body, Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretInput {
    value: String,
}

/// Lists the secrets' names
#[utoipa::path(operation_id = "list_secrets", tag = "Secrets", params(PageParams), responses((status = 200, body = Page<SecretView>)))]
#[get("/api/v1/secrets")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<SecretView>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(secrets::list(&state.weir, &caller.0, &paging).await?))
}

/// Makes a secret, or gives it a new value
#[utoipa::path(operation_id = "put_secret", tag = "Secrets", params(("secret" = String, Path, description = "The secret's name")),
    request_body(content = SecretInput), responses((status = 200, body = SecretView)))]
#[put("/api/v1/secrets/{secret}")]
pub(crate) async fn put(
    caller: Caller,
    secret: web::Path<String>,
    params: Params<NoParams>,
    body: Body<SecretInput>,
    state: Shared,
) -> Result<web::Json<SecretView>, Fault> {
    params.read()?;
    let value = body.read()?.value.into();
    Ok(web::Json(secrets::put(&state.weir, &caller.0, &secret, value).await?))
}

/// Removes a secret
#[utoipa::path(operation_id = "delete_secret", tag = "Secrets", params(("secret" = String, Path, description = "The secret's name")),
    responses((status = 204, description = "Removed")))]
#[delete("/api/v1/secrets/{secret}")]
pub(crate) async fn delete(
    caller: Caller,
    secret: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    secrets::delete(&state.weir, &caller.0, &secret).await?;
    Ok(HttpResponse::NoContent().finish())
}
