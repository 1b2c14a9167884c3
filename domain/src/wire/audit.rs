//! The audit log on the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::AuditId;

/// Who did what to which thing. `GET /api/v1/audit`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditView {
    pub id: AuditId,
    pub at: DateTime<Utc>,
    /// `user`, `api_key` or `system`.
    pub actor_kind: String,
    /// An e-mail address, a key's name, or the program's part.
    pub actor: String,
    /// `flow.published`, `key.created` ...
    pub action: String,
    /// `flow`, `key`, `member` ...
    pub target_kind: String,
    pub target_id: Option<String>,
    pub target: Option<String>,
    /// What belongs to the action; never a secret.
    pub data: Value,
    pub address: Option<String>,
    pub request_id: Option<String>,
}
