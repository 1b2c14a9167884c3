//! `file_analyzer`: what a file is, by its content.
//!
//! Invariant: never fails because of what a file holds; what cannot be told is null.

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Call, Done, Executor, Failed};
use language::ExecutorSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::documents::{self, FileType};
use crate::{config, spec};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// The file to look at.
    #[schemars(schema_with = "spec::file_value")]
    file: Value,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The kind of file, by its content.
    file_type: FileType,
    /// The media type that was recognised, such as `application/pdf`.
    media_type: String,
    size_bytes: u64,
    /// Lower-case hex SHA-256 of the bytes.
    sha256: String,
    /// Pages, sheets or slides; null for files that have none.
    pages: Option<u32>,
    /// The encoding of a text, by its WHATWG name: `utf-8`, `windows-1252` ...
    encoding: Option<String>,
    /// ISO 639-1 code of the text's language; null where it is not clear.
    language: Option<String>,
    /// Pixels, of an image.
    width: Option<u32>,
    /// Pixels, of an image.
    height: Option<u32>,
}

pub(crate) struct FileAnalyzer {
    spec: ExecutorSpec,
    sandbox: Arc<sandbox::Pool>,
}

impl FileAnalyzer {
    pub(crate) fn new(sandbox: Arc<sandbox::Pool>) -> Self {
        let spec = spec::of_file::<Config, Output>("file_analyzer", "Finds out what a file is, by its content.");
        Self { spec, sandbox }
    }
}

#[async_trait]
impl Executor for FileAnalyzer {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        let file = config::file(&config.file, "file")?;
        let output = config::unless_cancelled(call, async {
            let bytes = call.blobs.get_file(&file).await.map_err(|error| config::storage_fault(&error))?;
            let sha256 = hex::encode(Sha256::digest(&bytes));
            let size_bytes = bytes.len();
            let found = documents::analyze(&config::share(&self.sandbox, call), bytes, &file.name).await?;
            Ok(json!({
                "file_type": found.file_type,
                "media_type": found.media_type,
                "size_bytes": size_bytes,
                "sha256": sha256,
                "pages": found.pages,
                "encoding": found.encoding,
                "language": found.language,
                "width": found.width,
                "height": found.height,
            }))
        })
        .await?;
        Ok(Done::free(output))
    }
}
