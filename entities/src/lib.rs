//! The only door to rows: entities, tenant-scoped finders and units of work, on SQLite and on PostgreSQL.
//!
//! Invariant: no query on a tenant table can be written without its tenant, and no caller sees a begin or a commit.
//!
//! # Reading
//!
//! ```no_run
//! # async fn example(store: entities::Store, tenant: domain::TenantId) -> Result<(), entities::StoreError> {
//! use entities::{flow, Scope};
//! use sea_orm::ColumnTrait;
//!
//! let reader = store.read(tenant).await?; // on PostgreSQL a transaction: drop it before anything slow
//! let flow = reader.find::<flow::Entity>().filter(flow::Column::Name.eq("invoice_intake")).one().await?;
//! let newest = reader.find::<flow::Entity>().order_by_desc(flow::Column::Id).limit(50).all().await?;
//! # let _ = (flow, newest); Ok(())
//! # }
//! ```
//!
//! Functions that are called from reads and from units take `&impl Scope`. Columns, grouping and aggregates go through
//! `find().with(|select| ...)` and come back by `tuples()` or `models()`.
//!
//! # Writing
//!
//! A unit of work is a closure that gets a [`Unit`] and only talks to the store. It is kept whole or not at all; when
//! `write` returns `Ok`, it is durable. Its error is any type that is `From<StoreError>`.
//!
//! ```no_run
//! # async fn example(store: entities::Store, tenant: domain::TenantId, row: entities::flow::Model)
//! # -> Result<(), entities::StoreError> {
//! use entities::{flow, Scope, StoreError};
//! use sea_orm::ColumnTrait;
//!
//! let number: i32 = store
//!     .write(tenant, move |unit| async move {
//!         let old = unit.find::<flow::Entity>().filter(flow::Column::Name.eq(row.name.as_str())).for_update().one().await?;
//!         let Some(old) = old else {
//!             unit.insert(row).await?;
//!             return Ok::<_, StoreError>(1);
//!         };
//!         unit.update::<flow::Entity>()
//!             .set(flow::Column::LastNumber, old.last_number + 1)
//!             .filter(flow::Column::Id.eq(old.id))
//!             .exec()
//!             .await?;
//!         Ok(old.last_number + 1)
//!     })
//!     .await?;
//! # let _ = number; Ok(())
//! # }
//! ```
//!
//! Things to know: the closure is `Send + 'static`, so move owned values into it. A failed statement ends the unit (as
//! PostgreSQL does it): use [`Unit::insert_if_absent`] or [`Unit::upsert_all`] where a key may be taken, and pass errors
//! on with `?`. On SQLite units of all callers share commits, so a unit that computes or waits delays everybody.
//!
//! # Across tenants
//!
//! [`Store::system`] and [`Store::write_system`] give what [`system`] lists: sign-in, keys, the run queue, sweepers.

mod behind;
mod bulk;
mod connect;
mod error;
mod groups;
mod id;
mod json;
mod link;
mod lock;
mod notice;
mod rows;
mod run_update;
mod scope;
mod scripted;
mod store;
pub mod system;
mod whole_run;
mod writer;

pub use error::StoreError;
pub use id::first_id_at;
pub use json::JsonText;
pub use notice::Listener;
pub use rows::*;
pub use run_update::RunUpdate;
pub use scope::{Change, Find, Reader, Removal, Scope, Tenanted, Unit};
pub use store::{Durability, Store, StoreKind, StoreOptions, WriteCounts};
pub use whole_run::WholeRun;
