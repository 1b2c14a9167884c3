//! What an experiment has found: figures per variant with intervals, and whether the split can be trusted.
//!
//! Invariant: counts are exact; durations and costs are those of the newest [`NEWEST`] runs of a variant, so that a
//! readout costs the same however long the experiment goes on.

use std::collections::BTreeMap;

use domain::wire::{ExperimentView, Page, Readout, Variant, VariantReadout};
use domain::{NanoUsd, Permission, RunStatus};
use entities::{Reader, Scope as _, experiment, feedback, first_id_at, run};
use sea_orm::{ColumnTrait, QuerySelect};

use super::{find, statistics, variants, view};
use crate::flows::percentile;
use crate::{Actor, Paging, ServiceError, Weir, authz};

const NEWEST: u64 = 10_000;

/// A page of a flow's experiments, by name.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(
    weir: &Weir,
    actor: &Actor,
    flow: &str,
    paging: &Paging,
) -> Result<Page<ExperimentView>, ServiceError> {
    authz::check_flow(actor, Permission::FlowsRead, flow)?;
    let reader = weir.store().read(actor.tenant).await?;
    let flow = crate::flows::find(&reader, flow).await?;
    let behind = paging.behind(crate::paging::name)?;
    let mut rows = reader.find::<experiment::Entity>().filter(experiment::Column::FlowId.eq(flow.id));
    if let Some(behind) = behind {
        rows = rows.filter(experiment::Column::Name.gt(behind));
    }
    let rows = rows.order_by_asc(experiment::Column::Name).limit(paging.rows()).all().await?;
    Ok(paging.page(rows, |row| row.name.clone(), |row| Some(view(&row))))
}

/// One experiment with its readout.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn get(weir: &Weir, actor: &Actor, flow: &str, name: &str) -> Result<ExperimentView, ServiceError> {
    authz::check_flow(actor, Permission::FlowsRead, flow)?;
    let reader = weir.store().read(actor.tenant).await?;
    let flow = crate::flows::find(&reader, flow).await?;
    let row = find(&reader, flow.id, name).await?;
    let readout = of(&reader, &row).await?;
    Ok(ExperimentView { readout: Some(readout), ..view(&row) })
}

pub(super) async fn of(reader: &Reader, row: &experiment::Model) -> Result<Readout, ServiceError> {
    let mut counts = counts(reader, row).await?;
    let mut out = Vec::new();
    let variants = variants(row);
    for variant in &variants {
        let by_status = counts.remove(&variant.name).unwrap_or_default();
        out.push(of_variant(reader, row, variant, &by_status).await?);
    }
    let observed: Vec<(u64, u32)> =
        out.iter().zip(&variants).map(|(readout, variant)| (readout.runs, variant.weight)).collect();
    Ok(Readout { variants: out, sample_ratio: statistics::sample_ratio(&observed) })
}

/// Root runs by live keys, since the start.
fn counted<'a>(reader: &'a Reader, row: &experiment::Model) -> entities::Find<'a, run::Entity> {
    reader
        .find::<run::Entity>()
        .filter(run::Column::ExperimentId.eq(row.id))
        .filter(run::Column::Id.gte(first_id_at(row.started_at)))
        .filter(run::Column::Depth.eq(0))
}

type Counts = BTreeMap<String, Vec<(RunStatus, u64)>>;

async fn counts(reader: &Reader, row: &experiment::Model) -> Result<Counts, ServiceError> {
    let rows: Vec<(Option<String>, String, i64)> = counted(reader, row)
        .with(|select| {
            select
                .select_only()
                .columns([run::Column::Variant, run::Column::Status])
                .column_as(run::Column::Id.count(), "runs")
                .group_by(run::Column::Variant)
                .group_by(run::Column::Status)
        })
        .tuples()
        .await?;
    let mut counts = Counts::new();
    for (variant, status, count) in rows {
        if let Some(status) = RunStatus::parse(&status) {
            let count = u64::try_from(count).unwrap_or_default();
            counts.entry(variant.unwrap_or_default()).or_default().push((status, count));
        }
    }
    Ok(counts)
}

async fn of_variant(
    reader: &Reader,
    row: &experiment::Model,
    variant: &Variant,
    by_status: &[(RunStatus, u64)],
) -> Result<VariantReadout, ServiceError> {
    let count =
        |of: &[RunStatus]| by_status.iter().filter(|(status, _)| of.contains(status)).map(|(_, count)| count).sum();
    let succeeded: u64 = count(&[RunStatus::Succeeded]);
    // Who cancels a run says nothing of its version.
    let settled: u64 = count(&[RunStatus::Succeeded, RunStatus::Failed, RunStatus::TimedOut]);
    let figures: Vec<(Option<i64>, Option<i64>)> = counted(reader, row)
        .filter(run::Column::Variant.eq(variant.name.as_str()))
        .filter(run::Column::Status.is_in(["succeeded", "failed", "timed_out"]))
        .order_by_desc(run::Column::Id)
        .limit(NEWEST)
        .with(|select| select.select_only().columns([run::Column::DurationMs, run::Column::CostNanoUsd]))
        .tuples()
        .await?;
    let mut durations: Vec<i64> = figures.iter().filter_map(|(duration, _)| *duration).collect();
    durations.sort_unstable();
    let costs: Vec<i64> = figures.iter().filter_map(|(_, cost)| *cost).collect();
    let scores = scores(reader, row, variant).await?;
    Ok(VariantReadout {
        name: variant.name.clone(),
        version: variant.version,
        runs: by_status.iter().map(|(_, count)| count).sum(),
        settled,
        succeeded,
        success_rate: statistics::wilson(succeeded, settled),
        p50_ms: percentile(&durations, 50),
        p50_interval_ms: statistics::of_percentile(&durations, 50),
        p95_ms: percentile(&durations, 95),
        p95_interval_ms: statistics::of_percentile(&durations, 95),
        mean_cost_nano_usd: statistics::mean(&costs.iter().map(|cost| whole(*cost)).collect::<Vec<_>>()),
        total_cost_nano_usd: costs.into_iter().map(NanoUsd).sum(),
        feedback: scores.len() as u64,
        mean_score: statistics::mean_score(&scores),
    })
}

async fn scores(reader: &Reader, row: &experiment::Model, variant: &Variant) -> Result<Vec<f64>, ServiceError> {
    let rows: Vec<(i32,)> = reader
        .find::<feedback::Entity>()
        .filter(feedback::Column::ExperimentId.eq(row.id))
        .filter(feedback::Column::Variant.eq(variant.name.as_str()))
        .filter(feedback::Column::CreatedAt.gte(row.started_at))
        .order_by_desc(feedback::Column::Id)
        .limit(NEWEST)
        .with(|select| select.select_only().column(feedback::Column::ScorePpm))
        .tuples()
        .await?;
    Ok(rows.into_iter().map(|(score,)| super::feedback::score(score)).collect())
}

#[expect(clippy::cast_precision_loss, reason = "nano-dollars of one run are far below 2^52")]
fn whole(cost: i64) -> f64 {
    cost as f64
}
