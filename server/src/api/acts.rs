//! What people do to runs: kill, signal, resolve, restart, replay; and what runs ask people.

use actix_web::{HttpResponse, get, post, web};
use domain::wire::{
    ApprovalStatus, ApprovalView, DecisionInput, KillInput, Page, ReplayInput, ResolveAction, ResolveInput,
    RunAccepted, SignalInput,
};
use domain::{ApprovalId, ErrorCode, RunId, RunStatus};
use serde::Deserialize;
use service::ServiceError;
use service::runs::{self as service_runs, ApprovalFilter, Replay, Resolve};
use utoipa::IntoParams;

use super::{page_limit, runs};
use crate::extract::{Body, Caller, Known, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

fn accepted(run_id: RunId, status: RunStatus) -> HttpResponse {
    HttpResponse::Accepted().json(RunAccepted { run_id, status })
}

/// Kills a run
///
/// At once, with the runs it started, without `on_error` and `finally`. A right of its own (`runs:kill`), and a reason for
/// the audit log. To end a run in order, cancel it.
#[utoipa::path(operation_id = "kill_run", tag = "Runs", params(("run" = String, Path, description = "The run's id")),
    request_body(content = KillInput), responses((status = 202, body = RunAccepted)))]
#[post("/api/v1/runs/{run}/kill")]
pub(crate) async fn kill(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    body: Body<KillInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let (input, id) = (body.read()?, runs::id(&run)?);
    let status = service_runs::kill(&state.weir, &caller.0, id, &input.reason).await?;
    Ok(accepted(id, status))
}

/// Sends a signal to a run
///
/// A step that waits for its name goes on with the payload; where none waits yet, it is kept for the first that will.
#[utoipa::path(operation_id = "signal_run", tag = "Runs", params(("run" = String, Path, description = "The run's id")),
    request_body(content = SignalInput), responses((status = 202, body = RunAccepted)))]
#[post("/api/v1/runs/{run}/signal")]
pub(crate) async fn signal(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    body: Body<SignalInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let (input, id) = (body.read()?, runs::id(&run)?);
    let status = service_runs::signal(&state.weir, &caller.0, id, &input.name, input.payload).await?;
    Ok(accepted(id, status))
}

/// Restarts a run
///
/// The same run in its next epoch: what succeeded stays, the rest begins again. For runs that failed, timed out, were
/// cancelled or killed.
#[utoipa::path(operation_id = "restart_run", tag = "Runs", params(("run" = String, Path, description = "The run's id")),
    responses((status = 202, body = RunAccepted)))]
#[post("/api/v1/runs/{run}/restart")]
pub(crate) async fn restart(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let id = runs::id(&run)?;
    let status = service_runs::restart(&state.weir, &caller.0, id).await?;
    Ok(accepted(id, status))
}

/// Replays a run
///
/// A new run, with the old one's inputs unless others are given. What lies before `from_step` is taken over from the old
/// run, everything else runs again; calls go out under new keys unless `reuse_keys` is set.
#[utoipa::path(operation_id = "replay_run", tag = "Runs", params(("run" = String, Path, description = "The run's id")),
    request_body(content = ReplayInput), responses((status = 202, body = RunAccepted)))]
#[post("/api/v1/runs/{run}/replay")]
pub(crate) async fn replay(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    body: Body<ReplayInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let (input, id) = (body.read_or_default()?, runs::id(&run)?);
    let wish = Replay {
        from_step: input.from_step,
        version: input.version,
        inputs: input.inputs,
        reuse_keys: input.reuse_keys,
        reuse_decisions: input.reuse_decisions,
    };
    let new = service_runs::replay(&state.weir, &caller.0, id, wish).await?;
    Ok(HttpResponse::Accepted()
        .insert_header(("Location", format!("/api/v1/runs/{new}")))
        .json(RunAccepted { run_id: new, status: RunStatus::Queued }))
}

