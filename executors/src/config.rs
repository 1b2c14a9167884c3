//! Rendered configs into typed ones, and the faults and waits that all executors share.
//!
//! Invariant: no message made here repeats a config's values; they may be secrets.

use std::future::Future;

use domain::{Failure, FailureKind, FileRef};
use engine::Call;
use engine::ports::PortError;
use sandbox::SandboxError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads a config that was checked against the spec's schema; templates may still have given a value of another type.
pub(crate) fn read<T: DeserializeOwned>(config: Value) -> Result<T, Failure> {
    serde_json::from_value(config).map_err(|error| {
        let text = error.to_string();
        // `invalid type: string "...", expected u64` shows the value: keep what was expected.
        let shown = match text.find(", expected ") {
            Some(at) if text.starts_with("invalid ") => format!("a value is wrong; {}", &text[at + 2..]),
            _ => text,
        };
        flow_fault("config_invalid", format!("The step's config cannot be used: {shown}."))
    })
}

/// A fault of the flow itself.
pub(crate) fn flow_fault(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Flow, code, message)
}

pub(crate) fn input_fault(code: &str, message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Input, code, message)
}

/// Turns trouble of our own store into a failure. Another attempt may find it well again.
pub(crate) fn storage_fault(error: &PortError) -> Failure {
    match error {
        PortError::NotFound(what) => input_fault("file_not_found", format!("There is no such file: {what}.")),
        PortError::Lost(what) => {
            tracing::error!(what, "the content of a file is lost or damaged");
            let message = "The content of a file is not in the store any more, or is damaged. Upload it again.";
            // A disk or a bucket may be put right between two attempts.
            Failure::new(FailureKind::Internal, "file_lost", message).retryable(true)
        }
        PortError::LeaseLost | PortError::Unavailable(_) => {
            tracing::warn!(%error, "an executor could not reach its surroundings");
            Failure::new(FailureKind::Internal, engine::STORAGE, "Storage cannot be reached at the moment.")
        }
    }
}

/// Reads a file value, as templates hand it over.
pub(crate) fn file(value: &Value, field: &str) -> Result<FileRef, Failure> {
    FileRef::from_value(value).ok_or_else(|| flow_fault("not_a_file", format!("`{field}` must be a file.")))
}

/// The sandbox as this call's tenant has it.
pub(crate) fn share(sandbox: &sandbox::Pool, call: &Call) -> sandbox::Share {
    sandbox.share(call.tenant.uuid().as_u128())
}

/// The first of rendered cases whose condition is true. One that is not may be its condition alone.
pub(crate) fn chosen<T: DeserializeOwned>(cases: Vec<Value>, what: &str) -> Result<Option<T>, Failure> {
    for (index, case) in cases.into_iter().enumerate() {
        match case.get("condition").and_then(Value::as_bool) {
            Some(true) => return read(case).map(Some),
            Some(false) => {}
            None => {
                let message = format!(
                    "The condition of {what} {} is neither true nor false. Compare something, as in \
                     `inputs.amount > 100`.",
                    index + 1
                );
                return Err(flow_fault("condition_type", message));
            }
        }
    }
    Ok(None)
}

/// A job that gave no answer, as a failure. `code` is for a job that asked for too much, `what` did so.
pub(crate) fn sandbox_fault(error: &SandboxError, code: &str, what: &str) -> Failure {
    let limit = |resource: &str| {
        Failure::new(FailureKind::Limit, code, format!("{what} needs more {resource} than it may use."))
    };
    match error {
        SandboxError::Memory => limit("memory"),
        SandboxError::Time => limit("time"),
        SandboxError::Crashed(_) => limit("depth or memory"),
        SandboxError::TooLarge { what: side, limit_bytes } => {
            Failure::new(FailureKind::Limit, code, format!("{what} has an {side} of more than {limit_bytes} bytes."))
        }
        SandboxError::Busy => {
            Failure::new(FailureKind::Overloaded, "sandbox_busy", "Too much is being computed at the moment.")
        }
        SandboxError::Refused(_) | SandboxError::UnknownJob(_) | SandboxError::Start(_) => {
            tracing::error!(%error, "a job could not be sent to the sandbox");
            Failure::new(FailureKind::Internal, "sandbox", "The sandbox could not be used.").retryable(true)
        }
    }
}

/// Waits for `work`, unless the run is cancelled first; then `work` is dropped where it stands.
pub(crate) async fn unless_cancelled<T, F>(call: &Call, work: F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    tokio::select! {
        biased;
        () = call.cancel.cancelled() => Err(Failure::new(FailureKind::Cancelled, "cancelled", "The step was cancelled.")),
        done = work => done,
    }
}
