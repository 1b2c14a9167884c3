//! The engine's step cache on the store.
//!
//! Invariant: the tenant is part of every key, so nothing is shared across tenants; an output past its time is never given,
//! whether or not it was swept yet.

use async_trait::async_trait;
use domain::{BlobId, NanoUsd, TenantId};
use engine::ports::{CacheEntry, CachedOutput, PortError, StepCache};
use entities::{JsonText, Scope as _, StoreError, cached_output};
use sea_orm::ColumnTrait;

use crate::{ServiceError, Weir};

/// How long an output without a `ttl` is kept.
const USUAL_DAYS: i64 = 30;

/// One tenant's kept outputs.
#[derive(Clone)]
pub struct TenantCache {
    weir: Weir,
    tenant: TenantId,
}

impl TenantCache {
    #[must_use]
    pub const fn new(weir: Weir, tenant: TenantId) -> Self {
        Self { weir, tenant }
    }

    async fn find(&self, key: &str) -> Result<Option<CachedOutput>, ServiceError> {
        let reader = self.weir.store().read(self.tenant).await?;
        let rows = reader.find::<cached_output::Entity>().filter(cached_output::Column::CacheKey.eq(key));
        let row = rows.filter(cached_output::Column::ExpiresAt.gt(self.weir.now())).one().await?;
        drop(reader);
        let Some(row) = row else { return Ok(None) };
        let value = match (row.value, row.value_blob) {
            (Some(value), _) => value.into_inner(),
            (None, Some(blob)) => {
                let bytes = crate::blobs::get(&self.weir, self.tenant, BlobId::from_uuid(blob)).await?;
                serde_json::from_slice(&bytes).map_err(ServiceError::internal)?
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(CachedOutput { value, cost: row.cost_nano_usd.map(NanoUsd) }))
    }

    async fn keep(&self, entry: CacheEntry) -> Result<(), ServiceError> {
        use cached_output::Column as C;
        let now = self.weir.now();
        let stay = entry.ttl_ms.and_then(|ttl| i64::try_from(ttl).ok()).and_then(chrono::TimeDelta::try_milliseconds);
        let stay = stay.unwrap_or_else(|| chrono::TimeDelta::days(USUAL_DAYS));
        let text = entry.value.to_string();
        let (value, value_blob) = if text.len() > engine::limits::INLINE_BYTES {
            (None, Some(crate::blobs::put(&self.weir, self.tenant, text.into()).await?.uuid()))
        } else {
            (Some(JsonText(entry.value)), None)
        };
        let row = cached_output::Model {
            tenant_id: self.tenant.uuid(),
            cache_key: entry.key,
            value,
            value_blob,
            cost_nano_usd: entry.cost.map(|cost| cost.0),
            tags: JsonText::of(&entry.tags),
            created_at: now,
            expires_at: now.checked_add_signed(stay).unwrap_or(now),
        };
        let changing = [C::Value, C::ValueBlob, C::CostNanoUsd, C::Tags, C::CreatedAt, C::ExpiresAt];
        let kept = self.weir.store().write(self.tenant, move |unit| async move {
            unit.upsert_all(vec![row], &[C::TenantId, C::CacheKey], &changing).await
        });
        kept.await.map_err(|error: StoreError| error.into())
    }
}

#[async_trait]
impl StepCache for TenantCache {
    async fn get(&self, key: &str) -> Result<Option<CachedOutput>, PortError> {
        self.find(key).await.map_err(|error| PortError::Unavailable(error.to_string()))
    }

    async fn put(&self, entry: CacheEntry) -> Result<(), PortError> {
        self.keep(entry).await.map_err(|error| PortError::Unavailable(error.to_string()))
    }
}
