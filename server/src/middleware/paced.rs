//! Bodies that come in time.
//!
//! Invariant: whoever sends a body slower than this gives its place up: no request holds a connection and memory for
//! longer than its bytes are worth.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep};

/// How slow a body may be.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Every body may take this long.
    grace: Duration,
    /// Beyond it a body has to come at this rate on average.
    bytes_per_second: u64,
}

const PACE: Pace = Pace { grace: Duration::from_secs(30), bytes_per_second: 16 * 1024 };

/// A body under its time limit; `late` is set when it overran.
pub(crate) fn paced(payload: Payload, late: Rc<Cell<bool>>) -> Payload {
    at_pace(payload, late, PACE)
}

fn at_pace(payload: Payload, late: Rc<Cell<bool>>, pace: Pace) -> Payload {
    if matches!(payload, Payload::None) {
        return payload;
    }
    let began = Instant::now();
    let sleep = Box::pin(tokio::time::sleep_until(began + pace.grace));
    Payload::Stream { payload: Box::pin(Paced { payload, pace, began, received: 0, sleep, late }) }
}

struct Paced {
    payload: Payload,
    pace: Pace,
    began: Instant,
    received: u64,
    sleep: Pin<Box<Sleep>>,
    late: Rc<Cell<bool>>,
}

impl Stream for Paced {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(chunk) = Pin::new(&mut this.payload).poll_next(context) {
            if let Some(Ok(chunk)) = &chunk {
                this.received += chunk.len() as u64;
            }
            return Poll::Ready(chunk);
        }
        let allowed =
            this.pace.grace + Duration::from_millis(this.received.saturating_mul(1_000) / this.pace.bytes_per_second);
        if this.sleep.deadline() != this.began + allowed {
            this.sleep.as_mut().reset(this.began + allowed);
        }
        if this.sleep.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        this.late.set(true);
        let error = std::io::Error::new(std::io::ErrorKind::TimedOut, "the body came too slowly");
        Poll::Ready(Some(Err(PayloadError::Io(error))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    /// A body of equal chunks at equal times, without an end; how long it was read, and how many bytes.
    async fn read(chunk: usize, every: Duration, most: usize) -> (Duration, usize, bool) {
        let chunks = futures_util::stream::unfold(0, move |sent| async move {
            tokio::time::sleep(every).await;
            (sent < most).then(|| (Ok::<_, PayloadError>(Bytes::from(vec![0; chunk])), sent + chunk))
        });
        let late = Rc::new(Cell::new(false));
        let (began, mut received) = (Instant::now(), 0);
        let mut payload = at_pace(Payload::Stream { payload: Box::pin(chunks) }, Rc::clone(&late), QUICK);
        while let Some(Ok(chunk)) = payload.next().await {
            received += chunk.len();
        }
        (began.elapsed(), received, late.get())
    }

    const QUICK: Pace = Pace { grace: Duration::from_millis(300), bytes_per_second: 1024 };

    #[tokio::test]
    async fn a_body_that_trickles_is_cut_off_and_a_steady_one_is_not() {
        let moment = Duration::from_millis(20);
        let (took, _, late) = read(1, moment, usize::MAX).await;
        assert!(late && took >= QUICK.grace, "{took:?}");
        let (_, _, late) = read(1, Duration::from_secs(3_600), usize::MAX).await;
        assert!(late, "a body of which nothing comes any more");
        let (took, received, late) = read(1024, moment, 40 * 1024).await;
        assert!(!late && received >= 40 * 1024 && took > QUICK.grace * 2, "{took:?}");
    }
}
