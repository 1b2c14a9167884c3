//! Server-sent events of one run.
//!
//! Invariant: events carry their journal position as id, text pieces carry none; a stream ends by itself behind the
//! run's last event, when the server drains, and when the caller's key is not good any more.

use std::pin::Pin;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use bytes::Bytes;
use domain::RunId;
use futures_util::{Stream, StreamExt};
use service::ServiceError;
use service::runs::WatchItem;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::api::run::CancelOnDrop;
use crate::extract::Credentials;

/// A comment this often keeps proxies from closing a quiet stream.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

/// How often it is asked whether the caller may still read.
const PULSE: Duration = Duration::from_secs(4);

type Items = Pin<Box<dyn Stream<Item = Result<WatchItem, ServiceError>> + Send>>;

/// Answers with a run's events.
pub(crate) fn response(
    events: impl Stream<Item = Result<WatchItem, ServiceError>> + Send + 'static,
    draining: &CancellationToken,
    credentials: Credentials,
    started: Option<(RunId, Option<CancelOnDrop>)>,
) -> HttpResponse {
    let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut pulse = tokio::time::interval_at(Instant::now() + PULSE, PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (started, guard) = started.unzip();
    let pump = Pump {
        events: Box::pin(events),
        heartbeat,
        pulse,
        credentials,
        draining: draining.clone(),
        guard: guard.flatten(),
    };
    let bytes = futures_util::stream::unfold(pump, |mut pump| async move {
        let Some(piece) = pump.next().await else {
            // It ended by itself; only a stream that is dropped before lost its caller.
            if let Some(guard) = pump.guard.take() {
                guard.disarm();
            }
            return None;
        };
        Some((Ok::<_, actix_web::Error>(piece), pump))
    });
    let mut answer = HttpResponse::Ok();
    answer.content_type("text/event-stream");
    answer.insert_header((header::CACHE_CONTROL, "no-store"));
    // Compression would hold events back until a block is full.
    answer.insert_header((header::CONTENT_ENCODING, "identity"));
    // Proxies of the nginx family gather answers unless told.
    answer.insert_header(("X-Accel-Buffering", "no"));
    if let Some(run) = started {
        answer.insert_header((header::LOCATION, format!("/api/v1/runs/{run}")));
    }
    answer.streaming(bytes)
}

struct Pump {
    events: Items,
    heartbeat: Interval,
    pulse: Interval,
    credentials: Credentials,
    draining: CancellationToken,
    guard: Option<CancelOnDrop>,
}

impl Pump {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            tokio::select! {
                biased;
                () = self.draining.cancelled() => return None,
                _ = self.pulse.tick() => {
                    if !self.credentials.hold().await {
                        return None;
                    }
                }
                item = self.events.next() => return match item? {
                    Ok(item) => Some(text(&item).into()),
                    Err(error) => {
                        tracing::warn!(%error, "a stream of events broke off");
                        None
                    }
                },
                _ = self.heartbeat.tick() => return Some(Bytes::from_static(b": heartbeat\n\n")),
            }
        }
    }
}

fn text(item: &WatchItem) -> String {
    match item {
        WatchItem::Event(event) => {
            let data = serde_json::to_string(event).unwrap_or_default();
            format!("id: {}\nevent: {}\ndata: {data}\n\n", event.position, event.event)
        }
        WatchItem::Delta { of, attempt, text } => {
            let data = serde_json::json!({"step": &*of.step, "item": of.item, "attempt": attempt, "text": &**text});
            format!("event: delta\ndata: {data}\n\n")
        }
        WatchItem::Progress { of, attempt, done, total, unit } => {
            let data = serde_json::json!({
                "step": &*of.step, "item": of.item, "attempt": attempt, "done": done, "total": total, "unit": &**unit,
            });
            format!("event: progress\ndata: {data}\n\n")
        }
    }
}
