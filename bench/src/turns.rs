//! How long ten runs of one tenant take to begin: on an idle system, and beside a hundred thousand queued runs of another.
//!
//! From the moment the first of the ten is made to the moment the last begins, by the server's clock, over many rounds.
use std::time::Duration;

use domain::TenantId;
use entities::{Scope as _, Store, StoreError, run};
use sea_orm::ColumnTrait as _;
use uuid::Uuid;

use crate::ground::{Ground, Site};
use crate::load::Figures;
use crate::program::{Bare, TENANT, Weir};
use crate::{Wanted, commits, load, shapes, shown};

const FEW: usize = 10;
const ROUNDS: usize = 30;
const LARGE: &str = "large";
/// Rows of one unit while the queue is made.
const AT_ONCE: usize = 200;

pub(crate) async fn table(wanted: &Wanted, ground: Ground) -> Result<(), String> {
    let one = &shapes::usual()[..1];
    let mut weir = Weir::start(&wanted.program, ground, one).await?;
    weir.add_tenant(LARGE, one).await?;
    let bare = Bare::start().await?;
    let handler = load::run(&bare.request(), 1, wanted.time).await?;
    let commits = commits::run(ground, 1, wanted.time).await?;
    rounds(&weir).await?;
    weir.end().await?;
    // The queue is made while nothing runs.
    weir.again(true).await?;
    let queued = weir.start_request(LARGE, shapes::ONE, shapes::NUMBER);
    load::each(0..1, 1, move |_| queued.clone()).await?;
    multiply(weir.end().await?, wanted.queued).await?;
    weir.again(false).await?;
    rounds(&weir).await?;
    let (idle, beside, left) = read(weir.end().await?).await?;
    println!(
        "ten runs begin, on {ground}; bare request alone {}; bare commit alone {}",
        shown(&handler),
        shown(&commits)
    );
    let figures = |times: &dyn Fn(&Ten) -> Vec<Duration>, tens: &[Ten]| {
        Figures::new(tens.iter().flat_map(times).collect(), wanted.time)
    };
    let mut p50 = Vec::new();
    for (about, tens) in
        [("on an idle system", &idle), (&*format!("beside {} queued runs of another", wanted.queued), &beside)]
    {
        let all = figures(&|ten| vec![ten.all], tens);
        let each = figures(&|ten| ten.each.clone(), tens);
        println!(
            "{about:>36}: p50 {:.1} ms, p99 {:.1} ms, {:.1} bare commits; each began p50 {:.1} ms, p99 {:.1} ms after it was made",
            all.percentile_ms(0.50),
            all.percentile_ms(0.99),
            all.percentile_ms(0.50) / commits.percentile_ms(0.50),
            each.percentile_ms(0.50),
            each.percentile_ms(0.99),
        );
        p50.push(all.percentile_ms(0.50));
    }
    println!("{:>36}: {:.2} ({left} of the other's runs were left)\n", "ratio of the p50", p50[1] / p50[0]);
    Ok(())
}

/// Ten starts, one after another, and again when a run of their own has come through behind them.
async fn rounds(weir: &Weir) -> Result<(), String> {
    let start = weir.start_request(TENANT, shapes::ONE, shapes::NUMBER);
    let through = weir.request(shapes::ONE, shapes::NUMBER);
    for _ in 0..ROUNDS {
        let start = start.clone();
        load::each(0..FEW, 1, move |_| start.clone()).await?;
        let through = through.clone();
        load::each(0..1, 1, move |_| through.clone()).await?;
    }
    Ok(())
}

/// Makes the one queued run of the large tenant many, straight in the store.
async fn multiply(site: &Site, queued: usize) -> Result<(), String> {
    let store = site.store().await?;
    let tenant = tenant(&store, LARGE).await?;
    let reader = store.read(tenant).await.map_err(|error| error.to_string())?;
    let seed = reader.find::<run::Entity>().one().await.map_err(|error| error.to_string())?;
    let seed = seed.ok_or("the run that is to be many was not stored")?;
    drop(reader);
    let mut made = 0;
    while made < queued {
        let count = AT_ONCE.min(queued - made);
        let copy = |number: usize| {
            let id = Uuid::from_u128(seed.id.as_u128() + 1 + number as u128);
            run::Model { id, root_run_id: id, ..seed.clone() }
        };
        let rows: Vec<run::Model> = (made..made + count).map(copy).collect();
        let kept = store.write(tenant, move |unit| async move { unit.insert_all(rows).await });
        kept.await.map_err(|error: StoreError| error.to_string())?;
        made += count;
    }
    Ok(())
}

/// How long ten runs took to begin.
struct Ten {
    /// From the moment the first of them was made to the moment the last began.
    all: Duration,
    /// From the moment it was made to the moment it began, of each.
    each: Vec<Duration>,
}

/// How long each ten took, first on the idle system and then beside the others; and how many runs of the large tenant were
/// not begun yet. The last ten may have been cut off by the end of the server.
async fn read(site: &Site) -> Result<(Vec<Ten>, Vec<Ten>, u64), String> {
    let store = site.store().await?;
    let failed = |error: StoreError| error.to_string();
    let reader = store.read(tenant(&store, TENANT).await?).await.map_err(failed)?;
    let rows = reader.find::<run::Entity>().order_by_asc(run::Column::Id).all().await.map_err(failed)?;
    drop(reader);
    // The eleventh of each round is the one that came through behind them.
    let (idle, beside) = rows.split_at((ROUNDS * (FEW + 1)).min(rows.len()));
    let times = |rows: &[run::Model]| rows.chunks(FEW + 1).filter_map(ten).collect();
    let reader = store.read(tenant(&store, LARGE).await?).await.map_err(failed)?;
    let left = reader.find::<run::Entity>().filter(run::Column::StartedAt.is_null()).count().await.map_err(failed)?;
    Ok((times(idle), times(beside), left))
}

fn ten(rows: &[run::Model]) -> Option<Ten> {
    let few = rows.get(..FEW)?;
    let first = few.iter().map(|row| row.created_at).min()?;
    let last = few.iter().map(|row| row.started_at).try_fold(first, |last, at| Some(last.max(at?)))?;
    let each = few.iter().filter_map(|row| (row.started_at? - row.created_at).to_std().ok()).collect();
    Some(Ten { all: (last - first).to_std().ok()?, each })
}

async fn tenant(store: &Store, name: &str) -> Result<TenantId, String> {
    let system = store.system().await.map_err(|error| error.to_string())?;
    let found = system.find_tenant_by_name(name).await.map_err(|error| error.to_string())?;
    found.map(|row| TenantId::from_uuid(row.id)).ok_or_else(|| format!("there is no tenant {name}"))
}
