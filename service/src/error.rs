//! Why a service call was refused: one enum for console, REST and command line.
//!
//! Invariant: a text in here is a sentence for people and never holds a secret; what went wrong on our own side stays in
//! `source` and never reaches a caller.

use std::error::Error as StdError;

use domain::{ErrorCode, FieldProblem};

/// A refusal that a caller can act on, or a fault of ours.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// No credentials, or none that are good (any more).
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// Known, but not allowed.
    #[error("{0}")]
    Forbidden(String),
    /// Absent, or of another tenant: the two cannot be told apart.
    #[error("There is no {what} `{name}` here.")]
    NotFound { what: &'static str, name: String },
    #[error("{0}")]
    Conflict(String),
    /// `If-Match` does not hold any more.
    #[error("{detail}")]
    PreconditionFailed { detail: String, diff: Option<String> },
    #[error("{0}")]
    BadRequest(String),
    #[error("{detail}")]
    UnknownParameter { detail: String, fields: Vec<FieldProblem> },
    #[error("{detail}")]
    Invalid { detail: String, fields: Vec<FieldProblem> },
    /// The flow does not check; `problems` are the language's own.
    #[error("{detail}")]
    InvalidFlow { detail: String, problems: Vec<language::Problem> },
    #[error("{0}")]
    TooLarge(String),
    #[error("{0}")]
    UnsupportedMediaType(String),
    #[error("This idempotency key was already used to start this flow with other inputs.")]
    IdempotencyMismatch,
    #[error("{0}")]
    BudgetExceeded(String),
    #[error("{detail}")]
    RateLimited { detail: String, retry_after_ms: u64 },
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours. Logged where it is answered.
    #[error("internal fault")]
    Internal(#[source] Box<dyn StdError + Send + Sync>),
}

impl ServiceError {
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "names come as texts, references and ids alike")]
    pub fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound { what, name: name.to_string() }
    }

    #[must_use]
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }

    /// One field that does not fit; `pointer` is a JSON pointer into the body.
    #[must_use]
    pub fn field(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::Invalid {
            detail: message.clone(),
            fields: vec![FieldProblem { pointer: pointer.into(), message, hint: None }],
        }
    }

    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Unauthenticated(_) => ErrorCode::Unauthenticated,
            Self::Forbidden(_) => ErrorCode::Forbidden,
            Self::NotFound { .. } => ErrorCode::NotFound,
            Self::Conflict(_) => ErrorCode::Conflict,
            Self::PreconditionFailed { .. } => ErrorCode::PreconditionFailed,
            Self::BadRequest(_) => ErrorCode::BadRequest,
            Self::UnknownParameter { .. } => ErrorCode::UnknownParameter,
            Self::Invalid { .. } => ErrorCode::InvalidInput,
            Self::InvalidFlow { .. } => ErrorCode::InvalidFlow,
            Self::TooLarge(_) => ErrorCode::TooLarge,
            Self::UnsupportedMediaType(_) => ErrorCode::UnsupportedMediaType,
            Self::IdempotencyMismatch => ErrorCode::IdempotencyMismatch,
            Self::BudgetExceeded(_) => ErrorCode::BudgetExceeded,
            Self::RateLimited { .. } => ErrorCode::RateLimited,
            Self::Unavailable(_) => ErrorCode::Unavailable,
            Self::Internal(_) => ErrorCode::Internal,
        }
    }

    /// The fields that do not fit, for the problem document and for forms.
    #[must_use]
    pub fn fields(&self) -> Vec<FieldProblem> {
        match self {
            Self::Invalid { fields, .. } | Self::UnknownParameter { fields, .. } => fields.clone(),
            Self::InvalidFlow { problems, .. } => problems
                .iter()
                .map(|problem| FieldProblem {
                    pointer: format!("{}:{}:{}", problem.file, problem.line, problem.column),
                    message: format!("{}: {}", problem.code, problem.message),
                    hint: problem.hint.clone(),
                })
                .collect(),
            _ => Vec::new(),
        }
    }

    #[must_use]
    pub const fn retry_after_ms(&self) -> Option<u64> {
        match self {
            Self::RateLimited { retry_after_ms, .. } => Some(*retry_after_ms),
            Self::Unavailable(_) => Some(1_000),
            _ => None,
        }
    }
}

impl From<entities::StoreError> for ServiceError {
    fn from(error: entities::StoreError) -> Self {
        match error {
            entities::StoreError::Unavailable(_) => {
                tracing::warn!(%error, "the store did not answer");
                Self::Unavailable("The store cannot take this now. Try again in a moment.".to_owned())
            }
            other => Self::internal(other),
        }
    }
}
