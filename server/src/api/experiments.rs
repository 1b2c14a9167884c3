//! Experiments between versions of a flow, and feedback on runs.

use actix_web::{HttpResponse, delete, get, post, put, web};
use domain::wire::{ExperimentInput, ExperimentView, FeedbackInput, FeedbackView, Page};
use service::experiments;

use super::{PageParams, runs};
use crate::extract::{Body, Caller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

/// Lists a flow's experiments
#[utoipa::path(operation_id = "list_experiments", tag = "Experiments", params(("flow" = String, Path, description = "The flow's name"), PageParams),
    responses((status = 200, body = Page<ExperimentView>)))]
#[get("/api/v1/flows/{flow}/experiments")]
pub(crate) async fn list(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<ExperimentView>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(experiments::list(&state.weir, &caller.0, &flow, &paging).await?))
}

/// Reads an experiment with its readout
///
/// Figures count root runs by live keys since the start; intervals hold 95 %.
#[utoipa::path(operation_id = "get_experiment", tag = "Experiments", params(("flow" = String, Path, description = "The flow's name"),
        ("experiment" = String, Path, description = "The experiment's name")),
    responses((status = 200, body = ExperimentView)))]
#[get("/api/v1/flows/{flow}/experiments/{experiment}")]
pub(crate) async fn get(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<ExperimentView>, Fault> {
    params.read()?;
    Ok(web::Json(experiments::get(&state.weir, &caller.0, &path.0, &path.1).await?))
}

/// Makes or changes an experiment
///
/// Splits a share of the flow's traffic between versions on the flow's one URL. One experiment of a flow takes traffic at
/// a time. While it does, its share and guards may change, its variants may not.
#[utoipa::path(operation_id = "put_experiment", tag = "Experiments", params(("flow" = String, Path, description = "The flow's name"),
        ("experiment" = String, Path, description = "The experiment's name")),
    request_body(content = ExperimentInput),
    responses((status = 200, body = ExperimentView), (status = 201, body = ExperimentView, description = "Made")))]
#[put("/api/v1/flows/{flow}/experiments/{experiment}")]
pub(crate) async fn put(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    body: Body<ExperimentInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let (view, made) = experiments::put(&state.weir, &caller.0, &path.0, &path.1, body.read()?).await?;
    let mut answer = if made { HttpResponse::Created() } else { HttpResponse::Ok() };
    Ok(answer.json(view))
}

/// Removes an experiment
///
/// All traffic goes to `stable`; runs remember the variant they had.
#[utoipa::path(operation_id = "delete_experiment", tag = "Experiments", params(("flow" = String, Path, description = "The flow's name"),
        ("experiment" = String, Path, description = "The experiment's name")),
    responses((status = 204, description = "Gone")))]
#[delete("/api/v1/flows/{flow}/experiments/{experiment}")]
pub(crate) async fn delete(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    experiments::delete(&state.weir, &caller.0, &path.0, &path.1).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Says how good a run was
///
/// Counted with the run's variant where an experiment chose its version.
#[utoipa::path(operation_id = "give_feedback", tag = "Experiments", params(("run" = String, Path, description = "The run's id")),
    request_body(content = FeedbackInput), responses((status = 201, body = FeedbackView)))]
#[post("/api/v1/runs/{run}/feedback")]
pub(crate) async fn feedback(
    caller: Caller,
    run: web::Path<String>,
    params: Params<NoParams>,
    body: Body<FeedbackInput>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let view = experiments::feedback(&state.weir, &caller.0, runs::id(&run)?, body.read()?).await?;
    Ok(HttpResponse::Created().json(view))
}

/// Lists a run's feedback, oldest first
#[utoipa::path(operation_id = "list_feedback", tag = "Experiments", params(("run" = String, Path, description = "The run's id"), PageParams),
    responses((status = 200, body = Page<FeedbackView>)))]
#[get("/api/v1/runs/{run}/feedback")]
pub(crate) async fn feedback_of(
    caller: Caller,
    run: web::Path<String>,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<FeedbackView>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(experiments::feedback_of(&state.weir, &caller.0, runs::id(&run)?, &paging).await?))
}
