//! What an executor needs around it, in memory, and verbs to run one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Failure, FailureKind, FileRef, RunId, TenantId};
use engine::ports::{Blobs, ChildRequest, Children, ModelEndpoint, Models, PortError};
use engine::{Call, Registry, Settled, Unwatched};
use sandbox::{Pool, PoolConfig};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) struct Bench {
    registry: Registry,
    files: Arc<Files>,
    pub(crate) pool: Pool,
    pub(crate) cancel: CancellationToken,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut config = PoolConfig::new(env!("CARGO_BIN_EXE_executors-test-child"));
        config.max_children = 2;
        let pool = Pool::new(config);
        let egress = egress::Client::new(egress::Policy::parse("", None).unwrap()).unwrap();
        let tools = executors::Tools { egress, sandbox: Arc::new(pool.clone()) };
        Self { registry: executors::registry(&tools), files: Arc::default(), pool, cancel: CancellationToken::new() }
    }

    /// Runs an executor on a file of the fixtures' folder.
    pub(crate) async fn run(&self, executor: &str, path: &str, config: Value) -> Result<Value, Failure> {
        let bytes = std::fs::read(fixtures().join(path)).unwrap();
        let name = Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
        self.run_on(executor, &name, bytes, config).await
    }

    pub(crate) async fn run_on(
        &self,
        executor: &str,
        name: &str,
        bytes: Vec<u8>,
        mut config: Value,
    ) -> Result<Value, Failure> {
        let file = self.files.put_file(name, "application/octet-stream", bytes.into()).await.unwrap();
        config["file"] = json!(file);
        let executor = self.registry.get(executor).unwrap();
        let done = executor.run(&self.call(), config).await;
        done.map(|done| done.output).map_err(|failed| failed.failure)
    }

    /// Runs an executor that takes no file.
    pub(crate) async fn run_plain(&self, executor: &str, config: Value) -> Result<Value, Failure> {
        let done = self.registry.get(executor).unwrap().run(&self.call(), config).await;
        done.map(|done| done.output).map_err(|failed| failed.failure)
    }

    fn call(&self) -> Call {
        Call {
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            run: RunId::from_uuid(Uuid::from_u128(2)),
            step: "step".into(),
            item: None,
            instruction: "Step".into(),
            attempt: 1,
            key: "key".into(),
            deadline: None,
            cancel: self.cancel.clone(),
            test: false,
            default_model: None,
            first_token_timeout: None,
            blobs: Arc::clone(&self.files) as Arc<dyn Blobs>,
            models: Arc::new(Nothing),
            children: Arc::new(Nothing),
            progress: Arc::new(Unwatched),
        }
    }
}

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures").canonicalize().unwrap()
}

/// What is known of each sample.
pub(crate) fn expected() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(fixtures().join("documents/expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// White space in any amount is one space; a hyphen at a line's end joins what it cut.
pub(crate) fn flat(text: &str) -> String {
    text.replace("-\n", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Files(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl Blobs for Files {
    async fn put_file(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<FileRef, PortError> {
        let mut files = self.0.lock().unwrap();
        let file = FileRef {
            file_id: domain::FileId::from_uuid(Uuid::from_u128(files.len() as u128 + 1)),
            name: name.into(),
            media_type: media_type.into(),
            size_bytes: bytes.len() as u64,
            sha256: String::new(),
        };
        files.insert(file.file_id.to_string(), bytes);
        Ok(file)
    }

    async fn get_file(&self, file: &FileRef) -> Result<Bytes, PortError> {
        let files = self.0.lock().unwrap();
        files.get(&file.file_id.to_string()).cloned().ok_or_else(|| PortError::NotFound(file.name.clone()))
    }

    async fn put_value(&self, _: &Value) -> Result<String, PortError> {
        Err(PortError::Unavailable("no values here".into()))
    }

    async fn get_value(&self, blob: &str) -> Result<Value, PortError> {
        Err(PortError::NotFound(blob.into()))
    }
}

/// No models and no other flows: these executors use neither.
struct Nothing;

#[async_trait]
impl Models for Nothing {
    async fn resolve(&self, _: Option<&str>) -> Result<ModelEndpoint, Failure> {
        Err(Failure::new(FailureKind::Flow, "no_models", "There are no models here."))
    }
}

#[async_trait]
impl Children for Nothing {
    async fn start(&self, _: ChildRequest) -> Result<RunId, Failure> {
        Err(Failure::new(FailureKind::Flow, "no_flows", "There are no flows here."))
    }

    async fn wait(&self, run: RunId) -> Result<Settled, PortError> {
        Err(PortError::NotFound(run.to_string()))
    }

    async fn cancel(&self, _: RunId, _: &str) -> Result<(), PortError> {
        Ok(())
    }
}
