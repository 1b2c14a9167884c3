//! What is wrong with a call, as a sentence.

use monty_types::{ExcType, MontyException};
use serde::{Deserialize, Serialize};

/// How much of a message of the author's own code is passed on.
const SHOWN: usize = 400;

/// A call that gave nothing. `code` is `function_failed`, or `function_limit` where it needed more than it may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub code: String,
    /// A sentence for people.
    pub message: String,
    /// 1-based line in the file that the definition came from.
    pub line: Option<u32>,
}

impl Fault {
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { code: "function_failed".to_owned(), message: message.into(), line: None }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self { code: "function_limit".to_owned(), ..Self::failed(message) }
    }

    /// `line` is where it went wrong, in the file of the definition; `what` is `The function `f``, or the like.
    pub(crate) fn of(error: &MontyException, what: &str, line: Option<u32>) -> Self {
        let place = line.map_or_else(String::new, |line| format!(" at line {line}"));
        let limit = |resource: &str| Self {
            line,
            ..Self::limit(format!("{what} needs more {resource} than a function may use{place}."))
        };
        match error.exc_type() {
            ExcType::TimeoutError if error.message().is_some_and(|text| text.contains("time limit exceeded")) => {
                limit("time")
            }
            ExcType::MemoryError => limit("memory"),
            ExcType::RecursionError => limit("depth"),
            ExcType::NotImplementedError if outside(error).is_some() => {
                let call = outside(error).unwrap_or_default();
                let message =
                    format!("{what} failed{place}: it calls `{call}`, and there is no clock, file or network here.");
                Self { line, ..Self::failed(message) }
            }
            _ => Self { line, ..Self::failed(format!("{what} failed{place}: {}.", summary(error))) },
        }
    }
}

/// The call that would leave the interpreter, and that nobody answers here.
fn outside(error: &MontyException) -> Option<&str> {
    error.message()?.strip_prefix("OS function '")?.split('\'').next()
}

/// `ValueError: not a number`, in one line without a full stop.
fn summary(error: &MontyException) -> String {
    let text = error.summary();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches('.');
    if line.chars().count() > SHOWN {
        let cut: String = line.chars().take(SHOWN).collect();
        format!("{cut}…")
    } else {
        line.to_owned()
    }
}
