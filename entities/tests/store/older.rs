//! Databases of older programs: what they hold is there after the migrations since, and reads as it did.

use entities::{attempt, tenant};
use sea_orm::sea_query::{Alias, Query, SimpleExpr};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend, Value};
use sea_orm_migration::MigratorTrait as _;

use super::bench::*;

/// The last migration that the older program knew: its journals were a row an event, and it kept no traces.
const OLDER: u32 = 9;

async fn put(connection: &DatabaseConnection, table: &str, row: Vec<(&str, Value)>) {
    let (columns, values): (Vec<_>, Vec<_>) = row.into_iter().unzip();
    let mut insert = Query::insert();
    insert.into_table(Alias::new(table)).columns(columns.into_iter().map(Alias::new));
    insert.values_panic(values.into_iter().map(SimpleExpr::Value));
    connection.execute(&insert).await.unwrap();
}

async fn fenced(connection: &DatabaseConnection, how: &str) {
    if connection.get_database_backend() == DbBackend::Postgres {
        for table in ["tenants", "flows", "versions", "runs", "events", "attempts"] {
            connection.execute_unprepared(&format!("ALTER TABLE {table} {how} ROW LEVEL SECURITY")).await.unwrap();
        }
    }
}

async fn an_older_database(owner: Option<&str>) -> (String, tempfile::TempDir) {
    // Roles are a server's, and made with its first database.
    let newer = bench_at(owner.map(str::to_owned)).await;
    let folder = tempfile::tempdir().unwrap();
    let url = match owner {
        None => format!("sqlite://{}/older.db?mode=rwc", folder.path().display()),
        Some(_) => {
            let name = format!("{}_older", newer.url.rsplit_once('/').unwrap().1);
            let server = sea_orm::Database::connect(&newer.url).await.unwrap();
            server.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
            format!("{}_older", newer.url)
        }
    };
    let connection = sea_orm::Database::connect(&url).await.unwrap();
    migration::Migrator::up(&connection, Some(OLDER)).await.unwrap();
    // The owner of the tables is held back too, but where it says otherwise.
    fenced(&connection, "NO FORCE").await;
    for (base, name) in [(1_u128, "one"), (2, "two")] {
        let tenant = || ("tenant_id", Value::from(id(base)));
        let (flow, version, run) = (id(base * 10 + 1), id(base * 10 + 2), id(base * 10 + 3));
        put(
            &connection,
            "tenants",
            vec![
                ("id", id(base).into()),
                ("name", name.into()),
                ("data_key", vec![1_u8].into()),
                ("data_key_version", 1.into()),
                ("channel_position", 0_i64.into()),
                ("created_at", at(0).into()),
            ],
        )
        .await;
        let labels = || ("labels", Value::from("{}"));
        put(
            &connection,
            "flows",
            vec![
                tenant(),
                ("id", flow.into()),
                ("name", "kept".into()),
                labels(),
                ("last_number", 1.into()),
                ("created_at", at(0).into()),
                ("updated_at", at(0).into()),
            ],
        )
        .await;
        put(
            &connection,
            "versions",
            vec![
                tenant(),
                ("id", version.into()),
                ("flow_id", flow.into()),
                ("number", 1.into()),
                ("hash", "00".into()),
                ("yaml", "steps: []".into()),
                ("files", "{}".into()),
                ("created_by", "ann".into()),
                ("created_at", at(0).into()),
            ],
        )
        .await;
        put(
            &connection,
            "runs",
            vec![
                tenant(),
                ("id", run.into()),
                ("flow_id", flow.into()),
                ("flow_name", "kept".into()),
                ("version_id", version.into()),
                ("version_number", 1.into()),
                ("channel_position", 0_i64.into()),
                ("status", "waiting".into()),
                ("epoch", 1.into()),
                ("trigger_kind", "api".into()),
                ("started_by", "ann".into()),
                ("test", false.into()),
                labels(),
                ("inputs", "{\"b\":1,\"a\":2}".into()),
                ("root_run_id", run.into()),
                ("depth", 0.into()),
                ("created_at", at(1).into()),
                ("event_position", 2_i64.into()),
                ("priority", 3.into()),
                ("available_at", at(5).into()),
                ("fencing_token", 4_i64.into()),
                ("claims", 0.into()),
            ],
        )
        .await;
        for (position, event) in [(1_i64, "{\"type\":\"run_started\"}"), (2, "{\"type\":\"it's \\\"so\\\"\"}")] {
            put(
                &connection,
                "events",
                vec![
                    tenant(),
                    ("run_id", run.into()),
                    ("position", position.into()),
                    ("at", at(position).into()),
                    ("kind", "run_started".into()),
                    ("data", event.into()),
                ],
            )
            .await;
        }
        put(
            &connection,
            "attempts",
            vec![
                tenant(),
                ("run_id", run.into()),
                ("step", "first".into()),
                ("item", (-1).into()),
                ("number", 1.into()),
                ("status", "running".into()),
                ("started_at", at(2).into()),
            ],
        )
        .await;
    }
    fenced(&connection, "FORCE").await;
    connection.close().await.unwrap();
    (url, folder)
}

