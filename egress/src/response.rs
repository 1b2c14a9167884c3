//! An answer, read piece by piece within the request's limits.
//!
//! Invariant: the bytes handed out never exceed the limit, counted after decompression.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::time::Instant;
use url::Url;

use crate::error::EgressError;
use crate::request::Limits;

/// The head of an answer, and its body still to be read.
pub struct Response {
    inner: reqwest::Response,
    host: String,
    limits: Limits,
    deadline: Instant,
    read_bytes: u64,
    redirected: bool,
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("host", &self.host)
            .field("status", &self.inner.status())
            .finish_non_exhaustive()
    }
}

impl Response {
    pub(crate) fn new(
        inner: reqwest::Response,
        limits: Limits,
        deadline: Instant,
        redirected: bool,
    ) -> Result<Self, EgressError> {
        let host = inner.url().host_str().unwrap_or_default().to_owned();
        let header_bytes: usize =
            inner.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
        if header_bytes as u64 > limits.header_bytes {
            return Err(EgressError::HeadersTooLarge { host, limit_bytes: limits.header_bytes });
        }
        if inner.content_length().is_some_and(|length| length > limits.body_bytes) {
            return Err(EgressError::TooLarge { host, limit_bytes: limits.body_bytes });
        }
        Ok(Self { inner, host, limits, deadline, read_bytes: 0, redirected })
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Where the answer came from, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        self.inner.url()
    }

    #[must_use]
    pub fn is_redirected(&self) -> bool {
        self.redirected
    }

    /// The next piece of the body; `None` at its end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, EgressError> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let wait = self.limits.idle.min(left);
        let chunk = match tokio::time::timeout(wait, self.inner.chunk()).await {
            Err(_) => return Err(self.timed_out(left)),
            Ok(Err(error)) => return Err(EgressError::from_client(&self.host, error)),
            Ok(Ok(chunk)) => chunk,
        };
        if let Some(bytes) = &chunk {
            self.read_bytes += bytes.len() as u64;
            if self.read_bytes > self.limits.body_bytes {
                return Err(EgressError::TooLarge { host: self.host.clone(), limit_bytes: self.limits.body_bytes });
            }
        }
        Ok(chunk)
    }

    /// The whole body.
    pub async fn bytes(mut self) -> Result<Bytes, EgressError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.is_empty() && self.inner.content_length() == Some(chunk.len() as u64) {
                return Ok(chunk);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }

    fn timed_out(&self, left: Duration) -> EgressError {
        let after = if left <= self.limits.idle { self.limits.total } else { self.limits.idle };
        EgressError::Timeout { host: self.host.clone(), after }
    }
}
