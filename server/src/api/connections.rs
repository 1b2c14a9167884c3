//! Connections to model providers and other services.

use actix_web::{HttpResponse, delete, get, post, put, web};
use domain::wire::{ConnectionInput, ConnectionTest, ConnectionView, Page};
use service::{connections, trial};

use super::PageParams;
use crate::extract::{Body, Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

/// Lists the connections
#[utoipa::path(operation_id = "list_connections", tag = "Connections", params(PageParams), responses((status = 200, body = Page<ConnectionView>)))]
#[get("/api/v1/connections")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<ConnectionView>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(connections::list(&state.weir, &caller.0, &paging).await?))
}

/// Reads a connection
#[utoipa::path(operation_id = "get_connection", tag = "Connections", params(("connection" = String, Path, description = "The connection's name")),
    responses((status = 200, body = ConnectionView)))]
#[get("/api/v1/connections/{connection}")]
pub(crate) async fn get(
    caller: Caller,
    connection: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<ConnectionView>, Fault> {
    params.read()?;
    Ok(web::Json(connections::get(&state.weir, &caller.0, &connection).await?))
}

/// Makes or changes a connection
///
/// `kind` is `openai` for any OpenAI-compatible endpoint. An absent `api_key` keeps the stored one if the host stays.
#[utoipa::path(operation_id = "put_connection", tag = "Connections", params(("connection" = String, Path, description = "The connection's name")),
    request_body(content = ConnectionInput), responses((status = 200, body = ConnectionView)))]
#[put("/api/v1/connections/{connection}")]
pub(crate) async fn put(
    caller: Caller,
    connection: web::Path<String>,
    params: Params<NoParams>,
    body: Body<ConnectionInput>,
    state: Shared,
) -> Result<web::Json<ConnectionView>, Fault> {
    params.read()?;
    Ok(web::Json(connections::put(&state.weir, &caller.0, &connection, body.read()?).await?))
}

/// Removes a connection
#[utoipa::path(operation_id = "delete_connection", tag = "Connections", params(("connection" = String, Path, description = "The connection's name")),
    responses((status = 204, description = "Removed")))]
#[delete("/api/v1/connections/{connection}")]
pub(crate) async fn delete(
    caller: Caller,
    connection: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    connections::delete(&state.weir, &caller.0, &connection).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Tests a connection
///
/// Makes one real call with the stored key to the stored address, which changes nothing and costs nothing: a list of
/// models, the base address, the server's version. That the other side refuses or does not answer is said by `ok: false`,
/// not by the status. At most 10 times a minute for a tenant.
#[utoipa::path(operation_id = "test_connection", tag = "Connections", params(("connection" = String, Path, description = "The connection's name")),
    responses((status = 200, body = ConnectionTest)))]
#[post("/api/v1/connections/{connection}/test")]
pub(crate) async fn test(
    caller: Caller,
    connection: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<ConnectionTest>, Fault> {
    params.read()?;
    Ok(web::Json(trial::connection(&state.weir, &caller.0, &connection).await?))
}
