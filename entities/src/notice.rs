//! Announcements between processes on PostgreSQL: what a unit announces is heard after it is kept, and not otherwise. They
//! are sent by themselves and many at once: a transaction that notifies holds a lock of the whole database while it commits,
//! so that announcements within the units would have made one unit wait for the other's disk.
//!
//! Invariant: an announcement is a hint that something changed, never the change; whoever misses one (as all do when a process
//! dies between a commit and its announcement) finds the change in the rows.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sea_orm::sqlx::postgres::PgListener;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, DbErr, Statement};
use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::scope::{Linked, Unit};

const CHANNEL: &str = "weir";
/// Different announcements that may wait. More than this are not made, as if they were lost.
const MOST_WAITING: usize = 10_000;
/// Announcements that one statement makes.
const AT_ONCE: usize = 500;
/// The next announcements are made no sooner than this after the last ones: a commit each would be much for a hint.
const PAUSE: Duration = Duration::from_millis(5);
/// After this long it is tried again, when the database did not take them.
const RETRY: Duration = Duration::from_secs(1);

impl Unit {
    /// Announces a change to every process on this store, once the unit is kept. At most 8,000 bytes.
    pub fn announce(&self, notice: &str) {
        self.connection().announce(notice);
    }
}

/// What was kept and is not announced yet.
type Waiting = Arc<Mutex<HashSet<String>>>;

/// Where announcements of units that were kept go; nothing waits for them.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    waiting: Waiting,
    wake: mpsc::Sender<()>,
}

impl Announcer {
    /// Announces over one connection, until the last clone is gone and nothing is left to announce.
    pub(crate) fn start(connection: DatabaseConnection) -> Self {
        let waiting = Waiting::default();
        let (wake, woken) = mpsc::channel(1);
        tokio::spawn(work(connection, Arc::clone(&waiting), woken));
        Self { waiting, wake }
    }

    /// The same announcement twice is one.
    pub(crate) fn announce(&self, notices: impl IntoIterator<Item = String>) {
        let mut notices = notices.into_iter().peekable();
        if notices.peek().is_none() {
            return;
        }
        {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let room = MOST_WAITING.saturating_sub(waiting.len());
            waiting.extend(notices.take(room));
        }
        // Fails where it was woken already, and has not looked yet.
        let _ = self.wake.try_send(());
    }
}

async fn work(connection: DatabaseConnection, waiting: Waiting, mut woken: mpsc::Receiver<()>) {
    while woken.recv().await.is_some() {
        let taken = std::mem::take(&mut *waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut taken: Vec<String> = taken.into_iter().collect();
        while !taken.is_empty() {
            let some = taken.split_off(taken.len().saturating_sub(AT_ONCE));
            if let Err(error) = send(&connection, some.clone()).await {
                tracing::warn!(%error, "changes could not be announced to other processes; trying again");
                tokio::time::sleep(RETRY).await;
                taken.extend(some);
                if woken.is_closed() {
                    return;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn send(connection: &DatabaseConnection, notices: Vec<String>) -> Result<(), DbErr> {
    let sql = "SELECT count(pg_notify($1, notice)) FROM unnest($2::text[]) AS notice";
    let values = [CHANNEL.into(), notices.into()];
    connection.query_one_raw(Statement::from_sql_and_values(DbBackend::Postgres, sql, values)).await?;
    Ok(())
}

/// Hears announcements. Reconnects by itself; what was announced meanwhile is lost, which it says with `None`.
#[derive(Debug)]
pub struct Listener {
    listener: PgListener,
}

impl Listener {
    pub(crate) async fn connect(url: &str) -> Result<Self, StoreError> {
        let unavailable = |error: sea_orm::sqlx::Error| StoreError::Unavailable(error.to_string());
        let mut listener = PgListener::connect(url).await.map_err(unavailable)?;
        listener.listen(CHANNEL).await.map_err(unavailable)?;
        Ok(Self { listener })
    }

    /// The next announcement; `None` when some may have been missed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is gone and does not come back.
    pub async fn next(&mut self) -> Result<Option<String>, StoreError> {
        let notice = self.listener.try_recv().await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(notice.map(|notice| notice.payload().to_owned()))
    }
}