#[tokio::test]
async fn what_an_older_program_kept_is_there_after_the_migrations_since() {
    let owners = [None, std::env::var("WEIR_TEST_POSTGRES_OWNER_URL").ok()];
    let postgres = usize::from(owners[1].is_some());
    for owner in owners.into_iter().take(1 + postgres) {
        let (url, _folder) = an_older_database(owner.as_deref()).await;
        assert!(matches!(migration::standing(&url).await.unwrap(), migration::Standing::Behind(_)));
        migration::migrate(&url, None).await.unwrap();
        // Twice is once.
        migration::migrate(&url, None).await.unwrap();
        assert_eq!(migration::standing(&url).await.unwrap(), migration::Standing::Current);
        let store = Store::connect(&url, &StoreOptions { tap: true, ..StoreOptions::default() }).await.unwrap();
        for (base, name) in [(1, "one"), (2, "two")] {
            let tenant = TenantId::from_uuid(id(base));
            let known: tenant::Model = store.system().await.unwrap().find_tenant_by_name(name).await.unwrap().unwrap();
            assert_eq!((known.id, known.price_revision, known.queue_weight), (id(base), 0, 1));
            let reader = store.read(tenant).await.unwrap();
            let runs = reader.find::<run::Entity>().all().await.unwrap();
            let [run] = runs.as_slice() else { panic!("{runs:?}") };
            assert_eq!((run.id, run.status.as_str(), run.event_position), (id(base * 10 + 3), "waiting", 2));
            assert_eq!(run.inputs.as_ref().unwrap().to_string(), "{\"b\":1,\"a\":2}");
            assert_eq!((run.trace_id.as_ref(), run.counted.as_ref()), (None, None));
            let appends = reader.find::<append::Entity>().order_by_asc(append::Column::Position).all().await.unwrap();
            assert_eq!(appends.len(), 2);
            for (append, words) in appends.iter().zip(["run_started", "it's \"so\""]) {
                let entries: serde_json::Value = serde_json::from_str(&append.entries).unwrap();
                assert_eq!(entries[0]["event"]["type"], words, "{entries}");
                assert_eq!(entries[0]["position"], append.position);
                let told: DateTime<Utc> = serde_json::from_value(entries[0]["at"].clone()).unwrap();
                assert_eq!(told, at(append.position));
            }
            let attempts = reader.find::<attempt::Entity>().all().await.unwrap();
            assert_eq!(attempts.len(), 1);
            assert_eq!((attempts[0].item, attempts[0].entry.as_ref(), attempts[0].iteration), (-1, None, None));
        }
        // Its runs are claimed as any other: both tenants' turns come.
        let claim = Claim { owner: "w".to_owned(), now: at(9), lease_until: at(24), limit: 5 };
        let ready = store.system().await.unwrap().ready_tenants(at(9)).await.unwrap();
        assert_eq!(ready.len(), 2);
        let claimed: Result<Vec<run::Model>, StoreError> = store
            .write_system(move |unit| async move {
                let mut all = Vec::new();
                for tenant in &ready {
                    all.extend(unit.claim_runs(&claim, tenant).await?);
                }
                Ok(all)
            })
            .await;
        let tokens: Vec<i64> = claimed.unwrap().iter().map(|run| run.fencing_token).collect();
        assert_eq!(tokens, [5, 5]);
    }
}
