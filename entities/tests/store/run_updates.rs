//! What is added to runs: kept with what others write, by who holds the run and by nobody else.

use entities::{RunUpdate, Unit, inbox, slot};

use super::bench::*;

/// The run's next append, which also moves its row on.
fn next(tenant: TenantId, number: u128, before: i64, token: i64) -> RunUpdate {
    use run::Column as C;
    let mut row = a_run(tenant, number, 11, 12);
    (row.event_position, row.fencing_token, row.claims) = (before + 1, token, 0);
    "running".clone_into(&mut row.status);
    let append = append::Model {
        tenant_id: tenant.uuid(),
        run_id: row.id,
        position: before + 1,
        first: before + 1,
        entries: format!("[{before}]"),
    };
    let word = run_word::Model { tenant_id: tenant.uuid(), word: "found".to_owned(), run_id: row.id };
    let rows = WholeRun {
        steps: vec![a_step(&row, "first", before)],
        appends: vec![append],
        words: vec![word],
        ..WholeRun::of(row, "changed".to_owned())
    };
    RunUpdate { before: Some(before), ..RunUpdate::of(rows, vec![C::EventPosition, C::Claims, C::Status]) }
}

fn a_step(row: &run::Model, name: &str, attempts: i64) -> step::Model {
    step::Model {
        tenant_id: row.tenant_id,
        run_id: row.id,
        name: name.to_owned(),
        ordinal: 0,
        executor: "log".to_owned(),
        group_name: None,
        status: "running".to_owned(),
        success: None,
        skipped: false,
        cached: false,
        skip_reason: None,
        attempts: i32::try_from(attempts).unwrap(),
        error: None,
        config: None,
        config_blob: None,
        output: Some(JsonText(json!({ "of": attempts }))),
        output_blob: None,
        started_at: None,
        ended_at: None,
        duration_ms: None,
        usage: None,
        cost_nano_usd: None,
        child_run_id: None,
        waiting: None,
    }
}

async fn insert(bench: &Bench, tenant: TenantId, row: run::Model) {
    bench.store.write(tenant, |unit: Unit| async move { unit.insert(row).await }).await.unwrap();
}

async fn the_run(bench: &Bench, tenant: TenantId, number: u128) -> run::Model {
    let reader = bench.store.read(tenant).await.unwrap();
    reader.find::<run::Entity>().filter(run::Column::Id.eq(id(number))).one().await.unwrap().unwrap()
}

#[tokio::test]
async fn updates_of_many_are_kept_together_with_units_and_a_stale_one_takes_nothing_with_it() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        for number in 0..60 {
            insert(&bench, one, a_run(one, 5_000 + number, 11, 12)).await;
        }
        let mut callers = tokio::task::JoinSet::new();
        for number in 0..60_u128 {
            let store = if number % 2 == 0 { bench.store.clone() } else { bench.store.in_background() };
            callers.spawn(async move {
                let mut results = Vec::new();
                for position in 0..6 {
                    // Another holder's, at a position that is past, and with an append that is there already.
                    let stale = next(one, 5_000 + number, position, 9);
                    results.push((false, store.update_run(one, stale).await));
                    results.push((true, store.update_run(one, next(one, 5_000 + number, position, 0)).await));
                    results.push((false, store.update_run(one, next(one, 5_000 + number, position, 0)).await));
                    if position % 3 == 2 {
                        let row = a_run(one, 6_000 + number * 10 + u128::try_from(position).unwrap(), 11, 12);
                        results
                            .push((true, store.write(one, |unit: Unit| async move { unit.insert(row).await }).await));
                    }
                }
                results
            });
        }
        while let Some(done) = callers.join_next().await {
            for (good, result) in done.unwrap() {
                match result {
                    Ok(()) if good => {}
                    Err(StoreError::Stale) if !good => {}
                    other => panic!("{good}: {other:?}"),
                }
            }
        }
        // Where all are good, they share.
        let before = bench.store.write_counts();
        let good = (0..60).map(|number| bench.store.update_run(one, next(one, 5_000 + number, 6, 0)));
        for kept in futures_util::future::join_all(good).await {
            kept.unwrap();
        }
        if let (Some(before), Some(after)) = (before, bench.store.write_counts()) {
            assert_eq!(after.units - before.units, 60);
            assert!(after.commits - before.commits < 10, "{before:?} {after:?}");
        }
        let reader = bench.store.read(one).await.unwrap();
        assert_eq!(reader.find::<append::Entity>().count().await.unwrap(), 420);
        let steps = reader.find::<step::Entity>().all().await.unwrap();
        assert_eq!(steps.len(), 60);
        assert!(
            steps.iter().all(|step| step.attempts == 6 && step.output == Some(JsonText(json!({"of": 6})))),
            "{steps:?}"
        );
        let runs = reader.find::<run::Entity>().all().await.unwrap();
        assert_eq!(runs.len(), 60 + 120);
        let moved: Vec<_> = runs.iter().filter(|run| run.event_position == 7).collect();
        assert_eq!(moved.len(), 60);
        assert!(moved.iter().all(|run| run.status == "running" && run.inputs.is_some()), "the rest of a row stays");
    })
    .await;
}

