//! One module a table. A row never goes on the wire.

pub mod api_key;
pub mod attempt;
pub mod audit;
pub mod blob;
pub mod channel;
pub mod connection;
pub mod event;
pub mod file;
pub mod flow;
pub mod idempotency_key;
pub mod item;
pub mod ledger;
pub mod membership;
pub mod one_time_link;
pub mod price;
pub mod run;
pub mod secret;
pub mod session;
pub mod sign_in_failure;
pub mod step;
pub mod tenant;
pub mod user;
pub mod version;
