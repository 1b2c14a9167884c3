//! Files and large values in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use domain::{FileId, FileRef};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::world::new_uuid;
use crate::ports::{Blobs, PortError};

#[derive(Debug, Default)]
pub struct MemoryBlobs {
    files: Mutex<HashMap<FileId, Bytes>>,
    values: Mutex<HashMap<String, Value>>,
}

#[async_trait]
impl Blobs for MemoryBlobs {
    async fn put_file(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<FileRef, PortError> {
        let file = FileRef {
            file_id: FileId::from_uuid(new_uuid()),
            name: name.to_owned(),
            media_type: media_type.to_owned(),
            size_bytes: bytes.len() as u64,
            sha256: hex::encode(Sha256::digest(&bytes)),
        };
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(file.file_id, bytes);
        Ok(file)
    }

    async fn get_file(&self, file: &FileRef) -> Result<Bytes, PortError> {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(&file.file_id).cloned().ok_or_else(|| PortError::NotFound(file.file_id.to_string()))
    }

    async fn put_value(&self, value: &Value) -> Result<String, PortError> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!("value-{}", values.len() + 1);
        values.insert(name.clone(), value.clone());
        Ok(name)
    }

    async fn get_value(&self, blob: &str) -> Result<Value, PortError> {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        values.get(blob).cloned().ok_or_else(|| PortError::NotFound(blob.to_owned()))
    }
}
