//! `ocr_processor`: words with their places out of images and scanned pages.
//!
//! Invariant: pages are drawn in the sandbox and read by Tesseract, at most [`PAGES_AT_ONCE`] of a file at a time; the
//! output's order is that of the pages.

mod tesseract;
mod words;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Failure, FailureKind, FileRef};
use engine::{Call, Done, Executor, Failed};
use futures_util::{StreamExt, TryStreamExt, stream};
use language::{DataKind, ExecutorSpec, MarkedField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::document_extractor::{pages_schema, selection};
use crate::document_reader::{ReadPage, Source};
use crate::documents::{self, FileType, Selection};
use crate::{config, spec};

use tesseract::Tesseract;
use words::PageWords;
pub(crate) use words::Word;

const PAGES_AT_ONCE: usize = 2;
/// Pages of one file that one step reads at most.
const PAGES: usize = 500;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// An image (PNG, JPEG, TIFF, WebP, BMP, GIF) or a PDF.
    #[schemars(schema_with = "spec::file_value")]
    file: Value,
    /// Languages of the text by Tesseract's names, the likeliest first.
    #[serde(default = "english")]
    #[schemars(length(min = 1, max = 8), example = ["eng", "deu"])]
    languages: Vec<String>,
    /// The pages of a PDF or a TIFF to read; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "pages_schema")]
    pages: Option<Value>,
    /// Words that are less sure than this are left out, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    min_confidence: f64,
}

fn english() -> Vec<String> {
    vec!["eng".to_owned()]
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The text of all chosen pages, an empty line between them.
    text: String,
    pages: Vec<OutputPage>,
    /// How sure the words are, on average, 0 to 1; null without any words.
    confidence: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct OutputPage {
    /// From 1.
    number: u32,
    text: String,
    /// The size that the boxes refer to, in pixels.
    width: u32,
    /// The size that the boxes refer to, in pixels.
    height: u32,
    words: Vec<Word>,
}

/// Reads pixels; the reader of documents does so with the pages that hold no text.
pub(crate) struct Ocr {
    sandbox: Arc<sandbox::Pool>,
    engine: Tesseract,
}

/// What to read, and how.
struct Reading {
    languages: Vec<String>,
    pages: Option<Selection>,
    min_confidence: f64,
}

impl Ocr {
    pub(crate) fn new(sandbox: Arc<sandbox::Pool>) -> Self {
        Self { sandbox, engine: Tesseract::new() }
    }

    async fn read(
        &self,
        call: &Call,
        bytes: Bytes,
        file: &FileRef,
        reading: Reading,
    ) -> Result<Vec<OutputPage>, Failure> {
        let share = config::share(&self.sandbox, call);
        let languages = self.engine.languages(&reading.languages).await?;
        let found = documents::analyze(&share, bytes.clone(), &file.name).await?;
        let pages: Vec<Option<u32>> = match found.file_type {
            FileType::Image if found.pages.is_none() => vec![None],
            FileType::Image | FileType::Pdf => {
                // Whatever kept the analysis from counting will say so when page one is drawn.
                let chosen = Selection::of(reading.pages.as_ref(), found.pages.unwrap_or(1));
                chosen.into_iter().map(Some).collect()
            }
            _ => {
                let message = format!("OCR reads images and PDF, but the file is {}.", found.media_type);
                return Err(Failure::new(FailureKind::Document, "unsupported_document", message));
            }
        };
        if pages.is_empty() {
            let message = "The document has none of the pages that were asked for.";
            return Err(config::input_fault("no_such_page", message));
        }
        if pages.len() > PAGES {
            let message = format!("OCR reads at most {PAGES} pages in one step; choose some with `pages`.");
            return Err(Failure::new(FailureKind::Document, "document_too_large", message));
        }
        let total = pages.len() as u64;
        let mut read = stream::iter(pages)
            .map(|page| self.drawn(call, bytes.clone(), page, &languages, reading.min_confidence))
            .buffered(PAGES_AT_ONCE);
        let mut done = Vec::new();
        while let Some(page) = read.try_next().await? {
            done.push(page);
            call.progress.advanced(done.len() as u64, Some(total), "pages");
        }
        Ok(done)
    }

    /// One page, whose text is known to be in its pixels alone.
    pub(crate) async fn page(
        &self,
        call: &Call,
        bytes: Bytes,
        page: u32,
        languages: &[String],
    ) -> Result<ReadPage, Failure> {
        let languages = self.engine.languages(languages).await?;
        let OutputPage { number, text, width, height, words } =
            self.drawn(call, bytes, Some(page), &languages, 0.0).await?;
        let source = if text.is_empty() { Source::None } else { Source::Ocr };
        Ok(ReadPage { number, source, text, width: Some(width), height: Some(height), words })
    }

    async fn drawn(
        &self,
        call: &Call,
        bytes: Bytes,
        page: Option<u32>,
        languages: &str,
        min_confidence: f64,
    ) -> Result<OutputPage, Failure> {
        let (picture, pixels) = documents::picture(&config::share(&self.sandbox, call), bytes, page).await?;
        let read: PageWords =
            self.engine.read(call.tenant, &picture, pixels, languages).await?.at_least(min_confidence);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a picture of limited size")]
        let side = |pixels: u32| (f64::from(pixels) / picture.scale).round() as u32;
        Ok(OutputPage {
            number: page.unwrap_or(1),
            text: read.text(),
            width: side(picture.width),
            height: side(picture.height),
            words: read.words().cloned().collect(),
        })
    }
}

fn joined(pages: &[OutputPage]) -> String {
    let texts: Vec<&str> = pages.iter().map(|page| page.text.as_str()).filter(|text| !text.is_empty()).collect();
    texts.join("\n\n")
}

pub(crate) struct OcrProcessor {
    spec: ExecutorSpec,
    ocr: Arc<Ocr>,
}

impl OcrProcessor {
    pub(crate) fn new(ocr: Arc<Ocr>) -> Self {
        let spec = ExecutorSpec {
            marked: vec![MarkedField { field: "text".into(), kind: DataKind::Text }],
            streams: true,
            ..spec::of_file::<Config, Output>(
                "ocr_processor",
                "Reads the text of images and scanned pages, with the place and confidence of each word.",
            )
        };
        Self { spec, ocr }
    }
}

#[async_trait]
impl Executor for OcrProcessor {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        let file = config::file(&config.file, "file")?;
        let reading = Reading {
            languages: config.languages,
            pages: selection(config.pages.as_ref())?,
            min_confidence: config.min_confidence,
        };
        let pages = config::unless_cancelled(call, async {
            let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
            self.ocr.read(call, bytes, &file, reading).await
        })
        .await?;
        let confidence = words::confidence(pages.iter().flat_map(|page| &page.words));
        Ok(Done::free(json!({"text": joined(&pages), "pages": pages, "confidence": confidence})))
    }
}
