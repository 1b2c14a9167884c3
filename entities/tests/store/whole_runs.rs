//! Whole runs: kept with those of other callers, each as it was, and none at another's cost.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, DbBackend, Statement};

use super::bench::*;

/// A run as a worker keeps it when it is over, with one step, attempt and append.
pub(crate) fn whole(tenant: TenantId, number: u128) -> WholeRun {
    let run = a_run(tenant, number, 11, 12);
    let append =
        append::Model { tenant_id: tenant.uuid(), run_id: run.id, position: 5, first: 1, entries: "[]".to_owned() };
    let word = run_word::Model { tenant_id: tenant.uuid(), word: "found".to_owned(), run_id: run.id };
    WholeRun {
        run,
        steps: Vec::new(),
        attempts: Vec::new(),
        items: Vec::new(),
        appends: vec![append],
        ledger: Vec::new(),
        words: vec![word],
        notice: format!("changed {number}"),
    }
}

#[tokio::test]
async fn whole_runs_of_many_callers_are_kept_together_and_one_that_cannot_be_takes_none_with_it() {
    everywhere(|bench| async move {
        let (one, two) = two_tenants(&bench.store).await;
        let mut callers = tokio::task::JoinSet::new();
        for number in 0..300_u128 {
            let store = bench.store.clone();
            callers.spawn(async move {
                // Every tenth is there already; every third belongs to a flow of the other tenant, whose own run it is.
                let mut run = whole(one, 5_000 + number - number % 10 / 9);
                if number % 7 == 0 {
                    run.run.flow_id = id(21);
                }
                (number, store.insert_run(one, Box::new(run)).await)
            });
        }
        let mut kept = 0;
        while let Some(done) = callers.join_next().await {
            match done.unwrap() {
                (_, Ok(())) => kept += 1,
                (number, Err(StoreError::Reference(_))) => assert_eq!(number % 7, 0),
                (number, Err(StoreError::Duplicate(_))) => assert!(matches!(number % 10, 8 | 9), "{number}"),
                (number, Err(error)) => panic!("{number}: {error:?}"),
            }
        }
        let reader = bench.store.read(one).await.unwrap();
        let runs = reader.find::<run::Entity>().filter(run::Column::Id.gte(id(5_000))).count().await.unwrap();
        assert_eq!((runs, reader.find::<append::Entity>().count().await.unwrap()), (kept, kept));
        assert_eq!(reader.find::<run_word::Entity>().count().await.unwrap(), kept);
        assert!(kept > 200, "{kept}");
        drop(reader);
        let mut foreign = whole(one, 9_000);
        foreign.appends[0].tenant_id = two.uuid();
        assert!(matches!(bench.store.insert_run(one, Box::new(foreign)).await, Err(StoreError::Unscoped(_))));
        let theirs = bench.store.insert_run(two, Box::new(whole(one, 9_001))).await;
        assert!(matches!(theirs, Err(StoreError::Unscoped(_))), "{theirs:?}");
    })
    .await;
}

/// Text that means something to those who read SQL, JSON or PostgreSQL's own notation on its way.
const HOSTILE: &[&str] = &[
    "it's",
    "''",
    "'; ROLLBACK; DROP TABLE runs; --",
    "\\",
    "\\' OR 1=1",
    "\\u0000 \\x00",
    "\"quoted\"",
    "$1 $$ $keep$",
    "E'\\\\'",
    "{\"a\": [1]}",
    "line\nline\r\ttab",
    "null",
    "",
    "grüße 日本 \u{1F980} \u{202E}",
    "\u{FEFF}",
];

fn text(number: usize) -> String {
    HOSTILE[number % HOSTILE.len()].to_owned()
}

