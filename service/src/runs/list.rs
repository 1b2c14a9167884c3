//! Runs in lists and one by one.
//!
//! Invariant: newest first by id, a page at a time; a page's cost does not depend on how many runs there are.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::wire::{Page, RunDetail, RunSummary};
use domain::{NanoUsd, Permission, RunId, RunStatus, SpanId, TraceId};
use entities::{Reader, Scope, first_id_at, flow, run, run_word};
use sea_orm::sea_query::{Alias, Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, Condition};
use uuid::Uuid;

use super::words::{self, words};

pub use crate::paging::{PAGE_MOST, PAGE_USUAL};
use crate::{Actor, ServiceError, Weir, authz};

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
    /// All of these words, in any order, among those of the fields that the runs' flows name in `search`.
    pub search: Option<String>,
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
    let asked: BTreeSet<String> = filter.search.as_deref().map(|text| words(text).collect()).unwrap_or_default();
    let nothing = Page { data: Vec::new(), has_more: false, next_cursor: None };
    if filter.search.as_deref().is_some_and(|text| !text.trim().is_empty()) && asked.is_empty() {
        // Signs alone are in no word.
        return Ok(nothing);
    }
    if asked.len() > words::ASKED {
        return Err(ServiceError::BadRequest(format!("A search has at most {} words.", words::ASKED)));
    }
    let reader = weir.store().read(actor.tenant).await?;
    let mut wanted = Condition::all();
    match filter.status.as_slice() {
        [] => {}
        [one] => wanted = wanted.add(C::Status.eq(one.as_str())),
        several => wanted = wanted.add(C::Status.is_in(several.iter().map(|status| status.as_str()))),
    }
    if let Some(name) = &filter.flow {
        if !language::is_flow_name(name) {
            return Ok(nothing);
        }
        // By id, which is indexed; an unknown name has no runs.
        let flow = reader.find::<flow::Entity>().filter(flow::Column::Name.eq(name.as_str())).one().await?;
        wanted = wanted.add(C::FlowId.eq(flow.map_or(uuid::Uuid::nil(), |flow| flow.id)));
    }
    if let Some(flows) = authz::flows_of(actor, Permission::RunsRead) {
        wanted = wanted.add(C::FlowName.is_in(flows));
    }
    if let Some(parent) = filter.parent {
        wanted = wanted.add(C::ParentRunId.eq(parent.uuid()));
    }
    let after = filter.created_after.map(first_id_at);
    let mut before = filter.created_before.map(first_id_at);
    if let Some(cursor) = &filter.cursor {
        let last: RunId = cursor
            .parse()
            .map_err(|_| ServiceError::BadRequest("The cursor is none of ours. Start again without one.".to_owned()))?;
        before = Some(before.map_or(last.uuid(), |before| Ord::min(before, last.uuid())));
    }
    let newest = u64::from(limit) + 1;
    let rows = if asked.is_empty() {
        let query = reader.find::<run::Entity>().filter(wanted).filter(between(C::Id, after, before));
        query.order_by_desc(C::Id).limit(newest).all().await?
    } else {
        let found = found(&reader, &asked, wanted, (after, before), newest).await?;
        reader.find::<run::Entity>().filter(C::Id.is_in(found)).order_by_desc(C::Id).all().await?
    };
    drop(reader);
    let has_more = rows.len() > limit as usize;
    let data: Vec<RunSummary> = rows.iter().take(limit as usize).map(summary).collect();
    let next_cursor = data.last().filter(|_| has_more).map(|run| run.id.to_string());
    Ok(Page { data, has_more, next_cursor })
}

/// Ids lie in the order of time.
fn between<C: ColumnTrait>(id: C, after: Option<Uuid>, before: Option<Uuid>) -> Condition {
    Condition::all().add_option(after.map(|after| id.gte(after))).add_option(before.map(|before| id.lt(before)))
}

/// The newest runs with all these words. The longest word leads, since its runs lie together in the order of their ids,
/// and is likely to be the rarest.
async fn found(
    reader: &Reader,
    asked: &BTreeSet<String>,
    wanted: Condition,
    (after, before): (Option<Uuid>, Option<Uuid>),
    limit: u64,
) -> Result<Vec<Uuid>, ServiceError> {
    use run_word::Column as W;
    let Some(lead) = asked.iter().max_by_key(|word| word.chars().count()) else { return Ok(Vec::new()) };
    let tenant = reader.tenant().uuid();
    let mut query = reader.find::<run_word::Entity>().filter(W::Word.eq(lead.as_str()));
    query = query.filter(between(W::RunId, after, before));
    for word in asked.iter().filter(|word| *word != lead) {
        let other = Alias::new("other");
        let of_other = |column: W| Expr::col((other.clone(), column));
        let mut among = Query::select();
        among.expr(Expr::val(1)).from_as(run_word::Entity, other.clone());
        among.and_where(of_other(W::TenantId).eq(tenant)).and_where(of_other(W::Word).eq(word.as_str()));
        among.and_where(of_other(W::RunId).equals((run_word::Entity, W::RunId)));
        query = query.filter(Expr::exists(among));
    }
    let mut of_run = Query::select();
    of_run.expr(Expr::val(1)).from(run::Entity).and_where(run::Column::TenantId.eq(tenant)).cond_where(wanted);
    of_run.and_where(Expr::col((run::Entity, run::Column::Id)).equals((run_word::Entity, W::RunId)));
    query = query.filter(Expr::exists(of_run)).order_by_desc(W::RunId).limit(limit);
    Ok(query.all().await?.into_iter().map(|row| row.run_id).collect())
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
        parent_span_id: row.parent_span_id.as_deref().and_then(SpanId::parse),
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
        parent_step: row.parent_step.clone(),
        experiment: row.experiment.clone(),
        variant: row.variant.clone(),
        trace_id: row.trace_id.as_deref().and_then(TraceId::parse),
    }
}
