//! The only door to rows.
mod error;
mod id;
mod json;
mod link;
mod rows;
mod scope;

pub use error::StoreError;
pub use id::{first_id_at, new_id};
pub use json::JsonText;
pub use rows::*;
pub use scope::{Change, Find, Reader, Removal, Scope, Tenanted, Unit};
