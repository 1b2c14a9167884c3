//! Inputs with files: JSON or multipart.
//!
//! Invariant: nothing is stored before the caller's right to it was checked; parts are limited in number and size; a file
//! is never held in memory whole.

use std::collections::BTreeMap;
use std::pin::Pin;

use actix_multipart::{Field, Multipart};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use bytes::{Bytes, BytesMut};
use domain::{ErrorCode, FileRef};
use futures_util::StreamExt;
use serde_json::Value;
use service::blobs::{self, FILE_BYTES, NewFile, Spool};
use service::runs::Inputs;
use service::{Actor, ServiceError, Weir};

use super::body::{JSON_BYTES, broken_off, collect, is_json, media_type, parse, unsupported};
use crate::problem::Fault;

const PARTS: usize = 100;
/// All files of one call together, in bytes: they are held beside the store until the inputs are known to fit.
const CALL_BYTES: u64 = 2 * FILE_BYTES as u64;
/// Where all inputs can be given as JSON beside the files.
const INPUTS_PART: &str = "inputs";

/// The body of a call that runs a flow.
pub(crate) enum RunBody {
    Whole { content: Result<Bytes, Fault>, media_type: String },
    Parts(Box<Multipart>),
}

impl FromRequest for RunBody {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Fault>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let media_type = media_type(request);
        let payload = payload.take();
        if media_type == "multipart/form-data" {
            let parts = Multipart::new(request.headers(), payload);
            return Box::pin(async move { Ok(Self::Parts(Box::new(parts))) });
        }
        Box::pin(async move { Ok(Self::Whole { content: collect(payload, JSON_BYTES).await, media_type }) })
    }
}

impl RunBody {
    /// Reads the inputs and stores the files that came with them. The caller was checked before.
    pub(crate) async fn read(self, weir: &Weir, actor: &Actor) -> Result<Inputs, Fault> {
        let mut parts = match self {
            Self::Parts(parts) => *parts,
            Self::Whole { content, media_type } => {
                let content = content?;
                if content.is_empty() {
                    return Ok(Inputs::Json { body: Value::Object(serde_json::Map::new()), files: BTreeMap::new() });
                }
                if !is_json(&media_type) {
                    return Err(unsupported(&media_type, "application/json, multipart/form-data"));
                }
                return Ok(Inputs::Json { body: parse(&content)?, files: BTreeMap::new() });
            }
        };
        let mut fields = BTreeMap::new();
        let mut received = Vec::new();
        while let Some(part) = next(weir, actor, &mut parts).await? {
            if fields.len() + received.len() >= PARTS {
                return Err(Fault::new(ErrorCode::TooLarge, format!("A call has at most {PARTS} parts.")));
            }
            match part {
                Part::Text { name, text } => once(fields.insert(name.clone(), text).is_some(), &name)?,
                Part::File { name, file } => {
                    once(received.iter().any(|(known, _): &(String, Box<Received>)| *known == name), &name)?;
                    received.push((name, file));
                    if received.iter().map(|(_, file)| file.content.size()).sum::<u64>() > CALL_BYTES {
                        let most = CALL_BYTES / 1024 / 1024;
                        let detail = format!(
                            "The files of one call have at most {most} MiB together. Upload them one by one first."
                        );
                        return Err(Fault::new(ErrorCode::TooLarge, detail));
                    }
                }
            }
        }
        let body = match fields.remove(INPUTS_PART) {
            None => None,
            Some(_) if !fields.is_empty() => {
                let detail = "Inputs come as fields of their own or all in the part `inputs`, not both.";
                return Err(Fault::new(ErrorCode::BadRequest, detail));
            }
            Some(text) => Some(parse(text.as_bytes())?),
        };
        let mut files = BTreeMap::new();
        for (name, file) in received {
            files.insert(name, store(weir, actor, file).await?);
        }
        Ok(match body {
            Some(body) => Inputs::Json { body, files },
            None => Inputs::Form { fields, files },
        })
    }
}

/// One file as it was received.
pub(crate) struct Received {
    pub(crate) name: String,
    pub(crate) media_type: String,
    pub(crate) content: Spool,
}

/// The body of an upload.
pub(crate) struct UploadBody {
    body: RunBody,
    name: Option<String>,
    payload: Option<Payload>,
}

impl FromRequest for UploadBody {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Fault>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let media_type = media_type(request);
        let disposition = request.headers().get(header::CONTENT_DISPOSITION);
        let disposition = disposition.and_then(|value| header::ContentDisposition::from_raw(value).ok());
        let name = disposition.and_then(|value| value.get_filename().map(ToOwned::to_owned));
        let upload = if media_type == "multipart/form-data" {
            let parts = Multipart::new(request.headers(), payload.take());
            Self { body: RunBody::Parts(Box::new(parts)), name, payload: None }
        } else {
            let body = RunBody::Whole { content: Ok(Bytes::new()), media_type };
            Self { body, name, payload: Some(payload.take()) }
        };
        Box::pin(async move { Ok(upload) })
    }
}

