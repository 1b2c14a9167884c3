//! A tenant at a glance: the figures of its start page.
//!
//! Invariant: days are ranges of ids (which carry their time), so that every query walks the primary key.

use chrono::{DateTime, Days, NaiveTime, Utc};
use domain::{NanoUsd, Permission, RunStatus};
use entities::{Reader, Scope, api_key, connection, first_id_at, flow, run};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, QuerySelect};

use crate::flows::percentile;
use crate::{Actor, ServiceError, Weir, authz};

/// Days shown as bars; the figures are of the last seven.
const DAYS: u64 = 14;
const FIGURE_DAYS: u64 = 7;
/// Durations looked at for the percentile, newest first.
const DURATIONS: u64 = 1_000;

/// What the start page says about the last days.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Overview {
    pub runs: u64,
    /// Share of settled runs that succeeded, 0 to 1; `None` when none settled.
    pub success_rate: Option<f64>,
    pub p95_ms: Option<u64>,
    pub cost: Option<NanoUsd>,
    pub flows: u64,
    /// Runs that are queued, running, waiting or need attention now.
    pub active: u64,
    /// Oldest first, days without runs included.
    pub days: Vec<Day>,
    pub ran_in_console: bool,
    pub called_by_api: bool,
    pub connected_a_model: bool,
    pub made_a_key: bool,
}

/// One day's runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Day {
    /// `2026-11-22`, UTC.
    pub day: String,
    pub by_status: Vec<(RunStatus, u64)>,
}

impl Day {
    /// Runs of this day whose status is one of those.
    #[must_use]
    pub fn count(&self, of: impl Fn(RunStatus) -> bool) -> u64 {
        self.by_status.iter().filter(|(status, _)| of(*status)).map(|(_, count)| count).sum()
    }
}

/// The tenant's figures now.
///
/// # Errors
/// [`ServiceError::Forbidden`], or a fault of the store.
pub async fn overview(weir: &Weir, actor: &Actor) -> Result<Overview, ServiceError> {
    authz::check(actor, Permission::RunsRead)?;
    let now = weir.now();
    let scope = weir.store().read(actor.tenant).await?;
    let mut days = Vec::new();
    for back in (0..DAYS).rev() {
        days.push(day(&scope, midnight(now, back)).await?);
    }
    let week = days.get(usize::try_from(DAYS - FIGURE_DAYS).unwrap_or_default()..).unwrap_or_default();
    let since = first_id_at(midnight(now, FIGURE_DAYS - 1));
    let settled: u64 = week.iter().map(|day| day.count(RunStatus::is_terminal)).sum();
    let good: u64 = week.iter().map(|day| day.count(|status| status == RunStatus::Succeeded)).sum();
    Ok(Overview {
        runs: week.iter().map(|day| day.count(|_| true)).sum(),
        success_rate: share(good, settled),
        p95_ms: p95(&scope, since).await?,
        cost: cost(&scope, since).await?,
        flows: scope.find::<flow::Entity>().filter(flow::Column::DeletedAt.is_null()).count().await?,
        active: active(&scope).await?,
        ran_in_console: started_by(&scope, "console").await?,
        called_by_api: started_by(&scope, "api").await?,
        connected_a_model: scope
            .find::<connection::Entity>()
            .filter(connection::Column::Kind.ne("simulated"))
            .one()
            .await?
            .is_some(),
        made_a_key: scope.find::<api_key::Entity>().one().await?.is_some(),
        days,
    })
}

/// How many runs have each status, from a moment on, of one flow or all.
///
/// # Errors
/// [`ServiceError::Forbidden`], or a fault of the store.
pub async fn status_counts(
    weir: &Weir,
    actor: &Actor,
    flow: Option<&str>,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<(RunStatus, u64)>, ServiceError> {
    authz::check(actor, Permission::RunsRead)?;
    let scope = weir.store().read(actor.tenant).await?;
    let mut find = scope.find::<run::Entity>();
    if let Some(name) = flow {
        find = find.filter(run::Column::FlowName.eq(name));
    }
    if let Some(since) = since {
        find = find.filter(run::Column::Id.gte(first_id_at(since)));
    }
    counted(find).await
}

async fn counted(find: entities::Find<'_, run::Entity>) -> Result<Vec<(RunStatus, u64)>, ServiceError> {
    let rows: Vec<(String, i64)> = find
        .with(|select| {
            select
                .select_only()
                .column(run::Column::Status)
                .column_as(run::Column::Id.count(), "runs")
                .group_by(run::Column::Status)
        })
        .tuples()
        .await?;
    let known = rows
        .into_iter()
        .filter_map(|(status, count)| Some((RunStatus::parse(&status)?, u64::try_from(count).unwrap_or_default())));
    Ok(known.collect())
}

async fn day(scope: &Reader, begins: DateTime<Utc>) -> Result<Day, ServiceError> {
    let ends = begins + Days::new(1);
    let find = scope
        .find::<run::Entity>()
        .filter(run::Column::Id.gte(first_id_at(begins)))
        .filter(run::Column::Id.lt(first_id_at(ends)));
    Ok(Day { day: begins.date_naive().to_string(), by_status: counted(find).await? })
}

async fn p95(scope: &Reader, since: uuid::Uuid) -> Result<Option<u64>, ServiceError> {
    let rows: Vec<i64> = scope
        .find::<run::Entity>()
        .filter(run::Column::Id.gte(since))
        .filter(run::Column::DurationMs.is_not_null())
        .order_by_desc(run::Column::Id)
        .limit(DURATIONS)
        .with(|select| select.select_only().column(run::Column::DurationMs))
        .tuples::<(i64,)>()
        .await?
        .into_iter()
        .map(|(duration,)| duration)
        .collect();
    let mut sorted = rows;
    sorted.sort_unstable();
    Ok(percentile(&sorted, 95))
}

async fn cost(scope: &Reader, since: uuid::Uuid) -> Result<Option<NanoUsd>, ServiceError> {
    let rows: Vec<(Option<i64>,)> = scope
        .find::<run::Entity>()
        .filter(run::Column::Id.gte(since))
        .with(|select| {
            // PostgreSQL sums bigint to numeric, which is no i64.
            let sum = Expr::col(run::Column::CostNanoUsd).sum().cast_as("BIGINT");
            select.select_only().column_as(sum, "cost")
        })
        .tuples()
        .await?;
    Ok(rows.first().and_then(|(sum,)| *sum).map(NanoUsd))
}

async fn active(scope: &Reader) -> Result<u64, ServiceError> {
    let open = RunStatus::ALL.iter().filter(|status| !status.is_terminal()).map(|status| status.as_str());
    Ok(scope.find::<run::Entity>().filter(run::Column::Status.is_in(open)).count().await?)
}

async fn started_by(scope: &Reader, trigger: &str) -> Result<bool, ServiceError> {
    Ok(scope.find::<run::Entity>().filter(run::Column::TriggerKind.eq(trigger)).limit(1).one().await?.is_some())
}

fn midnight(now: DateTime<Utc>, days_back: u64) -> DateTime<Utc> {
    let day = now.date_naive().checked_sub_days(Days::new(days_back)).unwrap_or(now.date_naive());
    day.and_time(NaiveTime::MIN).and_utc()
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
