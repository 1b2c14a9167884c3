//! The engine's ports, as far as they are about a tenant's configuration: secrets, models and prices.

mod models;
pub mod prices;
mod secrets;

pub use models::TenantModels;
pub use secrets::TenantSecrets;
