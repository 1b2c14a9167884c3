//! Files: uploaded once, named by id in any number of calls.

use actix_web::http::header::{self, Charset, ContentDisposition, DispositionParam, DispositionType, ExtendedValue};
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
    let received = body.read(&state.weir, &caller.0).await?;
    let file = files::upload(&state.weir, &caller.0, received.name, received.media_type, received.content).await?;
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
    HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header(attachment(&file.name))
        .insert_header((header::ETAG, format!("\"{}\"", file.sha256)))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .body(bytes)
}

/// The name twice: in letters that every client reads, and as it is for those that read RFC 8187.
pub(crate) fn attachment(name: &str) -> ContentDisposition {
    let plain = |letter: char| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '_' };
    let quoted = |letter: char| if "\"\\%/".contains(letter) { '_' } else { letter };
    let mut parameters = vec![DispositionParam::Filename(name.chars().map(plain).map(quoted).collect())];
    if !name.chars().all(|letter| quoted(plain(letter)) == letter) {
        let value = name.chars().filter(|letter| !letter.is_control()).collect::<String>().into_bytes();
        let name = ExtendedValue { charset: Charset::Ext("UTF-8".to_owned()), language_tag: None, value };
        parameters.push(DispositionParam::FilenameExt(name));
    }
    ContentDisposition { disposition: DispositionType::Attachment, parameters }
}

fn id(text: &str) -> Result<FileId, Fault> {
    text.parse().map_err(|_| ServiceError::not_found("file", text).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_name_in_every_script_and_no_name_breaks_the_header() {
        for (name, header) in [
            ("invoice 7.pdf", r#"attachment; filename="invoice 7.pdf""#),
            (
                "Rechnung für Zoë.pdf",
                r#"attachment; filename="Rechnung f_r Zo_.pdf"; filename*=UTF-8''Rechnung%20f%C3%BCr%20Zo%C3%AB.pdf"#,
            ),
            (
                "a\"b\r\nset-cookie: x",
                r#"attachment; filename="a_b__set-cookie: x"; filename*=UTF-8''a%22bset%2Dcookie%3A%20x"#,
            ),
        ] {
            assert_eq!(attachment(name).to_string(), header);
        }
    }
}
