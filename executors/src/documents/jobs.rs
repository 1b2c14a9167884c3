//! The child's side of reading documents: four jobs and the values they give.
//!
//! Invariant: a job's answer holds only what was asked for; a faulty part of an analysis leaves its field empty instead of
//! failing it.

use std::panic::{self, AssertUnwindSafe};

use bytes::Bytes;
use sandbox::{Handlers, JobError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::kind::{self, FileType, Kind};
use super::selection::Selection;
use super::{delimited, docx, email, markup, pdf, pptx, raster, text, tiff, workbook};

pub(super) const ANALYZE: &str = "executors.analyze";
pub(super) const EXTRACT: &str = "executors.extract";
pub(super) const PICTURE: &str = "executors.picture";
pub(super) const PAGES: &str = "executors.pages";

/// Pages that are read to tell a document's language.
const LANGUAGE_PAGES: u32 = 3;

/// Adds the jobs of this room to a child's.
pub(crate) fn handlers(handlers: Handlers) -> Handlers {
    handlers
        .with(ANALYZE, |input, payload| {
            let request: AnalyzeRequest = read(input)?;
            Ok((write(&analyze(&payload, &request))?, Bytes::new()))
        })
        .with(EXTRACT, |input, payload| {
            let request: ExtractRequest = read(input)?;
            Ok((write(&extract(&payload, &request)?)?, Bytes::new()))
        })
        .with(PICTURE, |input, payload| {
            let request: PictureRequest = read(input)?;
            let (picture, bytes) = match request.page {
                Some(page) if kind::of(&payload, "").file_type == FileType::Pdf => raster::page(&payload, page)?,
                Some(page) => raster::image_page(&payload, page)?,
                None => raster::image(&payload)?,
            };
            Ok((write(&picture)?, bytes))
        })
        .with(PAGES, |input, payload| {
            let request: PagesRequest = read(input)?;
            Ok((write(&pdf::text_pages(&payload, request.pages.as_ref())?)?, Bytes::new()))
        })
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AnalyzeRequest {
    pub name: String,
    /// Also what takes parsing: pages, language, size.
    pub deep: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExtractRequest {
    pub name: String,
    pub pages: Option<Selection>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PictureRequest {
    /// `None` for an image file of one page.
    pub page: Option<u32>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PagesRequest {
    pub pages: Option<Selection>,
}

/// A page of a PDF with the places of its words, as far as they are text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TextPage {
    /// From 1.
    pub number: u32,
    pub text: String,
    /// In pixels, as a picture of the page would have.
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// `[x, y, width, height]` in those pixels.
    pub words: Vec<(String, [u32; 4])>,
    /// Whether the page has anything besides text that could be text: images, lines, shapes.
    pub drawn: bool,
}

impl TextPage {
    pub(crate) const fn empty(number: u32, drawn: bool) -> Self {
        Self { number, text: String::new(), width: None, height: None, words: Vec::new(), drawn }
    }
}

/// What a file is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Analyzed {
    pub file_type: FileType,
    pub media_type: String,
    pub pages: Option<u32>,
    pub encoding: Option<String>,
    pub language: Option<String>,
    pub width: Option<u32>,
    pub height: Option<u32>,
}

/// What stands in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Extracted {
    pub file_type: FileType,
    pub pages: Vec<Page>,
    pub tables: Vec<Table>,
    pub metadata: Map<String, Value>,
    pub encoding: Option<String>,
    /// Pages in the whole document, also those that were not asked for.
    pub page_count: Option<u32>,
}

/// One page, sheet or slide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Page {
    /// From 1.
    pub number: u32,
    pub text: String,
}

/// Rows of cells, as text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Table {
    /// The page, sheet or slide that it stands on.
    pub page: Option<u32>,
    /// The sheet's name, in a workbook.
    pub name: Option<String>,
    pub rows: Vec<Vec<String>>,
}

/// A page in pixels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    /// Pixels of the picture for one of the file.
    pub scale: f64,
    pub dpi: f64,
    /// Pages in the whole document.
    pub pages: u32,
}

impl Extracted {
    pub(super) fn new(file_type: FileType) -> Self {
        Self {
            file_type,
            pages: Vec::new(),
            tables: Vec::new(),
            metadata: Map::new(),
            encoding: None,
            page_count: None,
        }
    }

