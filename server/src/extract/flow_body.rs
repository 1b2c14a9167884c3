//! A flow as a body: YAML, JSON or a zip of its folder, by content type.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest};
use bytes::Bytes;
use language::Folder;
use service::flows::folder::{self, FolderForm};

use super::body::{collect, media_type, unsupported};
use crate::problem::Fault;

/// Bytes of a packed folder.
const ZIP_BYTES: usize = 8 * 1024 * 1024;
const TAKEN: &str = "application/yaml, application/json, application/zip";

#[derive(Debug)]
pub(crate) struct FlowBody {
    content: Result<Bytes, Fault>,
    media_type: String,
}

impl FlowBody {
    pub(crate) fn read(self, name: &str) -> Result<Folder, Fault> {
        let form = match self.media_type.as_str() {
            // curl's default for `--data-binary` says nothing about the content.
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" | "text/plain" | "" => {
                FolderForm::Yaml
            }
            "application/json" => FolderForm::Json,
            "application/zip" | "application/x-zip-compressed" => FolderForm::Zip,
            other => return Err(unsupported(other, TAKEN)),
        };
        Ok(folder::read(name, form, &self.content?)?)
    }
}

impl FromRequest for FlowBody {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Fault>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let media_type = media_type(request);
        let payload = payload.take();
        Box::pin(async move { Ok(Self { content: collect(payload, ZIP_BYTES).await, media_type }) })
    }
}

/// The tag in `If-Match`, without its quotes.
pub(crate) fn if_match(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::IF_MATCH)?.to_str().ok()?.trim();
    Some(value.trim_start_matches("W/").trim_matches('"').to_owned())
}
