//! A run's steps with their attempts, in written order.
//!
//! Invariant: every declared step is listed, from the run's start on.

use std::collections::BTreeMap;

use domain::wire::{AttemptView, Page, StepView};
use domain::{NanoUsd, Permission, RunId, RunStatus, StepStatus, VersionId};
use engine::Event;
use entities::{JsonText, Reader, Scope, append, attempt, item, step};
use language::plan::{Phase, Plan};
use sea_orm::sea_query::{Expr, Order};
use sea_orm::{ColumnTrait, QueryOrder, QuerySelect};
use serde_json::{Value, json};

use crate::{Actor, Paging, ServiceError, Weir, authz};

/// Outputs from the blob store that one answer may hold in all, in bytes; beyond it their size is told instead.
const LARGE_BYTES: i64 = 8 * 1024 * 1024;

/// Steps a page: as many as a flow may have, each with its undoing.
pub const STEPS_MOST: u32 = 1_000;

/// All steps of a run.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn steps(weir: &Weir, actor: &Actor, id: RunId) -> Result<Vec<StepView>, ServiceError> {
    Ok(steps_page(weir, actor, id, &Paging::default()).await?.data)
}

/// A page of them; [`STEPS_MOST`] unless said.
///
/// # Errors
/// As [`steps`], and [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn steps_page(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    paging: &Paging,
) -> Result<Page<StepView>, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsRead)?;
    let run = super::row(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsRead, &run.flow_name)?;
    let is_over = RunStatus::parse(&run.status).is_some_and(RunStatus::is_terminal);
    let behind: Option<i32> = paging.behind(|cursor| cursor.parse().ok())?;
    let plan = crate::flows::plan(weir, actor.tenant, VersionId::from_uuid(run.version_id)).await?;
    let reader = weir.store().read(actor.tenant).await?;
    let rows = reader.find::<step::Entity>().filter(step::Column::RunId.eq(id.uuid()));
    let mut rows = rows.order_by_asc(step::Column::Ordinal).all().await?;
    if rows.is_empty() {
        // Nothing was journaled yet: the plan says what there will be.
        rows = super::record::Records::new(run, &plan).steps_in_order();
    }
    rows.retain(|row| behind.is_none_or(|behind| row.ordinal > behind));
    let most = paging.limit.unwrap_or(STEPS_MOST).clamp(1, STEPS_MOST) as usize;
    let has_more = rows.len() > most;
    rows.truncate(most);
    let next_cursor = rows.last().filter(|_| has_more).map(|row| row.ordinal.to_string());
    let mut data = views(weir, actor, id, &plan, rows).await?;
    if !is_over {
        name_parked_items(weir, actor, id, &mut data).await?;
    }
    Ok(Page { data, has_more, next_cursor })
}

async fn views(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    plan: &Plan,
    mut rows: Vec<step::Model>,
) -> Result<Vec<StepView>, ServiceError> {
    let reader = weir.store().read(actor.tenant).await?;
    let mut by_step = attempts(&reader, id, &rows).await?;
    if rows.iter().any(|row| row.config.is_none() && row.attempts > 0) {
        // Large configs stand in the journal alone.
        let appends = reader.find::<append::Entity>().filter(append::Column::RunId.eq(id.uuid()));
        let appends = appends.order_by_asc(append::Column::Position).all().await?;
        for entry in super::entries::entries_of(&appends).map_err(ServiceError::internal)? {
            if let Event::StepConfigured { step, item: None, config, .. } = entry.event
                && let Some(row) = rows.iter_mut().find(|row| row.name == step)
            {
                row.config = Some(JsonText(config));
            }
        }
    }
    let mut items = item_counts(&reader, id).await?;
    drop(reader);
    let mut left = LARGE_BYTES;
    let mut views = Vec::with_capacity(rows.len());
    for row in rows {
        let (attempts, omitted) = by_step.remove(&row.name).unwrap_or_default();
        let output = output(weir, actor, &row, &mut left).await?;
        let (phase, items) = (phase(plan, &row.name), items.remove(&row.name).unwrap_or_default());
        views.push(StepView { phase, items, attempts_omitted: omitted, ..step_view(row, attempts, output) });
    }
    Ok(views)
}

/// Attempts of one step that are listed.
const ATTEMPTS: u64 = 200;
/// Which of them first, before the newest: what a person is asked about, and what went wrong.
const TELLING: &str =
    "CASE status WHEN 'needs_attention' THEN 0 WHEN 'failed' THEN 1 WHEN 'timed_out' THEN 1 ELSE 2 END";

/// The attempts of each step by number, and how many more there are.
async fn attempts(
    reader: &Reader,
    run: RunId,
    rows: &[step::Model],
) -> Result<BTreeMap<String, (Vec<AttemptView>, u64)>, ServiceError> {
    use attempt::Column as C;
    let of_run = || reader.find::<attempt::Entity>().filter(C::RunId.eq(run.uuid()));
    let counted = of_run()
        .with(|select| select.select_only().column(C::Step).column_as(C::Number.count(), "attempts").group_by(C::Step));
    let counts: BTreeMap<String, i64> = counted.tuples::<(String, i64)>().await?.into_iter().collect();
    let many = |step: &str| counts.get(step).is_some_and(|count| u64::try_from(*count).unwrap_or_default() > ATTEMPTS);
    let few: Vec<&str> = rows.iter().map(|row| row.name.as_str()).filter(|step| !many(step)).collect();
    let mut found = of_run().filter(C::Step.is_in(few)).all().await?;
    for row in rows.iter().filter(|row| many(&row.name)) {
        let of_step = of_run().filter(C::Step.eq(row.name.as_str()));
        let telling = of_step.with(|select| select.order_by(Expr::cust(TELLING), Order::Asc));
        let telling = telling.order_by_desc(C::StartedAt).order_by_desc(C::Item).order_by_desc(C::Number);
        found.extend(telling.limit(ATTEMPTS).all().await?);
    }
    found.sort_by_key(|row| (row.number, row.item));
    let mut by_step: BTreeMap<String, (Vec<AttemptView>, u64)> = BTreeMap::new();
    for row in found {
        by_step.entry(row.step.clone()).or_default().0.push(attempt_view(row));
    }
    for (step, (listed, omitted)) in &mut by_step {
        let all = counts.get(step).and_then(|count| usize::try_from(*count).ok()).unwrap_or_default();
        *omitted = all.saturating_sub(listed.len()) as u64;
    }
    Ok(by_step)
}

