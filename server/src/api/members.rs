//! Members of the key's tenant.

use actix_web::{get, web};
use domain::wire::{MemberView, Page};

use super::whole;
use crate::extract::{Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

/// Lists the members
#[utoipa::path(operation_id = "list_members", tag = "Members", responses((status = 200, body = Page<MemberView>)))]
#[get("/api/v1/members")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<Page<MemberView>>, Fault> {
    params.read()?;
    Ok(web::Json(whole(service::members::list(&state.weir, &caller.0).await?)))
}
