//! Members of the key's tenant.

use actix_web::{HttpResponse, delete, get, patch, web};
use domain::MemberId;
use domain::wire::{MemberPatch, MemberView, Page};
use service::{ServiceError, members};

use super::PageParams;
use crate::extract::{Body, Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

fn id(text: &str) -> Result<MemberId, Fault> {
    text.parse().map_err(|_| ServiceError::not_found("member", text).into())
}

/// Lists the members
#[utoipa::path(operation_id = "list_members", tag = "Members", params(PageParams), responses((status = 200, body = Page<MemberView>)))]
#[get("/api/v1/members")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<MemberView>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(members::list(&state.weir, &caller.0, &paging).await?))
}

/// Reads a member
#[utoipa::path(operation_id = "get_member", tag = "Members", params(("member" = String, Path, description = "The member's id")),
    responses((status = 200, body = MemberView)))]
#[get("/api/v1/members/{member}")]
pub(crate) async fn get(
    caller: Caller,
    member: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<MemberView>, Fault> {
    params.read()?;
    Ok(web::Json(members::get(&state.weir, &caller.0, id(&member)?).await?))
}

/// Gives a member another role
///
/// It counts from the next request on, for their keys too. Only an owner makes owners or ends their being one, and the
/// last owner stays one (409).
#[utoipa::path(operation_id = "patch_member", tag = "Members", params(("member" = String, Path, description = "The member's id")),
    request_body(content = MemberPatch), responses((status = 200, body = MemberView)))]
#[patch("/api/v1/members/{member}")]
pub(crate) async fn patch(
    caller: Caller,
    member: web::Path<String>,
    params: Params<NoParams>,
    body: Body<MemberPatch>,
    state: Shared,
) -> Result<web::Json<MemberView>, Fault> {
    params.read()?;
    let input = body.read()?;
    Ok(web::Json(members::change_role(&state.weir, &caller.0, id(&member)?, input.role).await?))
}

/// Removes a member
///
/// With the keys they made here, which end at once. Their account and their other tenants stay. The last owner cannot be
/// removed (409).
#[utoipa::path(operation_id = "remove_member", tag = "Members", params(("member" = String, Path, description = "The member's id")),
    responses((status = 204, description = "Removed")))]
#[delete("/api/v1/members/{member}")]
pub(crate) async fn delete(
    caller: Caller,
    member: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    members::remove(&state.weir, &caller.0, id(&member)?).await?;
    Ok(HttpResponse::NoContent().finish())
}
