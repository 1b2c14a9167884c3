//! Values that flows keep, in memory.
//!
//! Invariant: a value past its time is never given.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::Value;

use crate::ports::{KeyValue, PortError};

/// By key, each with the moment when it is over.
#[derive(Debug, Default)]
pub struct MemoryValues(Mutex<HashMap<String, (Value, Instant)>>);

impl MemoryValues {
    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Value, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl KeyValue for MemoryValues {
    async fn get(&self, key: &str) -> Result<Option<Value>, PortError> {
        let mut kept = self.kept();
        match kept.get(key) {
            Some((value, until)) if *until > Instant::now() => return Ok(Some(value.clone())),
            Some(_) => kept.remove(key),
            None => None,
        };
        Ok(None)
    }

    async fn set(&self, key: &str, value: &Value, ttl: Duration) -> Result<(), PortError> {
        let until = Instant::now().checked_add(ttl);
        let until = until.ok_or_else(|| PortError::Unavailable("the value would stay for ever".to_owned()))?;
        self.kept().insert(key.to_owned(), (value.clone(), until));
        Ok(())
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        self.kept().remove(key);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn a_value_is_given_until_its_time_is_over_or_it_is_removed() {
        let values = MemoryValues::default();
        values.set("a", &json!(1), Duration::from_secs(60)).await.unwrap();
        values.set("b", &json!(2), Duration::ZERO).await.unwrap();
        assert_eq!(values.get("a").await.unwrap(), Some(json!(1)));
        assert_eq!(values.get("b").await.unwrap(), None);
        values.delete("a").await.unwrap();
        assert_eq!(values.get("a").await.unwrap(), None);
    }
}
