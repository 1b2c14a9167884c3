//! The values that a tenant's flows keep between their runs, on the store.
//!
//! Invariant: a value past its time is never given, whether or not it was swept yet.

use std::time::Duration;

use async_trait::async_trait;
use domain::TenantId;
use engine::ports::{KeyValue, PortError};
use entities::{JsonText, Scope as _, kept_value};
use sea_orm::ColumnTrait;
use serde_json::Value;

use crate::{ServiceError, Weir};

/// One tenant's values.
#[derive(Clone)]
pub struct TenantValues {
    weir: Weir,
    tenant: TenantId,
}

impl TenantValues {
    #[must_use]
    pub const fn new(weir: Weir, tenant: TenantId) -> Self {
        Self { weir, tenant }
    }

    async fn find(&self, key: &str) -> Result<Option<Value>, ServiceError> {
        let reader = self.weir.store().read(self.tenant).await?;
        let row = reader
            .find::<kept_value::Entity>()
            .filter(kept_value::Column::Key.eq(key))
            .filter(kept_value::Column::ExpiresAt.gt(self.weir.now()))
            .one()
            .await?;
        Ok(row.map(|row| row.value.0))
    }

    async fn keep(&self, key: &str, value: &Value, ttl: Duration) -> Result<(), ServiceError> {
        let now = self.weir.now();
        let stay = chrono::TimeDelta::from_std(ttl).ok().and_then(|stay| now.checked_add_signed(stay));
        let row = kept_value::Model {
            tenant_id: self.tenant.uuid(),
            key: key.to_owned(),
            value: JsonText(value.clone()),
            expires_at: stay.unwrap_or(now),
            updated_at: now,
        };
        self.weir
            .store()
            .write(self.tenant, move |unit| async move {
                use kept_value::Column::{ExpiresAt, Key, TenantId, UpdatedAt, Value};
                unit.upsert_all(vec![row], &[TenantId, Key], &[Value, ExpiresAt, UpdatedAt]).await?;
                Ok::<_, ServiceError>(())
            })
            .await
    }

    async fn remove(&self, key: &str) -> Result<(), ServiceError> {
        let key = key.to_owned();
        self.weir
            .store()
            .write(self.tenant, move |unit| async move {
                unit.delete::<kept_value::Entity>().filter(kept_value::Column::Key.eq(&key)).exec().await?;
                Ok::<_, ServiceError>(())
            })
            .await
    }
}

#[async_trait]
impl KeyValue for TenantValues {
    async fn get(&self, key: &str) -> Result<Option<Value>, PortError> {
        self.find(key).await.map_err(unavailable)
    }

    async fn set(&self, key: &str, value: &Value, ttl: Duration) -> Result<(), PortError> {
        self.keep(key, value, ttl).await.map_err(unavailable)
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        self.remove(key).await.map_err(unavailable)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn unavailable(error: ServiceError) -> PortError {
    PortError::Unavailable(error.to_string())
}
