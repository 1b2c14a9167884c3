//! Audit entries: who did what to which thing, written in the unit of work that does it.
//!
//! Invariant: an entry exists exactly if its change does, and holds no secret; who reads entries changes none.

use chrono::{DateTime, Utc};
use domain::wire::{AuditView, Page};
use domain::{AuditId, Permission};
use entities::{JsonText, Scope as _, StoreError, Unit, first_id_at};
use sea_orm::{ColumnTrait, Condition};
use serde_json::Value;

use crate::paging::{PAGE_MOST, PAGE_USUAL};
use crate::{Actor, ServiceError, Weir, authz};

/// Which entries a list shows; what is absent narrows nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// The actor's whole name.
    pub actor: Option<String>,
    /// `member.removed`, or an area for all of its actions: `member`.
    pub action: Option<String>,
    /// The target's whole name or id.
    pub target: Option<String>,
    /// At or after.
    pub created_after: Option<DateTime<Utc>>,
    /// Before.
    pub created_before: Option<DateTime<Utc>>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    pub limit: Option<u32>,
}

/// A page of entries, newest first.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(weir: &Weir, actor: &Actor, filter: &AuditFilter) -> Result<Page<AuditView>, ServiceError> {
    use entities::audit::{Column as C, Entity};
    authz::check(actor, Permission::AuditRead)?;
    let limit = filter.limit.unwrap_or(PAGE_USUAL).clamp(1, PAGE_MOST);
    let texts = [&filter.actor, &filter.action, &filter.target];
    if texts.into_iter().flatten().any(|text| !crate::text::can_be_stored(text)) {
        return Ok(Page { data: Vec::new(), has_more: false, next_cursor: None });
    }
    let reader = weir.store().read(actor.tenant).await?;
    let mut query = reader.find::<Entity>().order_by_desc(C::Id).limit(u64::from(limit) + 1);
    if let Some(name) = &filter.actor {
        query = query.filter(C::ActorName.eq(name.as_str()));
    }
    if let Some(action) = &filter.action {
        let area = !action.is_empty() && action.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        query = if area {
            query.filter(C::Action.starts_with(format!("{action}.")))
        } else {
            query.filter(C::Action.eq(action.as_str()))
        };
    }
    if let Some(target) = &filter.target {
        query =
            query.filter(Condition::any().add(C::TargetName.eq(target.as_str())).add(C::TargetId.eq(target.as_str())));
    }
    if let Some(after) = filter.created_after {
        query = query.filter(C::Id.gte(first_id_at(after)));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(C::Id.lt(first_id_at(before)));
    }
    if let Some(cursor) = &filter.cursor {
        let last: AuditId = cursor
            .parse()
            .map_err(|_| ServiceError::BadRequest("The cursor is none of ours. Start again without one.".to_owned()))?;
        query = query.filter(C::Id.lt(last.uuid()));
    }
    let rows = query.all().await?;
    drop(reader);
    let has_more = rows.len() > limit as usize;
    let data: Vec<AuditView> = rows.into_iter().take(limit as usize).map(view).collect();
    let next_cursor = data.last().filter(|_| has_more).map(|entry| entry.id.to_string());
    Ok(Page { data, has_more, next_cursor })
}

fn view(row: entities::audit::Model) -> AuditView {
    AuditView {
        id: AuditId::from_uuid(row.id),
        at: row.at,
        actor_kind: row.actor_kind,
        actor: row.actor_name,
        action: row.action,
        target_kind: row.target_kind,
        target_id: row.target_id,
        target: row.target_name,
        data: row.data.into_inner(),
        address: row.address,
        request_id: row.request_id,
    }
}

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
