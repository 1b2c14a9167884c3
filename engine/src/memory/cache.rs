//! A step cache in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use crate::ports::{CacheEntry, CachedOutput, PortError, StepCache};

#[derive(Default)]
pub struct MemoryCache {
    entries: Mutex<HashMap<String, (CachedOutput, Option<Instant>)>>,
}

#[async_trait]
impl StepCache for MemoryCache {
    async fn get(&self, key: &str) -> Result<Option<CachedOutput>, PortError> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |until: &Option<Instant>| until.is_none_or(|until| Instant::now() < until);
        Ok(entries.get(key).filter(|(_, until)| fresh(until)).map(|(value, _)| value.clone()))
    }

    async fn put(&self, entry: CacheEntry) -> Result<(), PortError> {
        let kept = CachedOutput { value: entry.value, cost: entry.cost };
        let until = entry.ttl_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)));
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.key, (kept, until));
        Ok(())
    }
}
