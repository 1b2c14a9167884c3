//! Server-sent events of one run.
//!
//! Invariant: events carry their journal position as id, text pieces carry none; a stream ends by itself behind the
//! run's last event, and when the server drains.

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

/// A comment this often keeps proxies from closing a quiet stream.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(15);

type Items = Pin<Box<dyn Stream<Item = Result<WatchItem, ServiceError>> + Send>>;

/// Answers with a run's events.
pub(crate) fn response(
    events: impl Stream<Item = Result<WatchItem, ServiceError>> + Send + 'static,
    draining: &CancellationToken,
    started: Option<RunId>,
) -> HttpResponse {
    let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let pump = Pump { events: Box::pin(events), heartbeat, draining: draining.clone() };
    let bytes = futures_util::stream::unfold(pump, |mut pump| async move {
        let piece = pump.next().await?;
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
    draining: CancellationToken,
}

impl Pump {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            () = self.draining.cancelled() => None,
            item = self.events.next() => match item? {
                Ok(item) => Some(text(&item).into()),
                Err(error) => {
                    tracing::warn!(%error, "a stream of events broke off");
                    None
                }
            },
            _ = self.heartbeat.tick() => Some(Bytes::from_static(b": heartbeat\n\n")),
        }
    }
}

fn text(item: &WatchItem) -> String {
    match item {
        WatchItem::Event(event) => {
            let data = serde_json::to_string(event).unwrap_or_default();
            format!("id: {}\nevent: {}\ndata: {data}\n\n", event.position, event.event)
        }
        WatchItem::Delta { step, attempt, text } => {
            let data = serde_json::json!({ "step": &**step, "attempt": attempt, "text": &**text });
            format!("event: delta\ndata: {data}\n\n")
        }
        WatchItem::Progress { step, attempt, done, total, unit } => {
            let data = serde_json::json!({
                "step": &**step, "attempt": attempt, "done": done, "total": total, "unit": &**unit,
            });
            format!("event: progress\ndata: {data}\n\n")
        }
    }
}
