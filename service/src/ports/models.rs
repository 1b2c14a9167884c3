//! The engine's model endpoints, from the tenant's connections.

use async_trait::async_trait;
use domain::{Failure, FailureKind, TenantId};
use engine::ports::{ModelEndpoint, ModelKind, Models, PortError, ServiceEndpoint};
use engine::prices;

use crate::prices::PriceVersion;
use crate::{ServiceError, Weir};

/// One tenant's models.
#[derive(Clone)]
pub struct TenantModels {
    weir: Weir,
    tenant: TenantId,
    /// Whose prices hold.
    prices: PriceVersion,
}

impl TenantModels {
    #[must_use]
    pub(crate) const fn new(weir: Weir, tenant: TenantId, prices: PriceVersion) -> Self {
        Self { weir, tenant, prices }
    }

    async fn wanted(&self, model: Option<&str>) -> Result<String, Failure> {
        if let Some(model) = model {
            return Ok(model.to_owned());
        }
        let row = crate::tenants::row(&self.weir, self.tenant).await.map_err(|error| unavailable(&error))?;
        row.default_model.ok_or_else(|| {
            Failure::new(
                FailureKind::Flow,
                "no_model",
                "This step names no model and the tenant has no default model. Connect a model and set the default under \
                 Settings, or write `model: connection/model` on the step.",
            )
        })
    }
}

#[async_trait]
impl Models for TenantModels {
    async fn resolve(&self, model: Option<&str>) -> Result<ModelEndpoint, Failure> {
        let wanted = self.wanted(model).await?;
        let Some((connection, name)) =
            wanted.split_once('/').filter(|(left, right)| !left.is_empty() && !right.is_empty())
        else {
            let message = format!("`{wanted}` is no model. Models are written `connection/model`.");
            return Err(Failure::new(FailureKind::Flow, "unknown_model", message));
        };
        let opened = crate::connections::open(&self.weir, self.tenant, connection).await;
        let opened = opened.map_err(|error| unavailable(&error))?.ok_or_else(|| {
            let message =
                format!("There is no connection `{connection}` for the model `{wanted}`. Add it under Connections.");
            Failure::new(FailureKind::Flow, "unknown_connection", message)
        })?;
        let price = match opened.kind {
            ModelKind::OpenAi => {
                let own = crate::prices::of_connection(&self.weir, self.tenant, &opened.name, self.prices).await;
                let own = own.map_err(|error| unavailable(&error))?;
                let address = opened.base_urls.first().map(String::as_str).unwrap_or_default();
                prices::of_openai(&own, self.prices.table, address, name)
            }
            ModelKind::Simulated => Some(prices::of_simulated()),
        };
        Ok(ModelEndpoint {
            connection: opened.name,
            kind: opened.kind,
            base_urls: opened.base_urls,
            api_key: opened.api_key,
            model: name.to_owned(),
            price,
        })
    }

    async fn most_at_once(&self, connection: &str) -> Result<Option<u32>, PortError> {
        let most = crate::connections::most_at_once(&self.weir, self.tenant, connection).await;
        most.map_err(|error| PortError::Unavailable(error.to_string()))
    }

    async fn revision(&self, connection: &str) -> Result<Option<String>, PortError> {
        let revision = crate::connections::revision(&self.weir, self.tenant, connection).await;
        revision.map_err(|error| PortError::Unavailable(error.to_string()))
    }

    async fn service(&self, name: &str) -> Result<ServiceEndpoint, Failure> {
        let opened = crate::connections::open_service(&self.weir, self.tenant, name).await;
        opened.map_err(|error| unavailable(&error))?.ok_or_else(|| {
            let message = format!("There is no connection `{name}` to a service. Add it under Connections.");
            Failure::new(FailureKind::Flow, "unknown_connection", message)
        })
    }
}

fn unavailable(error: &ServiceError) -> Failure {
    tracing::error!(%error, "a model could not be resolved");
    Failure::new(FailureKind::Internal, "internal", "The tenant's models could not be read.").retryable(true)
}
