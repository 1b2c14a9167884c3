//! Surroundings of a call for tests: files in memory, one model, no children.
//!
//! Invariant: nothing here decides anything; what an executor sees is what the test put in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{Failure, FailureKind, FileRef, RunId};
use engine::ports::{Blobs, Child, ChildRequest, Children, ModelEndpoint, Models, PortError, ServiceEndpoint};
use engine::{Call, Progress, Settled};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub(crate) struct Files {
    stored: Mutex<HashMap<String, Bytes>>,
}

#[async_trait]
impl Blobs for Files {
    async fn put_file(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<FileRef, PortError> {
        let file = FileRef {
            file_id: domain::FileId::from_uuid(uuid::Uuid::from_u128(self.stored.lock().unwrap().len() as u128 + 1)),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
        };
        self.stored.lock().unwrap().insert(file.file_id.to_string(), bytes);
        Ok(file)
    }

    async fn get_file(&self, file: &FileRef) -> Result<Bytes, PortError> {
        let missing = || PortError::NotFound(file.name.clone());
        self.stored.lock().unwrap().get(&file.file_id.to_string()).cloned().ok_or_else(missing)
    }

    async fn put_value(&self, _value: &Value) -> Result<String, PortError> {
        Err(PortError::Unavailable("no values in this test".into()))
    }

    async fn get_value(&self, blob: &str) -> Result<Value, PortError> {
        Err(PortError::NotFound(blob.to_owned()))
    }
}

pub(crate) struct OneModel(pub(crate) Option<ModelEndpoint>);

#[async_trait]
impl Models for OneModel {
    async fn resolve(&self, _model: Option<&str>) -> Result<ModelEndpoint, Failure> {
        self.0.clone().ok_or_else(|| Failure::new(FailureKind::Flow, "model_missing", "No model is set."))
    }

    async fn service(&self, name: &str) -> Result<ServiceEndpoint, Failure> {
        let message = format!("There is no connection `{name}`.");
        Err(Failure::new(FailureKind::Flow, "unknown_connection", message))
    }
}

struct NoChildren;

#[async_trait]
impl Children for NoChildren {
    async fn start(&self, request: ChildRequest) -> Result<Child, Failure> {
        Err(Failure::new(FailureKind::Flow, "flow_not_found", format!("There is no flow `{}`.", request.flow)))
    }

    async fn wait(&self, run: RunId) -> Result<Settled, PortError> {
        Err(PortError::NotFound(run.to_string()))
    }

    async fn cancel(&self, run: RunId, _reason: &str) -> Result<(), PortError> {
        Err(PortError::NotFound(run.to_string()))
    }
}

/// Keeps the deltas.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub(crate) fn deltas(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Progress for Heard {
    fn delta(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }

    fn advanced(&self, _done: u64, _total: Option<u64>, _unit: &str) {}
}

/// A call of the step `analyze_sentiment`, with what it says on the way.
pub(crate) fn call(model: Option<ModelEndpoint>) -> (Call, Arc<Heard>) {
    let heard = Arc::new(Heard::default());
    let call = Call {
        tenant: domain::TenantId::from_uuid(uuid::Uuid::from_u128(1)),
        run: RunId::from_uuid(uuid::Uuid::from_u128(2)),
        step: "analyze_sentiment".into(),
        instruction: "Analyze sentiment".into(),
        item: None,
        attempt: 1,
        may_be_retried: false,
        earlier: Vec::new(),
        key: "run_2/analyze_sentiment/main".into(),
        trace: domain::TraceContext::of_run(RunId::from_uuid(uuid::Uuid::from_u128(2))),
        deadline: None,
        cancel: CancellationToken::new(),
        test: false,
        default_model: None,
        first_token_timeout: None,
        blobs: Arc::new(Files::default()),
        models: Arc::new(OneModel(model)),
        children: Arc::new(NoChildren),
        values: Arc::new(engine::memory::MemoryValues::default()),
        progress: Arc::clone(&heard) as Arc<dyn Progress>,
    };
    (call, heard)
}

/// Models with one connection to a service.
pub(crate) fn services(name: &str, kind: &str, base_url: &str, credential: Option<&str>) -> Arc<dyn Models> {
    let service = ServiceEndpoint {
        connection: name.to_owned(),
        kind: kind.to_owned(),
        base_url: base_url.to_owned(),
        credential: credential.map(str::to_owned),
    };
    let services = std::collections::BTreeMap::from([(name.to_owned(), service)]);
    Arc::new(engine::memory::FixedModels { services, ..engine::memory::FixedModels::default() })
}
