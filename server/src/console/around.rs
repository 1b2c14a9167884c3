//! What happens around every console request: the session is opened, forms act, pages get their state, answers get their
//! headers and cookies.
//!
//! Invariant: a page of a tenant is never rendered for a visitor, and a refused form is answered with its page and its
//! errors, under the status of the refusal.

use std::sync::Arc;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::cookie::Cookie;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, ResponseError as _, web};
use app::data::{ConsoleData, PageState, SessionView};

use super::addresses;
use super::data::ServiceData;
use super::forms::{self, Outcome};
use super::visitor::{self, Visitor};
use super::{Host, cookies};
use crate::problem::Fault;

pub(super) async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(host) = request.app_data::<web::Data<Host>>().cloned() else {
        return Err(actix_web::error::ErrorInternalServerError("the console has no host"));
    };
    match addresses::turned_away(request.method(), request.path()) {
        Some(Ok(answer)) => return Ok(request.into_response(answer)),
        Some(Err(fault)) => return Ok(request.into_response(fault.error_response())),
        None => {}
    }
    let said = cookies::read(&host, request.request());
    let visitor = match Visitor::of(&host, request.request(), &said).await {
        Ok(visitor) => Arc::new(visitor),
        Err(error) => return Ok(refuse(request, error)),
    };
    let mut state = page_state(&host, &visitor, &said);
    let (mut status, mut retry_after) = (None, None);
    if request.method() == Method::POST {
        match forms::act(&host, &visitor, &mut request).await {
            Outcome::See { to, cookies } => return Ok(see(request, &to, &cookies)),
            Outcome::Again { status: refused, retry_after_ms, form } => {
                state.form = Some(form);
                status = Some(refused);
                retry_after = retry_after_ms;
            }
            Outcome::Key(created) => state.created_key = Some(created),
            Outcome::Refused(error) => return Ok(refuse(request, error)),
        }
    } else if let Some(to) = elsewhere(&visitor, &request) {
        let stale = visitor.stale.then(|| host.no_session());
        return Ok(see(request, &to, &stale.into_iter().collect::<Vec<_>>()));
    } else if let Some(token) = sign_in_link(request.path()) {
        return Ok(follow_link(&host, &visitor, request.path().to_owned(), &token, request).await);
    }
    let shows_notice = state.notice.is_some() && is_page(&request);
    {
        let mut extensions = request.extensions_mut();
        extensions.insert(state);
        extensions.insert::<Arc<dyn ConsoleData>>(Arc::new(ServiceData::new(host.clone(), Arc::clone(&visitor))));
        extensions.insert(host.assets.clone());
        extensions.insert(Arc::clone(&visitor));
    }
    let mut response = next.call(request).await?.map_into_boxed_body();
    if let Some(status) = status {
        *response.response_mut().status_mut() = status;
    }
    if let Some(wait) = retry_after {
        let wait = header::HeaderValue::from(wait.div_ceil(1_000).max(1));
        response.headers_mut().insert(header::RETRY_AFTER, wait);
    }
    finish(&host, &visitor, shows_notice, &mut response);
    Ok(response)
}

fn page_state(host: &Host, visitor: &Visitor, said: &cookies::Said) -> PageState {
    PageState {
        session: visitor
            .session
            .as_ref()
            .map(|session| SessionView { email: session.email.clone(), tenants: session.tenants.clone() }),
        csrf: visitor.csrf.clone(),
        theme: said.theme,
        single_keys: said.single_keys,
        notice: said.notice.clone(),
        form: None,
        created_key: None,
        request_id: visitor.request_id.clone(),
        base_url: host.base_url.clone(),
        version: host.weir.settings().version.to_owned(),
    }
}

fn is_page(request: &ServiceRequest) -> bool {
    let path = request.path();
    let stream = path.ends_with("/events") || path.ends_with("/live");
    let file = path.contains("/files/") || path.ends_with("/runs.csv") || path.ends_with("/runs.json");
    !(path.starts_with("/_fn/") || stream || file)
}

/// Where a request belongs that has no page of its own: the start, and a tenant's page without a session.
fn elsewhere(visitor: &Visitor, request: &ServiceRequest) -> Option<String> {
    let path = request.path();
    match &visitor.session {
        Some(session) if path == "/" || path == "/sign-in" => {
            Some(session.tenants.first().map_or_else(|| "/tenants".to_owned(), |tenant| format!("/t/{}", tenant.name)))
                .filter(|to| to != path)
        }
        None if path == "/" => Some("/sign-in".to_owned()),
        None if path.starts_with("/t/") && is_page(request) => {
            let wanted = request.uri().path_and_query().map_or(path, |full| full.as_str());
            let next: String = url::form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
            Some(format!("/sign-in?next={next}"))
        }
        _ => None,
    }
}

fn sign_in_link(path: &str) -> Option<String> {
    let token = path.strip_prefix("/sign-in/")?;
    (!token.is_empty() && !token.contains('/')).then(|| token.to_owned())
}

/// A link that signs in, good once. A used one leads to the sign-in page, which says so.
async fn follow_link(
    host: &Host,
    visitor: &Visitor,
    path: String,
    token: &str,
    request: ServiceRequest,
) -> ServiceResponse<BoxBody> {
    match service::links::follow(&host.weir, token, &visitor.client).await {
        Ok(signed_in) => see(request, "/", &[host.session(signed_in.token)]),
        Err(service::ServiceError::NotFound { .. }) => {
            tracing::info!(path = %path.split('/').nth(1).unwrap_or_default(), "a sign-in link that is not good was followed");
            let text =
                "This sign-in link was used already or is over. Sign in with your password, or ask for another link.";
            let notice = app::data::Notice { good: false, text: text.to_owned() };
            see(request, "/sign-in", &[host.notice(&notice)])
        }
        Err(error) => refuse(request, error),
    }
}

/// What no page can show: an answer of another site's making, or a fault of ours.
fn refuse(request: ServiceRequest, error: service::ServiceError) -> ServiceResponse<BoxBody> {
    request.into_response(Fault::from(error).error_response()).map_into_boxed_body()
}

fn see(request: ServiceRequest, to: &str, cookies: &[Cookie<'static>]) -> ServiceResponse<BoxBody> {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((header::LOCATION, to)).insert_header((header::CACHE_CONTROL, "no-store"));
    for cookie in cookies {
        response.cookie(cookie.clone());
    }
    request.into_response(response.finish())
}

fn finish(host: &Host, visitor: &Visitor, shows_notice: bool, response: &mut ServiceResponse<BoxBody>) {
    let headers = response.response_mut().headers_mut();
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in fixed {
        if !headers.contains_key(&name) {
            headers.insert(name, header::HeaderValue::from_static(value));
        }
    }
    let mut set = |cookie: Cookie<'static>| {
        if let Err(error) = response.response_mut().add_cookie(&cookie) {
            tracing::error!(%error, "a cookie could not be set");
        }
    };
    if shows_notice {
        set(host.no_notice());
    }
    if visitor.stale {
        set(host.no_session());
    }
    if let Some(mark) = &visitor.fresh_mark {
        set(host.visitor(mark.clone()));
    }
}

/// The status of a refusal, for the page that is answered with it.
pub(super) fn status(error: &service::ServiceError) -> StatusCode {
    StatusCode::from_u16(error.code().status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Re-exported for the forms: whether a request comes from a page of ours.
pub(super) fn is_from_here(request: &ServiceRequest) -> bool {
    visitor::is_from_here(request.request())
}
