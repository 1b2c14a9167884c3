//! Flows: saved, read, checked, deleted.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, post, put, web};
use domain::wire::{
    CheckReport, FlowDetail, FlowSummary, Forecast, ForecastInput, Page, VersionDetail, VersionSummary,
};
use language::Folder;
use serde::Deserialize;
use serde_json::Value;
use service::flows::folder::{self, FolderForm};
use service::flows::{self, PutOptions};
use utoipa::{IntoParams, ToSchema};

use super::PageParams;
use crate::extract::{Body, Caller, FlowBody, Known, NoParams, Params, if_match, wanted_form};
use crate::problem::Fault;
use crate::state::Shared;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PutParams {
    /// Keeps the flow as a draft beside what is published. A draft may be broken.
    #[serde(default)]
    draft: bool,
    /// The channel that the version is published to; `stable` unless said.
    channel: Option<String>,
}

impl Known for PutParams {
    const NAMES: &'static [&'static str] = &["draft", "channel"];
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlanParams {
    /// Plans a run of this version instead of the one on the channel.
    version: Option<u32>,
    /// Plans a run of what this channel points at; `stable` unless said.
    channel: Option<String>,
}

impl Known for PlanParams {
    const NAMES: &'static [&'static str] = &["version", "channel"];
}

/// What came of saving a flow.
#[derive(Debug, serde::Serialize, ToSchema)]
pub(crate) struct SavedFlow {
    flow: String,
    /// Null for a draft.
    version: Option<u32>,
    /// SHA-256 of the content; the same content is the same version.
    hash: String,
    /// The checker's warnings, and for a draft its errors.
    problems: Vec<Value>,
    /// What differs for callers of the version published before, breaking changes first.
    changes: Vec<ContractChange>,
}

/// What a new version changes for its callers
#[derive(Debug, serde::Serialize, ToSchema)]
pub(crate) struct ContractChange {
    /// Whether calls or answers that worked may fail now.
    breaking: bool,
    /// `/inputs/note` or `/outputs/total`.
    pointer: String,
    message: String,
}

/// Checks a flow without saving or running it
///
/// The body is the flow: YAML, JSON, or a zip of its folder. The answer lists every problem with its place and a hint.
#[utoipa::path(operation_id = "check_flow", tag = "Flows", request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = CheckReport)))]
#[post("/api/v1/flows/check")]
pub(crate) async fn check(
    caller: Caller,
    params: Params<NoParams>,
    body: FlowBody,
    state: Shared,
) -> Result<web::Json<CheckReport>, Fault> {
    params.read()?;
    let mut folder = body.read("flow")?;
    // What is checked has no name yet; a `name:` in it is right by itself.
    folder.name = None;
    Ok(web::Json(flows::check(&state.weir, &caller.0, folder).await?))
}

/// Lists the flows with their figures
#[utoipa::path(operation_id = "list_flows", tag = "Flows", params(PageParams), responses((status = 200, body = Page<FlowSummary>)))]
#[get("/api/v1/flows")]
pub(crate) async fn list(
    caller: Caller,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<FlowSummary>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(flows::list(&state.weir, &caller.0, &paging).await?))
}

/// Reads a flow
///
/// With `Accept: application/yaml` the answer is the flow's YAML, with `application/zip` its folder, else JSON about it.
/// `ETag` is the hash of the published version, to be sent as `If-Match` when it is replaced.
#[utoipa::path(operation_id = "get_flow", tag = "Flows", params(("flow" = String, Path, description = "The flow's name")),
    responses((status = 200, content((FlowDetail = "application/json"), (String = "application/yaml"), (Vec<u8> = "application/zip")))))]
#[get("/api/v1/flows/{flow}")]
pub(crate) async fn get(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<NoParams>,
    request: HttpRequest,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let form = wanted_form(&request);
    if form != FolderForm::Json {
        let (folder, hash) = flows::source(&state.weir, &caller.0, &flow, None).await?;
        return written(&folder, hash.as_deref(), form);
    }
    let (detail, hash) = flows::get(&state.weir, &caller.0, &flow).await?;
    let mut answer = HttpResponse::Ok();
    if let Some(hash) = hash {
        answer.insert_header((header::ETAG, format!("\"{hash}\"")));
    }
    answer.insert_header((header::VARY, "Accept"));
    Ok(answer.json(detail))
}

/// A flow as its author wrote it.
fn written(folder: &Folder, hash: Option<&str>, form: FolderForm) -> Result<HttpResponse, Fault> {
    let mut answer = HttpResponse::Ok();
    if let Some(hash) = hash {
        answer.insert_header((header::ETAG, format!("\"{hash}\"")));
    }
    answer.insert_header((header::VARY, "Accept"));
    if form == FolderForm::Zip {
        return Ok(answer.content_type("application/zip").body(folder::zipped(folder)?));
    }
    Ok(answer.content_type("application/yaml").body(folder.yaml.clone()))
}

