//! `document_extractor`: the text, tables and metadata that a document holds.
//!
//! Invariant: only text that is in the file as text; a picture of text is for `ocr_processor`.

use std::sync::Arc;

use async_trait::async_trait;
use domain::Failure;
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MarkedField};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::documents::{self, Page, Selection, Table};
use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The document: PDF, DOCX, XLSX, PPTX, HTML, CSV, Markdown, e-mail or plain text.
    #[schemars(schema_with = "spec::file_value")]
    file: Value,
    /// The pages, sheets or slides to read; all if left out.
    #[serde(default)]
    #[schemars(schema_with = "pages_schema")]
    pages: Option<Value>,
    /// Whether tables are looked for.
    #[serde(default = "yes")]
    tables: bool,
    /// Whether a document without any text is fine; otherwise it fails with `no_text_layer`.
    #[serde(default)]
    allow_empty: bool,
}

const fn yes() -> bool {
    true
}

/// The schema of every `pages` field: a number, or text like `1-3,5`.
pub(crate) fn pages_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": ["string", "integer"],
        "minimum": 1,
        "description": "Pages to read, counted from 1: a number, or ranges like \"1-3,5\"; \"4-\" reaches the end. All if left out.",
        "examples": ["1-3,5", "1", "2-"],
    })
}

/// Reads a `pages` field.
pub(crate) fn selection(pages: Option<&Value>) -> Result<Option<Selection>, Failure> {
    let text = match pages {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(_) => {
            return Err(config::input_fault("pages_invalid", "`pages` must be text like \"1-3,5\" or a number."));
        }
    };
    Selection::parse(&text).map(Some).map_err(|message| config::input_fault("pages_invalid", message))
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The text of all chosen pages, an empty line between them.
    text: String,
    /// The text by page, sheet or slide; a document without pages is one page.
    pages: Vec<Page>,
    /// The tables, in order; empty with `tables: false`.
    tables: Vec<Table>,
    /// What the document says about itself: `title`, `author`, `created_at` ...
    metadata: Map<String, Value>,
}

pub(crate) struct DocumentExtractor {
    spec: ExecutorSpec,
    sandbox: Arc<sandbox::Pool>,
}

impl DocumentExtractor {
    pub(crate) fn new(sandbox: Arc<sandbox::Pool>) -> Self {
        let spec = ExecutorSpec {
            marked: vec![MarkedField { field: "text".into(), kind: DataKind::Text }],
            ..spec::of_file::<Config, Output>(
                "document_extractor",
                "Reads text, tables and metadata out of a document: PDF, Office, HTML, CSV, Markdown, e-mail, text.",
            )
        };
        Self { spec, sandbox }
    }
}

#[async_trait]
impl Executor for DocumentExtractor {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        let file = config::file(&config.file, "file")?;
        let pages = selection(config.pages.as_ref())?;
        let extracted = config::unless_cancelled(call, async {
            let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
            documents::extract(&config::share(&self.sandbox, call), bytes, &file.name, pages).await
        })
        .await?;
        let text = extracted.text();
        if text.is_empty() && !config.allow_empty {
            return Err(documents::no_text_layer().into());
        }
        let tables = if config.tables { extracted.tables } else { Vec::new() };
        Ok(Done::free(json!({
            "text": text,
            "pages": extracted.pages,
            "tables": tables,
            "metadata": extracted.metadata,
        })))
    }
}
