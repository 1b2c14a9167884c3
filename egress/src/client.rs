//! Sends requests, hop by hop, each hop checked anew.
//!
//! Invariant: the client library follows no redirect, reads no proxy setting of the machine and resolves no name by itself.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, LOCATION, USER_AGENT};
use reqwest::{Method, StatusCode};
use tokio::time::Instant;
use url::{Origin, Url};

use crate::error::EgressError;
use crate::policy::Policy;
use crate::request::Request;
use crate::resolver::{Guard, Lookup, System};
use crate::response::Response;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const POOL_IDLE: Duration = Duration::from_secs(60);
const POOL_PER_HOST: usize = 32;

/// The client. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    pub(crate) policy: Arc<Policy>,
    pub(crate) lookup: Arc<dyn Lookup>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// The client cannot be made: most often the machine has no CA certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be made (does the machine have CA certificates?)")]
pub struct BuildError {
    #[from]
    source: reqwest::Error,
}

impl Client {
    pub fn new(policy: Policy) -> Result<Self, BuildError> {
        Self::with_lookup(policy, Arc::new(System))
    }

    /// A client that asks somebody else for the addresses of names.
    pub fn with_lookup(policy: Policy, lookup: Arc<dyn Lookup>) -> Result<Self, BuildError> {
        let policy = Arc::new(policy);
        let guard = Guard { lookup: Arc::clone(&lookup), policy: Arc::clone(&policy) };
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .dns_resolver(Arc::new(guard))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(POOL_PER_HOST)
            .http1_max_headers(200)
            .http2_max_header_list_size(64 * 1024);
        if let Some(proxy) = policy.proxy() {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone())?);
        }
        Ok(Self { http: builder.build()?, policy, lookup })
    }

    /// Sends a request and gives the answer's head. Dropping the future ends the exchange.
    pub async fn send(&self, request: Request) -> Result<Response, EgressError> {
        let deadline = Instant::now() + request.limits.total;
        let origin = request.url.origin();
        let mut next = request;
        let mut hops_left = next.redirects;
        let mut redirected = false;
        loop {
            let answer = self.hop(&next, &origin, deadline, redirected).await.map_err(|error| {
                if redirected { EgressError::AfterRedirect { source: Box::new(error) } } else { error }
            })?;
            if next.redirects == 0 || !is_redirect(answer.status()) {
                return Ok(answer);
            }
            let refused = |reason| EgressError::Redirect { host: host_of(&next.url), reason };
            hops_left = hops_left.checked_sub(1).ok_or_else(|| refused("there are too many of them"))?;
            let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let Some(location) = location else { return Ok(answer) };
            let target = next.url.join(location).map_err(|_| refused("its target is no URL"))?;
            if next.url.scheme() == "https" && target.scheme() == "http" {
                return Err(refused("it leaves the secure connection"));
            }
            next = follow(next, answer.status(), target);
            redirected = true;
        }
    }

    async fn hop(
        &self,
        request: &Request,
        origin: &Origin,
        deadline: Instant,
        redirected: bool,
    ) -> Result<Response, EgressError> {
        self.policy.check(&request.url)?;
        let host = host_of(&request.url);
        self.check_behind_proxy(&request.url, &host).await?;
        let mut outgoing = self.http.request(request.method.clone(), request.url.clone());
        if !request.headers.contains_key(USER_AGENT) {
            outgoing = outgoing.header(USER_AGENT, concat!("weir/", env!("CARGO_PKG_VERSION")));
        }
        outgoing = outgoing.headers(request.headers.clone());
        if request.url.origin() == *origin {
            outgoing = outgoing.headers(request.credentials.clone());
        }
        if let Some(body) = &request.body {
            outgoing = outgoing.body(body.clone());
        }
        let wait = request.limits.head.min(deadline.saturating_duration_since(Instant::now()));
        let answer = tokio::time::timeout(wait, outgoing.send())
            .await
            .map_err(|_| EgressError::Timeout { host: host.clone(), after: wait })?
            .map_err(|error| EgressError::from_client(&host, error))?;
        // The second lock on the same door, for the case that the library ever connects past its resolver.
        let peer = answer.remote_addr().map(|address| address.ip());
        if self.policy.proxy().is_none() && peer.is_some_and(|address| !self.policy.lets_out(address)) {
            return Err(EgressError::Forbidden { host });
        }
        Response::new(answer, request.limits, deadline, redirected)
    }

    /// A proxy resolves names itself. What this machine can tell about the target is still checked; the rest is the proxy's.
    async fn check_behind_proxy(&self, url: &Url, host: &str) -> Result<(), EgressError> {
        if self.policy.proxy().is_none() || !matches!(url.host(), Some(url::Host::Domain(_))) {
            return Ok(());
        }
        let addresses = self.lookup.lookup(host.to_owned()).await.unwrap_or_default();
        if addresses.iter().all(|address| self.policy.lets_out(*address)) {
            Ok(())
        } else {
            Err(EgressError::Forbidden { host: host.to_owned() })
        }
    }
}

fn host_of(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

const fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The next hop, by the rules of the Fetch standard: 303 always becomes a GET, 301 and 302 do for a POST.
fn follow(mut request: Request, status: StatusCode, target: Url) -> Request {
    let becomes_get = match status.as_u16() {
        303 => request.method != Method::HEAD,
        301 | 302 => request.method == Method::POST,
        _ => false,
    };
    if becomes_get {
        request.method = Method::GET;
        request.body = None;
        for name in [CONTENT_TYPE, CONTENT_ENCODING, CONTENT_LANGUAGE] {
            request.headers.remove(name);
        }
    }
    request.url = target;
    request
}
