//! What changes, as it changes, for the console's pages.
//!
//! Invariant: a stream ends with its session, its run or the program, whichever comes first; nothing is buffered without
//! bound for a reader that does not read.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, web};
use bytes::Bytes;
use domain::{Permission, RunId};
use futures_util::StreamExt as _;
use service::runs::{self, WatchItem};
use service::sessions::Client;
use service::{Actor, ServiceError, Weir};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::wrappers::ReceiverStream;

use super::Host;
use super::visitor::Visitor;
use crate::problem::Fault;
use crate::state::State;

/// How often it is asked whether the session is still good; a heartbeat goes out with it.
const PULSE: Duration = Duration::from_secs(5);
/// The least time between two hints that a list has changed.
const CALM: Duration = Duration::from_millis(250);
/// Chunks that a slow reader may be behind.
const BACKLOG: usize = 16;

type Chunks = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// Says `data: {}` whenever a run of the tenant changes.
pub(super) async fn runs(request: HttpRequest, host: web::Data<Host>, tenant: web::Path<String>) -> HttpResponse {
    let actor = match actor_of(&request, &tenant) {
        Ok(actor) => actor,
        Err(error) => return Fault::from(error).error_response(),
    };
    let mut changes = host.weir.runs().bus().of_tenant(actor.tenant);
    let guard = match Guard::of(&request, &host, &tenant) {
        Ok(guard) => guard,
        Err(error) => return Fault::from(error).error_response(),
    };
    answer(|chunks| async move {
        let mut guard = guard;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Ok(_) | Err(RecvError::Lagged(_)) => {
                        if !say(&chunks, "data: {}\n\n".to_owned()).await {
                            return;
                        }
                        tokio::time::sleep(CALM).await;
                    }
                    Err(RecvError::Closed) => return,
                },
                good = guard.pulse(&chunks) => if !good { return },
            }
        }
    })
}

/// The events of one run: those after `Last-Event-ID`, then live ones, then `event: end`.
pub(super) async fn run(
    request: HttpRequest,
    host: web::Data<Host>,
    path: web::Path<(String, String)>,
) -> HttpResponse {
    let (tenant, run) = path.into_inner();
    match open_run(&request, &host, &tenant, &run).await {
        Ok(response) => response,
        Err(error) => Fault::from(error).error_response(),
    }
}

async fn open_run(request: &HttpRequest, host: &Host, tenant: &str, run: &str) -> Result<HttpResponse, ServiceError> {
    let actor = actor_of(request, tenant)?;
    let id: RunId = run.parse().map_err(|_| ServiceError::not_found("run", run))?;
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let after = last.and_then(|text| text.parse().ok()).unwrap_or(0);
    let events = runs::events(&host.weir, &actor, id, after).await?;
    let mut guard = Guard::of(request, host, tenant)?;
    Ok(answer(|chunks| async move {
        let mut events = std::pin::pin!(events);
        loop {
            tokio::select! {
                item = events.next() => {
                    let text = match item {
                        Some(Ok(item)) => written(&item),
                        // The page asks again, from where it was.
                        Some(Err(_)) => return,
                        None => "event: end\ndata: {}\n\n".to_owned(),
                    };
                    let over = text.starts_with("event: end");
                    if !say(&chunks, text).await || over {
                        return;
                    }
                }
                good = guard.pulse(&chunks) => if !good { return },
            }
        }
    }))
}

/// Journal events are plain messages with an id; text and progress have names of their own and no id.
fn written(item: &WatchItem) -> String {
    match item {
        WatchItem::Event(view) => {
            let data = serde_json::to_string(view).unwrap_or_default();
            format!("id: {}\ndata: {data}\n\n", view.position)
        }
        WatchItem::Delta { of, attempt, text } => {
            let data = serde_json::json!({"step": &*of.step, "item": of.item, "attempt": attempt, "text": &**text});
            format!("event: delta\ndata: {data}\n\n")
        }
        WatchItem::Progress { of, attempt, done, total, unit } => {
            let data = serde_json::json!({"step": &*of.step, "item": of.item, "attempt": attempt, "done": done, "total": total, "unit": &**unit});
            format!("event: progress\ndata: {data}\n\n")
        }
    }
}

fn actor_of(request: &HttpRequest, tenant: &str) -> Result<Actor, ServiceError> {
    let visitor = request.extensions().get::<Arc<Visitor>>().cloned();
    let actor = visitor.ok_or(ServiceError::Unauthenticated("Sign in first."))?.actor(tenant)?;
    service::authz::check(&actor, Permission::RunsRead)?;
    Ok(actor)
}

/// Keeps asking whether the stream may go on: its session is good and may still read here, its reader is there, the
/// program stays.
struct Guard {
    weir: Weir,
    token: Option<String>,
    tenant: String,
    ticks: tokio::time::Interval,
    draining: tokio_util::sync::CancellationToken,
}

impl Guard {
    fn of(request: &HttpRequest, host: &Host, tenant: &str) -> Result<Self, ServiceError> {
        let state = request.app_data::<web::Data<State>>().ok_or_else(|| ServiceError::internal("no state"))?;
        let mut ticks = tokio::time::interval(PULSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            weir: host.weir.clone(),
            token: super::cookies::read(host, request).session,
            tenant: tenant.to_owned(),
            ticks,
            draining: state.draining.clone(),
        })
    }

    /// Waits for the next pulse and says whether the stream goes on.
    async fn pulse(&mut self, chunks: &Chunks) -> bool {
        tokio::select! {
            _ = self.ticks.tick() => {}
            () = self.draining.cancelled() => return false,
            () = chunks.closed() => return false,
        }
        let Some(token) = &self.token else { return false };
        // A store that does not answer for a moment ends no stream.
        let good = service::sessions::open(&self.weir, token).await.map_or(true, |session| self.may_read(session));
        good && say(chunks, ": still here\n\n".to_owned()).await
    }
}

impl Guard {
    /// Whether the session's person still belongs here. Without a session nobody does.
    fn may_read(&self, session: Option<service::sessions::OpenSession>) -> bool {
        let actor = session.and_then(|session| session.actor(&self.tenant, &Client::default(), "").ok());
        actor.is_some_and(|actor| service::authz::check(&actor, Permission::RunsRead).is_ok())
    }
}

/// `false` when nobody reads any more.
async fn say(chunks: &Chunks, text: String) -> bool {
    chunks.send(Ok(Bytes::from(text))).await.is_ok()
}

fn answer<F, W>(work: F) -> HttpResponse
where
    F: FnOnce(Chunks) -> W,
    W: Future<Output = ()> + 'static,
{
    let (chunks, reader) = mpsc::channel(BACKLOG);
    actix_web::rt::spawn(work(chunks));
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header(("x-accel-buffering", "no"))
        .insert_header((header::CONTENT_ENCODING, "identity"))
        .streaming(ReceiverStream::new(reader))
}
