//! `document_pipeline`: a document page by page, text layer or OCR as each page needs.
//!
//! Invariant: every chosen page is in the output, in order, and says where its text came from.

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MarkedField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::document_extractor::{pages_schema, selection};
use crate::document_reader::{ReadPage, Reader, Wish, joined};
use crate::documents::FileType;
use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The document: PDF, image, Office, HTML, CSV, Markdown, e-mail or plain text.
    #[schemars(schema_with = "spec::file_value")]
    file: Value,
    /// Languages of scanned text by Tesseract's names, the likeliest first.
    #[serde(default = "english")]
    #[schemars(length(min = 1, max = 8), example = ["eng", "deu"])]
    languages: Vec<String>,
    /// The pages to read; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "pages_schema")]
    pages: Option<Value>,
    /// Words of scanned pages that are less sure than this are left out of `words`, 0 to 1.
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
    /// The kind of file, by its content.
    file_type: FileType,
    pages: Vec<ReadPage>,
}

pub(crate) struct DocumentPipeline {
    spec: ExecutorSpec,
    reader: Arc<Reader>,
}

impl DocumentPipeline {
    pub(crate) fn new(reader: Arc<Reader>) -> Self {
        let spec = ExecutorSpec {
            marked: vec![MarkedField { field: "text".into(), kind: DataKind::Text }],
            streams: true,
            ..spec::of_file::<Config, Output>(
                "document_pipeline",
                "Reads a document page by page, each by its text layer or by OCR, with the places of its words.",
            )
        };
        Self { spec, reader }
    }
}

#[async_trait]
impl Executor for DocumentPipeline {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        let file = config::file(&config.file, "file")?;
        let pages = selection(config.pages.as_ref())?;
        let wish = Wish { languages: config.languages, pages, min_confidence: config.min_confidence };
        let (file_type, pages) = config::unless_cancelled(call, async {
            let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
            self.reader.read(call, bytes, &file, wish).await
        })
        .await?;
        Ok(Done::free(json!(Output { text: joined(&pages), file_type, pages })))
    }
}
