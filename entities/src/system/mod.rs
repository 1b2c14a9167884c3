//! The closed list of reads and writes that must cross tenants: signing in, looking a key up, claiming runs, sweeping.
//!
//! Invariant: nothing in here takes a query from outside; each function says which rows it reaches. On PostgreSQL they run
//! as `weir_system`, whose grants name the same tables.

mod identity;
mod queue;
mod sweep;

pub use identity::KeyHolder;
pub use queue::{Claim, ReadyTenant};

use sea_orm::{EntityTrait, Insert, IntoActiveModel, ModelTrait};

use crate::error::StoreError;
use crate::link::Connection;
use crate::rows::{audit, membership, one_time_link, session, tenant, user};

/// Reads across tenants.
#[derive(Debug)]
pub struct System {
    connection: Connection,
}

/// A unit of work across tenants.
#[derive(Debug)]
pub struct SystemUnit {
    reads: System,
}

impl System {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

impl SystemUnit {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { reads: System::new(connection) }
    }

    fn connection(&self) -> &Connection {
        &self.reads.connection
    }

    /// Inserts a row of one of the tables that are written across tenants.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when its key is taken.
    pub async fn insert<M>(&self, row: M) -> Result<(), StoreError>
    where
        M: ModelTrait + IntoActiveModel<<M::Entity as EntityTrait>::ActiveModel>,
        M::Entity: SystemTable + EntityTrait<Model = M>,
        <M::Entity as EntityTrait>::ActiveModel: Send,
    {
        Insert::one(sea_orm::ActiveModelTrait::reset_all(row.into_active_model()))
            .exec_without_returning(self.connection())
            .await?;
        Ok(())
    }
}

/// A unit reads as well.
impl std::ops::Deref for SystemUnit {
    type Target = System;
    fn deref(&self) -> &System {
        &self.reads
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A table that [`SystemUnit::insert`] may write.
pub trait SystemTable: sealed::Sealed {}

macro_rules! system_tables {
    ($($table:ident)*) => {$(
        impl sealed::Sealed for $table::Entity {}
        impl SystemTable for $table::Entity {}
    )*};
}

system_tables!(tenant user membership session one_time_link audit);
