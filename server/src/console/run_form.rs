//! The form that runs a flow: its fields and files, read as a stream.
//!
//! Invariant: nothing is stored before the form has proved where it came from, so its token stands first in it.

use std::collections::BTreeMap;

use actix_multipart::Multipart;
use actix_web::dev::ServiceRequest;
use app::data::FormState;
use app::forms::{CSRF, INPUT_PREFIX, RAW_FILE, RAW_INPUTS, path};
use bytes::{Bytes, BytesMut};
use domain::{FileRef, Permission};
use futures_util::TryStreamExt as _;
use serde_json::Value;
use service::blobs::{self, NewFile};
use service::runs::{self, Answer, Inputs, StartRun};
use service::{Actor, ServiceError};

use super::Host;
use super::forms::{Outcome, is_multipart, prove};
use super::visitor::Visitor;

/// The largest plain field, in bytes, and the most fields of any kind.
const TEXT_BYTES: usize = 1024 * 1024;
const FIELDS: usize = 200;

#[derive(Default)]
struct Filled {
    texts: BTreeMap<String, String>,
    files: BTreeMap<String, FileRef>,
    raw: Option<String>,
}

pub(super) async fn start(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    flow: &str,
) -> Result<Outcome, ServiceError> {
    if !is_multipart(request) {
        return Err(ServiceError::UnsupportedMediaType("This form is sent as multipart/form-data.".to_owned()));
    }
    let actor = visitor.actor(tenant)?;
    service::authz::check_flow(&actor, Permission::RunsStart, flow)?;
    let form = request.extract::<Multipart>().await.map_err(|error| unreadable(&error))?;
    let filled = match fill(host, visitor, &actor, form).await {
        Ok(filled) => filled,
        Err(error @ (ServiceError::TooLarge(_) | ServiceError::Invalid { .. })) => {
            return Ok(Outcome::again(error, &[]));
        }
        Err(error) => return Err(error),
    };
    let typed = filled.texts.clone();
    let wish = StartRun {
        flow: flow.to_owned(),
        version: None,
        channel: None,
        inputs: inputs(filled)?,
        idempotency_key: None,
        labels: BTreeMap::new(),
        subject: None,
        priority: None,
        answer: Answer::Later,
    };
    match runs::start(&host.weir, &actor, wish).await {
        Ok(started) => Ok(Outcome::to(path::run(tenant, &started.run_id.to_string()))),
        Err(error) => Ok(again(error, typed)),
    }
}

/// The page again with what was typed; a field's problem stands at the field.
fn again(error: ServiceError, typed: BTreeMap<String, String>) -> Outcome {
    let (status, retry_after_ms, form) = match Outcome::again(error, &[]) {
        Outcome::Again { status, retry_after_ms, form } => (status, retry_after_ms, form),
        refused => return refused,
    };
    let named = |mut problem: domain::FieldProblem| {
        problem.pointer = format!("{INPUT_PREFIX}{}", problem.pointer.split('/').next().unwrap_or_default());
        problem
    };
    let values = typed.into_iter().map(|(name, value)| (format!("{INPUT_PREFIX}{name}"), value)).collect();
    Outcome::Again {
        status,
        retry_after_ms,
        form: FormState { values, errors: form.errors.into_iter().map(named).collect(), message: form.message },
    }
}

fn inputs(filled: Filled) -> Result<Inputs, ServiceError> {
    let Some(raw) = filled.raw else { return Ok(Inputs::Form { fields: filled.texts, files: filled.files }) };
    let body = if raw.trim().is_empty() {
        Value::Object(serde_json::Map::new())
    } else {
        if let Some(why) = crate::extract::objection(raw.as_bytes()) {
            return Err(ServiceError::field(RAW_INPUTS, format!("This can be read in more than one way: {why}.")));
        }
        serde_json::from_str(&raw)
            .map_err(|error| ServiceError::field(RAW_INPUTS, format!("This is no JSON object: {error}.")))?
    };
    Ok(Inputs::Json { body, files: filled.files })
}

async fn fill(host: &Host, visitor: &Visitor, actor: &Actor, mut form: Multipart) -> Result<Filled, ServiceError> {
    let mut filled = Filled::default();
    let (mut proved, mut count) = (false, 0);
    while let Some(mut field) = form.try_next().await.map_err(|error| unreadable(&error))? {
        count += 1;
        if count > FIELDS {
            return Err(ServiceError::TooLarge(format!("A form may have at most {FIELDS} fields.")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.content_disposition().and_then(|found| found.get_filename()).map(ToOwned::to_owned);
        let media_type =
            field.content_type().map_or_else(|| "application/octet-stream".to_owned(), ToString::to_string);
        if name == CSRF && file_name.is_none() {
            prove(visitor, &text(read(&mut field, TEXT_BYTES).await?)?)?;
            proved = true;
            continue;
        }
        if !proved {
            prove(visitor, "")?;
        }
        match (file_name, name.strip_prefix(INPUT_PREFIX)) {
            (Some(file), Some(input)) => {
                let content = receive(host, actor, &mut field).await?;
                // Browsers send an empty, nameless file where none was chosen.
                if file.is_empty() && content.size() == 0 {
                    continue;
                }
                let input = if name == RAW_FILE { "file" } else { input };
                let new = NewFile { name: file, media_type, created_by: actor.name().to_owned(), run_id: None };
                let stored = blobs::put_spool(&host.weir, actor.tenant, new, content).await?;
                filled.files.insert(input.to_owned(), stored);
            }
            (None, Some(input)) => {
                let typed = text(read(&mut field, TEXT_BYTES).await?)?;
                if !typed.is_empty() {
                    filled.texts.insert(input.to_owned(), typed);
                }
            }
            (None, None) if name == RAW_INPUTS => filled.raw = Some(text(read(&mut field, TEXT_BYTES).await?)?),
            _ => return Err(ServiceError::field(name.clone(), format!("`{name}` is no field of this form."))),
        }
    }
    if !proved {
        prove(visitor, "")?;
    }
    Ok(filled)
}

async fn receive(host: &Host, actor: &Actor, field: &mut actix_multipart::Field) -> Result<blobs::Spool, ServiceError> {
    let mut content = blobs::spool(&host.weir, actor.tenant).await?;
    while let Some(chunk) = field.try_next().await.map_err(|error| unreadable(&error))? {
        content = blobs::receive(content, chunk).await?;
    }
    Ok(content)
}

async fn read(field: &mut actix_multipart::Field, limit: usize) -> Result<Bytes, ServiceError> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = field.try_next().await.map_err(|error| unreadable(&error))? {
        if bytes.len() + chunk.len() > limit {
            let name = field.name().unwrap_or_default();
            return Err(ServiceError::TooLarge(format!("`{name}` is larger than {} MiB.", limit / 1024 / 1024)));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

fn text(bytes: Bytes) -> Result<String, ServiceError> {
    String::from_utf8(bytes.into()).map_err(|_| ServiceError::BadRequest("A field of the form is no UTF-8.".to_owned()))
}

fn unreadable(error: &impl std::fmt::Display) -> ServiceError {
    ServiceError::BadRequest(format!("The form cannot be read: {error}"))
}
