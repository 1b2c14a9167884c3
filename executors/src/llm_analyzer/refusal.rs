//! A provider's "no", as a failure of the step.
//!
//! Invariant: a message never repeats a key: what a provider says about a bad key is not shown, and the connection's own key
//! is struck out of everything else.

use domain::{Failure, FailureKind};
use egress::{EgressError, HeaderMap, Response, StatusCode};
use engine::ports::ModelEndpoint;
use serde_json::Value;

use crate::outgoing;

const EXCERPT: usize = 400;
const LARGEST_REFUSAL: usize = 64 * 1024;

/// An error answer, in any of the forms that servers use.
pub(super) struct Refusal {
    /// `None` for an error in the middle of a stream.
    status: Option<StatusCode>,
    headers: HeaderMap,
    message: String,
    code: String,
}

impl Refusal {
    pub(super) async fn read(mut response: Response) -> Self {
        let status = response.status();
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > LARGEST_REFUSAL {
                break;
            }
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        // Some servers put the error into a list of one.
        let value = value.get(0).cloned().unwrap_or(value);
        let error = value.get("error").cloned().unwrap_or(value);
        Self { status: Some(status), headers, ..Self::within_stream(&error) }
    }

    pub(super) fn within_stream(error: &Value) -> Self {
        let text = |key: &str| error.get(key).and_then(Value::as_str);
        let message = error.as_str().or_else(|| text("message")).or_else(|| text("detail")).unwrap_or_default();
        let words = [text("code"), text("type"), text("param")];
        let number = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
        Self {
            status: number.and_then(|number| StatusCode::from_u16(number).ok()),
            headers: HeaderMap::new(),
            message: message.to_owned(),
            code: words.into_iter().flatten().collect::<Vec<_>>().join(" "),
        }
    }

    /// Whether it is the form of the request that was refused, so that a plainer one may pass.
    pub(super) fn is_about_the_request(&self) -> bool {
        self.status.is_some_and(|status| matches!(status.as_u16(), 400 | 404 | 415 | 422 | 501)) && !self.is_too_long()
    }

    /// Everything that was said, in lower case.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.code, self.message).to_ascii_lowercase()
    }

    fn is_too_long(&self) -> bool {
        let words = self.words();
        let signs = [
            "context_length_exceeded",
            "context length",
            "context window",
            "maximum context",
            "prompt is too long",
            "too many tokens",
            "exceeds the available context",
            "input is too long",
            "string_above_max_length",
        ];
        signs.iter().any(|sign| words.contains(sign)) || self.status == Some(StatusCode::PAYLOAD_TOO_LARGE)
    }

    fn is_policy(&self) -> bool {
        let words = self.words();
        let signs =
            ["content_filter", "content_policy", "content policy", "content management policy", "safety system"];
        signs.iter().any(|sign| words.contains(sign))
    }

    pub(super) fn failure(&self, endpoint: &ModelEndpoint) -> Failure {
        let connection = &endpoint.connection;
        let model = super::price::model_name(endpoint);
        let said = self.said(endpoint);
        if self.is_too_long() {
            let message = format!("The prompt is longer than `{model}` takes.{said}");
            return Failure::new(FailureKind::ContextWindow, "context_window", message);
        }
        if self.is_policy() {
            let message = format!("The content policy of `{connection}` refused the prompt.{said}");
            return Failure::new(FailureKind::ContentPolicy, "content_policy", message);
        }
        let quota = self.words().contains("insufficient_quota");
        let Some(status) = self.status else {
            let kind =
                if self.words().contains("overloaded") { FailureKind::Overloaded } else { FailureKind::Provider };
            return Failure::new(
                kind,
                "provider_error",
                format!("`{connection}` broke its answer off with an error.{said}"),
            );
        };
        match status.as_u16() {
            401 | 403 => Failure::new(
                FailureKind::Rejected,
                "provider_auth",
                format!("`{connection}` refused the connection's key. Set a valid one on the connection."),
            ),
            402 => quota_failure(connection),
            _ if quota => quota_failure(connection),
            404 => Failure::new(
                FailureKind::Rejected,
                "model_not_found",
                format!("`{connection}` knows no model `{}`, or its URL does not end in `/v1`.{said}", endpoint.model),
            ),
            number => {
                let code = match outgoing::kind_of(status) {
                    FailureKind::RateLimited => "provider_rate_limited",
                    FailureKind::Overloaded => "provider_overloaded",
                    FailureKind::Rejected => "provider_rejected",
                    _ => "provider_error",
                };
                let message = format!("`{connection}` answered {number}.{said}");
                outgoing::status_failure(status, &self.headers, code, message)
            }
        }
    }

    fn said(&self, endpoint: &ModelEndpoint) -> String {
        let message = match endpoint.api_key.as_deref() {
            Some(key) if key.len() >= 4 => self.message.replace(key, "***"),
            _ => self.message.clone(),
        };
        let line: String = message.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
        if line.trim().is_empty() { String::new() } else { format!(" It said: {}", line.trim()) }
    }
}

fn quota_failure(connection: &str) -> Failure {
    let message = format!("The account behind `{connection}` has no quota left. Raise it with the provider.");
    Failure::new(FailureKind::Rejected, "provider_quota", message)
}

/// The stream ended without saying so.
pub(super) fn cut() -> Failure {
    Failure::new(FailureKind::Provider, "stream_cut", "The provider's answer broke off before its end.")
}

/// The connection went while the answer was read.
pub(super) fn broken(error: &EgressError) -> Failure {
    match error {
        EgressError::Cut { .. } => cut(),
        other => outgoing::failure(other),
    }
}

/// An answer that is none.
pub(super) fn senseless(why: &str) -> Failure {
    Failure::new(FailureKind::Provider, "answer_senseless", format!("The provider's answer makes no sense: {why}."))
}

pub(super) fn filtered() -> Failure {
    let message = "The provider's content filter stopped the answer.";
    Failure::new(FailureKind::ContentPolicy, "content_filter", message)
}

pub(super) fn declined(words: &str) -> Failure {
    let words: String = words.chars().take(EXCERPT).collect();
    Failure::new(FailureKind::ContentPolicy, "model_declined", format!("The model declined to answer: {words}"))
}
