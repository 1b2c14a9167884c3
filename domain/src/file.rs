//! A file as a value: what a flow passes about instead of bytes.

use serde::{Deserialize, Serialize};

use crate::id::FileId;

/// A stored file. As a JSON value it is this object; `file_id` marks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FileRef {
    pub file_id: FileId,
    /// The name it came with; display only, never a path.
    pub name: String,
    /// By content where it was looked at, else as declared.
    pub media_type: String,
    pub size_bytes: u64,
    /// Lower-case hex SHA-256 of the bytes.
    pub sha256: String,
}

impl FileRef {
    /// Reads a file value out of JSON; `None` if the value is anything else.
    #[must_use]
    pub fn from_value(value: &serde_json::Value) -> Option<Self> {
        value.get("file_id")?;
        serde_json::from_value(value.clone()).ok()
    }
}
