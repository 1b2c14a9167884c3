//! What can go wrong at the store, as far as a caller can act on it.

use sea_orm::{DbErr, SqlErr};

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with this key is there already. The text names the constraint or its columns.
    #[error("a row with this key is there already ({0})")]
    Duplicate(String),
    /// A row that this one points at is missing, or still pointed at.
    #[error("a row that this one refers to is missing ({0})")]
    Reference(String),
    /// The store cannot take it now: busy, full, stopped or out of reach.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// The unit panicked; nothing of it was kept.
    #[error("a unit of work panicked")]
    Panicked,
    /// The unit took longer than a unit may, or outlived its closure; nothing of it was kept.
    #[error("a unit of work was abandoned: {0}")]
    Abandoned(&'static str),
    /// A statement would have crossed the wall between tenants. A fault of the program.
    #[error("a statement on `{0}` is not bound to the tenant")]
    Unscoped(String),
    /// The database role may bypass row level security.
    #[error("{0}")]
    Role(String),
    #[error("the database refused a statement: {0}")]
    Database(#[source] DbErr),
}

impl From<DbErr> for StoreError {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(what)) => return Self::Duplicate(what),
            Some(SqlErr::ForeignKeyConstraintViolation(what)) => return Self::Reference(what),
            _ => {}
        }
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error.to_string()),
            DbErr::Custom(text) if text.starts_with(UNSCOPED) => Self::Unscoped(text[UNSCOPED.len()..].to_owned()),
            DbErr::Exec(_) | DbErr::Query(_) if is_storage_fault(&error) => Self::Unavailable(error.to_string()),
            other => Self::Database(other),
        }
    }
}

/// Marks the tap's refusals on their way through sea-orm's error type.
pub(crate) const UNSCOPED: &str = "unscoped: ";

fn is_storage_fault(error: &DbErr) -> bool {
    let text = error.to_string();
    ["database is locked", "disk is full", "disk I/O error", "terminating connection", "Connection reset", "closed"]
        .iter()
        .any(|sign| text.contains(sign))
}
