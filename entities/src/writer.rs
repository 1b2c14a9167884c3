//! SQLite's one writer: takes what is waiting, runs each unit in its own savepoint, commits once, then answers all.
//!
//! Invariant: no unit is answered with success before the commit that holds it; a unit that fails, panics or takes too
//! long leaves its neighbours as they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::sync::mpsc;

use crate::error::StoreError;

/// Units that one commit may hold. Bounds how long the first of them waits for the last.
const UNITS_A_COMMIT: usize = 256;
/// Units that may wait. More than this and writers wait at the door.
const QUEUE: usize = 4096;
/// A unit only talks to the store; one that takes longer than this is stuck.
pub(crate) const UNIT_LIMIT: Duration = Duration::from_secs(10);

/// Tells a unit's caller how it ended; called once, after the commit or the roll-back.
pub(crate) type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// How a unit ended before the commit.
pub(crate) struct Outcome {
    pub(crate) keep: bool,
    pub(crate) answer: Answer,
}

/// A unit on its way to the writer.
pub(crate) type Job = Box<dyn FnOnce(Arc<DatabaseTransaction>) -> BoxFuture<'static, Outcome> + Send>;

/// How much the writer has done since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) units: AtomicU64,
    pub(crate) commits: AtomicU64,
}

#[derive(Debug, Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Job>,
    pub(crate) counters: Arc<Counters>,
}

impl Writer {
    pub(crate) fn start(connection: DatabaseConnection) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        tokio::spawn(work(connection, waiting, Arc::clone(&counters)));
        Self { jobs, counters }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.jobs.max_capacity() - self.jobs.capacity()
    }

    /// Hands a unit over; waits while the queue is full.
    pub(crate) async fn submit(&self, job: Job) -> Result<(), StoreError> {
        self.jobs.send(job).await.map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }
}

async fn work(connection: DatabaseConnection, mut waiting: mpsc::Receiver<Job>, counters: Arc<Counters>) {
    let mut batch = Vec::with_capacity(UNITS_A_COMMIT);
    while waiting.recv_many(&mut batch, UNITS_A_COMMIT).await > 0 {
        counters.units.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(batch.len());
        let result = commit(&connection, &mut batch, &mut answers).await;
        if result.is_ok() {
            counters.commits.fetch_add(1, Ordering::Relaxed);
        } else if let Err(error) = &result {
            tracing::error!(%error, units = answers.len(), "a group of units was not committed");
        }
        // Jobs that were never run are dropped with the batch; their callers see a closed channel.
        batch.clear();
        for answer in answers {
            answer(result.as_ref().copied().map_err(|error| StoreError::Unavailable(error.to_string())));
        }
    }
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "the writer's connection did not close cleanly");
    }
}

async fn commit(connection: &DatabaseConnection, batch: &mut Vec<Job>, answers: &mut Vec<Answer>) -> Result<(), DbErr> {
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    let transaction = Arc::new(connection.begin_with_options(options).await?);
    let alone = batch.len() == 1;
    for job in batch.drain(..) {
        if !alone {
            transaction.execute_unprepared("SAVEPOINT unit").await?;
        }
        let outcome = job(Arc::clone(&transaction)).await;
        if alone && !outcome.keep {
            // The only unit of its commit needs no savepoint: what it did goes with the transaction.
            let result = unshare(transaction).await?.rollback().await;
            (outcome.answer)(Ok(()));
            return result;
        }
        if outcome.keep {
            answers.push(outcome.answer);
        } else {
            // The answer of a failed unit holds its own error, and is given at once.
            (outcome.answer)(Ok(()));
            transaction.execute_unprepared("ROLLBACK TO unit").await?;
        }
        if !alone {
            // Fails when the database gave the whole transaction up (disk full): then nobody may be told "kept".
            transaction.execute_unprepared("RELEASE unit").await?;
        }
    }
    unshare(transaction).await?.commit().await
}

/// Takes the transaction back. Units hold it weakly, so only a statement in flight of an abandoned one can delay this.
pub(crate) async fn unshare(mut transaction: Arc<DatabaseTransaction>) -> Result<DatabaseTransaction, DbErr> {
    let limit = tokio::time::Instant::now() + UNIT_LIMIT;
    loop {
        match Arc::try_unwrap(transaction) {
            Ok(owned) => return Ok(owned),
            Err(shared) if tokio::time::Instant::now() < limit => {
                transaction = shared;
                tokio::task::yield_now().await;
            }
            Err(_) => return Err(DbErr::Custom("a unit of work kept its transaction".to_owned())),
        }
    }
}