/// A run whose every column has something in it.
fn full(tenant: TenantId, number: usize) -> WholeRun {
    let mut whole = whole(tenant, 7_000 + number as u128);
    let json =
        |shift| Some(JsonText(json!({ text(number + shift): [text(number), 0.1, -0.0, u64::MAX, "nul \u{0}"] })));
    let (some, ago) = (|shift| Some(text(number + shift)), Some(at(5)));
    let run_id = whole.run.id;
    whole.run = run::Model {
        channel: some(1),
        channel_position: i64::MAX,
        started_by: text(number),
        address: some(2),
        request_id: some(3),
        test: true,
        labels: json(4).unwrap_or_default(),
        inputs: json(5),
        outputs: json(6),
        error: json(7),
        handler_errors: json(8),
        failed_step: some(9),
        usage: json(10),
        cost_nano_usd: Some(i64::MIN),
        depth: i32::MAX,
        started_at: ago,
        ended_at: ago,
        duration_ms: Some(-1),
        cancel_requested_at: ago,
        cancel_reason: some(11),
        lease_owner: some(12),
        lease_until: ago,
        trace_state: some(13),
        trace_flags: Some(i32::MIN),
        counted: json(14),
        ..whole.run
    };
    let tenant_id = tenant.uuid();
    whole.steps = vec![step::Model {
        tenant_id,
        run_id,
        name: "first".to_owned(),
        ordinal: 0,
        executor: text(number),
        group_name: some(1),
        status: text(number + 2),
        success: Some(false),
        skipped: true,
        cached: false,
        skip_reason: some(3),
        attempts: 1,
        error: json(4),
        config: json(5),
        config_blob: None,
        output: json(6),
        output_blob: None,
        started_at: ago,
        ended_at: None,
        duration_ms: Some(i64::MAX),
        usage: json(7),
        cost_nano_usd: Some(0),
        child_run_id: Some(id(3)),
        waiting: json(8),
    }];
    whole.appends[0].entries = format!("[{:?}]", text(number));
    whole.words[0].word = text(number);
    whole
}

#[tokio::test]
async fn what_is_kept_whole_reads_back_as_it_was() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let all: Vec<WholeRun> = (0..3 * HOSTILE.len()).map(|number| full(one, number)).collect();
        let kept = all.iter().map(|run| bench.store.insert_run(one, Box::new(run.clone())));
        for kept in futures_util::future::join_all(kept).await {
            kept.unwrap();
        }
        let reader = bench.store.read(one).await.unwrap();
        let runs = reader.find::<run::Entity>().filter(run::Column::Id.gte(id(7_000))).all().await.unwrap();
        let steps = reader.find::<step::Entity>().all().await.unwrap();
        let appends = reader.find::<append::Entity>().all().await.unwrap();
        let words = reader.find::<run_word::Entity>().all().await.unwrap();
        let runs: BTreeMap<_, _> = runs.into_iter().map(|run| (run.id, run)).collect();
        for whole in &all {
            let id = whole.run.id;
            assert_eq!(runs[&id], whole.run);
            let outputs = |run: &run::Model| run.outputs.as_ref().map(|outputs| outputs.to_string());
            assert_eq!(outputs(&runs[&id]), outputs(&whole.run), "to the byte");
            assert_eq!(steps.iter().find(|row| row.run_id == id), whole.steps.first());
            assert_eq!(appends.iter().find(|row| row.run_id == id), whole.appends.first());
            assert_eq!(words.iter().find(|row| row.run_id == id), whole.words.first());
        }
    })
    .await;
}

/// Every row of a run refers to it. Until there are statistics of the table, which is for its first minute and thousands of
/// runs, an index that every run of the tenant is in must not look as good as the primary key.
#[tokio::test]
async fn a_new_database_finds_a_run_by_its_key_alone() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        if bench.store.kind() == StoreKind::Sqlite {
            return;
        }
        let connection = sea_orm::Database::connect(&bench.url).await.unwrap();
        for lock in ["", "FOR KEY SHARE OF x"] {
            let sql = format!(
                "EXPLAIN SELECT 1 FROM ONLY runs x WHERE tenant_id = '{}' AND id = '{}' {lock}",
                one.uuid(),
                id(5)
            );
            connection.execute_unprepared("SET ROLE weir_app").await.unwrap();
            let rows = connection.query_all_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
            assert!(plan.iter().any(|line| line.contains("using runs_pkey")), "{plan:#?}");
        }
    })
    .await;
}