#[tokio::test]
async fn an_update_that_cannot_be_kept_says_why_and_changes_nothing() {
    everywhere(|bench| async move {
        let (one, two) = two_tenants(&bench.store).await;
        insert(&bench, one, a_run(one, 7, 11, 12)).await;
        let before = the_run(&bench, one, 7).await;
        let theirs = bench.store.update_run(two, next(one, 7, 0, 0)).await;
        assert!(matches!(theirs, Err(StoreError::Unscoped(_))), "{theirs:?}");
        let mut mixed = next(one, 7, 0, 0);
        mixed.rows.steps[0].run_id = id(8);
        assert!(matches!(bench.store.update_run(one, mixed).await, Err(StoreError::Unscoped(_))));
        let mut twice = next(one, 7, 0, 0);
        twice.rows.appends.push(twice.rows.appends[0].clone());
        let twice = bench.store.update_run(one, twice).await;
        assert!(matches!(twice, Err(StoreError::Duplicate(_))), "{twice:?}");
        let absent = bench.store.update_run(one, next(one, 9, 0, 0)).await;
        assert!(matches!(absent, Err(StoreError::Stale)), "{absent:?}");
        assert_eq!(the_run(&bench, one, 7).await, before);
        let reader = bench.store.read(one).await.unwrap();
        assert_eq!(reader.find::<append::Entity>().count().await.unwrap(), 0);
        assert_eq!(reader.find::<step::Entity>().count().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_run_lies_down_undisturbed_or_not_at_all() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let letter = |taken_at| inbox::Model {
            tenant_id: one.uuid(),
            run_id: id(32),
            id: id(1),
            kind: "signal".to_owned(),
            data: JsonText(json!({})),
            sent_by: "ann".to_owned(),
            created_at: at(0),
            taken_at,
        };
        let place = slot::Model {
            tenant_id: one.uuid(),
            slot_key: "flow:x".to_owned(),
            run_id: id(34),
            step: String::new(),
            units: 1,
            taken_at: at(0),
            until: at(60),
            waiting: false,
        };
        for number in 31..=35 {
            insert(&bench, one, a_run(one, number, 11, 12)).await;
        }
        let (open, heard) = (letter(None), inbox::Model { run_id: id(33), id: id(2), ..letter(Some(at(1))) });
        bench
            .store
            .write(one, |unit: Unit| async move {
                unit.insert(open).await?;
                unit.insert(heard).await?;
                unit.insert(place).await?;
                let cancelled = unit.update::<run::Entity>().set(run::Column::CancelRequestedAt, Some(at(2)));
                cancelled.filter(run::Column::Id.eq(id(35))).exec().await
            })
            .await
            .unwrap();
        for (number, lies_down) in [(31, true), (32, false), (33, true), (34, false), (35, false)] {
            use run::Column as C;
            let mut row = a_run(one, number, 11, 12);
            row.available_at = at(99);
            "waiting".clone_into(&mut row.status);
            let rows = WholeRun::of(row, "changed".to_owned());
            let update =
                RunUpdate { undisturbed: true, ..RunUpdate::of(rows, vec![C::Status, C::AvailableAt, C::LeaseOwner]) };
            match bench.store.update_run(one, update).await {
                Ok(()) if lies_down => {}
                Err(StoreError::Stale) if !lies_down => {}
                other => panic!("{number}: {other:?}"),
            }
            let now = the_run(&bench, one, number).await;
            assert_eq!((now.status == "waiting", now.available_at == at(99)), (lies_down, lies_down), "{number}");
        }
    })
    .await;
}
