//! Any document page by page, each by its own best way: the text it holds, else OCR.
//!
//! Invariant: a page that holds text is never sent to OCR, nor is one on which nothing is drawn.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{Failure, FailureKind, FileRef};
use engine::Call;
use futures_util::{StreamExt, TryStreamExt, stream};
use sandbox::Pool;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::config;
use crate::documents::{self, FileType, Selection, TextPage};
use crate::ocr_processor::{Ocr, Word};

const PAGES_AT_ONCE: usize = 2;
/// Pages of one file that one step reads at most.
const PAGES: usize = 500;
/// What OCR found on a page is remembered so long, if it is small.
const REMEMBERED: Duration = Duration::from_secs(30 * 24 * 3600);
const SMALL: usize = 64 * 1024;

/// Where a page's text came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// The file holds it as text.
    TextLayer,
    /// It was read from pixels.
    Ocr,
    /// The page has no text.
    None,
}

/// One page, sheet or slide, with its words where they have places.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ReadPage {
    /// From 1.
    pub(crate) number: u32,
    pub(crate) source: Source,
    pub(crate) text: String,
    /// The size that the boxes refer to, in pixels; null where pages have no size.
    pub(crate) width: Option<u32>,
    /// The size that the boxes refer to, in pixels; null where pages have no size.
    pub(crate) height: Option<u32>,
    pub(crate) words: Vec<Word>,
}

/// What to read, and how.
pub(crate) struct Wish {
    pub(crate) languages: Vec<String>,
    pub(crate) pages: Option<Selection>,
    pub(crate) min_confidence: f64,
}

impl Default for Wish {
    fn default() -> Self {
        Self { languages: vec!["eng".to_owned()], pages: None, min_confidence: 0.0 }
    }
}

/// Reads documents of every kind.
pub(crate) struct Reader {
    sandbox: Arc<Pool>,
    ocr: Arc<Ocr>,
}

impl Reader {
    pub(crate) const fn new(sandbox: Arc<Pool>, ocr: Arc<Ocr>) -> Self {
        Self { sandbox, ocr }
    }

    /// The pages, and what kind of file it is. No pages for a file that can hold no text.
    pub(crate) async fn read(
        &self,
        call: &Call,
        bytes: Bytes,
        file: &FileRef,
        wish: Wish,
    ) -> Result<(FileType, Vec<ReadPage>), Failure> {
        let share = config::share(&self.sandbox, call);
        let found = documents::analyze(&share, bytes.clone(), &file.name).await?;
        let kind = found.file_type;
        let pages = match kind {
            FileType::Audio | FileType::Archive | FileType::Unknown => Vec::new(),
            FileType::Image => {
                let chosen = Selection::of(wish.pages.as_ref(), found.pages.unwrap_or(1));
                let pages = chosen.into_iter().map(|number| TextPage::empty(number, true)).collect();
                self.complete(call, bytes, pages, &wish).await?
            }
            FileType::Pdf => {
                let pages = documents::text_pages(&share, bytes.clone(), wish.pages.clone()).await?;
                self.complete(call, bytes, pages, &wish).await?
            }
            _ => {
                let extracted = documents::extract(&share, bytes, &file.name, wish.pages).await?;
                extracted.pages.into_iter().map(plain).collect()
            }
        };
        Ok((kind, pages))
    }

    /// Sends the pages without text through OCR; their order stays.
    async fn complete(
        &self,
        call: &Call,
        bytes: Bytes,
        pages: Vec<TextPage>,
        wish: &Wish,
    ) -> Result<Vec<ReadPage>, Failure> {
        if pages.is_empty() {
            let message = "The document has none of the pages that were asked for.";
            return Err(config::input_fault("no_such_page", message));
        }
        if pages.len() > PAGES {
            let message = format!("At most {PAGES} pages are read in one step; choose some with `pages`.");
            return Err(Failure::new(FailureKind::Document, "document_too_large", message));
        }
        let total = pages.len() as u64;
        let hash = hex::encode(Sha256::digest(&bytes));
        let mut reading =
            stream::iter(pages).map(|page| self.one(call, bytes.clone(), &hash, page, wish)).buffered(PAGES_AT_ONCE);
        let mut done = Vec::new();
        while let Some(page) = reading.try_next().await? {
            done.push(page);
            call.progress.advanced(done.len() as u64, Some(total), "pages");
        }
        Ok(done)
    }

    async fn one(
        &self,
        call: &Call,
        bytes: Bytes,
        hash: &str,
        page: TextPage,
        wish: &Wish,
    ) -> Result<ReadPage, Failure> {
        if !page.text.is_empty() || !page.drawn {
            return Ok(held(page));
        }
        let key = format!("ocr/2/{hash}/{}/{}", page.number, wish.languages.join("+"));
        let remembered = call.values.get(&key).await.ok().flatten();
        let mut read = match remembered.and_then(|value| serde_json::from_value::<ReadPage>(value).ok()) {
            Some(read) => read,
            None => {
                let read = self.ocr.page(call, bytes, page.number, &wish.languages).await?;
                let value = json!(read);
                // A memory that cannot be written to only costs the next run its time.
                if value.to_string().len() <= SMALL
                    && let Err(error) = call.values.set(&key, &value, REMEMBERED).await
                {
                    tracing::debug!(%error, "a page's text was not remembered");
                }
                read
            }
        };
        if wish.min_confidence > 0.0 {
            read.words.retain(|word| word.confidence >= wish.min_confidence);
        }
        Ok(read)
    }
}

fn held(page: TextPage) -> ReadPage {
    let source = if page.text.is_empty() { Source::None } else { Source::TextLayer };
    let word = |(text, place)| Word { text, place, confidence: 1.0 };
    ReadPage {
        number: page.number,
        source,
        text: page.text,
        width: page.width,
        height: page.height,
        words: page.words.into_iter().map(word).collect(),
    }
}

fn plain(page: documents::Page) -> ReadPage {
    let source = if page.text.trim().is_empty() { Source::None } else { Source::TextLayer };
    ReadPage { number: page.number, source, text: page.text, width: None, height: None, words: Vec::new() }
}

/// The text of all pages, an empty line between them.
pub(crate) fn joined(pages: &[ReadPage]) -> String {
    let texts: Vec<&str> = pages.iter().map(|page| page.text.trim()).filter(|text| !text.is_empty()).collect();
    texts.join("\n\n")
}
