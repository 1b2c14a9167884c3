//! Announcements: made by units that were kept and by no others, to every process on the store.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bench::*;
use super::whole_runs::whole;

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn what_kept_units_announce_is_heard_and_what_failed_ones_announce_is_not() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let Some(mut listener) = bench.store.listen().await.unwrap() else {
            assert_eq!(bench.store.kind(), StoreKind::Sqlite, "one process has the store and nobody else listens");
            return;
        };
        let mut units = tokio::task::JoinSet::new();
        for number in 0..600_u32 {
            let store = bench.store.clone();
            units.spawn(async move {
                let kept: Result<(), E> = store
                    .write(one, move |unit| async move {
                        unit.announce(&format!("unit {number}"));
                        unit.announce("all alike");
                        if number % 3 == 0 { Err(StoreError::Abandoned("on purpose")) } else { Ok(()) }
                    })
                    .await;
                assert_eq!(kept.is_ok(), number % 3 != 0);
            });
        }
        units.join_all().await;
        // Behind everything else.
        let last: Result<(), E> = bench
            .store
            .write(one, |unit| async move {
                unit.announce("the last");
                Ok(())
            })
            .await;
        last.unwrap();

        let mut wanted: BTreeSet<String> =
            (0..600).filter(|number| number % 3 != 0).map(|number| format!("unit {number}")).collect();
        wanted.extend(["all alike".to_owned(), "the last".to_owned()]);
        let mut heard = BTreeSet::new();
        while !wanted.is_subset(&heard) {
            let next = tokio::time::timeout(LONG, listener.next()).await.expect("all of them are heard").unwrap();
            heard.insert(next.expect("the connection stays"));
        }
        assert_eq!(heard, wanted);
    })
    .await;
}

#[tokio::test]
async fn a_whole_run_is_announced_once_it_is_kept() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let Some(mut listener) = bench.store.listen().await.unwrap() else { return };
        bench.store.insert_run(one, Box::new(whole(one, 71))).await.unwrap();
        let twice = WholeRun { notice: "changed twice".to_owned(), ..whole(one, 71) };
        let twice = bench.store.insert_run(one, Box::new(twice)).await;
        assert!(matches!(twice, Err(StoreError::Duplicate(_))), "{twice:?}");
        bench.store.insert_run(one, Box::new(whole(one, 72))).await.unwrap();
        let mut heard = Vec::new();
        for _ in 0..2 {
            heard.extend(tokio::time::timeout(LONG, listener.next()).await.expect("both are heard").unwrap());
        }
        assert_eq!(heard, ["changed 71", "changed 72"]);
    })
    .await;
}
