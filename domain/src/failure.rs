//! How a step or a run fails: one type from the executor that met the fault to the problem document that reports it.
//!
//! Invariant: `kind` decides class and HTTP status, `code` is stable and documented, `message` is a sentence for people
//! that never holds a secret.

use serde::{Deserialize, Serialize};

/// What kind of fault it was. Decides whether a retry can help and how the run's caller is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// No connection was made: nothing can have happened.
    Connect,
    /// The name did not resolve: nothing can have happened.
    Dns,
    /// No secure connection was made: nothing can have happened.
    Tls,
    /// A limit of time passed; what the other side did is unknown.
    Timeout,
    /// The other side said "too many requests" (429) or "too early" (425).
    RateLimited,
    /// The other side said that it is overloaded (503, 529).
    Overloaded,
    /// The other side failed (other 5xx, or an answer that is cut or makes no sense).
    Provider,
    /// The other side refused (other 4xx).
    Rejected,
    /// The caller's inputs do not fit.
    Input,
    /// The document cannot be used: broken, encrypted, without text ...
    Document,
    /// An output does not match its schema.
    Schema,
    /// A provider's content policy refused.
    ContentPolicy,
    /// The prompt is longer than the model takes.
    ContextWindow,
    /// A budget or a money cap was reached.
    Budget,
    Cancelled,
    /// A fault of the flow itself: a template, a condition, a missing secret.
    Flow,
    /// The author's own `fail` step.
    Fail,
    /// A limit of the platform (work, memory, output size) was reached.
    Limit,
    /// Something was sent and nobody knows what became of it.
    Unknown,
    /// A fault of Weir.
    Internal,
}

impl FailureKind {
    pub const ALL: &'static [Self] = &[
        Self::Connect,
        Self::Dns,
        Self::Tls,
        Self::Timeout,
        Self::RateLimited,
        Self::Overloaded,
        Self::Provider,
        Self::Rejected,
        Self::Input,
        Self::Document,
        Self::Schema,
        Self::ContentPolicy,
        Self::ContextWindow,
        Self::Budget,
        Self::Cancelled,
        Self::Flow,
        Self::Fail,
        Self::Limit,
        Self::Unknown,
        Self::Internal,
    ];

    /// Whether another attempt can help, unless executor or author say otherwise.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Dns
                | Self::Tls
                | Self::Timeout
                | Self::RateLimited
                | Self::Overloaded
                | Self::Provider
        )
    }

    /// Whether the fault proves that nothing happened on the other side, so that even an unsafe call may be repeated.
    #[must_use]
    pub const fn proves_nothing_happened(self) -> bool {
        matches!(self, Self::Connect | Self::Dns | Self::Tls | Self::RateLimited)
    }

    /// The HTTP status that answers the caller of a run that failed with this.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Input | Self::Document | Self::ContentPolicy | Self::ContextWindow => 422,
            Self::Budget => 402,
            Self::Cancelled => 409,
            Self::Timeout => 504,
            Self::RateLimited | Self::Overloaded => 503,
            Self::Connect | Self::Dns | Self::Tls | Self::Provider | Self::Rejected | Self::Schema | Self::Unknown => {
                502
            }
            Self::Fail => 422,
            Self::Flow | Self::Limit | Self::Internal => 500,
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Dns => "dns",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Provider => "provider",
            Self::Rejected => "rejected",
            Self::Input => "input",
            Self::Document => "document",
            Self::Schema => "schema",
            Self::ContentPolicy => "content_policy",
            Self::ContextWindow => "context_window",
            Self::Budget => "budget",
            Self::Cancelled => "cancelled",
            Self::Flow => "flow",
            Self::Fail => "fail",
            Self::Limit => "limit",
            Self::Unknown => "unknown",
            Self::Internal => "internal",
        }
    }
}

/// A fault with everything a caller can act on. The record's `error` in YAML and the `error` of runs and steps in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[error("{message}")]
pub struct Failure {
    pub kind: FailureKind,
    /// Stable, documented, snake_case: `no_text_layer`, `condition_type`, `undefined_name` ...
    pub code: String,
    /// A sentence for people: what, why and what now.
    pub message: String,
    pub retryable: bool,
    /// How long the next attempt was asked to wait, in milliseconds; absent where none follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// What the server behind it said about when to come back (its `Retry-After`), in milliseconds, whoever heeds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_retry_after_ms: Option<u64>,
    /// The flow's own line the fault points at, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The status that an author's `fail` step chose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
}

impl Failure {
    #[must_use]
    pub fn new(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            message: message.into(),
            retryable: kind.is_retryable(),
            retry_after_ms: None,
            server_retry_after_ms: None,
            line: None,
            http_status: None,
        }
    }

    #[must_use]
    pub fn retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    #[must_use]
    pub fn retry_after_ms(mut self, wait: Option<u64>) -> Self {
        self.retry_after_ms = wait;
        self
    }

    /// Takes down what a server said; another attempt heeds it.
    #[must_use]
    pub fn server_said(self, wait: Option<u64>) -> Self {
        Self { retry_after_ms: wait, server_retry_after_ms: wait, ..self }
    }

    /// How long an attempt that follows has to wait, where anybody said so.
    #[must_use]
    pub fn asked_wait_ms(&self) -> Option<u64> {
        self.retry_after_ms.or(self.server_retry_after_ms)
    }

    #[must_use]
    pub fn at_line(mut self, line: Option<u32>) -> Self {
        self.line = line;
        self
    }

    #[must_use]
    pub fn status(&self) -> u16 {
        self.http_status.unwrap_or(self.kind.http_status())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_documented_with_its_status_and_retry() {
        let page = include_str!("../../docs/errors.md");
        let (_, table) = page.split_once("## Failed runs").unwrap();
        for kind in FailureKind::ALL {
            let row = table.lines().find(|line| {
                let kinds = line.trim_start_matches("| ").split(" | ").next().unwrap_or_default();
                line.starts_with("| `") && kinds.split(", ").any(|name| name.trim_matches('`') == kind.as_str())
            });
            let row = row.unwrap_or_else(|| panic!("docs/errors.md has no row for `{}`", kind.as_str()));
            assert!(row.contains(&format!("| {} |", kind.http_status())), "{row}");
            let retried = if kind.is_retryable() { "| yes |" } else { "| no |" };
            assert!(row.contains(retried), "{row}");
        }
    }
}
