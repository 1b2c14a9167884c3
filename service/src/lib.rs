//! What the product can do, once, for console, REST and command line: a module a resource.
//!
//! Invariant: every function that acts for somebody takes an [`Actor`] and asks [`authz`] beside the effect; what belongs
//! together is one unit of work, its audit entry included.

pub mod actor;
pub mod audit;
pub mod authz;
pub mod blobs;
pub mod cache;
pub mod connections;
pub mod demo;
pub mod error;
pub mod experiments;
pub mod files;
pub mod flows;
pub mod forecast;
pub mod ids;
pub mod keys;
pub mod links;
pub mod members;
pub mod overview;
pub mod paging;
pub mod password;
pub mod ports;
mod prices;
pub mod runs;
pub mod secrets;
pub mod sessions;
pub mod settings;
pub mod sign_in;
pub mod tenants;
mod text;
pub mod token;
pub mod trial;
pub mod vault;
pub mod weir;

pub use actor::{Actor, Scope, Subject};
pub use error::ServiceError;
pub use ids::Ids;
pub use paging::Paging;
pub use settings::Settings;
pub use vault::Vault;
pub use weir::{Parts, Weir};
