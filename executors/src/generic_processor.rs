//! `generic_processor`: the text of any file, by the best way for what it is.
//!
//! Invariant: a file without text is no failure: its `text` is empty and its `method` is `none`.

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MarkedField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::document_reader::{ReadPage, Reader, Source, Wish, joined};
use crate::documents::FileType;
use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file to read, of any kind.
    #[schemars(schema_with = "spec::file_value")]
    file: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The text, where there is any.
    text: String,
    /// The kind of file, by its content.
    file_type: FileType,
    /// How the text was found.
    method: Method,
}

#[derive(Debug, Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Method {
    /// The text was in the file as text.
    Extraction,
    /// The text was read from pixels.
    Ocr,
    /// Some pages held text, others were read from pixels.
    Mixed,
    /// There is no text.
    None,
}

pub(crate) struct GenericProcessor {
    spec: ExecutorSpec,
    reader: Arc<Reader>,
}

impl GenericProcessor {
    pub(crate) fn new(reader: Arc<Reader>) -> Self {
        let spec = ExecutorSpec {
            marked: vec![MarkedField { field: "text".into(), kind: DataKind::Text }],
            streams: true,
            ..spec::of_file::<Config, Output>(
                "generic_processor",
                "Reads the text of any file by the best way for what it is: its text layer, else OCR.",
            )
        };
        Self { spec, reader }
    }
}

/// How the pages that have text were read.
fn method(pages: &[ReadPage]) -> Method {
    let any = |source: Source| pages.iter().any(|page| page.source == source && !page.text.is_empty());
    match (any(Source::TextLayer), any(Source::Ocr)) {
        (true, true) => Method::Mixed,
        (true, false) => Method::Extraction,
        (false, true) => Method::Ocr,
        (false, false) => Method::None,
    }
}

#[async_trait]
impl Executor for GenericProcessor {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        let file = config::file(&config.file, "file")?;
        let (file_type, pages) = config::unless_cancelled(call, async {
            let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
            self.reader.read(call, bytes, &file, Wish::default()).await
        })
        .await?;
        Ok(Done::free(json!({"text": joined(&pages), "file_type": file_type, "method": method(&pages)})))
    }
}
