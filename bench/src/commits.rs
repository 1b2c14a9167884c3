//! The store's own ceiling: rows of the size of a journal entry, each inserted as a unit of work by so many callers at
//! once. SQLite with `synchronous=FULL` and group commit; PostgreSQL with a transaction a unit. No engine, no HTTP.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::TenantId;
use entities::{JsonText, Store, StoreError, Unit};
use serde_json::json;
use uuid::Uuid;

use crate::ground::Ground;
use crate::load::Figures;

/// Rows need keys of their own; that they count up is what real ids do too.
static NEXT: AtomicU64 = AtomicU64::new(2);

pub(crate) async fn run(ground: Ground, callers: usize, time: Duration) -> Result<Figures, String> {
    let site = ground.fresh().await?;
    site.migrate().await?;
    let store = site.store().await?;
    let tenant = tenant(&store).await.map_err(|error| error.to_string())?;
    let began = Instant::now();
    let until = began + time;
    let mut tasks = Vec::with_capacity(callers);
    for _ in 0..callers {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut latencies = Vec::new();
            while Instant::now() < until {
                let sent = Instant::now();
                insert(&store, tenant).await.map_err(|error| error.to_string())?;
                latencies.push(sent.elapsed());
            }
            Ok::<_, String>(latencies)
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.extend(task.await.map_err(|error| error.to_string())??);
    }
    Ok(Figures::new(latencies, began.elapsed()))
}

async fn insert(store: &Store, tenant: TenantId) -> Result<(), StoreError> {
    let row = entities::audit::Model {
        tenant_id: tenant.uuid(),
        id: Uuid::from_u128(u128::from(NEXT.fetch_add(1, Ordering::Relaxed))),
        at: now(),
        actor_kind: "system".to_owned(),
        actor_id: None,
        actor_name: "bench".to_owned(),
        action: "bench".to_owned(),
        target_kind: "row".to_owned(),
        target_id: None,
        target_name: None,
        data: JsonText(json!({"type": "step_settled", "step": "pass", "status": "succeeded", "output": {"inline": 7}})),
        address: None,
        request_id: None,
        sequence: None,
        previous_hash: None,
        hash: None,
    };
    store.write(tenant, move |unit: Unit| async move { unit.insert(row).await }).await
}

async fn tenant(store: &Store) -> Result<TenantId, StoreError> {
    let id = Uuid::from_u128(1);
    let row = entities::tenant::Model {
        id,
        name: "bench".to_owned(),
        default_model: None,
        data_key: Vec::new(),
        data_key_version: 1,
        channel_position: 0,
        created_at: now(),
        suspended_at: None,
        queue_weight: 1,
        max_running: None,
        price_revision: 0,
        pools: None,
    };
    store.write_system(move |unit| async move { unit.insert(row).await }).await?;
    Ok(TenantId::from_uuid(id))
}

fn now() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from(std::time::SystemTime::now())
}
