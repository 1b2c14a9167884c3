//! A request on its way out: what, with which credentials, within which limits.
//!
//! Invariant: headers that frame a message or choose its host are the client's business and cannot be given.

use std::time::Duration;

use bytes::Bytes;
use domain::{SpanId, TraceContext};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::error::EgressError;

/// Hop-by-hop and framing headers: given from outside they could smuggle a second request.
const OWN_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-connection",
    "proxy-authorization",
];

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What one exchange may take. Every limit counts for the whole exchange, hops included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until the last byte of the answer is read.
    pub total: Duration,
    /// Until the answer's head has come.
    pub head: Duration,
    /// Between two pieces of the answer's body.
    pub idle: Duration,
    /// Bytes of the body, after decompression.
    pub body_bytes: u64,
    pub header_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(60),
            head: Duration::from_secs(60),
            idle: Duration::from_secs(30),
            body_bytes: 16 * 1024 * 1024,
            header_bytes: 64 * 1024,
        }
    }
}

/// A request that can be sent once.
#[derive(Clone)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Sent to the URL's own origin only.
    pub(crate) credentials: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) redirects: u8,
    pub(crate) limits: Limits,
}

impl Request {
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            credentials: HeaderMap::new(),
            body: None,
            redirects: 0,
            limits: Limits::default(),
        }
    }

    /// Sets a header. `Authorization` and `Cookie` are taken as credentials.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Result<Self, EgressError> {
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(EgressError::ForbiddenHeader(name.to_string()));
        }
        if name == reqwest::header::AUTHORIZATION || name == reqwest::header::COOKIE {
            return self.credential(name, value);
        }
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Sets a header that never leaves the URL's own origin, whatever redirects say.
    pub fn credential(mut self, name: HeaderName, mut value: HeaderValue) -> Result<Self, EgressError> {
        if OWN_HEADERS.contains(&name.as_str()) {
            return Err(EgressError::ForbiddenHeader(name.to_string()));
        }
        value.set_sensitive(true);
        self.credentials.insert(name, value);
        Ok(self)
    }

    /// Carries a trace on, as this span's doing. Who set `traceparent` already has a trace of its own in mind.
    #[must_use]
    pub fn within(mut self, trace: &TraceContext, span: SpanId) -> Self {
        let has = |request: &Self, name: &HeaderName| {
            request.headers.contains_key(name) || request.credentials.contains_key(name)
        };
        if has(&self, &TRACEPARENT) {
            return self;
        }
        let state = (!trace.tracestate().is_empty() && !has(&self, &TRACESTATE)).then(|| trace.tracestate().to_owned());
        for (name, value) in [(TRACEPARENT, Some(trace.traceparent(span))), (TRACESTATE, state)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                self.headers.insert(name, value);
            }
        }
        self
    }

    /// Where it goes, by name or address.
    #[must_use]
    pub fn host(&self) -> String {
        self.url.host_str().unwrap_or_default().to_owned()
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Follows up to so many redirects; without this, a redirect is the answer.
    #[must_use]
    pub const fn redirects(mut self, at_most: u8) -> Self {
        self.redirects = at_most;
        self
    }

    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}
