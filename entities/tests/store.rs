//! The store's promises, on SQLite always and on PostgreSQL when `WEIR_TEST_POSTGRES_OWNER_URL` names a role that may create
//! databases and roles.
#![expect(clippy::unwrap_used, reason = "a suite fails loudly")]

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{RunId, TenantId};
use entities::system::Claim;
use entities::{JsonText, Scope, Store, StoreError, StoreError as E, StoreKind, StoreOptions};
use entities::{api_key, event, flow, membership, run, tenant, user, version};
use sea_orm::ColumnTrait;
use sea_orm::prelude::Uuid;
use serde_json::json;

struct Bench {
    store: Store,
    url: String,
    _folder: tempfile::TempDir,
}

static MADE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

fn id(number: u128) -> Uuid {
    Uuid::from_u128((0x0198_0000_0000_7000 << 64) + number)
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

async fn bench_at(owner: Option<String>) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let url = match owner {
        None => format!("sqlite://{}/weir.db?mode=rwc", folder.path().display()),
        Some(owner) => {
            let name = format!(
                "weir_store_{}_{}",
                std::process::id(),
                MADE.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
            );
            let connection = sea_orm::Database::connect(&owner).await.unwrap();
            sea_orm::ConnectionTrait::execute_unprepared(&connection, &format!("CREATE DATABASE {name}"))
                .await
                .unwrap();
            let (server, _) = owner.rsplit_once('/').unwrap();
            format!("{server}/{name}")
        }
    };
    migration::migrate(&url, None).await.unwrap();
    let options = StoreOptions { tap: true, ..StoreOptions::default() };
    let store = Store::connect(&url, &options).await.unwrap();
    Bench { store, url, _folder: folder }
}

/// Runs a test on every store there is.
async fn everywhere<F: Future<Output = ()>>(test: impl Fn(Arc<Bench>) -> F) {
    test(Arc::new(bench_at(None).await)).await;
    if let Ok(owner) = std::env::var("WEIR_TEST_POSTGRES_OWNER_URL") {
        test(Arc::new(bench_at(Some(owner)).await)).await;
    }
}

fn a_tenant(number: u128) -> tenant::Model {
    tenant::Model {
        id: id(number),
        name: format!("tenant-{number}"),
        default_model: None,
        data_key: vec![1, 2, 3],
        data_key_version: 1,
        channel_position: 0,
        created_at: at(0),
        suspended_at: None,
        queue_weight: 1,
        max_running: None,
        pools: None,
    }
}

fn a_flow(tenant: TenantId, number: u128, name: &str) -> flow::Model {
    flow::Model {
        tenant_id: tenant.uuid(),
        id: id(number),
        name: name.to_owned(),
        description: None,
        labels: JsonText(json!({"zebra": "1", "ant": "2"})),
        last_number: 0,
        draft_yaml: None,
        draft_files: None,
        draft_problems: None,
        draft_updated_at: None,
        created_at: at(0),
        updated_at: at(0),
        deleted_at: None,
    }
}

fn a_version(tenant: TenantId, number: u128, flow: u128) -> version::Model {
    version::Model {
        tenant_id: tenant.uuid(),
        id: id(number),
        flow_id: id(flow),
        number: 1,
        hash: "00".to_owned(),
        yaml: "steps: []".to_owned(),
        files: JsonText(json!({})),
        created_by: "ann".to_owned(),
        created_at: at(0),
    }
}

