//! Why a request brought no answer, and whether it may have had an effect all the same.
//!
//! Invariant: no variant shows more of a URL than its host: paths and queries can hold secrets.

use std::error::Error;
use std::io;
use std::time::Duration;

/// A request that brought no usable answer. Statuses of 400 and above are answers.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    #[error("the URL cannot be used: {0}")]
    InvalidUrl(String),
    #[error("the header `{0}` is set by the client and cannot be given")]
    ForbiddenHeader(String),
    #[error("`{host}` is an address that requests may not reach")]
    Forbidden { host: String },
    #[error("the name `{host}` does not resolve")]
    Dns { host: String, source: io::Error },
    #[error("no connection to `{host}`")]
    Connect { host: String, source: reqwest::Error },
    /// As `Connect`, for a protocol that is not HTTP.
    #[error("no connection to `{host}`")]
    Unreachable { host: String, source: io::Error },
    #[error("no secure connection to `{host}`")]
    Tls { host: String, source: reqwest::Error },
    #[error("`{host}` did not answer within {}", seconds(*.after))]
    Timeout { host: String, after: Duration },
    #[error("the connection to `{host}` broke off")]
    Cut { host: String, source: reqwest::Error },
    #[error("the answer of `{host}` is larger than {limit_bytes} bytes")]
    TooLarge { host: String, limit_bytes: u64 },
    #[error("the headers of `{host}`'s answer are larger than {limit_bytes} bytes")]
    HeadersTooLarge { host: String, limit_bytes: u64 },
    #[error("the redirect of `{host}` cannot be followed: {reason}")]
    Redirect { host: String, reason: &'static str },
    /// An earlier hop was answered, so the request did arrive somewhere.
    #[error("after a redirect: {source}")]
    AfterRedirect { source: Box<EgressError> },
}

impl EgressError {
    /// Whether the other side may have received the request. `false` is a promise, `true` is a doubt.
    #[must_use]
    pub const fn may_have_been_sent(&self) -> bool {
        match self {
            Self::InvalidUrl(_)
            | Self::ForbiddenHeader(_)
            | Self::Forbidden { .. }
            | Self::Dns { .. }
            | Self::Connect { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. } => false,
            Self::Timeout { .. }
            | Self::Cut { .. }
            | Self::TooLarge { .. }
            | Self::HeadersTooLarge { .. }
            | Self::Redirect { .. }
            | Self::AfterRedirect { .. } => true,
        }
    }

    /// Reads what went wrong out of the client library's error.
    pub(crate) fn from_client(host: &str, error: reqwest::Error) -> Self {
        let host = host.to_owned();
        let error = error.without_url();
        if let Some(refusal) = cause::<Refused>(&error) {
            return match refusal {
                Refused::Address => Self::Forbidden { host },
                Refused::Name(kind, text) => Self::Dns { host, source: io::Error::new(*kind, text.clone()) },
            };
        }
        if error.is_builder() {
            return Self::InvalidUrl("it cannot be sent as a request".to_owned());
        }
        if cause::<rustls::Error>(&error).is_some() {
            // A failure of TLS after the handshake does not come as a connect error.
            return if error.is_connect() {
                Self::Tls { host, source: error }
            } else {
                Self::Cut { host, source: error }
            };
        }
        if error.is_connect() { Self::Connect { host, source: error } } else { Self::Cut { host, source: error } }
    }
}

/// Our resolver's refusal, on its way through the client library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("refused address")]
    Address,
    #[error("{1}")]
    Name(io::ErrorKind, String),
}

/// Finds an error of one type among the causes, also inside of `io::Error`, which hides what it wraps.
fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    let mut next: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = next {
        if let Some(found) = current.downcast_ref::<E>() {
            return Some(found);
        }
        let wrapped = current.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(inner) => Some(inner as &(dyn Error + 'static)),
            None => current.source(),
        };
    }
    None
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f32())
}
