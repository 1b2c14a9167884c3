//! Trying a connection: one real call with its stored key, to its stored host, and what came of it.
//!
//! Invariant: nothing that the caller sends chooses the host or the key, and the key never stands in the answer; a tenant
//! tries a bounded number of times a minute, whoever of it asks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::wire::ConnectionTest;
use domain::{Failure, Permission, TenantId};
use engine::ports::ServiceEndpoint;
use serde_json::json;

use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir, authz, connections};

/// Trials of a tenant within a window, and how long a window is.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);

/// Who makes the call: outside of this room, where the one client for all that leaves is.
#[async_trait]
pub trait Caller: Send + Sync {
    /// Calls the endpoint once. `Ok` says in a sentence what answered.
    async fn call(&self, endpoint: &ServiceEndpoint) -> Result<String, Failure>;
}

/// How often each tenant tried lately.
pub(crate) struct Trials(moka::sync::Cache<TenantId, Arc<Window>>);

struct Window {
    began: Instant,
    count: AtomicU32,
}

impl Default for Trials {
    fn default() -> Self {
        Self(moka::sync::Cache::builder().max_capacity(100_000).time_to_live(WINDOW).build())
    }
}

impl Trials {
    fn take(&self, tenant: TenantId) -> Result<(), ServiceError> {
        let fresh = || Arc::new(Window { began: Instant::now(), count: AtomicU32::new(0) });
        let window = self.0.get_with(tenant, fresh);
        if window.count.fetch_add(1, Ordering::Relaxed) < MOST {
            return Ok(());
        }
        let left = WINDOW.saturating_sub(window.began.elapsed());
        Err(ServiceError::RateLimited {
            detail: format!("Connections can be tested {MOST} times a minute. Try again in {} s.", left.as_secs() + 1),
            retry_after_ms: u64::try_from(left.as_millis()).unwrap_or_default() + 1,
        })
    }
}

/// Tries a connection as flows would use it.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`], [`ServiceError::RateLimited`]. That the other side does not
/// answer, or refuses, is no error but what the trial found.
pub async fn connection(weir: &Weir, actor: &Actor, name: &str) -> Result<ConnectionTest, ServiceError> {
    authz::check(actor, Permission::ConnectionsWrite)?;
    let endpoint = connections::open_any(weir, actor.tenant, name).await?;
    let endpoint = endpoint.ok_or_else(|| ServiceError::not_found("connection", crate::text::column(name, 64)))?;
    weir.trials().take(actor.tenant)?;
    let (tested_at, began) = (weir.now(), Instant::now());
    let answer = match (endpoint.kind.as_str(), weir.caller()) {
        (connections::SIMULATED, _) => {
            Ok("The demo's built-in model answers from inside this program. No call left it.".to_owned())
        }
        (_, Some(caller)) => caller.call(&endpoint).await,
        (_, None) => return Err(ServiceError::Unavailable("This process makes no calls.".to_owned())),
    };
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let masked = |text: String| match endpoint.credential.as_deref().filter(|key| key.len() >= 4) {
        Some(key) => text.replace(key, "…"),
        None => text,
    };
    let test = match answer {
        Ok(message) => ConnectionTest { ok: true, message: masked(message), code: None, duration_ms, tested_at },
        Err(failure) => {
            let (message, code) = (masked(failure.message), Some(failure.code));
            ConnectionTest { ok: false, message, code, duration_ms, tested_at }
        }
    };
    note(weir, actor, &endpoint.connection, &test).await?;
    Ok(test)
}

async fn note(weir: &Weir, actor: &Actor, name: &str, test: &ConnectionTest) -> Result<(), ServiceError> {
    let data = json!({ "ok": test.ok, "code": test.code });
    let action = "connection.tested";
    let entry =
        audit::row(weir, actor, Entry { action, target_kind: "connection", target_id: None, target_name: name, data });
    weir.store().write(actor.tenant, move |unit| async move { audit::write(&unit, entry).await }).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_that_tried_often_waits_and_keeps_no_other_waiting() {
        let trials = Trials::default();
        let (one, other) =
            (TenantId::from_uuid(uuid::Uuid::from_u128(1)), TenantId::from_uuid(uuid::Uuid::from_u128(2)));
        for _ in 0..MOST {
            trials.take(one).unwrap();
        }
        let refused = trials.take(one).unwrap_err();
        let wait = refused.retry_after_ms().unwrap();
        assert!((1..=60_001).contains(&wait), "{wait}");
        trials.take(other).unwrap();
    }
}