/// Resolves a step that needs attention
///
/// `complete` says that it was done and with which output, `retry` does it again under the same key, `fail` fails it.
/// A step that stopped at a cap (`on_exceeded: approve`) goes on with `retry` and a higher `max_cost`.
#[utoipa::path(operation_id = "resolve_step", tag = "Runs", params(("run" = String, Path, description = "The run's id"),
        ("step" = String, Path, description = "The step's name")),
    request_body(content = ResolveInput), responses((status = 202, body = RunAccepted)))]
#[post("/api/v1/runs/{run}/steps/{step}/resolve")]
pub(crate) async fn resolve(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    body: Body<ResolveInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let (input, id) = (body.read()?, runs::id(&path.0)?);
    let act = match input.action {
        ResolveAction::Complete => Resolve::Complete { output: input.output },
        ResolveAction::Retry => Resolve::Retry { max_cost: input.max_cost },
        ResolveAction::Fail => Resolve::Fail,
    };
    let status = service_runs::resolve(&state.weir, &caller.0, id, &path.1, input.item, act).await?;
    Ok(accepted(id, status))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalParams {
    /// `open`, `approved`, `rejected`, `expired` or `withdrawn`.
    status: Option<String>,
    /// Only questions of this run.
    run: Option<String>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Questions a page: 50 unless said, at most 200.
    limit: Option<u32>,
}

impl Known for ApprovalParams {
    const NAMES: &'static [&'static str] = &["status", "run", "cursor", "limit"];
}

/// Lists what runs ask people, newest first
#[utoipa::path(operation_id = "list_approvals", tag = "Approvals", params(ApprovalParams), responses((status = 200, body = Page<ApprovalView>)))]
#[get("/api/v1/approvals")]
pub(crate) async fn approvals(
    caller: Caller,
    params: Params<ApprovalParams>,
    state: Shared,
) -> Result<web::Json<Page<ApprovalView>>, Fault> {
    let params = params.read()?;
    let status = match &params.status {
        None => None,
        Some(word) => Some(ApprovalStatus::parse(word).ok_or_else(|| {
            let known: Vec<&str> = ApprovalStatus::ALL.iter().map(|status| status.as_str()).collect();
            Fault::new(ErrorCode::BadRequest, format!("There is no status `{word}`. Known: {}.", known.join(", ")))
        })?),
    };
    let run = match &params.run {
        None => None,
        Some(text) => Some(
            text.parse::<RunId>()
                .map_err(|error| Fault::new(ErrorCode::BadRequest, format!("`run` is no run's id: {error}.")))?,
        ),
    };
    let filter = ApprovalFilter { status, run, cursor: params.cursor, limit: page_limit(params.limit)? };
    Ok(web::Json(service_runs::approvals(&state.weir, &caller.0, &filter).await?))
}

/// Reads a question
#[utoipa::path(operation_id = "get_approval", tag = "Approvals", params(("approval" = String, Path, description = "The question's id")),
    responses((status = 200, body = ApprovalView)))]
#[get("/api/v1/approvals/{approval}")]
pub(crate) async fn one_approval(
    caller: Caller,
    approval: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<ApprovalView>, Fault> {
    params.read()?;
    Ok(web::Json(service_runs::approval(&state.weir, &caller.0, approval_id(&approval)?).await?))
}

/// Decides a question
///
/// Needs `runs:approve`, and a role that the question names; an owner may decide everything. What its form asks for is
/// checked when it is approved.
#[utoipa::path(operation_id = "decide_approval", tag = "Approvals", params(("approval" = String, Path, description = "The question's id")),
    request_body(content = DecisionInput), responses((status = 200, body = ApprovalView)))]
#[post("/api/v1/approvals/{approval}")]
pub(crate) async fn decide(
    caller: Caller,
    approval: web::Path<String>,
    params: Params<NoParams>,
    body: Body<DecisionInput>,
    state: Shared,
) -> Result<web::Json<ApprovalView>, Fault> {
    params.read()?;
    let (input, id) = (body.read()?, approval_id(&approval)?);
    Ok(web::Json(service_runs::decide(&state.weir, &caller.0, id, input).await?))
}

fn approval_id(text: &str) -> Result<ApprovalId, Fault> {
    text.parse().map_err(|_| ServiceError::not_found("approval", text).into())
}
