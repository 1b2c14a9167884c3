//! A hundred thousand runs that wait: what they weigh in the process, and how late they are woken.
//!
//! A run's lateness is from the moment that it waits for to its own end, by the server's clock; they are due one after
//! another at a rate that the program keeps up with.
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use domain::TenantId;
use entities::{Scope as _, StoreError, run};
use sea_orm::ColumnTrait as _;

use crate::ground::{Ground, Site};
use crate::load::Figures;
use crate::program::{TENANT, Weir};
use crate::shapes::Shape;
use crate::{Wanted, commits, load, mib, shown};

const SLEEPER: &str = "sleeper";
const CONNECTIONS: usize = 16;
/// Runs that are due in a second.
const DUE_A_SECOND: usize = 500;
/// The first ones say how fast the others can be made; they sleep for longer than the bench lasts.
const FIRST: usize = 1_000;
const REST: Duration = Duration::from_secs(5);

fn sleeper() -> Shape {
    let yaml = "inputs:\n  at: {type: string, required: true}\nsteps:\n  - name: sleep\n    executor: wait\n    config: {until: \"{{ inputs.at }}\"}\n";
    Shape { name: SLEEPER.to_owned(), body: "{}", yaml: yaml.to_owned(), about: "sleeper".to_owned() }
}

pub(crate) async fn table(wanted: &Wanted, ground: Ground) -> Result<(), String> {
    let waiting = wanted.waiting.max(2 * FIRST);
    let commits = commits::run(ground, 1, wanted.time).await?;
    let mut weir = Weir::start(&wanted.program, ground, &[sleeper()]).await?;
    // What a process weighs that has worked, and holds nothing.
    start(&weir, 0..FIRST, now() - TimeDelta::hours(1), 0).await?;
    let idle = weir.resident_kib()?;
    let first = start(&weir, 0..FIRST, now() + TimeDelta::hours(6), 0).await?;
    let needed = Duration::from_secs_f64(count(waiting) / first.rate() * 1.5) + REST;
    let due = now() + TimeDelta::from_std(needed).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let made = start(&weir, FIRST..waiting, due, DUE_A_SECOND).await?;
    if began.elapsed() > needed {
        return Err(format!("{waiting} runs were not made within {needed:?}; ask for fewer with --waiting"));
    }
    tokio::time::sleep(needed.saturating_sub(began.elapsed() + Duration::from_secs(1))).await;
    let (full, threads) = (weir.resident_kib()?, weir.threads()?);
    let all_due = needed + Duration::from_secs_f64(count(waiting) / count(DUE_A_SECOND)) + REST;
    tokio::time::sleep(all_due.saturating_sub(began.elapsed())).await;
    let (late, asleep) = read(weir.end().await?, due, began.elapsed()).await?;
    println!(
        "{waiting} runs that wait, on {ground}; made at {:.0} a second; bare commit alone {}",
        made.rate(),
        shown(&commits)
    );
    println!(
        "{:>36}: {:.1} MiB before, {:.1} MiB with all of them, {:.0} bytes each; {threads} threads",
        "resident memory",
        mib(idle),
        mib(full),
        (mib(full) - mib(idle)).max(0.0) * 1024.0 * 1024.0 / count(waiting)
    );
    println!(
        "{:>36}: p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms, {:.1} bare commits; {asleep} overslept",
        format!("lateness at {DUE_A_SECOND} a second"),
        late.percentile_ms(0.50),
        late.percentile_ms(0.99),
        late.percentile_ms(1.0),
        late.percentile_ms(0.50) / commits.percentile_ms(0.50)
    );
    println!();
    Ok(())
}

/// Starts runs by number, due from `due` on, so many a second; 0: all at once.
async fn start(
    weir: &Weir,
    numbers: std::ops::Range<usize>,
    due: DateTime<Utc>,
    a_second: usize,
) -> Result<Figures, String> {
    let from = numbers.start;
    let requests: Vec<load::Request> = numbers
        .clone()
        .map(|number| {
            let step = if a_second == 0 { 0.0 } else { count(number - from) / count(a_second) };
            let at = due + TimeDelta::from_std(Duration::from_secs_f64(step)).unwrap_or_default();
            let body = format!(r#"{{"at":"{}"}}"#, at.to_rfc3339_opts(SecondsFormat::Micros, true));
            weir.start_request(TENANT, SLEEPER, &body)
        })
        .collect();
    load::each(0..requests.len(), CONNECTIONS, move |number| requests[number].clone()).await
}

/// How late those were that were due from `due` on, and how many of them still sleep.
async fn read(site: &Site, due: DateTime<Utc>, lasted: Duration) -> Result<(Figures, usize), String> {
    let failed = |error: StoreError| error.to_string();
    let store = site.store().await?;
    let tenant = store.system().await.map_err(failed)?.find_tenant_by_name(TENANT).await.map_err(failed)?;
    let tenant = TenantId::from_uuid(tenant.ok_or("the tenant is gone")?.id);
    let reader = store.read(tenant).await.map_err(failed)?;
    let runs = reader.find::<run::Entity>().filter(run::Column::FlowName.eq(SLEEPER));
    let rows: Vec<(Option<entities::JsonText>, Option<DateTime<Utc>>)> = runs
        .with(|select| {
            use sea_orm::QuerySelect as _;
            select.select_only().column(run::Column::Inputs).column(run::Column::EndedAt)
        })
        .tuples()
        .await
        .map_err(failed)?;
    let (mut late, mut asleep) = (Vec::new(), 0);
    for (inputs, ended) in rows {
        let inputs: serde_json::Value = inputs.and_then(|text| text.read().ok()).unwrap_or_default();
        let at = inputs["at"]
            .as_str()
            .and_then(|text| text.parse::<DateTime<Utc>>().ok())
            .ok_or("a sleeper without a time")?;
        if at < due || at > due + TimeDelta::hours(3) {
            continue;
        }
        match ended {
            Some(ended) => late.push((ended - at).to_std().unwrap_or_default()),
            None => asleep += 1,
        }
    }
    Ok((Figures::new(late, lasted), asleep))
}

fn now() -> DateTime<Utc> {
    DateTime::from(SystemTime::now())
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}
