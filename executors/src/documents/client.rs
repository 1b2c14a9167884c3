//! The server's side of reading documents: hands bytes to a sandbox child and takes its answer.
//!
//! Invariant: every job runs under limits; dropping the future ends its child.

use std::time::Duration;

use bytes::Bytes;
use domain::{Failure, FailureKind};
use sandbox::{Limits, SandboxError, Share};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::faults;
use super::jobs::{
    ANALYZE, AnalyzeRequest, Analyzed, EXTRACT, ExtractRequest, Extracted, PAGES, PICTURE, PagesRequest, Picture,
    PictureRequest, TextPage,
};
use super::selection::Selection;

/// What reading one document, or drawing one page, may take.
fn limits() -> Limits {
    Limits::document()
}

/// Looking at a file is for deciding what to do with it: quick, or shallow.
fn quick() -> Limits {
    Limits { wall: Duration::from_secs(20), cpu: Duration::from_secs(15), ..limits() }
}

pub(crate) async fn analyze(share: &Share, bytes: Bytes, name: &str) -> Result<Analyzed, Failure> {
    let request = AnalyzeRequest { name: name.to_owned(), deep: true };
    match job(share, ANALYZE, &request, bytes.clone(), quick()).await {
        Ok((analyzed, _)) => Ok(analyzed),
        // A file whose insides cannot be looked at is still a file of some kind.
        Err(SandboxError::Memory | SandboxError::Time | SandboxError::Crashed(_)) => {
            let request = AnalyzeRequest { deep: false, ..request };
            job(share, ANALYZE, &request, bytes, quick()).await.map(|(analyzed, _)| analyzed).map_err(faults::failure)
        }
        Err(error) => Err(faults::failure(error)),
    }
}

pub(crate) async fn extract(
    share: &Share,
    bytes: Bytes,
    name: &str,
    pages: Option<Selection>,
) -> Result<Extracted, Failure> {
    let request = ExtractRequest { name: name.to_owned(), pages };
    job(share, EXTRACT, &request, bytes, limits()).await.map(|(extracted, _)| extracted).map_err(faults::failure)
}

/// The pages of a PDF with the places of their words.
pub(crate) async fn text_pages(
    share: &Share,
    bytes: Bytes,
    pages: Option<Selection>,
) -> Result<Vec<TextPage>, Failure> {
    job(share, PAGES, &PagesRequest { pages }, bytes, limits()).await.map(|(pages, _)| pages).map_err(faults::failure)
}

/// A page of a PDF or of a TIFF, or an image for `None`, as a portable grey map.
pub(crate) async fn picture(share: &Share, bytes: Bytes, page: Option<u32>) -> Result<(Picture, Bytes), Failure> {
    job(share, PICTURE, &PictureRequest { page }, bytes, limits()).await.map_err(faults::failure)
}

async fn job<T: DeserializeOwned>(
    share: &Share,
    name: &str,
    request: &impl Serialize,
    bytes: Bytes,
    limits: Limits,
) -> Result<(T, Bytes), SandboxError> {
    let protocol = |error: serde_json::Error| SandboxError::Start(error.to_string());
    let input = serde_json::to_value(request).map_err(protocol)?;
    let answer = share.run(name, input, bytes, limits).await?;
    Ok((serde_json::from_value(answer.output).map_err(protocol)?, answer.payload))
}

/// The failure of a document without text.
pub(crate) fn no_text_layer() -> Failure {
    let message = "The document has no text layer. If it is a scan, read it with `ocr_processor`; \
                   if no text is fine, set `allow_empty`.";
    Failure::new(FailureKind::Document, "no_text_layer", message)
}
