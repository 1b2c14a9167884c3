//! The engine's ports, as far as they are about a tenant's configuration: secrets, models and prices, kept values.

mod cache;
mod models;
mod secrets;
mod values;

pub use cache::TenantCache;
pub use models::TenantModels;
pub use secrets::TenantSecrets;
pub use values::TenantValues;
