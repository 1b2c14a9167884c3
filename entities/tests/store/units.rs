//! Units of work: kept whole or not at all, and each for its tenant.

use super::bench::*;

#[tokio::test]
async fn what_is_written_comes_back_and_stays_with_its_tenant() {
    everywhere(|bench| async move {
        let (one, two) = two_tenants(&bench.store).await;
        let row = a_run(one, 13, 11, 12);
        let written = row.clone();
        bench.store.write(one, move |unit| async move { unit.insert(row).await }).await.unwrap();

        let reader = bench.store.read(one).await.unwrap();
        let read = reader.find::<run::Entity>().filter(run::Column::Id.eq(id(13))).one().await.unwrap().unwrap();
        assert_eq!(read, written);
        let text = read.inputs.unwrap().0.to_string();
        assert_eq!(text, r#"{"b":1,"a":"nul \u0000 inside"}"#, "key order and NUL survive");

        let foreign = bench.store.read(two).await.unwrap();
        assert_eq!(foreign.find::<run::Entity>().filter(run::Column::Id.eq(id(13))).one().await.unwrap(), None);
        assert_eq!(foreign.find::<flow::Entity>().count().await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_row_of_another_tenant_cannot_be_written_nor_pointed_at() {
    everywhere(|bench| async move {
        let (one, two) = two_tenants(&bench.store).await;
        let foreign = a_flow(two, 30, "two");
        let refused: Result<(), E> = bench.store.write(one, |unit| async move { unit.insert(foreign).await }).await;
        assert!(matches!(refused, Err(StoreError::Unscoped(_))), "{refused:?}");

        // A run of tenant one on a flow of tenant two: the composite key has nothing to point at.
        let crossing = a_run(one, 31, 21, 22);
        let refused: Result<(), E> = bench.store.write(one, |unit| async move { unit.insert(crossing).await }).await;
        assert!(matches!(refused, Err(StoreError::Reference(_))), "{refused:?}");

        let changed = bench
            .store
            .write(one, |unit| async move {
                unit.update::<flow::Entity>()
                    .set(flow::Column::Name, "stolen")
                    .filter(flow::Column::Id.eq(id(21)))
                    .exec()
                    .await
            })
            .await;
        assert_eq!(changed.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_failing_unit_leaves_its_neighbours_and_nothing_of_itself() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let mut units = tokio::task::JoinSet::new();
        for number in 0..90_u128 {
            let store = bench.store.clone();
            units.spawn(async move {
                let result: Result<(), E> = store
                    .write(one, move |unit| async move {
                        unit.insert(a_run(one, 1_000 + number, 11, 12)).await?;
                        match number % 3 {
                            0 => Ok(()),
                            // The same key again: the statement fails.
                            1 => unit.insert(a_run(one, 1_000 + number, 11, 12)).await,
                            _ => panic!("a fault in a unit"),
                        }
                    })
                    .await;
                (number, result)
            });
        }
        while let Some(done) = units.join_next().await {
            match done.unwrap() {
                (number, Ok(())) => assert_eq!(number % 3, 0),
                (number, Err(StoreError::Duplicate(_))) => assert_eq!(number % 3, 1),
                (number, Err(StoreError::Panicked)) => assert_eq!(number % 3, 2),
                (number, other) => panic!("{number}: {other:?}"),
            }
        }
        let reader = bench.store.read(one).await.unwrap();
        let kept: Vec<(Uuid,)> = reader
            .find::<run::Entity>()
            .with(|select| {
                use sea_orm::QuerySelect;
                select.select_only().column(run::Column::Id)
            })
            .order_by_asc(run::Column::Id)
            .tuples()
            .await
            .unwrap();
        let expected: Vec<(Uuid,)> =
            (0..90).filter(|number| number % 3 == 0).map(|number| (id(1_000 + number),)).collect();
        assert_eq!(kept, expected);
    })
    .await;
}

#[tokio::test]
async fn a_unit_that_swallows_a_failed_statement_is_not_kept() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let result: Result<(), E> = bench
            .store
            .write(one, move |unit| async move {
                unit.insert(a_run(one, 41, 11, 12)).await?;
                let _ = unit.insert(a_run(one, 41, 11, 12)).await;
                Ok(())
            })
            .await;
        assert!(matches!(result, Err(StoreError::Abandoned(_))), "{result:?}");
        let reader = bench.store.read(one).await.unwrap();
        assert_eq!(reader.find::<run::Entity>().count().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_unit_that_outlives_its_closure_can_write_nothing_more() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let (keep, kept) = tokio::sync::oneshot::channel();
        let result: Result<(), E> = bench
            .store
            .write(one, move |unit| async move {
                unit.insert(a_run(one, 51, 11, 12)).await?;
                assert!(keep.send(unit).is_ok());
                Ok(())
            })
            .await;
        result.unwrap();
        let escaped = kept.await.unwrap();
        assert!(escaped.insert(a_run(one, 52, 11, 12)).await.is_err());
        // And the store goes on.
        bench.store.write(one, move |unit| async move { unit.insert(a_run(one, 53, 11, 12)).await }).await.unwrap();
        let reader = bench.store.read(one).await.unwrap();
        assert_eq!(reader.find::<run::Entity>().count().await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn units_that_wait_together_share_a_commit() {
    let bench = bench_at(None).await;
    let (one, _) = two_tenants(&bench.store).await;
    let before = bench.store.write_counts().unwrap();
    // The first unit holds the writer until the others have lined up behind it.
    let (go, gate) = tokio::sync::oneshot::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel::<()>();
    let first = tokio::spawn({
        let store = bench.store.clone();
        async move {
            store
                .write(one, move |unit| async move {
                    begun.send(()).map_err(|()| StoreError::Panicked)?;
                    gate.await.map_err(|_| StoreError::Panicked)?;
                    unit.insert(a_run(one, 2_000, 11, 12)).await
                })
                .await
        }
    });
    has_begun.await.unwrap();
    let units: Vec<_> = (1..=100_u128)
        .map(|number| {
            let store = bench.store.clone();
            async move {
                store.write(one, move |unit| async move { unit.insert(a_run(one, 2_000 + number, 11, 12)).await }).await
            }
        })
        .collect();
    let all = tokio::spawn(futures_util::future::join_all(units));
    while bench.store.waiting_units() < 100 {
        tokio::task::yield_now().await;
    }
    go.send(()).unwrap();
    first.await.unwrap().unwrap();
    for result in all.await.unwrap() {
        let result: Result<(), E> = result;
        result.unwrap();
    }
    let after = bench.store.write_counts().unwrap();
    assert_eq!(after.units - before.units, 101);
    assert_eq!(after.commits - before.commits, 2, "one for the first, one for the hundred behind it");
}

#[tokio::test]
async fn who_waits_comes_before_a_long_line_in_the_background_and_both_go_on() {
    let bench = bench_at(None).await;
    let (one, _) = two_tenants(&bench.store).await;
    let done = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let mut behind = tokio::task::JoinSet::new();
    for number in 0..1_000_u128 {
        let (store, done) = (bench.store.in_background(), Arc::clone(&done));
        behind.spawn(async move {
            let kept: Result<(), E> = store
                .write(one, move |unit| async move { unit.insert(a_run(one, 10_000 + number, 11, 12)).await })
                .await;
            kept.unwrap();
            done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
    }
    // All of them stand in line before the first caller comes.
    tokio::task::yield_now().await;
    let mut before = Vec::new();
    for number in 0..5_u128 {
        let kept: Result<(), E> = bench
            .store
            .write(one, move |unit| async move { unit.insert(a_run(one, 20_000 + number, 11, 12)).await })
            .await;
        kept.unwrap();
        before.push(done.load(std::sync::atomic::Ordering::Relaxed));
    }
    assert!(before.last().is_some_and(|done| *done < 500), "callers waited for those in the background: {before:?}");
    while let Some(kept) = behind.join_next().await {
        kept.unwrap();
    }
    let reader = bench.store.read(one).await.unwrap();
    assert_eq!(reader.find::<run::Entity>().filter(run::Column::Id.gte(id(10_000))).count().await.unwrap(), 1_005);
}
