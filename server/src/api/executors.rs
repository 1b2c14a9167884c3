//! What a step can do: the catalogue.

use actix_web::{get, web};
use domain::Permission;
use domain::wire::Page;
use serde_json::Value;

use super::whole;
use crate::extract::{Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

/// Lists the executors with their schemas
#[utoipa::path(operation_id = "list_executors", tag = "Executors", responses((status = 200, body = Page<Value>)))]
#[get("/api/v1/executors")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<Page<Value>>, Fault> {
    params.read()?;
    service::authz::check_somewhere(&caller.0, Permission::FlowsRead)?;
    let specs = state.weir.catalogue().iter().filter_map(|spec| serde_json::to_value(spec).ok());
    Ok(web::Json(whole(specs.collect())))
}
