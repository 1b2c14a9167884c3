//! How SQLite finds rows: it has no statistics, so that what it chooses for an empty table it chooses for a full one.

use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};

use super::bench::*;

#[tokio::test]
async fn a_look_at_the_queue_reads_no_more_however_long_it_is() {
    let bench = bench_at(None).await;
    let (one, _) = two_tenants(&bench.store).await;
    bench.store.write(one, move |unit| async move { unit.insert(a_run(one, 61, 11, 12)).await }).await.unwrap();
    let before = bench.store.statements();

    let system = bench.store.system().await.unwrap();
    assert_eq!(system.next_available().await.unwrap(), Some(at(0)));
    let ready = system.ready_tenants(at(1)).await.unwrap();
    assert_eq!(ready.iter().map(|ready| ready.tenant).collect::<Vec<_>>(), [one]);
    let mine = vec![(one, RunId::from_uuid(id(61)))];
    assert!(system.cancelled_of("a").await.unwrap().is_empty());
    assert!(system.with_open_inbox(&mine).await.unwrap().is_empty());
    assert!(system.expired_slots(at(1), 10).await.unwrap().is_empty());
    drop(system);
    let taken: Result<usize, E> = bench
        .store
        .write_system(move |unit| async move {
            let claim = Claim { owner: "a".to_owned(), now: at(1), lease_until: at(16), limit: 10 };
            let taken = unit.claim_runs(&claim, &ready[0]).await?.len();
            let runs = || vec![RunId::from_uuid(id(61))];
            unit.extend_leases("a", runs(), at(40)).await?;
            unit.extend_slots("a", runs(), at(40)).await?;
            unit.adopt_runs("b", at(2)).await?;
            Ok(taken)
        })
        .await;
    assert_eq!(taken.unwrap(), 1);

    let mut statements = bench.store.statements();
    statements.retain(|sql| !before.contains(sql));
    assert!(statements.len() >= 10, "{statements:#?}");
    let connection = Database::connect(&bench.url).await.unwrap();
    for sql in statements {
        let explain = Statement::from_string(DbBackend::Sqlite, format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = connection.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        // The first row of an index, and no other, is what these two looks want.
        let first = ["SCAN runs USING INDEX runs_claimable", "SCAN runs USING INDEX runs_ready"];
        let reads_all = |line: &String| {
            let scans = ["runs", "following", "ready", "run_inbox", "slots"]
                .iter()
                .any(|table| line.starts_with(&format!("SCAN {table}")))
                && !(sql.contains("LIMIT 1") && first.contains(&line.as_str()));
            scans || line.ends_with("runs_status (status=?)") || line.contains("TEMP B-TREE FOR ORDER BY")
        };
        assert!(!plan.iter().any(reads_all), "{sql}\n{plan:#?}");
    }
}
