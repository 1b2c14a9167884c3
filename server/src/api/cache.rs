//! The step cache.

use actix_web::{delete, web};
use domain::wire::CachePurged;
use serde::Deserialize;
use service::cache;
use utoipa::IntoParams;

use crate::extract::{Caller, Known, Params};
use crate::problem::Fault;
use crate::state::Shared;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PurgeParams {
    /// Only outputs that were kept under this tag (`cache: {tags: [...]}` of a step); all of them unless said.
    tag: Option<String>,
}

impl Known for PurgeParams {
    const NAMES: &'static [&'static str] = &["tag"];
}

/// Drops kept outputs of steps
///
/// Steps that would have taken them run again. What runs took before stays theirs.
#[utoipa::path(operation_id = "purge_cache", tag = "Flows", params(PurgeParams), responses((status = 200, body = CachePurged)))]
#[delete("/api/v1/cache")]
pub(crate) async fn purge(
    caller: Caller,
    params: Params<PurgeParams>,
    state: Shared,
) -> Result<web::Json<CachePurged>, Fault> {
    let params = params.read()?;
    Ok(web::Json(cache::purge(&state.weir, &caller.0, params.tag.as_deref()).await?))
}
