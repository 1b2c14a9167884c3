//! Who asks: the session that the cookie proves, or a visitor; and the token that a form of theirs must carry.
//!
//! Invariant: the form's token is a hash of a cookie that scripts cannot read, so that only a page of ours can know it; a
//! request that a browser says comes from another site never acts.

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use service::sessions::{Client, OpenSession};
use service::{Actor, ServiceError};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Host;
use super::cookies::Said;
use crate::middleware::context;
use crate::state::State;

/// One request's person.
pub(super) struct Visitor {
    pub(super) session: Option<OpenSession>,
    pub(super) client: Client,
    pub(super) csrf: String,
    /// A mark to hand out, where the browser has none yet.
    pub(super) fresh_mark: Option<String>,
    /// The cookie names a session that is not good any more.
    pub(super) stale: bool,
    pub(super) request_id: String,
}

impl Visitor {
    pub(super) async fn of(host: &Host, request: &HttpRequest, said: &Said) -> Result<Self, ServiceError> {
        let session = match &said.session {
            Some(token) => service::sessions::open(&host.weir, token).await?,
            None => None,
        };
        let stale = said.session.is_some() && session.is_none();
        let (csrf, fresh_mark) = match (&session, &said.session, &said.visitor) {
            (Some(_), Some(token), _) => (token_of(token), None),
            (_, _, Some(mark)) => (token_of(mark), None),
            _ => {
                let mark = service::token::opaque();
                (token_of(&mark), Some(mark))
            }
        };
        let state = request.app_data::<web::Data<State>>().ok_or_else(|| ServiceError::internal("no state"))?;
        let client = crate::extract::client_of(request, state);
        Ok(Self { session, client, csrf, fresh_mark, stale, request_id: context::request_id() })
    }

    /// The person acting in a tenant of theirs.
    pub(super) fn actor(&self, tenant: &str) -> Result<Actor, ServiceError> {
        let session = self.session.as_ref().ok_or(ServiceError::Unauthenticated("The session has ended."))?;
        let actor = session.actor(tenant, &self.client, &self.request_id)?;
        Ok(Actor { trace: context::trace(), ..actor })
    }

    pub(super) fn proves(&self, token: &str) -> bool {
        self.csrf.as_bytes().ct_eq(token.as_bytes()).into()
    }
}

fn token_of(cookie: &str) -> String {
    hex::encode(Sha256::new_with_prefix(b"weir form token\0").chain_update(cookie).finalize())
}

/// Whether the browser says that a page of this very origin sent the request. Old browsers send no Fetch Metadata; for
/// those the `Origin` must be ours.
pub(super) fn is_from_here(request: &HttpRequest) -> bool {
    let text = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => matches!(site, "same-origin" | "none"),
        (None, Some(origin)) => {
            let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
            origin.split_once("://").map(|(_, authority)| authority) == host
        }
        // Neither: no browser. The form's token still has to be there.
        (None, None) => true,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn only_requests_from_our_own_pages_pass() {
        let request = |headers: &[(&'static str, &str)]| {
            let mut request = TestRequest::post().insert_header(("host", "weir.test"));
            for (name, value) in headers {
                request = request.insert_header((*name, *value));
            }
            request.to_http_request()
        };
        assert!(is_from_here(&request(&[("sec-fetch-site", "same-origin")])));
        assert!(!is_from_here(&request(&[("sec-fetch-site", "cross-site")])));
        assert!(!is_from_here(&request(&[("sec-fetch-site", "same-site")])));
        assert!(is_from_here(&request(&[("origin", "https://weir.test")])));
        assert!(!is_from_here(&request(&[("origin", "https://evil.test")])));
        assert!(!is_from_here(&request(&[("origin", "null")])));
        assert!(is_from_here(&request(&[])));
    }
}
