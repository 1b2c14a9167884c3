//! `generic_processor`: the text of any file, by the best way for what it is.
//!
//! Invariant: a file without text is no failure: its `text` is empty and its `method` is `none`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Failure, FileRef};
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MainInput, MarkedField};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::documents::{self, FileType};
use crate::ocr_processor::{Ocr, Reading};
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
    /// There is no text.
    None,
}

pub(crate) struct GenericProcessor {
    spec: ExecutorSpec,
    sandbox: Arc<sandbox::Pool>,
    ocr: Arc<Ocr>,
}

impl GenericProcessor {
    pub(crate) fn new(sandbox: Arc<sandbox::Pool>, ocr: Arc<Ocr>) -> Self {
        let spec = ExecutorSpec {
            main_input: Some(MainInput { field: "file".into(), kind: DataKind::File, list: false, required: true }),
            marked: vec![MarkedField { field: "text".into(), kind: DataKind::Text }],
            streams: true,
            ..spec::plain::<Config, Output>(
                "generic_processor",
                "Reads the text of any file by the best way for what it is: its text layer, else OCR.",
            )
        };
        Self { spec, sandbox, ocr }
    }

    async fn read(&self, call: &Call, bytes: Bytes, file: &FileRef) -> Result<(String, FileType, Method), Failure> {
        let found = documents::analyze(&config::share(&self.sandbox, call), bytes.clone(), &file.name).await?;
        let kind = found.file_type;
        if matches!(kind, FileType::Audio | FileType::Archive | FileType::Unknown) {
            return Ok((String::new(), kind, Method::None));
        }
        if kind != FileType::Image {
            let text =
                documents::extract(&config::share(&self.sandbox, call), bytes.clone(), &file.name, None).await?.text();
            if !text.is_empty() {
                return Ok((text, kind, Method::Extraction));
            }
        }
        if !matches!(kind, FileType::Image | FileType::Pdf) {
            return Ok((String::new(), kind, Method::None));
        }
        let text = self.ocr.text(call, bytes, file, Reading::default()).await?;
        let method = if text.is_empty() { Method::None } else { Method::Ocr };
        Ok((text, kind, method))
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
        let (text, file_type, method) = config::unless_cancelled(call, async {
            let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
            self.read(call, bytes, &file).await
        })
        .await?;
        Ok(Done::free(json!({"text": text, "file_type": file_type, "method": method})))
    }
}
