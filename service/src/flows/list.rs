//! Lists flows.

use std::collections::BTreeMap;

use domain::wire::FlowSummary;
use domain::{FlowId, Permission};
use entities::{Reader, Scope as _, flow};
use sea_orm::ColumnTrait;

use super::{STABLE, figures, plans};
use crate::{Actor, ServiceError, Weir, authz};

/// A tenant's flows are listed whole up to this many.
const MOST: u64 = 1_000;

/// The tenant's flows that the actor may see, by name, with their figures.
///
/// # Errors
/// [`ServiceError::Forbidden`].
pub async fn list(weir: &Weir, actor: &Actor) -> Result<Vec<FlowSummary>, ServiceError> {
    authz::check_somewhere(actor, Permission::FlowsRead)?;
    let reader = weir.store().read(actor.tenant).await?;
    let mut out = Vec::new();
    for row in rows(&reader, actor, Permission::FlowsRead).await? {
        out.push(summary(weir, &reader, &row).await?);
    }
    Ok(out)
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
    let mut find = reader.find::<flow::Entity>().filter(flow::Column::DeletedAt.is_null());
    if let Some(flows) = authz::flows_of(actor, permission) {
        find = find.filter(flow::Column::Name.is_in(flows));
    }
    Ok(find.order_by_asc(flow::Column::Name).limit(MOST).all().await?)
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
