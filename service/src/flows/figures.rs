//! A flow's figures over its newest runs: dots, success, duration, cost.
//!
//! Invariant: at most [`NEWEST`] rows are read a flow, so a list costs the same however many runs there are.

use chrono::{DateTime, Duration, Utc};
use domain::{NanoUsd, RunStatus};
use entities::{Scope, run};
use sea_orm::{ColumnTrait, FromQueryResult, QuerySelect};

use crate::ServiceError;

const NEWEST: u64 = 200;
const DOTS: usize = 20;
const DAYS: i64 = 7;

#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Figures {
    pub(super) last_run_at: Option<DateTime<Utc>>,
    pub(super) recent: Vec<RunStatus>,
    pub(super) success_rate: Option<f64>,
    pub(super) p95_ms: Option<u64>,
    pub(super) cost_per_run: Option<NanoUsd>,
}

#[derive(Debug, Clone, FromQueryResult)]
struct Row {
    status: String,
    created_at: DateTime<Utc>,
    duration_ms: Option<i64>,
    cost_nano_usd: Option<i64>,
}

pub(super) async fn of(scope: &impl Scope, flow: uuid::Uuid, now: DateTime<Utc>) -> Result<Figures, ServiceError> {
    let rows: Vec<Row> = scope
        .find::<run::Entity>()
        .filter(run::Column::FlowId.eq(flow))
        .order_by_desc(run::Column::Id)
        .limit(NEWEST)
        .with(|select| {
            select.select_only().columns([
                run::Column::Status,
                run::Column::CreatedAt,
                run::Column::DurationMs,
                run::Column::CostNanoUsd,
            ])
        })
        .models()
        .await?;
    Ok(figures(&rows, now))
}

#[expect(clippy::cast_precision_loss, reason = "at most 200 rows")]
fn figures(rows: &[Row], now: DateTime<Utc>) -> Figures {
    let since = now - Duration::days(DAYS);
    let status = |row: &Row| RunStatus::parse(&row.status);
    let settled: Vec<&Row> =
        rows.iter().filter(|row| row.created_at >= since && status(row).is_some_and(RunStatus::is_terminal)).collect();
    let good = settled.iter().filter(|row| status(row) == Some(RunStatus::Succeeded)).count();
    let mut durations: Vec<i64> = settled.iter().filter_map(|row| row.duration_ms).collect();
    durations.sort_unstable();
    let costs: Vec<i64> = settled.iter().filter_map(|row| row.cost_nano_usd).collect();
    Figures {
        last_run_at: rows.first().map(|row| row.created_at),
        recent: rows.iter().filter_map(status).take(DOTS).collect(),
        success_rate: (!settled.is_empty()).then(|| good as f64 / settled.len() as f64),
        p95_ms: percentile(&durations, 95),
        cost_per_run: i64::try_from(costs.len())
            .ok()
            .filter(|count| *count > 0)
            .map(|count| NanoUsd(costs.iter().sum::<i64>() / count)),
    }
}

/// The smallest value that at least `percent` per cent of the sorted values do not exceed.
pub(crate) fn percentile(sorted: &[i64], percent: usize) -> Option<u64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).and_then(|value| u64::try_from(*value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(status: &str, age_days: i64, duration_ms: i64) -> Row {
        let created_at = DateTime::<Utc>::UNIX_EPOCH + Duration::days(100 - age_days);
        Row { status: status.to_owned(), created_at, duration_ms: Some(duration_ms), cost_nano_usd: Some(10) }
    }

    #[test]
    fn only_settled_runs_of_the_last_week_count() {
        let rows = [row("running", 0, 0), row("succeeded", 1, 100), row("failed", 2, 300), row("failed", 9, 9_000)];
        let figures = figures(&rows, DateTime::<Utc>::UNIX_EPOCH + Duration::days(100));
        assert_eq!(figures.success_rate, Some(0.5));
        assert_eq!(figures.p95_ms, Some(300));
        assert_eq!(figures.cost_per_run, Some(NanoUsd(10)));
        assert_eq!(figures.recent.len(), 4);
    }

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        assert_eq!(percentile(&[], 95), None);
        assert_eq!(percentile(&[7], 95), Some(7));
        assert_eq!(percentile(&(1..=100).collect::<Vec<_>>(), 95), Some(95));
    }
}
