//! API keys.

use actix_web::{HttpResponse, delete, get, post, web};
use domain::ApiKeyId;
use domain::wire::{CreatedKey, KeyInput, KeyView, Page};
use service::{ServiceError, keys};

use super::PageParams;
use crate::extract::{Body, Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

/// Lists the keys, newest first
#[utoipa::path(operation_id = "list_keys", tag = "Keys", params(PageParams), responses((status = 200, body = Page<KeyView>)))]
#[get("/api/v1/keys")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<KeyView>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(keys::list(&state.weir, &caller.0, &paging).await?))
}

/// Makes a key
///
/// The answer is the only time the key is shown. Without scopes it may do all that its maker may, at the time of use.
#[utoipa::path(operation_id = "create_key", tag = "Keys", request_body(content = KeyInput), responses((status = 201, body = CreatedKey)))]
#[post("/api/v1/keys")]
pub(crate) async fn create(
    caller: Caller,
    params: Params<NoParams>,
    body: Body<KeyInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let created = keys::create(&state.weir, &caller.0, body.read()?).await?;
    Ok(HttpResponse::Created().insert_header(("Cache-Control", "no-store")).json(created))
}

/// Revokes a key
///
/// It stops working at once here, and within two seconds everywhere.
#[utoipa::path(operation_id = "revoke_key", tag = "Keys", params(("key" = String, Path, description = "The key's id")),
    responses((status = 204, description = "Revoked")))]
#[delete("/api/v1/keys/{key}")]
pub(crate) async fn revoke(
    caller: Caller,
    key: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let id = key.parse::<ApiKeyId>().map_err(|_| ServiceError::not_found("key", key.as_str()))?;
    keys::revoke(&state.weir, &caller.0, id).await?;
    Ok(HttpResponse::NoContent().finish())
}
