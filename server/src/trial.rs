//! Tries connections for the services, with the one client for all that leaves.
//!
//! Invariant: the same client, under the same rules, as flows have.

use async_trait::async_trait;
use domain::Failure;
use engine::ports::ServiceEndpoint;

pub(crate) struct Caller(pub(crate) egress::Client);

#[async_trait]
impl service::trial::Caller for Caller {
    async fn call(&self, endpoint: &ServiceEndpoint) -> Result<String, Failure> {
        executors::probe(&self.0, endpoint).await
    }
}
