//! The engine's secrets, from the vault.

use async_trait::async_trait;
use domain::TenantId;
use engine::ports::{PortError, Secrets};

use crate::Weir;

/// One tenant's secrets.
#[derive(Clone)]
pub struct TenantSecrets {
    weir: Weir,
    tenant: TenantId,
}

impl TenantSecrets {
    #[must_use]
    pub const fn new(weir: Weir, tenant: TenantId) -> Self {
        Self { weir, tenant }
    }
}

#[async_trait]
impl Secrets for TenantSecrets {
    async fn reveal(&self, name: &str) -> Result<Option<String>, PortError> {
        let value = crate::secrets::reveal(&self.weir, self.tenant, name).await;
        match value {
            Ok(value) => Ok(value.map(|text| text.to_string())),
            Err(error) => Err(PortError::Unavailable(error.to_string())),
        }
    }

    async fn version(&self, name: &str) -> Result<Option<String>, PortError> {
        let version = crate::secrets::version(&self.weir, self.tenant, name).await;
        version.map_err(|error| PortError::Unavailable(error.to_string()))
    }
}
