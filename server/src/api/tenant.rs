//! The key's tenant and its settings.

use actix_web::{get, patch, web};
use domain::wire::{TenantPatch, TenantView};
use service::tenants;

use crate::extract::{Body, Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

/// Reads the tenant
#[utoipa::path(operation_id = "get_tenant", tag = "Tenant", responses((status = 200, body = TenantView)))]
#[get("/api/v1/tenant")]
pub(crate) async fn get(
    caller: Caller,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<TenantView>, Fault> {
    params.read()?;
    Ok(web::Json(tenants::get(&state.weir, &caller.0).await?))
}

/// Changes the tenant's settings
///
/// A merge patch: what is absent stays, `null` clears.
#[utoipa::path(operation_id = "patch_tenant", tag = "Tenant", request_body(content = TenantPatch), responses((status = 200, body = TenantView)))]
#[patch("/api/v1/tenant")]
pub(crate) async fn patch(
    caller: Caller,
    params: Params<NoParams>,
    body: Body<TenantPatch>,
    state: Shared,
) -> Result<web::Json<TenantView>, Fault> {
    params.read()?;
    Ok(web::Json(tenants::patch(&state.weir, &caller.0, body.read()?).await?))
}