fn a_run(tenant: TenantId, number: u128, flow: u128, version: u128) -> run::Model {
    run::Model {
        tenant_id: tenant.uuid(),
        id: id(number),
        flow_id: id(flow),
        flow_name: "one".to_owned(),
        version_id: id(version),
        version_number: 1,
        channel: None,
        channel_position: 0,
        price_version: None,
        status: "queued".to_owned(),
        epoch: 1,
        trigger_kind: "api".to_owned(),
        started_by: "ann".to_owned(),
        user_id: None,
        api_key_id: None,
        address: None,
        request_id: None,
        test: false,
        labels: JsonText(json!({})),
        inputs: Some(JsonText(json!({"b": 1, "a": "nul \u{0} inside"}))),
        inputs_blob: None,
        outputs: None,
        outputs_blob: None,
        error: None,
        handler_errors: None,
        failed_step: None,
        usage: None,
        cost_nano_usd: None,
        parent_run_id: None,
        parent_step: None,
        start_key: None,
        root_run_id: id(number),
        depth: 0,
        created_at: at(0),
        started_at: None,
        ended_at: None,
        duration_ms: None,
        cancel_requested_at: None,
        cancel_reason: None,
        event_position: 0,
        priority: 3,
        available_at: at(0),
        lease_owner: None,
        lease_until: None,
        fencing_token: 0,
        claims: 0,
        experiment_id: None,
        experiment: None,
        variant: None,
        slot_key: None,
        slot_limit: None,
        parked_for: None,
        queue_deadline: None,
        replay_of: None,
        replay: None,
        restart_by: None,
    }
}

/// Two tenants; `1` has flow 11 with version 12 and `2` has flow 21 with version 22.
async fn two_tenants(store: &Store) -> (TenantId, TenantId) {
    let (one, two) = (TenantId::from_uuid(id(1)), TenantId::from_uuid(id(2)));
    store
        .write_system(|unit| async move {
            unit.insert(a_tenant(1)).await?;
            unit.insert(a_tenant(2)).await
        })
        .await
        .unwrap();
    for (tenant, base) in [(one, 10), (two, 20)] {
        store
            .write(tenant, move |unit| async move {
                unit.insert(a_flow(tenant, base + 1, "one")).await?;
                unit.insert(a_version(tenant, base + 2, base + 1)).await
            })
            .await
            .unwrap();
    }
    (one, two)
}

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
async fn claims_raise_the_token_and_respect_leases() {
    everywhere(|bench| async move {
        let (one, two) = two_tenants(&bench.store).await;
        bench.store.write(one, move |unit| async move { unit.insert(a_run(one, 61, 11, 12)).await }).await.unwrap();
        bench.store.write(two, move |unit| async move { unit.insert(a_run(two, 62, 21, 22)).await }).await.unwrap();
        let claim = |owner: &str, now: i64| {
            let claim = Claim { owner: owner.to_owned(), now: at(now), lease_until: at(now + 15), limit: 10 };
            let store = bench.store.clone();
            async move {
                let ready = store.system().await?.ready_tenants(claim.now).await?;
                let taken = store.write_system(|unit| async move {
                    let mut taken = Vec::new();
                    for tenant in &ready {
                        taken.extend(unit.claim_runs(&claim, tenant).await?);
                    }
                    Ok(taken)
                });
                taken.await
            }
        };
        let first: Result<Vec<run::Model>, E> = claim("a", 1).await;
        let mut first = first.unwrap();
        first.sort_by_key(|run| run.id);
        assert_eq!(
            first.iter().map(|run| (run.id, run.fencing_token, run.claims)).collect::<Vec<_>>(),
            [(id(61), 1, 1), (id(62), 1, 1)]
        );
        assert_eq!(first[0].status, "running");
        let none: Result<Vec<run::Model>, E> = claim("b", 10).await;
        assert!(none.unwrap().is_empty(), "the lease holds");
        let both = vec![RunId::from_uuid(id(61)), RunId::from_uuid(id(62))];
        let held: Result<u64, E> =
            bench.store.write_system(|unit| async move { unit.extend_leases("a", both, at(40)).await }).await;
        assert_eq!(held.unwrap(), 2);
        let none: Result<Vec<run::Model>, E> = claim("b", 30).await;
        assert!(none.unwrap().is_empty(), "the lease was kept");
        let second: Result<Vec<run::Model>, E> = claim("b", 41).await;
        assert!(second.unwrap().iter().all(|run| run.fencing_token == 2 && run.lease_owner.as_deref() == Some("b")));
    })
    .await;
}

