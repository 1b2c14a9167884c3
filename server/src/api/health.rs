//! Whether the process lives, and whether it can do its work.

use actix_web::{HttpResponse, get};
use domain::ErrorCode;

use crate::problem::Fault;
use crate::state::Shared;

/// Says that the process answers
#[utoipa::path(operation_id = "live", tag = "Health", responses((status = 200, description = "Alive")))]
#[get("/health/live")]
pub(crate) async fn live() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

/// Says that the process can take work: its store answers and it is not draining
#[utoipa::path(operation_id = "ready", tag = "Health", responses((status = 200, description = "Ready"), (status = 503, description = "Not now")))]
#[get("/health/ready")]
pub(crate) async fn ready(state: Shared) -> Result<HttpResponse, Fault> {
    if state.draining.is_cancelled() {
        return Err(Fault::new(ErrorCode::Unavailable, "This server is shutting down."));
    }
    if let Err(error) = state.weir.store().ping().await {
        tracing::warn!(%error, "the store does not answer");
        return Err(Fault::new(ErrorCode::Unavailable, "The store does not answer."));
    }
    Ok(HttpResponse::Ok().json(serde_json::json!({ "status": "ok" })))
}
