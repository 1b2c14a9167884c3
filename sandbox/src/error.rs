//! How a job fails: by its own word, or because it overran.
//!
//! Invariant: text from a child is short and for people; it never decides anything but the variant it came in.

use serde::{Deserialize, Serialize};

/// A handler's own refusal: the input cannot be worked on. The child lives on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}")]
pub struct JobError {
    /// Stable, `snake_case`, the handler's own.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl JobError {
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SandboxError {
    /// The handler said no.
    #[error(transparent)]
    Refused(JobError),
    /// More memory than the job may use. Its child is gone.
    #[error("the job needed more memory than its limit")]
    Memory,
    /// More CPU or wall time than the job may use. Its child is gone.
    #[error("the job took longer than its limit")]
    Time,
    /// The handler panicked, overflowed its stack or was killed. Its child is gone.
    #[error("the job crashed: {0}")]
    Crashed(String),
    /// Input or output is larger than the job's limit.
    #[error("the job's {what} is larger than {limit_bytes} bytes")]
    TooLarge { what: &'static str, limit_bytes: u64 },
    /// No handler of this name; a fault of the program.
    #[error("no sandbox job is called {0}")]
    UnknownJob(String),
    /// Too many jobs of this tenant wait already.
    #[error("too many sandbox jobs of this tenant are waiting")]
    Busy,
    /// A child could not be started, or it does not speak our protocol.
    #[error("a sandbox child could not be used: {0}")]
    Start(String),
}
