//! Files: uploaded once, named by id in any number of calls.

use actix_web::http::header::{self, ContentDisposition, DispositionParam, DispositionType};
use actix_web::{HttpResponse, get, post, web};
use domain::{FileId, FileRef};
use service::{ServiceError, files};

use crate::extract::{Caller, NoParams, Params, UploadBody};
use crate::problem::Fault;
use crate::state::Shared;

/// Uploads a file
///
/// Multipart with one part `file`, or the bytes themselves with their content type and a `Content-Disposition`
/// that names them.
#[utoipa::path(operation_id = "upload_file", tag = "Files", request_body(content = Vec<u8>, content_type = "multipart/form-data"),
    responses((status = 201, body = FileRef)))]
#[post("/api/v1/files")]
pub(crate) async fn upload(
    caller: Caller,
    params: Params<NoParams>,
    body: UploadBody,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    files::may_upload(&caller.0)?;
    let received = body.read().await?;
    let file = files::upload(&state.weir, &caller.0, received.name, received.media_type, received.bytes).await?;
    Ok(HttpResponse::Created().insert_header((header::LOCATION, format!("/api/v1/files/{}", file.file_id))).json(file))
}

/// Reads what is known of a file
#[utoipa::path(operation_id = "get_file", tag = "Files", params(("file" = String, Path, description = "The file's id")),
    responses((status = 200, body = FileRef)))]
#[get("/api/v1/files/{file}")]
pub(crate) async fn get(
    caller: Caller,
    file: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<web::Json<FileRef>, Fault> {
    params.read()?;
    Ok(web::Json(files::get(&state.weir, &caller.0, id(&file)?).await?))
}

/// Downloads a file
#[utoipa::path(operation_id = "download_file", tag = "Files", params(("file" = String, Path, description = "The file's id")),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
#[get("/api/v1/files/{file}/content")]
pub(crate) async fn content(
    caller: Caller,
    file: web::Path<String>,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let (file, bytes) = files::content(&state.weir, &caller.0, id(&file)?).await?;
    Ok(download(&file, bytes))
}

/// Always an attachment of a type that no browser shows: an uploaded page must not run as ours.
pub(crate) fn download(file: &FileRef, bytes: bytes::Bytes) -> HttpResponse {
    let disposition = ContentDisposition {
        disposition: DispositionType::Attachment,
        parameters: vec![DispositionParam::Filename(file.name.clone())],
    };
    HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header(disposition)
        .insert_header((header::ETAG, format!("\"{}\"", file.sha256)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .body(bytes)
}

fn id(text: &str) -> Result<FileId, Fault> {
    text.parse().map_err(|_| ServiceError::not_found("file", text).into())
}
