//! Exit codes: documented, stable, one meaning each.

use std::process::ExitCode;

use domain::ErrorCode;
use service::ServiceError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Ok = 0,
    Failure = 1,
    Usage = 2,
    NotFound = 3,
    NotAllowed = 4,
    Conflict = 5,
    Validation = 6,
    Limit = 7,
    Unavailable = 8,
    /// The command did its work, and the run that it ran failed.
    RunFailed = 9,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that could not do its work: the exit code and a sentence for people.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hints: Vec<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        let code = match exit {
            Exit::Usage => "usage",
            Exit::NotFound => "not_found",
            Exit::NotAllowed => "forbidden",
            Exit::Conflict => "conflict",
            Exit::Validation => "invalid_input",
            Exit::Limit => "limit",
            Exit::Unavailable => "unavailable",
            Exit::Ok | Exit::Failure | Exit::RunFailed | Exit::Interrupted => "failure",
        };
        Self { exit, code: code.to_owned(), message: message.into(), hints: Vec::new() }
    }
}

impl From<ServiceError> for Failure {
    fn from(error: ServiceError) -> Self {
        let code = error.code();
        let exit = match code {
            ErrorCode::NotFound => Exit::NotFound,
            ErrorCode::Unauthenticated | ErrorCode::Forbidden => Exit::NotAllowed,
            ErrorCode::Conflict | ErrorCode::PreconditionFailed => Exit::Conflict,
            ErrorCode::InvalidInput | ErrorCode::InvalidFlow | ErrorCode::BadRequest | ErrorCode::UnknownParameter => {
                Exit::Validation
            }
            ErrorCode::RateLimited | ErrorCode::BudgetExceeded => Exit::Limit,
            ErrorCode::Unavailable => Exit::Unavailable,
            _ => Exit::Failure,
        };
        let message = match std::error::Error::source(&error) {
            // On the operator's own machine there is nobody to hide our faults from.
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        let hints = error
            .fields()
            .into_iter()
            .map(|field| match field.hint {
                Some(hint) => format!("{}: {} ({hint})", field.pointer, field.message),
                None => format!("{}: {}", field.pointer, field.message),
            })
            .filter(|hint| !hint.ends_with(&message))
            .collect();
        Self { exit, code: code.as_str().to_owned(), message, hints }
    }
}

/// `--help` and `--version` are data on stdout and no failure; everything else clap says is a usage error.
pub(crate) fn of_usage(error: &clap::Error) -> ExitCode {
    // A closed pipe behind `weir --help | head` is nobody's fault.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}
