//! What earlier runs of a flow took, step by step.
//!
//! Invariant: at most [`RUNS`] runs are read, those of the same version first; so a forecast costs the same however long
//! the history is.

use std::collections::BTreeMap;

use domain::FlowId;
use domain::wire::Usage;
use entities::{JsonText, Reader, Scope as _, item, run, step};
use language::Plan;
use sea_orm::{ColumnTrait, QuerySelect};

use crate::ServiceError;

const RUNS: u64 = 200;
/// With fewer runs of the version itself, those of other versions are looked at too.
const ENOUGH: usize = 20;

/// One earlier run of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    pub duration_ms: u64,
    pub tokens: u64,
    /// `None` if something had no known price.
    pub cost_nano_usd: Option<u64>,
    /// Of a step with items: how many there were.
    pub items: Option<u64>,
}

/// Earlier runs of a flow's steps, by the step's name and executor.
#[derive(Debug, Clone, Default)]
pub struct History {
    samples: BTreeMap<(String, String), Vec<Sample>>,
}

impl History {
    pub fn add(&mut self, step: &str, executor: &str, sample: Sample) {
        self.samples.entry((step.to_owned(), executor.to_owned())).or_default().push(sample);
    }

    #[must_use]
    pub fn of(&self, step: &str, executor: &str) -> &[Sample] {
        self.samples.get(&(step.to_owned(), executor.to_owned())).map(Vec::as_slice).unwrap_or_default()
    }
}

/// How many items a step of a run had, by run and step.
async fn items(reader: &Reader, runs: &[uuid::Uuid]) -> Result<BTreeMap<(uuid::Uuid, String), u64>, ServiceError> {
    let rows: Vec<(uuid::Uuid, String, i64)> = reader
        .find::<item::Entity>()
        .filter(item::Column::RunId.is_in(runs.iter().copied()))
        .with(|select| {
            select
                .select_only()
                .columns([item::Column::RunId, item::Column::Step])
                .column_as(item::Column::Item.count(), "items")
                .group_by(item::Column::RunId)
                .group_by(item::Column::Step)
        })
        .tuples()
        .await?;
    let counted = |(run, step, count): (_, _, i64)| ((run, step), u64::try_from(count).unwrap_or_default());
    Ok(rows.into_iter().map(counted).collect())
}

/// Run, name, executor, milliseconds, usage and cost of a step.
type Row = (uuid::Uuid, String, String, Option<i64>, Option<JsonText>, Option<i64>);

pub(super) async fn of_flow(
    reader: &Reader,
    (flow, number): (FlowId, u32),
    plan: &Plan,
) -> Result<History, ServiceError> {
    let mut ids = newest(reader, flow, Some(number)).await?;
    if ids.len() < ENOUGH {
        ids = newest(reader, flow, None).await?;
    }
    let has_items = plan.steps.iter().any(|step| step.for_each.is_some());
    let items = if has_items { items(reader, &ids).await? } else { BTreeMap::new() };
    let mut history = History::default();
    let rows: Vec<Row> = reader
        .find::<step::Entity>()
        .filter(step::Column::RunId.is_in(ids))
        .filter(step::Column::Status.eq("succeeded"))
        .with(|select| {
            select.select_only().columns([
                step::Column::RunId,
                step::Column::Name,
                step::Column::Executor,
                step::Column::DurationMs,
                step::Column::Usage,
                step::Column::CostNanoUsd,
            ])
        })
        .tuples()
        .await?;
    for (run, name, executor, duration, usage, cost) in rows {
        let usage: Option<Usage> = usage.and_then(|usage| usage.read().ok());
        let whole = |number: i64| u64::try_from(number).unwrap_or_default();
        let sample = Sample {
            duration_ms: duration.map(whole).unwrap_or_default(),
            tokens: usage.as_ref().map(tokens).unwrap_or_default(),
            cost_nano_usd: if usage.is_none() { Some(0) } else { cost.map(whole) },
            items: items.get(&(run, name.clone())).copied(),
        };
        history.add(&name, &executor, sample);
    }
    Ok(history)
}

/// What goes in and what comes out; cached tokens are a part of what goes in.
fn tokens(usage: &Usage) -> u64 {
    ["input_tokens", "output_tokens"].iter().filter_map(|kind| usage.units.get(*kind)).sum()
}

async fn newest(reader: &Reader, flow: FlowId, number: Option<u32>) -> Result<Vec<uuid::Uuid>, ServiceError> {
    let mut runs = reader
        .find::<run::Entity>()
        .filter(run::Column::FlowId.eq(flow.uuid()))
        .filter(run::Column::Status.is_in(["succeeded", "failed", "timed_out"]));
    if let Some(number) = number {
        runs = runs.filter(run::Column::VersionNumber.eq(i32::try_from(number).unwrap_or(i32::MAX)));
    }
    let ids: Vec<(uuid::Uuid,)> = runs
        .order_by_desc(run::Column::Id)
        .limit(RUNS)
        .with(|select| select.select_only().column(run::Column::Id))
        .tuples()
        .await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}
