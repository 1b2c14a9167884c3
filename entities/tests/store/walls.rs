//! What holds below the finders: roles, row level security, the schema, the loss of a process.

use super::bench::*;

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
    let refused = transaction.execute_unprepared("UPDATE appends SET entries = 'x'").await.unwrap_err().to_string();
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
async fn a_killed_writer_loses_no_acknowledged_append_of_the_journal() {
    // The file is copied with its write-ahead log while the store is open, as a crash would leave it.
    let bench = bench_at(None).await;
    let (one, _) = two_tenants(&bench.store).await;
    bench
        .store
        .write(one, move |unit| async move {
            unit.insert(a_run(one, 81, 11, 12)).await?;
            let appends = (1..=1_000)
                .map(|position| append::Model {
                    tenant_id: one.uuid(),
                    run_id: id(81),
                    position,
                    first: position,
                    entries: json!([{ "position": position }]).to_string(),
                })
                .collect();
            unit.insert_all(appends).await
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
    assert_eq!(reader.find::<append::Entity>().count().await.unwrap(), 1_000);
}