/// Saves a flow and publishes it to `stable`
///
/// The body is the flow: YAML, JSON, or a zip of its folder. With `If-Match`, only if that version is published now; a 412
/// holds a unified diff of what changed since. The same content is the same version.
#[utoipa::path(operation_id = "put_flow", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"), PutParams),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = SavedFlow), (status = 201, body = SavedFlow, description = "Made")))]
#[put("/api/v1/flows/{flow}")]
pub(crate) async fn put(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<PutParams>,
    body: FlowBody,
    request: HttpRequest,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    let params = params.read()?;
    let folder = body.read(&flow)?;
    let options = PutOptions { draft: params.draft, channel: params.channel, if_match: if_match(&request) };
    let saved = flows::put(&state.weir, &caller.0, &flow, folder, options).await?;
    let mut answer = if saved.created { HttpResponse::Created() } else { HttpResponse::Ok() };
    answer.insert_header((header::LOCATION, format!("/api/v1/flows/{flow}")));
    if saved.number.is_some() {
        answer.insert_header((header::ETAG, format!("\"{}\"", saved.hash)));
    }
    let problems = saved.problems.iter().filter_map(|problem| serde_json::to_value(problem).ok()).collect();
    let changes = saved.changes.into_iter().map(|change| ContractChange {
        breaking: change.is_breaking,
        pointer: change.pointer,
        message: change.message,
    });
    Ok(answer.json(SavedFlow {
        flow: flow.into_inner(),
        version: saved.number,
        hash: saved.hash,
        problems,
        changes: changes.collect(),
    }))
}

/// Deletes a flow
///
/// Its runs stay; its name can be used again.
#[utoipa::path(operation_id = "delete_flow", tag = "Flows", params(("flow" = String, Path, description = "The flow's name")),
    responses((status = 204, description = "Deleted")))]
#[delete("/api/v1/flows/{flow}")]
pub(crate) async fn delete(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    flows::delete(&state.weir, &caller.0, &flow).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Lists a flow's versions, newest first
#[utoipa::path(operation_id = "list_versions", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"), PageParams),
    responses((status = 200, body = Page<VersionSummary>)))]
#[get("/api/v1/flows/{flow}/versions")]
pub(crate) async fn versions(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<PageParams>,
    state: Shared,
) -> Result<web::Json<Page<VersionSummary>>, Fault> {
    let paging = params.read()?.paging()?;
    Ok(web::Json(flows::versions(&state.weir, &caller.0, &flow, &paging).await?))
}

/// Reads a version with its YAML and files
///
/// With `Accept: application/yaml` or `application/zip` the answer is the YAML or the folder itself.
#[utoipa::path(operation_id = "get_version", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"),
        ("version" = u32, Path, description = "The version's number")),
    responses((status = 200, content((VersionDetail = "application/json"), (String = "application/yaml"), (Vec<u8> = "application/zip")))))]
#[get("/api/v1/flows/{flow}/versions/{version}")]
pub(crate) async fn version(
    caller: Caller,
    path: web::Path<(String, String)>,
    params: Params<NoParams>,
    request: HttpRequest,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let (flow, version) = path.into_inner();
    let number = version.parse().map_err(|_| service::ServiceError::not_found("version", version))?;
    let form = wanted_form(&request);
    if form != FolderForm::Json {
        let (folder, hash) = flows::source(&state.weir, &caller.0, &flow, Some(number)).await?;
        return written(&folder, hash.as_deref(), form);
    }
    let detail = flows::version(&state.weir, &caller.0, &flow, number).await?;
    Ok(HttpResponse::Ok().insert_header((header::VARY, "Accept")).json(detail))
}

/// Says what a call would run, take and cost
///
/// Conditions that the inputs decide are decided, the others "may"; times, tokens and money are the 10th, 50th and 90th
/// percentile of earlier runs. Nothing is executed, and nothing leaves.
#[utoipa::path(operation_id = "plan_flow", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"), PlanParams),
    request_body(content = ForecastInput), responses((status = 200, body = Forecast)))]
#[post("/api/v1/flows/{flow}/plan")]
pub(crate) async fn plan(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<PlanParams>,
    body: Body<ForecastInput>,
    state: Shared,
) -> Result<web::Json<Forecast>, Fault> {
    let params = params.read()?;
    let mut input = body.read_or_default()?;
    if (params.version.is_some() && input.version.is_some()) || (params.channel.is_some() && input.channel.is_some()) {
        let text = "The version or channel is said twice, in the address and in the body. Say it once.";
        return Err(service::ServiceError::BadRequest(text.to_owned()).into());
    }
    input.version = input.version.or(params.version);
    input.channel = input.channel.or(params.channel);
    Ok(web::Json(service::forecast::forecast(&state.weir, &caller.0, &flow, input).await?))
}
