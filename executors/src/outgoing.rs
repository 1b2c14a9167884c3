//! What the network did, as failures of a step.
//!
//! Invariant: a kind that proves that nothing happened is given only where the egress client promises it.

use std::time::Duration;

use domain::{Failure, FailureKind};
use egress::{EgressError, HeaderMap, Request, Response, StatusCode};
use engine::Call;

/// Sends a step's request within the run's trace. Nothing of a step leaves by another way.
pub(crate) async fn send(egress: &egress::Client, call: &Call, request: Request) -> Result<Response, EgressError> {
    egress.send(request.within(&call.trace, call.span_id())).await
}

/// A request that brought no answer.
pub(crate) fn failure(error: &EgressError) -> Failure {
    let sentence = sentence(error);
    match error {
        EgressError::InvalidUrl(_) => Failure::new(FailureKind::Input, "url_invalid", sentence),
        EgressError::ForbiddenHeader(_) => Failure::new(FailureKind::Flow, "header_forbidden", sentence),
        EgressError::Forbidden { .. } => Failure::new(
            FailureKind::Input,
            "address_forbidden",
            format!("{sentence} An operator can open inside addresses with `WEIR_EGRESS_ALLOW`."),
        ),
        EgressError::Dns { .. } => Failure::new(FailureKind::Dns, "dns", sentence),
        EgressError::Connect { .. } | EgressError::Unreachable { .. } => {
            Failure::new(FailureKind::Connect, "connect", sentence)
        }
        EgressError::Tls { .. } => Failure::new(FailureKind::Tls, "tls", sentence),
        EgressError::Timeout { .. } => Failure::new(FailureKind::Timeout, "no_answer", sentence),
        EgressError::Cut { .. } => Failure::new(FailureKind::Provider, "connection_cut", sentence),
        EgressError::TooLarge { .. } | EgressError::HeadersTooLarge { .. } => {
            Failure::new(FailureKind::Limit, "answer_too_large", sentence)
        }
        EgressError::Redirect { .. } => Failure::new(FailureKind::Provider, "redirect", sentence).retryable(false),
        EgressError::AfterRedirect { source } => {
            let last = failure(source);
            if last.kind.proves_nothing_happened() {
                // True of the last hop only: the first one was answered.
                return Failure { kind: FailureKind::Provider, message: sentence, ..last };
            }
            Failure { message: sentence, ..last }
        }
    }
}

fn sentence(error: &EgressError) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// The kind of a status that is no success.
pub(crate) const fn kind_of(status: StatusCode) -> FailureKind {
    match status.as_u16() {
        408 => FailureKind::Timeout,
        425 | 429 => FailureKind::RateLimited,
        503 | 529 => FailureKind::Overloaded,
        500..=599 => FailureKind::Provider,
        _ => FailureKind::Rejected,
    }
}

/// A failure for a status, with what the server said about when to come back.
pub(crate) fn status_failure(status: StatusCode, headers: &HeaderMap, code: &str, message: String) -> Failure {
    let failure = Failure::new(kind_of(status), code, message).server_said(retry_after_ms(headers));
    // A conflict may be over by the next attempt.
    if status == StatusCode::CONFLICT { failure.retryable(true) } else { failure }
}

/// `Retry-After` in seconds or as a date, or the milliseconds that some providers send.
pub(crate) fn retry_after_ms(headers: &HeaderMap) -> Option<u64> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(wait) = text("retry-after-ms").and_then(|value| value.parse().ok()) {
        return Some(wait);
    }
    let value = text("retry-after")?;
    if let Ok(seconds) = value.parse::<f64>() {
        let wait = Duration::try_from_secs_f64(seconds).ok()?;
        return u64::try_from(wait.as_millis()).ok();
    }
    let at = chrono::DateTime::parse_from_rfc2822(value).ok()?;
    let wait = at.with_timezone(&chrono::Utc) - chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    Some(u64::try_from(wait.num_milliseconds()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use egress::HeaderValue;

    #[test]
    fn a_failure_behind_a_redirect_does_not_claim_that_nothing_happened() {
        let refused = || EgressError::Dns { host: "b.test".into(), source: std::io::Error::other("no such name") };
        assert!(failure(&refused()).kind.proves_nothing_happened());
        let behind = failure(&EgressError::AfterRedirect { source: Box::new(refused()) });
        assert!(!behind.kind.proves_nothing_happened() && behind.retryable, "{behind:?}");
        assert_eq!(behind.message, "After a redirect: the name `b.test` does not resolve.");
    }

    #[test]
    fn every_attempt_has_a_span_of_its_own_and_keeps_it() {
        let (call, _) = crate::testing::call(None);
        let first = call.span_id();
        let others = [
            Call { attempt: 2, ..crate::testing::call(None).0 },
            Call { item: Some(1), ..crate::testing::call(None).0 },
            Call { step: "another".into(), ..crate::testing::call(None).0 },
            Call { run: domain::RunId::from_uuid(uuid::Uuid::from_u128(9)), ..crate::testing::call(None).0 },
        ];
        let spans: std::collections::BTreeSet<_> = others.iter().map(Call::span_id).chain([first]).collect();
        assert_eq!(spans.len(), 5);
        assert_eq!(crate::testing::call(None).0.span_id(), first);
    }

    #[test]
    fn retry_after_is_read_in_every_form_servers_use() {
        let wait = |name: &'static str, value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            retry_after_ms(&headers)
        };
        assert_eq!(wait("retry-after", "2"), Some(2_000));
        assert_eq!(wait("retry-after", "0.25"), Some(250));
        assert_eq!(wait("retry-after-ms", "120"), Some(120));
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
        assert_eq!(wait("retry-after", "soon"), None);
        assert_eq!(wait("retry-after", "-1"), None);
    }
}
