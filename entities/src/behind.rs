//! How what nobody waits for gets to PostgreSQL: over few connections, and not in the moments when callers are there. The
//! server's processes have one priority, so that this is the only place where the queue can stand behind.
//!
//! Invariant: however many callers come, each of the few connections has its turn every [`TURN`].

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use domain::TenantId;
use sea_orm::{DatabaseConnection, DatabaseTransaction};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::error::StoreError;
use crate::store::begin;

/// Where somebody asked this short while ago, the next one is likely to ask now.
const CALLERS_PAUSE: Duration = Duration::from_millis(2);
/// A unit waits no longer than this for callers to pause.
const TURN: Duration = Duration::from_millis(8);

#[derive(Debug)]
pub(crate) struct Behind {
    pool: DatabaseConnection,
    connections: Semaphore,
    began: Instant,
    /// Callers that wait for the store now.
    calls: AtomicU32,
    /// Microseconds from the beginning to when a caller was seen last.
    last_call: AtomicU64,
}

/// Somebody waits for the store, until this is dropped.
#[derive(Debug)]
pub(crate) struct Caller<'b>(&'b Behind);

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.last_call.store(now, Ordering::Relaxed);
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Behind {
    pub(crate) fn new(pool: DatabaseConnection, connections: u32) -> Self {
        let connections = Semaphore::new(connections as usize);
        Self { pool, connections, began: Instant::now(), calls: AtomicU32::new(0), last_call: AtomicU64::new(0) }
    }

    /// Somebody waits for the store as long as this is kept.
    pub(crate) fn call(&self) -> Caller<'_> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Caller(self)
    }

    /// Begins a transaction in the background's turn. Others may begin once the permit is given back.
    pub(crate) async fn begin(
        &self,
        tenant: Option<TenantId>,
    ) -> Result<(DatabaseTransaction, SemaphorePermit<'_>), StoreError> {
        let closed = |_| StoreError::Unavailable("the store is closed".to_owned());
        let place = self.connections.acquire().await.map_err(closed)?;
        self.turn().await;
        Ok((begin(&self.pool, tenant).await?, place))
    }

    async fn turn(&self) {
        let latest = Instant::now() + TURN;
        while let Some(open) = opens(Instant::now(), latest, self.last_call()) {
            tokio::time::sleep_until(open).await;
        }
    }

    fn last_call(&self) -> Option<Instant> {
        if self.calls.load(Ordering::Relaxed) > 0 {
            return Some(Instant::now());
        }
        match self.last_call.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(self.began + Duration::from_micros(micros)),
        }
    }
}

/// When the background may look again whether it is its turn; `None`: it is now.
fn opens(now: Instant, latest: Instant, last_call: Option<Instant>) -> Option<Instant> {
    let open = latest.min(last_call? + CALLERS_PAUSE);
    (open > now).then_some(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_background_waits_for_a_pause_of_the_callers_and_no_longer_than_its_turn() {
        let now = Instant::now() + Duration::from_secs(60);
        let ms = Duration::from_millis;
        let latest = now + TURN;
        assert_eq!(opens(now, latest, None), None, "nobody ever called");
        assert_eq!(opens(now, latest, Some(now - CALLERS_PAUSE)), None, "nobody calls now");
        assert_eq!(opens(now, latest, Some(now - ms(1))), Some(now + CALLERS_PAUSE - ms(1)));
        let almost = latest - ms(1);
        assert_eq!(opens(almost, latest, Some(almost)), Some(latest), "callers come and come");
        assert_eq!(opens(latest, latest, Some(latest)), None, "it has its turn all the same");
    }
}
