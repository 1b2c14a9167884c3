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
    /// Somebody else wrote it since it was read; nothing was kept.
    #[error("somebody else wrote it meanwhile")]
    Stale,
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

/// What databases and their driver say of themselves, and never of a statement.
const STORAGE_FAULTS: &[&str] = &[
    "database is locked",
    "disk is full",
    "disk I/O error",
    "No space left",
    "terminating connection",
    "the database system is",
    "error communicating with database",
    "Connection reset",
    "Broken pipe",
    "pool timed out",
    "closed",
];

fn is_storage_fault(error: &DbErr) -> bool {
    let text = error.to_string();
    STORAGE_FAULTS.iter().any(|sign| text.contains(sign))
}

#[cfg(test)]
mod tests {
    use sea_orm::RuntimeErr;

    use super::*;

    /// Seen when PostgreSQL was restarted under load; whoever takes one for a refused statement gives up what it did.
    #[test]
    fn a_database_that_goes_away_is_unavailable_and_a_refused_statement_is_not() {
        let of = |text: &str| StoreError::from(DbErr::Exec(RuntimeErr::Internal(text.to_owned())));
        for text in [
            "error communicating with database: expected to read 5 bytes, got 0 bytes at EOF",
            "error communicating with database: Broken pipe (os error 32)",
            "error returned from database: terminating connection due to administrator command",
            "error returned from database: the database system is starting up",
            "(code: 13) database or disk is full",
        ] {
            assert!(matches!(of(text), StoreError::Unavailable(_)), "{text}");
        }
        let refused = "error returned from database: column \"number\" does not exist";
        assert!(matches!(of(refused), StoreError::Database(_)));
    }
}
