//! A store of each kind, and rows to put into it.

pub(crate) use std::sync::Arc;

pub(crate) use chrono::{DateTime, Utc};
pub(crate) use domain::{RunId, TenantId};
pub(crate) use entities::system::Claim;
pub(crate) use entities::{JsonText, Scope, Store, StoreError, StoreError as E, StoreKind, StoreOptions};
pub(crate) use entities::{WholeRun, api_key, append, flow, membership, run, run_word, step, tenant, user, version};
pub(crate) use sea_orm::ColumnTrait;
pub(crate) use sea_orm::prelude::Uuid;
pub(crate) use serde_json::json;

pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) url: String,
    pub(crate) _folder: tempfile::TempDir,
}

pub(crate) static MADE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);

pub(crate) fn id(number: u128) -> Uuid {
    Uuid::from_u128((0x0198_0000_0000_7000 << 64) + number)
}

pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
}

pub(crate) async fn bench_at(owner: Option<String>) -> Bench {
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
pub(crate) async fn everywhere<F: Future<Output = ()>>(test: impl Fn(Arc<Bench>) -> F) {
    test(Arc::new(bench_at(None).await)).await;
    if let Ok(owner) = std::env::var("WEIR_TEST_POSTGRES_OWNER_URL") {
        test(Arc::new(bench_at(Some(owner)).await)).await;
    }
}

pub(crate) fn a_tenant(number: u128) -> tenant::Model {
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
        price_revision: 0,
        pools: None,
    }
}

pub(crate) fn a_flow(tenant: TenantId, number: u128, name: &str) -> flow::Model {
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

pub(crate) fn a_version(tenant: TenantId, number: u128, flow: u128) -> version::Model {
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

pub(crate) fn a_run(tenant: TenantId, number: u128, flow: u128, version: u128) -> run::Model {
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
        trace_id: None,
        parent_span_id: None,
        trace_flags: None,
        trace_state: None,
        counted: None,
    }
}

/// Two tenants; `1` has flow 11 with version 12 and `2` has flow 21 with version 22.
pub(crate) async fn two_tenants(store: &Store) -> (TenantId, TenantId) {
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
