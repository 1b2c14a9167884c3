//! The engine's ports, as far as they are about a tenant's configuration: secrets, models and prices, kept values.

mod models;
pub mod prices;
mod secrets;
mod values;

pub use models::TenantModels;
pub use secrets::TenantSecrets;
pub use values::TenantValues;
