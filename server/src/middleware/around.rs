//! Around every request: an id, one log line, containment of panics, `HEAD`, and the headers of every answer.
//!
//! Invariant: every answer has `X-Request-Id` and says its place in the trace; a panic in a handler costs one request and is answered with a problem; a
//! handler that may change something runs to its end, whether or not its caller waits for it.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Instant;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::error::InternalError;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, StatusCode, header};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, ResponseError};
use domain::ErrorCode;
use futures_util::FutureExt;

use super::context::{CONTEXT, Context};
use super::paced::paced;
use super::trace;
use crate::problem::Fault;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's id, for handlers that hold the request.
#[derive(Debug, Clone)]
pub(crate) struct RequestIdText(pub(crate) String);

/// The middleware itself; for `actix_web::middleware::from_fn`.
pub(crate) async fn around(
    mut request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let started = Instant::now();
    let request_id = request_id(request.headers());
    request.extensions_mut().insert(RequestIdText(request_id.clone()));
    let head_only = request.method() == Method::HEAD;
    if head_only {
        request.head_mut().method = Method::GET;
    }
    let late = Rc::new(Cell::new(false));
    let payload = request.take_payload();
    request.set_payload(paced(payload, Rc::clone(&late)));
    let trace = trace::of(request.headers());
    let path = request.path().to_owned();
    let context = Rc::new(Context { request_id, path, trace: Some(trace), ..Context::default() });
    let method = if head_only { Method::HEAD } else { request.method().clone() };
    let gone = context.gone.clone().drop_guard();
    let handling = CONTEXT.scope(Rc::clone(&context), {
        let context = Rc::clone(&context);
        async move {
            let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
            let answered = match answered {
                Ok(Ok(response)) => Ok(response.map_into_boxed_body()),
                Ok(Err(error)) => Err(into_problem(error.error_response(), &error)),
                Err(_panic) => {
                    // The panic itself was printed by the hook, with its place.
                    tracing::error!(request_id = context.request_id, "a handler panicked");
                    let fault = Fault::new(ErrorCode::Internal, "Something went wrong on our side.");
                    Err(fault.error_response())
                }
            };
            if late.get() { too_late(answered) } else { answered }
        }
    });
    let handled = if method == Method::GET || method == Method::HEAD {
        handling.await
    } else {
        // The server drops what it does for a caller that went away. A handler in a task of its own is not cut in two by
        // that; it hears of it, and decides.
        match actix_web::rt::spawn(handling).await {
            Ok(handled) => handled,
            Err(error) => {
                tracing::error!(%error, request_id = context.request_id, "a handler broke off");
                Err(Fault::new(ErrorCode::Internal, "Something went wrong on our side.").error_response())
            }
        }
    };
    gone.disarm();
    match handled {
        Ok(response) => {
            let mut response = if head_only { response.map_body(|_, _| nothing()) } else { response };
            finish(response.headers_mut(), &context);
            log(&method, response.status(), &context, started);
            Ok(response)
        }
        // The router wants the only reference to the request, so none is left to make a response of: the answer goes
        // out as an error that carries it.
        Err(answer) => {
            let mut answer = if head_only { answer.map_body(|_, _| nothing()) } else { answer };
            finish(answer.headers_mut(), &context);
            log(&method, answer.status(), &context, started);
            Err(InternalError::from_response("answered around the handlers", answer).into())
        }
    }
}

/// Whatever a handler made of a body that did not come: the answer says what it was, and ends the connection.
fn too_late(handled: Handled) -> Handled {
    let detail = "The body came too slowly. It has 30 seconds, and after them has to have come at 16 KiB a second.";
    let mut answer = Fault::new(ErrorCode::RequestTimeout, detail).error_response();
    answer.head_mut().set_connection_type(ConnectionType::Close);
    match handled {
        Ok(response) => Ok(response.into_response(answer)),
        Err(_) => Err(answer),
    }
}

/// An answer, or one for a request that is gone.
type Handled = Result<ServiceResponse<BoxBody>, HttpResponse>;

fn nothing() -> BoxBody {
    BoxBody::new(actix_web::body::None::new())
}

/// Errors that did not come from our own handlers (a payload cut short, a path that does not decode) get our shape.
fn into_problem(response: HttpResponse, error: &actix_web::Error) -> HttpResponse {
    let ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/problem+json"));
    if ours || response.status().as_u16() < 400 {
        return response;
    }
    let code = match response.status().as_u16() {
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        405 => ErrorCode::MethodNotAllowed,
        408 => ErrorCode::RequestTimeout,
        413 => ErrorCode::TooLarge,
        415 => ErrorCode::UnsupportedMediaType,
        500.. => ErrorCode::Internal,
        _ => ErrorCode::BadRequest,
    };
    let detail =
        if code == ErrorCode::Internal { "Something went wrong on our side.".to_owned() } else { error.to_string() };
    Fault::new(code, detail).error_response()
}

/// A given id is taken if it cannot hurt a log or a header.
fn request_id(headers: &HeaderMap) -> String {
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|text| {
            (8..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        })
        .map_or_else(|| service::Ids.request().to_string(), ToOwned::to_owned)
}

fn finish(headers: &mut HeaderMap, context: &Context) {
    let mut set = |name: HeaderName, value: &str| {
        if !headers.contains_key(&name)
            && let Ok(value) = HeaderValue::from_str(value)
        {
            headers.insert(name, value);
        }
    };
    set(REQUEST_ID, &context.request_id);
    if let Some(trace) = &context.trace {
        trace::tell(trace, &mut set);
    }
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "same-origin");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    if let Some(standing) = *context.rate.borrow() {
        let seconds = standing.reset.as_secs_f64().ceil();
        set(HeaderName::from_static("ratelimit-policy"), &format!("\"default\";q={};w=60", standing.limit));
        set(HeaderName::from_static("ratelimit"), &format!("\"default\";r={};t={seconds}", standing.remaining));
        set(HeaderName::from_static("x-ratelimit-limit"), &standing.limit.to_string());
        set(HeaderName::from_static("x-ratelimit-remaining"), &standing.remaining.to_string());
        set(HeaderName::from_static("x-ratelimit-reset"), &seconds.to_string());
    }
}

fn log(method: &Method, status: StatusCode, context: &Context, started: Instant) {
    tracing::info!(
        request_id = context.request_id,
        trace_id = context.trace.as_ref().map(|trace| tracing::field::display(trace.trace_id)),
        method = %method,
        path = loggable(&context.path),
        status = status.as_u16(),
        duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        actor = context.actor.borrow().as_deref().unwrap_or("-"),
        "request"
    );
}

/// The path without what opens doors: one-time links carry their token in it.
fn loggable(path: &str) -> &str {
    ["/setup/", "/sign-in/"].into_iter().find(|prefix| path.starts_with(prefix)).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_time_links_do_not_reach_the_log() {
        assert_eq!(loggable("/setup/abc123"), "/setup/");
        assert_eq!(loggable("/sign-in/abc123"), "/sign-in/");
        assert_eq!(loggable("/api/v1/runs"), "/api/v1/runs");
    }

    #[test]
    fn a_given_request_id_is_taken_if_it_is_harmless() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_str(value).unwrap());
            request_id(&headers)
        };
        assert_eq!(with("trace-0123456789"), "trace-0123456789");
        assert!(with("short").starts_with("req_"));
        assert!(with("with spaces and such").starts_with("req_"));
    }
}