impl UploadBody {
    /// Receives the file. The caller was checked before.
    pub(crate) async fn read(self, weir: &Weir, actor: &Actor) -> Result<Received, Fault> {
        let missing = || {
            let detail = "An upload is multipart with one part `file`, or the bytes with their content type.";
            Fault::new(ErrorCode::BadRequest, detail)
        };
        let mut parts = match (self.body, self.payload) {
            (RunBody::Parts(parts), _) => *parts,
            (RunBody::Whole { media_type, .. }, Some(mut payload)) => {
                let mut content = blobs::spool(weir, actor.tenant).await?;
                while let Some(chunk) = payload.next().await {
                    content = blobs::receive(content, chunk.map_err(|error| broken_off(&error))?).await?;
                }
                if content.size() == 0 || media_type.is_empty() {
                    return Err(missing());
                }
                return Ok(Received { name: self.name.unwrap_or_else(|| "file".to_owned()), media_type, content });
            }
            (RunBody::Whole { .. }, None) => return Err(missing()),
        };
        let mut found = None;
        while let Some(part) = next(weir, actor, &mut parts).await? {
            match part {
                Part::File { file, .. } if found.is_none() => found = Some(file),
                Part::File { .. } => {
                    return Err(Fault::new(
                        ErrorCode::BadRequest,
                        "An upload holds one file; send the others by themselves.",
                    ));
                }
                Part::Text { name, .. } => {
                    let detail = format!("There is no field `{name}` here; an upload has one part `file`.");
                    return Err(Fault::new(ErrorCode::UnknownParameter, detail));
                }
            }
        }
        found.map(|file| *file).ok_or_else(missing)
    }
}

enum Part {
    Text { name: String, text: String },
    File { name: String, file: Box<Received> },
}

async fn next(weir: &Weir, actor: &Actor, parts: &mut Multipart) -> Result<Option<Part>, Fault> {
    let Some(field) = parts.next().await else { return Ok(None) };
    let mut field = field.map_err(|error| broken(&error))?;
    let disposition = field.content_disposition();
    let name = disposition.and_then(header::ContentDisposition::get_name).unwrap_or_default().to_owned();
    let file_name = disposition.and_then(header::ContentDisposition::get_filename).map(ToOwned::to_owned);
    if name.is_empty() {
        return Err(Fault::new(ErrorCode::BadRequest, "A part has no name."));
    }
    match file_name {
        Some(file_name) => {
            let media_type = field.content_type().map_or_else(
                || "application/octet-stream".to_owned(),
                |media_type| media_type.essence_str().to_owned(),
            );
            let mut content = blobs::spool(weir, actor.tenant).await?;
            while let Some(chunk) = field.next().await {
                content = blobs::receive(content, chunk.map_err(|error| broken(&error))?).await?;
            }
            let file = Box::new(Received { name: file_name, media_type, content });
            Ok(Some(Part::File { name, file }))
        }
        None => {
            let bytes = whole(&mut field, JSON_BYTES).await?;
            let text = String::from_utf8(bytes.to_vec())
                .map_err(|_| Fault::new(ErrorCode::BadRequest, format!("The field `{name}` is not UTF-8 text.")))?;
            Ok(Some(Part::Text { name, text }))
        }
    }
}

async fn whole(field: &mut Field, limit: usize) -> Result<Bytes, Fault> {
    let mut content = BytesMut::new();
    while let Some(chunk) = field.next().await {
        let chunk = chunk.map_err(|error| broken(&error))?;
        if content.len() + chunk.len() > limit {
            return Err(Fault::new(ErrorCode::TooLarge, format!("A part has more than {limit} bytes.")));
        }
        content.extend_from_slice(&chunk);
    }
    Ok(content.freeze())
}

fn broken(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(ErrorCode::BadRequest, format!("The multipart body cannot be read: {error}."))
}

fn once(known: bool, name: &str) -> Result<(), Fault> {
    if known {
        let detail = format!("The part `{name}` is there twice.");
        return Err(Fault::new(ErrorCode::BadRequest, detail.clone()).field(&format!("/{name}"), detail, None));
    }
    Ok(())
}

async fn store(weir: &Weir, actor: &Actor, file: Box<Received>) -> Result<FileRef, ServiceError> {
    let new =
        NewFile { name: file.name, media_type: file.media_type, created_by: actor.name().to_owned(), run_id: None };
    blobs::put_spool(weir, actor.tenant, new, file.content).await
}
