//! Channels of a flow: which version each points at.

use actix_web::{HttpResponse, delete, get, put, web};
use domain::wire::{ChannelInput, ChannelView, Page};
use service::flows;

use super::PageParams;
use crate::extract::{Body, Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

/// Lists a flow's channels
#[utoipa::path(operation_id = "list_channels", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"), PageParams),
    responses((status = 200, body = Page<ChannelView>)))]
#[get("/api/v1/flows/{flow}/channels")]
pub(crate) async fn list(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<ChannelView>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(flows::channels_page(&state.weir, &caller.0, &flow, &paging).await?))
}

/// Reads a channel
#[utoipa::path(operation_id = "get_channel", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"),
        ("channel" = String, Path, description = "The channel's name")),
    responses((status = 200, body = ChannelView)))]
#[get("/api/v1/flows/{flow}/channels/{channel}")]
pub(crate) async fn get(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<ChannelView>, Fault> {
    params.read()?;
    Ok(web::Json(flows::channel(&state.weir, &caller.0, &path.0, &path.1).await?))
}

/// Moves a channel to a version
///
/// Runs that start from now on get that version; those that have started keep theirs, and so do the flows they call.
#[utoipa::path(operation_id = "put_channel", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"),
        ("channel" = String, Path, description = "The channel's name")),
    request_body(content = ChannelInput),
    responses((status = 200, body = ChannelView), (status = 201, body = ChannelView, description = "Made")))]
#[put("/api/v1/flows/{flow}/channels/{channel}")]
pub(crate) async fn put(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    body: Body<ChannelInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let input = body.read()?;
    let (view, made) = flows::move_channel(&state.weir, &caller.0, &path.0, &path.1, input.version).await?;
    let mut answer = if made { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(view))
}

/// Takes a channel away
///
/// `stable` stays as long as the flow.
#[utoipa::path(operation_id = "delete_channel", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"),
        ("channel" = String, Path, description = "The channel's name")),
    responses((status = 204, description = "Gone")))]
#[delete("/api/v1/flows/{flow}/channels/{channel}")]
pub(crate) async fn delete(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    flows::remove_channel(&state.weir, &caller.0, &path.0, &path.1).await?;
    Ok(HttpResponse::NoContent().finish())
}
