//! Who calls: the key in `Authorization`, checked, and its rate.
//!
//! Invariant: the order at the door is authenticate, tenant suspended, rate; permission and the rest follow in services.

use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use domain::Permission;
use service::sessions::Client;
use service::{Actor, ServiceError, Weir};

use super::client_of;
use crate::middleware::around::RequestIdText;
use crate::middleware::context;
use crate::problem::Fault;
use crate::state::State;

/// The actor behind a good key.
#[derive(Debug)]
pub(crate) struct Caller(pub(crate) Actor);

/// The same, where a call without any credentials is answered too.
#[derive(Debug)]
pub(crate) struct MaybeCaller(pub(crate) Option<Actor>);

type Extracted<T> = Pin<Box<dyn Future<Output = Result<T, Fault>>>>;

impl FromRequest for Caller {
    type Error = Fault;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let missing = ServiceError::Unauthenticated("Send an API key as `Authorization: Bearer weir_live_...`.");
            authenticated(&request).await?.map(Self).ok_or_else(|| missing.into())
        })
    }
}

impl FromRequest for MaybeCaller {
    type Error = Fault;
    type Future = Extracted<Self>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move { authenticated(&request).await.map(Self) })
    }
}

/// `None` without credentials; an error for bad ones.
async fn authenticated(request: &HttpRequest) -> Result<Option<Actor>, Fault> {
    let state = request.app_data::<web::Data<State>>().ok_or_else(|| ServiceError::internal("no state"))?;
    let Some(token) = token(request) else { return Ok(None) };
    let client = client_of(request, state);
    let actor = match service::keys::authenticate(&state.weir, &token, &client, &id_of(request)).await {
        Ok(actor) => Actor { trace: context::trace(), ..actor },
        Err(error @ ServiceError::Unauthenticated(_)) => {
            // Guessing is slowed by address; good keys are not touched by it.
            admit(state.address_rates.admit(client.address.as_deref().unwrap_or("unknown")))?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    };
    let subject = actor.api_key_id().map(|id| id.to_string()).unwrap_or_default();
    admit(state.key_rates.admit(&subject))?;
    context::note_actor(subject);
    Ok(Some(actor))
}

/// The bearer's token; empty for credentials of another kind, `None` without any.
fn token(request: &HttpRequest) -> Option<String> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    let bearer = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(bearer.map(|(_, token)| token.trim().to_owned()).unwrap_or_default())
}

fn id_of(request: &HttpRequest) -> String {
    request.extensions().get::<RequestIdText>().map(|id| id.0.clone()).unwrap_or_default()
}

/// The credentials of a caller whose answer goes on for a while, to be looked at again and again.
pub(crate) struct Credentials {
    weir: Weir,
    token: String,
    client: Client,
    request_id: String,
}

impl Credentials {
    pub(crate) fn of(request: &HttpRequest, state: &State) -> Self {
        Self {
            weir: state.weir.clone(),
            token: token(request).unwrap_or_default(),
            client: client_of(request, state),
            request_id: id_of(request),
        }
    }

    /// Whether they are still good for reading runs. A store that does not answer takes nothing from anybody.
    pub(crate) async fn hold(&self) -> bool {
        match service::keys::authenticate(&self.weir, &self.token, &self.client, &self.request_id).await {
            Ok(actor) => service::authz::check_somewhere(&actor, Permission::RunsRead).is_ok(),
            Err(ServiceError::Unauthenticated(_) | ServiceError::Forbidden(_)) => false,
            Err(error) => {
                tracing::debug!(%error, "the credentials of a stream could not be looked at");
                true
            }
        }
    }
}

fn admit(standing: Result<Option<crate::middleware::rate::Standing>, std::time::Duration>) -> Result<(), Fault> {
    match standing {
        Ok(Some(standing)) => {
            context::note_rate(standing);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(wait) => Err(ServiceError::RateLimited {
            detail: "Too many requests. Wait as long as `Retry-After` says.".to_owned(),
            retry_after_ms: u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        }
        .into()),
    }
}
