//! What can be wrong with a render, as a failure of the flow.

use domain::{Failure, FailureKind};
use minijinja::{Error, ErrorKind};
use serde::{Deserialize, Serialize};

use super::callables;

/// A render that failed. `code` is one of `undefined_name`, `template_error`, `template_limit`, `secret_transformed`,
/// `function_failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// JSON pointer of the template within what was rendered.
    #[serde(default)]
    pub pointer: String,
}

const SHOWN: usize = 120;
/// What MiniJinja says at its limit of recursion.
const TOO_DEEP: &str = "recursion limit exceeded";

impl Fault {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), message: message.into(), pointer: String::new() }
    }

    pub(super) fn limit(what: &str) -> Self {
        Self::new("template_limit", format!("The template needs more {what} than a template may use."))
    }

    pub(super) fn undefined(source: &str) -> Self {
        Self::new(
            "undefined_name",
            format!("`{}` is not defined. Use `default(...)` where it may be missing.", shown(source)),
        )
    }

    pub(super) fn of(error: &Error, source: &str) -> Self {
        if let Some(fault) = caused_by::<python::Fault>(error) {
            let code = if fault.code == "function_limit" { "template_limit" } else { "function_failed" };
            return Self::new(code, fault.message.clone());
        }
        if let Some(fault) = caused_by::<Self>(error) {
            return fault.clone();
        }
        let root = innermost(error);
        if root.detail() == Some(TOO_DEEP) {
            let last = root.name().and_then(callables::spoken).map(|last| format!("; the last of them was {last}"));
            let message = format!(
                "`{}` goes too deep: macros and files call each other without an end, or too many within each other{}.",
                shown(source),
                last.unwrap_or_default()
            );
            return Self::new("template_limit", message);
        }
        let detail = || root.detail().map_or_else(|| root.kind().to_string(), str::to_owned);
        match root.kind() {
            ErrorKind::OutOfFuel => Self::limit("work"),
            ErrorKind::WriteFailure => Self::limit("room for its text"),
            ErrorKind::UndefinedError => Self::new(
                "undefined_name",
                format!(
                    "`{}` uses a name that is not defined ({}). Use `default(...)` where it may be missing.",
                    shown(source),
                    detail()
                ),
            ),
            _ => Self::new("template_error", format!("`{}` cannot be rendered: {}.", shown(source), detail())),
        }
    }

    pub(super) fn within(mut self, key: &str) -> Self {
        let escaped = key.replace('~', "~0").replace('/', "~1");
        self.pointer.insert_str(0, &format!("/{escaped}"));
        self
    }

    /// As the failure of a step or run, pointing at a line of the flow.
    #[must_use]
    pub fn failure(self, line: Option<u32>) -> Failure {
        let kind = if self.code == "template_limit" { FailureKind::Limit } else { FailureKind::Flow };
        Failure::new(kind, self.code, self.message).at_line(line)
    }
}

/// What was said at the bottom, by a function of the author's or by its call, however deep in macros and includes.
fn caused_by<E: std::error::Error + 'static>(error: &Error) -> Option<&E> {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(fault) = cause.downcast_ref::<E>() {
            return Some(fault);
        }
        source = cause.source();
    }
    None
}

/// Errors of includes and blocks wrap the one that tells something.
fn innermost(error: &Error) -> &Error {
    let mut found = error;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(cause) = cause.downcast_ref::<Error>() {
            found = cause;
        }
        source = cause.source();
    }
    found
}

fn shown(source: &str) -> String {
    let line = source.trim().lines().next().unwrap_or_default();
    if line.chars().count() > SHOWN {
        let cut: String = line.chars().take(SHOWN).collect();
        format!("{cut}…")
    } else {
        line.to_owned()
    }
}
