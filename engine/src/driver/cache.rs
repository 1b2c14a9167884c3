//! The step cache: what a unit's output is kept under, and for whom.
//!
//! Invariant: the key holds everything the output depends on (executor and version, config, secrets by reference, model),
//! and the scope it may be shared in; the surroundings add the tenant.

use std::sync::Arc;

use domain::{NanoUsd, StepStatus};
use language::plan::{CacheMode, CacheScope};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Driver;
use super::values::store;
use crate::dispatcher::{CacheHit, Place, Signal};
use crate::executor::Executor;
use crate::ports::{CacheEntry, PortError};
use crate::run::DriveError;

/// Where an attempt's output goes besides the journal.
pub(super) struct Keep {
    key: String,
    ttl_ms: Option<u64>,
    tags: Vec<String>,
}

impl Keep {
    pub(super) fn entry(&self, value: Value, cost: Option<NanoUsd>) -> CacheEntry {
        CacheEntry { key: self.key.clone(), value, cost, ttl_ms: self.ttl_ms, tags: self.tags.clone() }
    }
}

impl Driver {
    /// Where this unit's output is to be kept, if anywhere.
    pub(super) fn keep(&self, place: Place, executor: &Arc<dyn Executor>, config: &Value) -> Option<Keep> {
        self.surroundings.cache.as_ref()?;
        let mode = self.state.may_cache(self.prepared.graph(), place)?;
        let plan = self.prepared.plan().steps[place.step].cache.as_ref()?;
        matches!(mode, CacheMode::On | CacheMode::WriteOnly).then(|| Keep {
            key: self.cache_key(place, executor, config),
            ttl_ms: plan.ttl_ms,
            tags: plan.tags.clone(),
        })
    }

    pub(super) fn cache_key(&self, place: Place, executor: &Arc<dyn Executor>, config: &Value) -> String {
        let plan = &self.prepared.plan().steps[place.step];
        let scope = match plan.cache.as_ref().map(|cache| cache.scope).unwrap_or_default() {
            CacheScope::Tenant => json!("tenant"),
            CacheScope::Flow => json!({"flow": self.run.flow}),
            CacheScope::Run => json!({"run": self.run.id}),
        };
        let spec = executor.spec();
        let of = json!({
            "scope": scope,
            "executor": [spec.name, spec.version],
            "config": config,
            "secrets": self.state.unit(place).secrets,
            "model": self.run.default_model,
            "test": self.run.test,
        });
        hex::encode(Sha256::digest(of.to_string()))
    }

    pub(super) async fn look_up(&mut self, place: Place) -> Result<Option<Signal>, DriveError> {
        let unit = self.state.unit(place);
        let executor = self.prepared.entry(place.step, unit.entry).and_then(|entry| entry.executor.clone());
        let (Some(cache), Some(executor), StepStatus::Ready) = (self.surroundings.cache.clone(), executor, unit.status)
        else {
            return Ok(Some(Signal::CacheAnswered { place, hit: None }));
        };
        let config = unit.config.clone().unwrap_or(Value::Null);
        let key = self.cache_key(place, &executor, &config);
        // A cache that is not there costs a call, not the run.
        let hit = match cache.get(&key).await {
            Ok(hit) => hit,
            Err(PortError::LeaseLost) => return Err(PortError::LeaseLost.into()),
            Err(error) => {
                tracing::warn!(%error, "the step cache could not be asked");
                None
            }
        };
        let hit = match hit {
            Some(kept) => {
                let output = store(&*self.surroundings.blobs, kept.value).await?;
                output.map(|output| CacheHit { output, saved: kept.cost })
            }
            None => None,
        };
        Ok(Some(Signal::CacheAnswered { place, hit }))
    }
}
