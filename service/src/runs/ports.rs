//! The engine's ports for one run: blobs and the watcher.
//!
//! Invariant: everything is read and written within the run's tenant.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{BlobId, FileRef, RunId, TenantId};
use engine::ports::{Blobs, PortError};
use engine::{Progress, Watcher};
use serde_json::Value;

use super::bus::{Bus, Live, Speaker};
use super::desk::LocalRun;
use super::journal::RunJournal;
use crate::blobs::{self, NewFile};
use crate::{ServiceError, Weir};

/// Files and large values of one run.
pub(super) struct RunBlobs {
    pub(super) weir: Weir,
    pub(super) tenant: TenantId,
    pub(super) run: RunId,
    pub(super) flow: String,
    pub(super) journal: Arc<RunJournal>,
}

#[async_trait]
impl Blobs for RunBlobs {
    async fn put_file(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<FileRef, PortError> {
        // The file's row points at the run's.
        self.journal.ensure_written().await?;
        let new = NewFile {
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            created_by: self.flow.clone(),
            run_id: Some(self.run),
        };
        blobs::put_file(&self.weir, self.tenant, new, bytes).await.map_err(port_error)
    }

    async fn get_file(&self, file: &FileRef) -> Result<Bytes, PortError> {
        blobs::get_file(&self.weir, self.tenant, file.file_id).await.map(|(_, bytes)| bytes).map_err(port_error)
    }

    async fn put_value(&self, value: &Value) -> Result<String, PortError> {
        let bytes = serde_json::to_vec(value).map_err(|error| PortError::Unavailable(error.to_string()))?;
        blobs::put(&self.weir, self.tenant, bytes.into()).await.map(|id| id.to_string()).map_err(port_error)
    }

    async fn get_value(&self, blob: &str) -> Result<Value, PortError> {
        let id: BlobId = blob.parse().map_err(|_| PortError::NotFound(format!("blob {blob}")))?;
        let bytes = blobs::get(&self.weir, self.tenant, id).await.map_err(port_error)?;
        serde_json::from_slice(&bytes).map_err(|error| PortError::Unavailable(error.to_string()))
    }
}

pub(super) fn port_error(error: ServiceError) -> PortError {
    match error {
        ServiceError::NotFound { what, name } => PortError::NotFound(format!("{what} {name}")),
        other if is_lost(&other) => PortError::Lost(with_sources(&other)),
        other => PortError::Unavailable(with_sources(&other)),
    }
}

fn is_lost(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<blobs::BlobError>().is_some_and(blobs::BlobError::is_final) {
            return true;
        }
        cause = error.source();
    }
    false
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Hands what happens inside attempts to the bus.
pub(super) struct RunWatcher {
    pub(super) bus: Bus,
    pub(super) run: RunId,
    pub(super) local: Arc<LocalRun>,
}

impl Watcher for RunWatcher {
    fn progress(&self, step: &str, item: Option<u32>, attempt: u32) -> Arc<dyn Progress> {
        let of = Speaker { step: step.into(), item };
        self.local.forget_text(&of);
        Arc::new(StepProgress { bus: self.bus.clone(), run: self.run, local: Arc::clone(&self.local), of, attempt })
    }
}

struct StepProgress {
    bus: Bus,
    run: RunId,
    local: Arc<LocalRun>,
    of: Speaker,
    attempt: u32,
}

impl Progress for StepProgress {
    fn delta(&self, text: &str) {
        let from = self.local.add_text(&self.of, self.attempt, text);
        let (of, attempt) = (self.of.clone(), self.attempt);
        self.bus.tell(self.run, Live::Delta { of, attempt, from, text: text.into() });
    }

    fn advanced(&self, done: u64, total: Option<u64>, unit: &str) {
        let of = self.of.clone();
        self.bus.tell(self.run, Live::Progress { of, attempt: self.attempt, done, total, unit: unit.into() });
    }
}
