//! What an executor needs around it, in memory, and verbs to run one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Failure, FailureKind, FileRef, RunId, TenantId};
use engine::memory::MemoryValues;
use engine::ports::{
    Blobs, Child, ChildRequest, Children, KeyValue, ModelEndpoint, Models, PortError, ServiceEndpoint,
};
use engine::{Call, Registry, Settled, Unwatched};
use sandbox::{Pool, PoolConfig};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) struct Bench {
    registry: Registry,
    pub(crate) files: Arc<Files>,
    pub(crate) pool: Pool,
    pub(crate) cancel: CancellationToken,
    pub(crate) flows: Arc<Flows>,
    values: Arc<MemoryValues>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let mut config = PoolConfig::new(env!("CARGO_BIN_EXE_executors-test-child"));
        config.max_children = 2;
        let pool = Pool::new(config);
        let egress = egress::Client::new(egress::Policy::parse("127.0.0.0/8", None).unwrap()).unwrap();
        let tools = executors::Tools { egress, sandbox: Arc::new(pool.clone()) };
        Self {
            registry: executors::registry(&tools),
            files: Arc::default(),
            pool,
            cancel: CancellationToken::new(),
            flows: Arc::default(),
            values: Arc::default(),
        }
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
        self.run_as(&self.call(), executor, config).await
    }

    /// Runs an executor in a call of the test's own.
    pub(crate) async fn run_as(&self, call: &Call, executor: &str, config: Value) -> Result<Value, Failure> {
        let done = self.registry.get(executor).unwrap().run(call, config).await;
        done.map(|done| done.output).map_err(|failed| failed.failure)
    }

    pub(crate) fn call(&self) -> Call {
        Call {
            tenant: TenantId::from_uuid(Uuid::from_u128(1)),
            run: RunId::from_uuid(Uuid::from_u128(2)),
            step: "step".into(),
            item: None,
            instruction: "Step".into(),
            attempt: 1,
            may_be_retried: false,
            earlier: Vec::new(),
            key: "key".into(),
            trace: domain::TraceContext::of_run(RunId::from_uuid(Uuid::from_u128(2))),
            deadline: None,
            cancel: self.cancel.clone(),
            test: false,
            default_model: None,
            first_token_timeout: None,
            blobs: Arc::clone(&self.files) as Arc<dyn Blobs>,
            models: Arc::new(Nothing),
            children: Arc::clone(&self.flows) as Arc<dyn Children>,
            values: Arc::clone(&self.values) as Arc<dyn KeyValue>,
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
pub(crate) struct Files(Mutex<BTreeMap<String, Bytes>>);

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

/// No models: these executors use none.
struct Nothing;

#[async_trait]
impl Models for Nothing {
    async fn resolve(&self, _: Option<&str>) -> Result<ModelEndpoint, Failure> {
        Err(Failure::new(FailureKind::Flow, "no_models", "There are no models here."))
    }

    async fn service(&self, _: &str) -> Result<ServiceEndpoint, Failure> {
        Err(Failure::new(FailureKind::Flow, "unknown_connection", "There are no connections here."))
    }
}

/// Other flows: `echo` gives its inputs, `shout` its text in capitals, `broken` fails, `endless` never ends.
#[derive(Default)]
pub(crate) struct Flows {
    pub(crate) started: Mutex<Vec<ChildRequest>>,
    pub(crate) cancelled: Mutex<Vec<RunId>>,
}

impl Flows {
    pub(crate) fn names(&self) -> Vec<String> {
        self.started.lock().unwrap().iter().map(|request| request.flow.clone()).collect()
    }
}

#[async_trait]
impl Children for Flows {
    async fn start(&self, request: ChildRequest) -> Result<Child, Failure> {
        if !["echo", "shout", "broken", "endless"].contains(&request.flow.as_str()) {
            return Err(Failure::new(
                FailureKind::Flow,
                "unknown_flow",
                format!("There is no flow `{}`.", request.flow),
            ));
        }
        let mut started = self.started.lock().unwrap();
        started.push(request);
        Ok(Child { run: RunId::from_uuid(Uuid::from_u128(started.len() as u128)), effect: language::Effect::Pure })
    }

    async fn wait(&self, run: RunId) -> Result<Settled, PortError> {
        let request = {
            let started = self.started.lock().unwrap();
            started[usize::try_from(run.uuid().as_u128()).unwrap() - 1].clone()
        };
        let (status, outputs, error) = match request.flow.as_str() {
            "endless" => {
                while !self.cancelled.lock().unwrap().contains(&run) {
                    tokio::task::yield_now().await;
                }
                (domain::RunStatus::Cancelled, Value::Null, None)
            }
            "broken" => {
                let error = Failure::new(FailureKind::Document, "no_text_layer", "There is no text.");
                (domain::RunStatus::Failed, Value::Null, Some(error))
            }
            "shout" => {
                let text = request.inputs["text"].as_str().unwrap_or_default().to_uppercase();
                (domain::RunStatus::Succeeded, json!({"text": text}), None)
            }
            _ => (domain::RunStatus::Succeeded, request.inputs, None),
        };
        Ok(Settled {
            status,
            outputs,
            error,
            handler_errors: Vec::new(),
            failed_step: None,
            failed_attempt: None,
            usage: domain::wire::UsageTotals::default(),
            cost: None,
        })
    }

    async fn cancel(&self, run: RunId, _: &str) -> Result<(), PortError> {
        self.cancelled.lock().unwrap().push(run);
        Ok(())
    }
}
