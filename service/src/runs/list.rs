//! Runs in lists and one by one.
//!
//! Invariant: newest first by id, a page at a time; a page's cost does not depend on how many runs there are.

use chrono::{DateTime, Utc};
use domain::wire::{Page, RunDetail, RunSummary};
use domain::{NanoUsd, Permission, RunId, RunStatus};
use entities::{Scope, first_id_at, flow, run};
use sea_orm::ColumnTrait;

use crate::{Actor, ServiceError, Weir, authz};

/// The largest page, and the one without a wish.
pub const PAGE_MOST: u32 = 200;
pub const PAGE_USUAL: u32 = 50;

/// Which runs a list shows.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunFilter {
    /// Any of these; empty: any at all.
    pub status: Vec<RunStatus>,
    pub flow: Option<String>,
    /// At or after.
    pub created_after: Option<DateTime<Utc>>,
    /// Before.
    pub created_before: Option<DateTime<Utc>>,
    pub parent: Option<RunId>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    pub limit: Option<u32>,
}

/// A page of runs, newest first.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(weir: &Weir, actor: &Actor, filter: &RunFilter) -> Result<Page<RunSummary>, ServiceError> {
    use run::Column as C;
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let limit = filter.limit.unwrap_or(PAGE_USUAL).clamp(1, PAGE_MOST);
    let reader = weir.store().read(actor.tenant).await?;
    let mut query = reader.find::<run::Entity>().order_by_desc(C::Id).limit(u64::from(limit) + 1);
    match filter.status.as_slice() {
        [] => {}
        [one] => query = query.filter(C::Status.eq(one.as_str())),
        several => query = query.filter(C::Status.is_in(several.iter().map(|status| status.as_str()))),
    }
    if let Some(name) = &filter.flow {
        if !language::is_flow_name(name) {
            return Ok(Page { data: Vec::new(), has_more: false, next_cursor: None });
        }
        // By id, which is indexed; an unknown name has no runs.
        let flow = reader.find::<flow::Entity>().filter(flow::Column::Name.eq(name.as_str())).one().await?;
        query = query.filter(C::FlowId.eq(flow.map_or(uuid::Uuid::nil(), |flow| flow.id)));
    }
    if let Some(flows) = authz::flows_of(actor, Permission::RunsRead) {
        query = query.filter(C::FlowName.is_in(flows));
    }
    if let Some(after) = filter.created_after {
        query = query.filter(C::Id.gte(first_id_at(after)));
    }
    if let Some(before) = filter.created_before {
        query = query.filter(C::Id.lt(first_id_at(before)));
    }
    if let Some(parent) = filter.parent {
        query = query.filter(C::ParentRunId.eq(parent.uuid()));
    }
    if let Some(cursor) = &filter.cursor {
        let last: RunId = cursor
            .parse()
            .map_err(|_| ServiceError::BadRequest("The cursor is none of ours. Start again without one.".to_owned()))?;
        query = query.filter(C::Id.lt(last.uuid()));
    }
    let rows = query.all().await?;
    drop(reader);
    let has_more = rows.len() > limit as usize;
    let data: Vec<RunSummary> = rows.iter().take(limit as usize).map(summary).collect();
    let next_cursor = data.last().filter(|_| has_more).map(|run| run.id.to_string());
    Ok(Page { data, has_more, next_cursor })
}

/// One run, whole.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn get(weir: &Weir, actor: &Actor, id: RunId) -> Result<RunDetail, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let row = super::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsRead, &row.flow_name)?;
    let summary = summary(&row);
    let inputs = super::wait::value(weir, actor.tenant, row.inputs, row.inputs_blob).await?;
    let outputs = super::wait::value(weir, actor.tenant, row.outputs, row.outputs_blob).await?;
    Ok(RunDetail {
        summary,
        inputs: inputs.unwrap_or_default(),
        outputs,
        usage: super::wait::usage(row.usage.as_ref()),
        failed_step: row.failed_step,
        labels: row.labels.read().unwrap_or_default(),
    })
}

fn summary(row: &run::Model) -> RunSummary {
    RunSummary {
        id: RunId::from_uuid(row.id),
        flow: row.flow_name.clone(),
        version: u32::try_from(row.version_number).unwrap_or_default(),
        status: RunStatus::parse(&row.status).unwrap_or(RunStatus::NeedsAttention),
        trigger: row.trigger_kind.clone(),
        started_by: row.started_by.clone(),
        created_at: row.created_at,
        started_at: row.started_at,
        ended_at: row.ended_at,
        duration_ms: row.duration_ms.and_then(|duration| u64::try_from(duration).ok()),
        cost_nano_usd: row.cost_nano_usd.map(NanoUsd),
        error: super::wait::failure(row.error.as_ref()),
        test: row.test,
        parent_run_id: row.parent_run_id.map(RunId::from_uuid),
        experiment: row.experiment.clone(),
        variant: row.variant.clone(),
    }
}
