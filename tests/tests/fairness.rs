//! Suite: a tenant's endless queue holds no other tenant up. `WEIR_SUITE_SIZE` chooses how long the queue is.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a suite fails by panicking, and this one shows a figure"
)]
use sea_orm::prelude::DateTimeUtc;
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use std::time::Duration;
use tests::{ApiKey, Size, Store, World};

const ONE: &str = r#"
steps:
  - name: one
    executor: data_transformer
    config: {data: 7}
"#;
/// Runs of the small tenant.
const FEW: usize = 10;
/// Runs that one claim takes at most.
const CLAIM: usize = 16;

/// When a run was made and when it began.
#[derive(Debug, Clone, Copy)]
struct Span {
    created: DateTimeUtc,
    started: DateTimeUtc,
}

async fn a_few_runs(key: &ApiKey) -> Vec<String> {
    let mut runs = Vec::new();
    for _ in 0..FEW {
        runs.push(key.start("one", &json!({})).await);
    }
    runs
}

/// Of these runs, once they are over.
async fn spans(key: &ApiKey, runs: &[String]) -> Vec<Span> {
    let mut spans = Vec::new();
    for run in runs {
        let over = key.finished(run).await;
        assert_eq!(over["status"], "succeeded", "{over:#}");
        let at = |field: &Value| field.as_str().unwrap().parse::<DateTimeUtc>().unwrap();
        spans.push(Span { created: at(&over["created_at"]), started: at(&over["started_at"]) });
    }
    spans
}

/// From the first that was made to the last that began.
fn until_all_began(spans: &[Span]) -> Duration {
    let first = spans.iter().map(|span| span.created).min().unwrap();
    let last = spans.iter().map(|span| span.started).max().unwrap();
    (last - first).to_std().unwrap()
}

/// Makes the tenant's one queued run many, in the store itself: a hundred thousand calls would measure the calls.
async fn multiply(world: &World, queued: usize) {
    let connection = open(world).await;
    let postgres = connection.get_database_backend() == DbBackend::Postgres;
    let names = if postgres {
        "SELECT column_name AS name FROM information_schema.columns WHERE table_name = 'runs' ORDER BY ordinal_position"
    } else {
        "SELECT name FROM pragma_table_info('runs') ORDER BY cid"
    };
    let columns: Vec<String> =
        rows(&connection, names).await.iter().map(|row| row.try_get("", "name").unwrap()).collect();
    let made = |column: &String| {
        if matches!(column.as_str(), "id" | "root_run_id") { "made.id".to_owned() } else { format!("seed.{column}") }
    };
    let series = if postgres {
        format!("SELECT gen_random_uuid() AS id FROM generate_series(1, {queued})")
    } else {
        format!(
            "WITH RECURSIVE count (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM count WHERE n < {queued}) SELECT randomblob(16) AS id FROM count"
        )
    };
    let statement = format!(
        "INSERT INTO runs ({}) SELECT {} FROM ({series}) AS made
         CROSS JOIN (SELECT runs.* FROM runs JOIN tenants ON tenants.id = runs.tenant_id WHERE tenants.name = 'large') AS seed",
        columns.join(", "),
        columns.iter().map(made).collect::<Vec<_>>().join(", "),
    );
    connection.execute_unprepared(&statement).await.unwrap();
    connection.close().await.unwrap();
}

/// The server is not running: the embedded store has one process.
async fn open(world: &World) -> DatabaseConnection {
    match world.database() {
        Some(database) => database.inspect().await,
        None => Database::connect(format!("sqlite://{}", world.folder().join("data/weir.db").display())).await.unwrap(),
    }
}

async fn rows(connection: &DatabaseConnection, sql: &str) -> Vec<sea_orm::QueryResult> {
    connection.query_all_raw(Statement::from_string(connection.get_database_backend(), sql)).await.unwrap()
}

/// When the large tenant's runs began, in order.
async fn large_starts(world: &World) -> Vec<DateTimeUtc> {
    let connection = open(world).await;
    let sql = "SELECT runs.started_at FROM runs JOIN tenants ON tenants.id = runs.tenant_id
               WHERE tenants.name = 'large' AND runs.started_at IS NOT NULL ORDER BY runs.started_at";
    rows(&connection, sql).await.iter().map(|row| row.try_get("", "started_at").unwrap()).collect()
}

async fn rule(store: Store) {
    let queued = Size::chosen().of(2_000, 100_000, 100_000);
    let mut world = World::start(store).await;
    let (large, small) = (world.tenant("large").await.key(&[]).await, world.tenant("small").await.key(&[]).await);
    large.put_flow("one", ONE).await.expect_success();
    small.put_flow("one", ONE).await.expect_success();
    let idle = until_all_began(&spans(&small, &a_few_runs(&small).await).await);

    // The queue is made while nothing runs.
    world.stop().await;
    let mut world = world.configure("WEIR_PAUSED", "true");
    world.serve().await;
    large.at(&world.url()).start("one", &json!({})).await;
    let waiting = a_few_runs(&small.at(&world.url())).await;
    world.stop().await;
    multiply(&world, queued).await;

    let mut world = world.configure("WEIR_PAUSED", "false");
    world.serve().await;
    let small = small.at(&world.url());
    let waited = spans(&small, &waiting).await;
    let came = spans(&small, &a_few_runs(&small).await).await;
    world.kill().await;
    let large_starts = large_starts(&world).await;
    assert!(large_starts.len() < queued, "the large tenant's queue was not empty meanwhile: {}", large_starts.len());

    // Turns are taken run by run, so the ten are in the first claim, as they would be alone. Others may have been made
    // before the last of them was begun.
    let last = waited.iter().map(|span| span.started).max().unwrap();
    let before = large_starts.iter().filter(|at| **at <= last).count();
    assert!(before <= 4 * CLAIM, "{before} of the large tenant's runs began before the small one's ten");
    for span in &came {
        let between = large_starts.iter().filter(|at| **at > span.created && **at <= span.started).count();
        // Places are kept for those who come, and what they write comes first.
        assert!(between <= 2 * CLAIM, "{between} runs of the large tenant began while one of the small one's waited");
    }
    println!(
        "fairness on {store:?}: ten runs beside {queued}: {before} of the others began before the last of ten that were \
         queued; ten new ones began within {:?}, on the idle system within {idle:?}",
        until_all_began(&came)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_runs_begin_in_their_turn_beside_another_tenants_long_queue_on_sqlite() {
    rule(Store::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_runs_begin_in_their_turn_beside_another_tenants_long_queue_on_postgres() {
    rule(Store::Postgres).await;
}
