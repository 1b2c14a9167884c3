//! What a failed sandbox job means to the flow.
//!
//! Invariant: a document that overruns its limits is the document's fault and ends in 422; only trouble with the sandbox
//! itself is ours.

use domain::{Failure, FailureKind};
use sandbox::SandboxError;

pub(super) fn failure(error: SandboxError) -> Failure {
    let document = |code: &str, message: &str| Failure::new(FailureKind::Document, code, message);
    match error {
        SandboxError::Refused(error) if error.code == "sandbox_protocol" => internal(&error.message),
        SandboxError::Refused(error) => {
            let kind = if error.code == "no_such_page" { FailureKind::Input } else { FailureKind::Document };
            Failure::new(kind, error.code, error.message)
        }
        SandboxError::Memory => {
            document("document_too_complex", "The document needs more memory than reading one may take.")
        }
        SandboxError::Time => document("document_too_complex", "The document takes longer to read than one may take."),
        SandboxError::TooLarge { what: "input", limit_bytes } => {
            document("document_too_large", &format!("The document is larger than {} MiB.", limit_bytes >> 20))
        }
        SandboxError::TooLarge { .. } => {
            document("document_too_large", "The document holds more text than can be handed on; choose `pages`.")
        }
        SandboxError::Crashed(cause) => {
            tracing::warn!(%cause, "a document's parser crashed in its sandbox");
            document("document_broken", "The document is damaged: its reader gave up on it.")
        }
        SandboxError::Busy => {
            Failure::new(FailureKind::Overloaded, "sandbox_busy", "Too many documents are being read at the moment.")
        }
        SandboxError::Start(cause) => internal(&cause),
        SandboxError::UnknownJob(name) => internal(&name),
    }
}

fn internal(cause: &str) -> Failure {
    tracing::error!(%cause, "the sandbox cannot be used");
    Failure::new(FailureKind::Internal, "sandbox_unavailable", "Documents cannot be read at the moment.")
        .retryable(true)
}