#[tokio::test]
async fn people_and_keys_are_found_before_the_tenant_is_known() {
    everywhere(|bench| async move {
        let (one, _) = two_tenants(&bench.store).await;
        let person = user::Model {
            id: id(70),
            email: "ann@example.com".to_owned(),
            name: "Ann".to_owned(),
            password_hash: None,
            created_at: at(0),
            disabled_at: None,
            last_active_at: None,
        };
        let member = membership::Model {
            tenant_id: one.uuid(),
            id: id(71),
            user_id: id(70),
            role: "owner".to_owned(),
            created_at: at(0),
        };
        bench
            .store
            .write_system(|unit| async move {
                unit.insert(person).await?;
                unit.insert(member).await
            })
            .await
            .map_err(|error: E| error)
            .unwrap();
        let key = api_key::Model {
            tenant_id: one.uuid(),
            id: id(72),
            name: "ci".to_owned(),
            key_hash: vec![9; 32],
            prefix: "weir_live_ab".to_owned(),
            last_four: "wxyz".to_owned(),
            scopes: JsonText(json!(["runs:start"])),
            test: false,
            user_id: id(70),
            created_at: at(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        };
        bench.store.write(one, |unit| async move { unit.insert(key).await }).await.map_err(|error: E| error).unwrap();
        let holder = bench.store.system().await.unwrap().find_key(&[9; 32]).await.unwrap().unwrap();
        assert_eq!((holder.tenant.id, holder.membership.unwrap().role.as_str()), (id(1), "owner"));
        assert_eq!(bench.store.system().await.unwrap().find_key(&[8; 32]).await.unwrap(), None);
        let people = bench.store.read(one).await.unwrap().find_users(vec![id(70)]).await.unwrap();
        assert_eq!(people.len(), 1);
        if bench.store.kind() == StoreKind::Postgres {
            let two = TenantId::from_uuid(id(2));
            let strangers = bench.store.read(two).await.unwrap().find_users(vec![id(70)]).await.unwrap();
            assert!(strangers.is_empty(), "a person is seen by the tenants they belong to");
        }
    })
    .await;
}

#[tokio::test]
async fn row_level_security_holds_below_the_finders() {
    let Ok(owner) = std::env::var("WEIR_TEST_POSTGRES_OWNER_URL") else { return };
    use sea_orm::{ConnectionTrait, Database, DbBackend, Statement, TransactionTrait};
    let bench = bench_at(Some(owner)).await;
    let (one, two) = two_tenants(&bench.store).await;
    let count = |text: &str| Statement::from_string(DbBackend::Postgres, text.to_owned());
    let raw = Database::connect(&bench.url).await.unwrap();
    let read = async |setup: &[String], text: &str| -> i64 {
        let transaction = raw.begin().await.unwrap();
        for statement in setup {
            transaction.execute_unprepared(statement).await.unwrap();
        }
        transaction.query_one_raw(count(text)).await.unwrap().unwrap().try_get_by_index(0).unwrap()
    };
    let app = "SET LOCAL ROLE weir_app".to_owned();
    let bind = |tenant: TenantId| format!("SET LOCAL weir.tenant = '{}'", tenant.uuid());
    assert_eq!(read(std::slice::from_ref(&app), "SELECT count(*) FROM flows").await, 0, "no tenant, no rows");
    assert_eq!(read(&[app.clone(), bind(one)], "SELECT count(*) FROM flows").await, 1);
    assert_eq!(read(&[app.clone(), bind(one)], "SELECT count(*) FROM tenants").await, 1);
    assert_eq!(read(&[], "SELECT count(*) FROM flows").await, 0, "not even the owner");
    let transaction = raw.begin().await.unwrap();
    transaction.execute_unprepared(&app).await.unwrap();
    transaction.execute_unprepared(&bind(one)).await.unwrap();
    let insert = format!(
        "INSERT INTO channels (tenant_id, position, flow_id, name, number, created_by, created_at)
         VALUES ('{}', 1, '{}', 'stable', 1, 'ann', now())",
        two.uuid(),
        id(21)
    );
    let refused = transaction.execute_unprepared(&insert).await.unwrap_err().to_string();
    assert!(refused.contains("row-level security"), "{refused}");
    // Every table with a tenant in it is behind the wall.
    let open = "SELECT count(*) FROM information_schema.columns c JOIN pg_class t ON t.relname = c.table_name
                WHERE c.table_schema = 'public' AND c.column_name = 'tenant_id' AND c.table_name <> 'one_time_links'
                  AND NOT (t.relrowsecurity AND t.relforcerowsecurity)";
    assert_eq!(read(&[], open).await, 0);
    let nullable = "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public'
                    AND column_name = 'tenant_id' AND is_nullable = 'YES' AND table_name <> 'one_time_links'";
    assert_eq!(read(&[], nullable).await, 0);
    // The journal and the audit log cannot be changed, not even by the role that writes them.
    let transaction = raw.begin().await.unwrap();
    transaction.execute_unprepared(&app).await.unwrap();
    transaction.execute_unprepared(&bind(one)).await.unwrap();
    let refused = transaction.execute_unprepared("UPDATE events SET kind = 'x'").await.unwrap_err().to_string();
    assert!(refused.contains("permission denied"), "{refused}");
}

#[tokio::test]
async fn a_role_that_owns_the_tables_is_refused() {
    let Ok(owner) = std::env::var("WEIR_TEST_POSTGRES_OWNER_URL") else { return };
    let bench = bench_at(Some(owner)).await;
    let raw = sea_orm::Database::connect(&bench.url).await.unwrap();
    sea_orm::ConnectionTrait::execute_unprepared(
        &raw,
        "GRANT CREATE ON SCHEMA public TO weir_app; ALTER TABLE flows OWNER TO weir_app",
    )
    .await
    .unwrap();
    let refused = Store::connect(&bench.url, &StoreOptions::default()).await.unwrap_err();
    assert!(refused.to_string().contains("owns tables"), "{refused}");
}

#[tokio::test]
async fn the_schema_is_current_after_migrating_and_a_newer_one_is_refused() {
    everywhere(|bench| async move {
        assert_eq!(migration::standing(&bench.url).await.unwrap(), migration::Standing::Current);
        migration::migrate(&bench.url, None).await.unwrap();
        let raw = sea_orm::Database::connect(&bench.url).await.unwrap();
        sea_orm::ConnectionTrait::execute_unprepared(
            &raw,
            "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9999_future', 0)",
        )
        .await
        .unwrap();
        let refused = migration::migrate(&bench.url, None).await.unwrap_err().to_string();
        assert!(refused.contains("newer program"), "{refused}");
    })
    .await;
}

#[tokio::test]
async fn a_killed_writer_loses_no_acknowledged_event_of_the_journal() {
    // The file is copied with its write-ahead log while the store is open, as a crash would leave it.
    let bench = bench_at(None).await;
    let (one, _) = two_tenants(&bench.store).await;
    bench
        .store
        .write(one, move |unit| async move {
            unit.insert(a_run(one, 81, 11, 12)).await?;
            let events = (1..=1_000)
                .map(|position| event::Model {
                    tenant_id: one.uuid(),
                    run_id: id(81),
                    position,
                    at: at(position),
                    kind: "step_settled".to_owned(),
                    step: Some("a".to_owned()),
                    data: JsonText(json!({"n": position})),
                    data_blob: None,
                })
                .collect();
            unit.insert_all(events).await
        })
        .await
        .map_err(|error: E| error)
        .unwrap();
    let path = bench.url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc").to_owned();
    let copy = format!("{path}.copy");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(format!("{path}-wal"), format!("{copy}-wal")).unwrap();
    let store = Store::connect(&format!("sqlite://{copy}"), &StoreOptions::default()).await.unwrap();
    let reader = store.read(one).await.unwrap();
    assert_eq!(reader.find::<event::Entity>().count().await.unwrap(), 1_000);
}