    /// For documents without pages: all of the text is page one.
    pub(super) fn set_text(&mut self, text: String) {
        self.pages = vec![Page { number: 1, text }];
    }

    /// The pages' texts, an empty line between them.
    pub(crate) fn text(&self) -> String {
        let texts: Vec<&str> = self.pages.iter().map(|page| page.text.trim()).filter(|text| !text.is_empty()).collect();
        texts.join("\n\n")
    }
}

fn extract(bytes: &[u8], request: &ExtractRequest) -> Result<Extracted, JobError> {
    let kind = kind::of(bytes, &request.name);
    let mut extracted = parse(bytes, &kind, request.pages.as_ref())?;
    if let Some(selection) = &request.pages {
        extracted.pages.retain(|page| selection.contains(page.number));
        extracted.tables.retain(|table| table.page.is_none_or(|page| selection.contains(page)));
        if extracted.pages.is_empty() {
            return Err(JobError::new("no_such_page", "The document has none of the pages that were asked for."));
        }
    }
    Ok(extracted)
}

fn parse(bytes: &[u8], kind: &Kind, pages: Option<&Selection>) -> Result<Extracted, JobError> {
    if kind.locked {
        return Err(JobError::new("document_encrypted", "The document is locked by a password."));
    }
    let mut extracted = match kind.file_type {
        FileType::Pdf => pdf::extract(bytes, pages)?,
        FileType::Docx => docx::extract(bytes)?,
        FileType::Xlsx => workbook::extract(bytes)?,
        FileType::Pptx => pptx::extract(bytes)?,
        FileType::Html => markup::extract_html(bytes)?,
        FileType::Csv => delimited::extract(bytes)?,
        FileType::Email => email::extract(bytes)?,
        FileType::Text if kind.media_type == "text/markdown" => markup::extract_markdown(bytes),
        FileType::Text => {
            let decoded = text::decode(bytes);
            let mut extracted = Extracted::new(FileType::Text);
            extracted.set_text(text::tidy(&decoded.text));
            extracted.encoding = Some(decoded.encoding);
            extracted
        }
        // A picture of text has no text layer; whoever asks may run OCR.
        FileType::Image => {
            let mut extracted = Extracted::new(FileType::Image);
            extracted.set_text(String::new());
            extracted
        }
        FileType::Audio | FileType::Archive | FileType::Unknown => {
            let message = format!("A file of type {} holds no text that can be read.", kind.media_type);
            return Err(JobError::new("unsupported_document", message));
        }
    };
    extracted.page_count.get_or_insert(u32::try_from(extracted.pages.len()).unwrap_or(u32::MAX));
    Ok(extracted)
}

fn analyze(bytes: &[u8], request: &AnalyzeRequest) -> Analyzed {
    let kind = kind::of(bytes, &request.name);
    let mut analyzed = Analyzed {
        file_type: kind.file_type,
        media_type: kind.media_type.clone(),
        pages: None,
        encoding: None,
        language: None,
        width: None,
        height: None,
    };
    if !request.deep {
        return analyzed;
    }
    if kind.file_type == FileType::Image {
        (analyzed.width, analyzed.height) = raster::dimensions(bytes).unzip();
        analyzed.pages = tiff::pages(bytes).filter(|pages| *pages > 1);
        return analyzed;
    }
    let first = Selection::first(LANGUAGE_PAGES);
    // A parser that panics on the content says nothing about what the file is.
    if let Ok(Ok(extracted)) = panic::catch_unwind(AssertUnwindSafe(|| parse(bytes, &kind, Some(&first)))) {
        let paged = matches!(kind.file_type, FileType::Pdf | FileType::Docx | FileType::Xlsx | FileType::Pptx);
        analyzed.pages = extracted.page_count.filter(|_| paged);
        analyzed.language = text::language(&extracted.text());
        analyzed.encoding = extracted.encoding;
    }
    analyzed
}

fn read<T: serde::de::DeserializeOwned>(input: Value) -> Result<T, JobError> {
    serde_json::from_value(input).map_err(|error| JobError::new("sandbox_protocol", error.to_string()))
}

fn write<T: Serialize>(output: &T) -> Result<Value, JobError> {
    serde_json::to_value(output).map_err(|error| JobError::new("sandbox_protocol", error.to_string()))
}
