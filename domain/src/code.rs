//! The stable codes of refusals at the door. Faults of a run carry their own code in [`crate::Failure`].

use serde::{Deserialize, Serialize};

macro_rules! codes {
    ($($variant:ident = $text:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// Why a request was refused. Each has one HTTP status, one title and one entry in the docs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum ErrorCode { $($variant,)* }

        impl ErrorCode {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)* } }
            #[must_use]
            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status,)* } }
            #[must_use]
            pub const fn retryable(self) -> bool { match self { $(Self::$variant => $retryable,)* } }
            #[must_use]
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title,)* } }
        }
    };
}

codes! {
    BadRequest = "bad_request", 400, false, "The request cannot be read";
    UnknownParameter = "unknown_parameter", 400, false, "A parameter is not known";
    Unauthenticated = "unauthenticated", 401, false, "No valid credentials";
    Forbidden = "forbidden", 403, false, "Not permitted";
    NotFound = "not_found", 404, false, "Not found";
    MethodNotAllowed = "method_not_allowed", 405, false, "Method not allowed here";
    RequestTimeout = "request_timeout", 408, true, "The request came too slowly";
    Conflict = "conflict", 409, false, "In conflict with the present state";
    PreconditionFailed = "precondition_failed", 412, false, "Changed in the meantime";
    TooLarge = "too_large", 413, false, "Too large";
    UnsupportedMediaType = "unsupported_media_type", 415, false, "This content type is not taken here";
    InvalidInput = "invalid_input", 422, false, "The input does not fit";
    InvalidFlow = "invalid_flow", 422, false, "The flow has problems";
    IdempotencyMismatch = "idempotency_mismatch", 422, false, "The idempotency key was used for another request";
    BudgetExceeded = "budget_exceeded", 402, false, "A budget is used up";
    RateLimited = "rate_limited", 429, true, "Too many requests";
    Unavailable = "unavailable", 503, true, "Not available at the moment";
    Internal = "internal", 500, true, "Something went wrong on our side";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_documented_with_its_status() {
        let page = include_str!("../../docs/errors.md");
        for code in ErrorCode::ALL {
            let row = format!("| `{}` | {} |", code.as_str(), code.status());
            assert!(page.contains(&row), "docs/errors.md has no row `{row}`");
        }
    }
}