async fn output(weir: &Weir, actor: &Actor, row: &step::Model, left: &mut i64) -> Result<Option<Value>, ServiceError> {
    let Some(blob) = row.output_blob else { return Ok(row.output.clone().map(JsonText::into_inner)) };
    let reader = weir.store().read(actor.tenant).await?;
    let stored = reader.find::<entities::blob::Entity>().filter(entities::blob::Column::Id.eq(blob)).one().await?;
    drop(reader);
    let size = stored.map_or(0, |stored| stored.size_bytes);
    if size > *left {
        return Ok(Some(json!({ "omitted": true, "size_bytes": size })));
    }
    *left -= size;
    super::wait::value(weir, actor.tenant, None, Some(blob)).await
}

/// Items that are told by number when they need a person.
const NEEDING: u64 = 100;

/// Nobody is needed any more where the run is over.
async fn name_parked_items(weir: &Weir, actor: &Actor, id: RunId, views: &mut [StepView]) -> Result<(), ServiceError> {
    let parked = StepStatus::NeedsAttention.as_str();
    for view in views.iter_mut().filter(|view| view.items.contains_key(parked)) {
        let reader = weir.store().read(actor.tenant).await?;
        view.items_needing_attention = items_needing_attention(&reader, id, &view.name).await?;
    }
    Ok(())
}

/// The items of a step that wait for a person, the first of them.
pub(super) async fn items_needing_attention(reader: &Reader, run: RunId, step: &str) -> Result<Vec<u32>, ServiceError> {
    use item::Column as C;
    let find = reader.find::<item::Entity>().filter(C::RunId.eq(run.uuid())).filter(C::Step.eq(step));
    let find = find.filter(C::Status.eq(StepStatus::NeedsAttention.as_str())).order_by_asc(C::Item).limit(NEEDING);
    Ok(find.all().await?.into_iter().filter_map(|row| u32::try_from(row.item).ok()).collect())
}

/// How many items of each step have each status.
async fn item_counts(reader: &Reader, run: RunId) -> Result<BTreeMap<String, BTreeMap<String, u64>>, ServiceError> {
    use item::Column as C;
    let find = reader.find::<item::Entity>().filter(C::RunId.eq(run.uuid()));
    let counted = find.with(|select| {
        select
            .select_only()
            .columns([C::Step, C::Status])
            .column_as(C::Item.count(), "items")
            .group_by(C::Step)
            .group_by(C::Status)
    });
    let mut counts: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (step, status, items) in counted.tuples::<(String, String, i64)>().await? {
        counts.entry(step).or_default().insert(status, u64::try_from(items).unwrap_or_default());
    }
    Ok(counts)
}

/// The part of the flow that a step stands in, where it is not the main one.
fn phase(plan: &Plan, step: &str) -> Option<String> {
    let word = match plan.steps.iter().find(|planned| planned.name == step)?.phase {
        Phase::Main => return None,
        Phase::Compensation { .. } => "compensation",
        Phase::OnError => "on_error",
        Phase::Finally => "finally",
    };
    Some(word.to_owned())
}

fn step_view(row: step::Model, attempt_list: Vec<AttemptView>, output: Option<Value>) -> StepView {
    StepView {
        name: row.name,
        executor: row.executor,
        group: row.group_name,
        phase: None,
        status: StepStatus::parse(&row.status).unwrap_or(StepStatus::NeedsAttention),
        success: row.success,
        skipped: row.skipped,
        cached: row.cached,
        skip_reason: row.skip_reason,
        attempts: u32::try_from(row.attempts).unwrap_or_default(),
        error: super::wait::failure(row.error.as_ref()),
        config: row.config.map(JsonText::into_inner),
        output,
        started_at: row.started_at,
        ended_at: row.ended_at,
        duration_ms: row.duration_ms.and_then(|duration| u64::try_from(duration).ok()),
        cost_nano_usd: row.cost_nano_usd.map(NanoUsd),
        usage: row.usage.and_then(|usage| usage.read().ok()),
        attempt_list,
        attempts_omitted: 0,
        items: BTreeMap::new(),
        items_needing_attention: Vec::new(),
        child_run_id: row.child_run_id.map(RunId::from_uuid),
    }
}

fn attempt_view(row: attempt::Model) -> AttemptView {
    AttemptView {
        item: u32::try_from(row.item).ok(),
        number: u32::try_from(row.number).unwrap_or_default(),
        entry: row.entry,
        iteration: row.iteration.and_then(|iteration| u32::try_from(iteration).ok()),
        status: StepStatus::parse(&row.status).unwrap_or(StepStatus::NeedsAttention),
        started_at: row.started_at,
        ended_at: row.ended_at,
        error: super::wait::failure(row.error.as_ref()),
        usage: row.usage.and_then(|usage| usage.read().ok()),
    }
}
