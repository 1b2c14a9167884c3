//! Audit entries: who did what to which thing, written in the unit of work that does it.
//!
//! Invariant: an entry exists exactly if its change does, and holds no secret.

use entities::{JsonText, StoreError, Unit};
use serde_json::Value;

use crate::{Actor, Weir};

/// What was done, to what.
pub(crate) struct Entry<'a> {
    /// `flow.published`, `key.created` ...
    pub(crate) action: &'static str,
    pub(crate) target_kind: &'static str,
    pub(crate) target_id: Option<String>,
    pub(crate) target_name: &'a str,
    pub(crate) data: Value,
}

/// The row of an entry; insert it with the change it is about.
pub(crate) fn row(weir: &Weir, actor: &Actor, entry: Entry<'_>) -> entities::audit::Model {
    entities::audit::Model {
        tenant_id: actor.tenant.uuid(),
        id: weir.ids().audit().uuid(),
        at: weir.now(),
        actor_kind: actor.kind().to_owned(),
        actor_id: match &actor.subject {
            crate::Subject::User { id, .. } => Some(id.uuid()),
            crate::Subject::ApiKey { id, .. } => Some(id.uuid()),
            crate::Subject::System { .. } => None,
        },
        actor_name: actor.name().to_owned(),
        action: entry.action.to_owned(),
        target_kind: entry.target_kind.to_owned(),
        target_id: entry.target_id,
        target_name: Some(entry.target_name.to_owned()),
        data: JsonText(entry.data),
        address: actor.address.clone(),
        request_id: actor.request_id.clone(),
        sequence: None,
        previous_hash: None,
        hash: None,
    }
}

pub(crate) async fn write(unit: &Unit, row: entities::audit::Model) -> Result<(), StoreError> {
    unit.insert(row).await
}
