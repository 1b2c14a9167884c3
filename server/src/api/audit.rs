//! The audit log, read only.

use actix_web::{get, web};
use chrono::{DateTime, Utc};
use domain::wire::{AuditView, Page};
use serde::Deserialize;
use service::audit::{self, AuditFilter};
use utoipa::IntoParams;

use super::page_limit;
use crate::extract::{Caller, Known, Params};
use crate::problem::Fault;
use crate::state::Shared;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Only what this one did: an e-mail address or a key's name, whole.
    actor: Option<String>,
    /// Only this action (`member.removed`), or all of an area (`member`).
    action: Option<String>,
    /// Only what was done to this one, by its whole name or id.
    target: Option<String>,
    /// Only entries at or after this time (RFC 3339).
    created_after: Option<DateTime<Utc>>,
    /// Only entries before this time (RFC 3339).
    created_before: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Entries a page: 50 unless said, at most 200.
    limit: Option<u32>,
}

impl Known for ListParams {
    const NAMES: &'static [&'static str] =
        &["actor", "action", "target", "created_after", "created_before", "cursor", "limit"];
}

/// Lists what was done
///
/// Newest first. An entry is written with the change that it is about, or not at all, and is never changed.
#[utoipa::path(operation_id = "list_audit", tag = "Audit", params(ListParams), responses((status = 200, body = Page<AuditView>)))]
#[get("/api/v1/audit")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<ListParams>,
    state: Shared,
) -> Result<web::Json<Page<AuditView>>, Fault> {
    let wanted = params.read()?;
    let filter = AuditFilter {
        actor: wanted.actor,
        action: wanted.action,
        target: wanted.target,
        created_after: wanted.created_after,
        created_before: wanted.created_before,
        cursor: wanted.cursor,
        limit: page_limit(wanted.limit)?,
    };
    Ok(web::Json(audit::list(&state.weir, &caller.0, &filter).await?))
}
