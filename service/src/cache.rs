//! Kept outputs of steps, dropped by their tags.
//!
//! Invariant: what is dropped is the tenant's own; runs that took an output before keep it.

use domain::Permission;
use domain::wire::CachePurged;
use entities::{Scope as _, cached_output};
use sea_orm::{ColumnTrait, QuerySelect};

use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir, authz};

/// Outputs looked at in one unit of work.
const PAGE: u64 = 1_000;

/// Drops the outputs with this tag, or all of them.
///
/// # Errors
/// [`ServiceError::Forbidden`].
pub async fn purge(weir: &Weir, actor: &Actor, tag: Option<&str>) -> Result<CachePurged, ServiceError> {
    authz::check(actor, Permission::FlowsWrite)?;
    let (mut last, mut removed) = (String::new(), 0);
    loop {
        let (wanted, after) = (tag.map(str::to_owned), last);
        let page = weir.store().write(actor.tenant, move |unit| async move { page(&unit, wanted, after).await });
        let (gone, next): (u64, Option<String>) = page.await?;
        removed += gone;
        match next {
            Some(next) => last = next,
            None => break,
        }
    }
    let data = serde_json::json!({ "tag": tag, "removed": removed });
    let name = tag.unwrap_or("all");
    let row = audit::row(
        weir,
        actor,
        Entry { action: "cache.purged", target_kind: "cache", target_id: None, target_name: name, data },
    );
    weir.store().write(actor.tenant, |unit| async move { audit::write(&unit, row).await }).await?;
    Ok(CachePurged { removed })
}

/// How many of a page were dropped, and its last key where more may follow.
async fn page(
    unit: &entities::Unit,
    tag: Option<String>,
    after: String,
) -> Result<(u64, Option<String>), entities::StoreError> {
    use cached_output::Column as C;
    let rows = unit.find::<cached_output::Entity>().filter(C::CacheKey.gt(after)).order_by_asc(C::CacheKey).limit(PAGE);
    let rows: Vec<(String, entities::JsonText)> =
        rows.with(|select| select.select_only().column(C::CacheKey).column(C::Tags)).tuples().await?;
    let next = (rows.len() as u64 == PAGE).then(|| rows.last().map(|(key, _)| key.clone())).flatten();
    let has = |tags: &entities::JsonText| {
        let tags: Vec<String> = tags.read().unwrap_or_default();
        tag.as_ref().is_none_or(|tag| tags.contains(tag))
    };
    let keys: Vec<String> = rows.into_iter().filter(|(_, tags)| has(tags)).map(|(key, _)| key).collect();
    if keys.is_empty() {
        return Ok((0, next));
    }
    Ok((unit.delete::<cached_output::Entity>().filter(C::CacheKey.is_in(keys)).exec().await?, next))
}
