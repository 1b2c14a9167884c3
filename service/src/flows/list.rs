//! Lists flows.

use std::collections::BTreeMap;

use domain::wire::{FlowSummary, Page};
use domain::{FlowId, Permission};
use entities::{Find, Reader, Scope as _, flow};
use sea_orm::ColumnTrait;

use super::{STABLE, figures, plans};
use crate::{Actor, Paging, ServiceError, Weir, authz};

/// A tenant's flows are named whole up to this many.
const MOST: u64 = 1_000;

/// A page of the tenant's flows that the actor may see, by name, with their figures.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(weir: &Weir, actor: &Actor, paging: &Paging) -> Result<Page<FlowSummary>, ServiceError> {
    use flow::Column as C;
    authz::check_somewhere(actor, Permission::FlowsRead)?;
    let behind = paging.behind(crate::paging::name)?;
    let reader = weir.store().read(actor.tenant).await?;
    let mut find = visible(&reader, actor, Permission::FlowsRead);
    if let Some(behind) = behind {
        find = find.filter(C::Name.gt(behind));
    }
    let rows = find.order_by_asc(C::Name).limit(paging.rows()).all().await?;
    let page = paging.page(rows, |row| row.name.clone(), Some);
    let mut data = Vec::with_capacity(page.data.len());
    for row in &page.data {
        data.push(summary(weir, &reader, row).await?);
    }
    Ok(Page { data, has_more: page.has_more, next_cursor: page.next_cursor })
}

/// Their names alone.
///
/// # Errors
/// [`ServiceError::Forbidden`].
pub async fn names(weir: &Weir, actor: &Actor) -> Result<Vec<String>, ServiceError> {
    authz::check_somewhere(actor, Permission::FlowsRead)?;
    let reader = weir.store().read(actor.tenant).await?;
    Ok(rows(&reader, actor, Permission::FlowsRead).await?.into_iter().map(|row| row.name).collect())
}

/// The flows on which the actor holds the permission.
pub(super) async fn rows(
    reader: &Reader,
    actor: &Actor,
    permission: Permission,
) -> Result<Vec<flow::Model>, ServiceError> {
    Ok(visible(reader, actor, permission).order_by_asc(flow::Column::Name).limit(MOST).all().await?)
}

fn visible<'a>(reader: &'a Reader, actor: &Actor, permission: Permission) -> Find<'a, flow::Entity> {
    let find = reader.find::<flow::Entity>().filter(flow::Column::DeletedAt.is_null());
    match authz::flows_of(actor, permission) {
        Some(flows) => find.filter(flow::Column::Name.is_in(flows)),
        None => find,
    }
}

pub(super) async fn summary(weir: &Weir, reader: &Reader, row: &flow::Model) -> Result<FlowSummary, ServiceError> {
    let figures = figures::of(reader, row.id, weir.now()).await?;
    let stable = plans::channels(reader, row).await?.get(STABLE).copied();
    let labels: BTreeMap<String, String> = row.labels.read().unwrap_or_default();
    let draft: Vec<language::Problem> =
        row.draft_problems.as_ref().and_then(|problems| problems.read().ok()).unwrap_or_default();
    Ok(FlowSummary {
        id: FlowId::from_uuid(row.id),
        name: row.name.clone(),
        description: row.description.clone(),
        labels,
        version: stable.and_then(|number| u32::try_from(number).ok()),
        broken: draft.iter().any(|problem| problem.severity == language::Severity::Error),
        updated_at: row.updated_at,
        last_run_at: figures.last_run_at,
        recent: figures.recent,
        success_rate: figures.success_rate,
        p95_ms: figures.p95_ms,
        cost_per_run_nano_usd: figures.cost_per_run,
    })
}
