//! Runs: listed, read, watched, cancelled.

use actix_web::{HttpRequest, HttpResponse, get, post, web};
use chrono::{DateTime, Utc};
use domain::wire::{Page, RunAccepted, RunDetail, RunSummary, StepView, WhyView};
use domain::{ErrorCode, RunId, RunStatus};
use serde::Deserialize;
use service::runs::{self, RunFilter};
use service::{Paging, ServiceError};
use utoipa::{IntoParams, ToSchema};

use super::page_limit;
use crate::extract::{Body, Caller, Credentials, Known, NoParams, Params};
use crate::problem::Fault;
use crate::sse;
use crate::state::Shared;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// Only runs with this status, or one of several between commas.
    status: Option<String>,
    /// Only runs of this flow.
    flow: Option<String>,
    /// Only runs created at or after this time (RFC 3339).
    created_after: Option<DateTime<Utc>>,
    /// Only runs created before this time (RFC 3339).
    created_before: Option<DateTime<Utc>>,
    /// Only runs that this run started.
    parent: Option<String>,
    /// Only runs with all these words in the inputs and outputs that their flow names in `search`. Case does not count.
    search: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Runs a page: 50 unless said, at most 200.
    limit: Option<u32>,
}

impl Known for ListParams {
    const NAMES: &'static [&'static str] =
        &["status", "flow", "created_after", "created_before", "parent", "search", "cursor", "limit"];
}

impl ListParams {
    fn filter(self) -> Result<RunFilter, Fault> {
        let mut status = Vec::new();
        for word in self.status.iter().flat_map(|text| text.split(',')).map(str::trim).filter(|word| !word.is_empty()) {
            status.push(RunStatus::parse(word).ok_or_else(|| unknown_status(word))?);
        }
        let parent = match &self.parent {
            None => None,
            Some(text) => Some(
                text.parse::<RunId>()
                    .map_err(|error| Fault::new(ErrorCode::BadRequest, format!("`parent` is no run's id: {error}.")))?,
            ),
        };
        Ok(RunFilter {
            status,
            flow: self.flow,
            created_after: self.created_after,
            created_before: self.created_before,
            parent,
            search: self.search,
            cursor: self.cursor,
            limit: page_limit(self.limit)?,
        })
    }
}

fn unknown_status(word: &str) -> Fault {
    let known: Vec<&str> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
    let hint = crate::nearest::nearest(word, known.iter().copied()).map(|near| format!("Did you mean `{near}`?"));
    let detail = format!("There is no status `{word}`. Known: {}.", known.join(", "));
    Fault::new(ErrorCode::BadRequest, detail).field("status", "This status is not known.".to_owned(), hint)
}

/// Lists runs, newest first
#[utoipa::path(operation_id = "list_runs", tag = "Runs", params(ListParams), responses((status = 200, body = Page<RunSummary>)))]
#[get("/api/v1/runs")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<ListParams>,
    state: Shared,
) -> Result<web::Json<Page<RunSummary>>, Fault> {
    let filter = params.read()?.filter()?;
    Ok(web::Json(runs::list(&state.weir, &caller.0, &filter).await?))
}

/// Reads a run
#[utoipa::path(operation_id = "get_run", tag = "Runs", params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = RunDetail)))]
#[get("/api/v1/runs/{run}")]
pub(crate) async fn get(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<RunDetail>, Fault> {
    params.read()?;
    Ok(web::Json(runs::get(&state.weir, &caller.0, id(&run)?).await?))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StepParams {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Steps a page: at most 1,000, which is as many as a flow may have with their undoings, and that many unless said.
    limit: Option<u32>,
}

impl Known for StepParams {
    const NAMES: &'static [&'static str] = &["cursor", "limit"];
}

/// Lists a run's steps in the flow's order, with their attempts
#[utoipa::path(operation_id = "list_steps", tag = "Runs", params(("run" = String, Path, description = "The run's id"), StepParams),
    responses((status = 200, body = Page<StepView>)))]
#[get("/api/v1/runs/{run}/steps")]
pub(crate) async fn steps(
    caller: Caller,
    run: web::Path<String>,
    params: Params<StepParams>,
    state: Shared,
) -> Result<web::Json<Page<StepView>>, Fault> {
    let params = params.read()?;
    let paging = Paging { cursor: params.cursor, limit: page_limit(params.limit)? };
    Ok(web::Json(runs::steps_page(&state.weir, &caller.0, id(&run)?, &paging).await?))
}

/// Streams a run's events
///
/// Server-sent events from the beginning, or behind `Last-Event-ID`; the stream ends behind the run's last event.
/// `delta` and `progress` events have no id and are not repeated.
#[utoipa::path(operation_id = "stream_run", tag = "Runs", params(("run" = String, Path, description = "The run's id"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Goes on behind this position")),
    responses((status = 200, body = String, content_type = "text/event-stream")))]
#[get("/api/v1/runs/{run}/events")]
pub(crate) async fn events(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    request: HttpRequest,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let after = match request
        .headers()
        .get("last-event-id")
        .map(|value| value.to_str().ok().and_then(|text| text.trim().parse().ok()))
    {
        None => 0,
        Some(Some(position)) => position,
        Some(None) => {
            return Err(Fault::new(ErrorCode::BadRequest, "`Last-Event-ID` is the position of an event: a number."));
        }
    };
    let events = runs::events(&state.weir, &caller.0, id(&run)?, after).await?;
    Ok(sse::response(events, &state.draining, Credentials::of(&request, &state), None))
}

/// Says what a run waits for
///
/// In a sentence, and as fields: a worker, a place under a limit, a time, its own steps, something from outside, a person.
#[utoipa::path(operation_id = "why_run", tag = "Runs", params(("run" = String, Path, description = "The run's id")),
    responses((status = 200, body = WhyView)))]
#[get("/api/v1/runs/{run}/why")]
pub(crate) async fn why(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<WhyView>, Fault> {
    params.read()?;
    Ok(web::Json(runs::why(&state.weir, &caller.0, id(&run)?).await?))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelInput {
    /// Why, for whoever looks at the run later.
    #[serde(default)]
    reason: Option<String>,
}

/// Cancels a run
///
/// Running attempts get their grace; the run settles as `cancelled`.
#[utoipa::path(operation_id = "cancel_run", tag = "Runs", params(("run" = String, Path, description = "The run's id")),
    request_body(content = CancelInput), responses((status = 202, body = RunAccepted)))]
#[post("/api/v1/runs/{run}/cancel")]
pub(crate) async fn cancel(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    body: Body<CancelInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let input = body.read_or_default()?;
    let run_id = id(&run)?;
    let status = runs::cancel(&state.weir, &caller.0, run_id, input.reason.as_deref()).await?;
    Ok(HttpResponse::Accepted().json(RunAccepted { run_id, status }))
}

/// A text that is no id names nothing, like an id that nobody has.
pub(super) fn id(text: &str) -> Result<RunId, Fault> {
    text.parse().map_err(|_| ServiceError::not_found("run", text).into())
}
