//! The context of every service call: store, catalogue, vault, clock and settings.
//!
//! Invariant: cheap to clone, made once a process, and the only thing that services share.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::TenantId;
use engine::ports::Clock;
use entities::Store;

use crate::ServiceError;
use crate::flows::Plans;
use crate::ids::Ids;
use crate::keys::KnownKeys;
use crate::password::Passwords;
use crate::runs::{Bus, Runs};
use crate::settings::Settings;
use crate::vault::{TenantKey, Vault};

/// What a process is put together from.
pub struct Parts {
    pub store: Store,
    pub registry: engine::Registry,
    pub vault: Vault,
    pub blobs: crate::blobs::BlobStore,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    pub sandbox: Option<Arc<sandbox::Pool>>,
    /// Who tries connections.
    pub caller: Option<Arc<dyn crate::trial::Caller>>,
}

#[derive(Clone)]
pub struct Weir {
    inner: Arc<Inner>,
}

struct Inner {
    parts: Parts,
    catalogue: Arc<language::Catalogue>,
    passwords: Passwords,
    plans: Plans,
    known_keys: KnownKeys,
    trials: crate::trial::Trials,
    runs: crate::runs::Runs,
}

impl Weir {
    /// # Errors
    /// When the master key is not the one that this store's tenants were made with.
    pub async fn new(parts: Parts) -> Result<Self, ServiceError> {
        let inner = Inner {
            catalogue: Arc::new(parts.registry.catalogue()),
            passwords: Passwords::new()?,
            plans: Plans::default(),
            known_keys: KnownKeys::default(),
            trials: crate::trial::Trials::default(),
            runs: Runs::default(),
            parts,
        };
        let weir = Self { inner: Arc::new(inner) };
        weir.refuse_wrong_master_key().await?;
        Ok(weir)
    }

    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.parts.store
    }

    #[must_use]
    pub fn registry(&self) -> &engine::Registry {
        &self.inner.parts.registry
    }

    #[must_use]
    pub fn catalogue(&self) -> &Arc<language::Catalogue> {
        &self.inner.catalogue
    }

    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.inner.parts.vault
    }

    #[must_use]
    pub fn blobs(&self) -> &crate::blobs::BlobStore {
        &self.inner.parts.blobs
    }

    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.parts.clock
    }

    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.inner.parts.clock.now()
    }

    #[must_use]
    pub const fn ids(&self) -> Ids {
        Ids
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.inner.parts.settings
    }

    #[must_use]
    pub fn sandbox(&self) -> Option<&Arc<sandbox::Pool>> {
        self.inner.parts.sandbox.as_ref()
    }

    /// The runs of this process: its worker, its bus.
    #[must_use]
    pub fn runs(&self) -> &crate::runs::Runs {
        &self.inner.runs
    }

    /// Where runs are watched.
    #[must_use]
    pub fn bus(&self) -> &Bus {
        self.inner.runs.bus()
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    pub(crate) fn plans(&self) -> &Plans {
        &self.inner.plans
    }

    pub(crate) fn known_keys(&self) -> &KnownKeys {
        &self.inner.known_keys
    }

    pub(crate) fn trials(&self) -> &crate::trial::Trials {
        &self.inner.trials
    }

    pub(crate) fn caller(&self) -> Option<&Arc<dyn crate::trial::Caller>> {
        self.inner.parts.caller.as_ref()
    }

    /// The tenant's data key.
    ///
    /// # Errors
    /// Faults of ours: the tenant is gone, or its key was wrapped by another master key.
    pub async fn tenant_key(&self, tenant: TenantId) -> Result<TenantKey, ServiceError> {
        if let Some(key) = self.vault().known(tenant) {
            return Ok(key);
        }
        let row = crate::tenants::row(self, tenant).await?;
        Ok(self.vault().unwrap_data_key(tenant, &row.data_key)?)
    }
}
