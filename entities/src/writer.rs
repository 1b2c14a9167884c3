//! SQLite's one writer: takes what is waiting, runs each unit in its own savepoint, inserts the whole runs together, commits
//! once, then answers all.
//!
//! Invariant: nobody is answered with success before the commit that holds what they asked for; a unit that fails, panics or
//! takes too long leaves its neighbours as they are, and so does a run that cannot be kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::TenantId;
use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::link::{Connection, Link};
use crate::whole_run::{self, Waiting, WholeRun};

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
pub(crate) type UnitJob = Box<dyn FnOnce(Arc<DatabaseTransaction>) -> BoxFuture<'static, Outcome> + Send>;

/// What the writer does.
pub(crate) enum Job {
    Unit(UnitJob),
    Run(Waiting),
}

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
    pub(crate) fn start(connection: DatabaseConnection, tap: bool) -> Self {
        let (jobs, waiting) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        tokio::spawn(work(Desk { connection, tap, counters: Arc::clone(&counters) }, waiting));
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

/// What the writer works with.
struct Desk {
    connection: DatabaseConnection,
    tap: bool,
    counters: Arc<Counters>,
}

async fn work(desk: Desk, mut waiting: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(UNITS_A_COMMIT);
    while waiting.recv_many(&mut batch, UNITS_A_COMMIT).await > 0 {
        desk.counters.units.fetch_add(batch.len() as u64, Ordering::Relaxed);
        let mut answers = Vec::with_capacity(batch.len());
        let result = commit(&desk, &mut batch, &mut answers).await;
        if result.is_ok() {
            desk.counters.commits.fetch_add(1, Ordering::Relaxed);
        } else if let Err(error) = &result {
            tracing::error!(%error, units = answers.len(), "a group of units was not committed");
        }
        // Jobs that were never run are dropped with the batch; their callers see a closed channel.
        batch.clear();
        for answer in answers {
            answer(result.as_ref().copied().map_err(|error| StoreError::Unavailable(error.to_string())));
        }
    }
    if let Err(error) = desk.connection.close().await {
        tracing::warn!(%error, "the writer's connection did not close cleanly");
    }
}

async fn commit(desk: &Desk, batch: &mut Vec<Job>, answers: &mut Vec<Answer>) -> Result<(), DbErr> {
    let options =
        TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() };
    let transaction = Arc::new(desk.connection.begin_with_options(options).await?);
    let (mut units, mut runs) = (Vec::new(), Vec::new());
    for job in batch.drain(..) {
        match job {
            Job::Unit(unit) => units.push(unit),
            Job::Run(run) => runs.push(run),
        }
    }
    if let (1, true) = (units.len(), runs.is_empty())
        && let Some(unit) = units.pop()
    {
        return alone(unit, transaction, answers).await;
    }
    let last = units.len();
    for (index, unit) in units.into_iter().enumerate() {
        if index == 0 {
            transaction.execute_unprepared("SAVEPOINT unit").await?;
        }
        let outcome = unit(Arc::clone(&transaction)).await;
        if outcome.keep {
            answers.push(outcome.answer);
        } else {
            // The answer of a failed unit holds its own error, and is given at once.
            (outcome.answer)(Ok(()));
            transaction.execute_unprepared("ROLLBACK TO unit").await?;
        }
        // Fails when the database gave the whole transaction up (disk full): then nobody may be told "kept". One call for
        // both, because each is a trip to the database's thread.
        let next = if index + 1 == last { "RELEASE unit" } else { "RELEASE unit; SAVEPOINT unit" };
        transaction.execute_unprepared(next).await?;
    }
    if !runs.is_empty() {
        keep_runs(desk, &transaction, runs, answers).await?;
    }
    unshare(transaction).await?.commit().await
}

/// The only unit of its commit needs no savepoint: what it did goes with the transaction.
async fn alone(unit: UnitJob, transaction: Arc<DatabaseTransaction>, answers: &mut Vec<Answer>) -> Result<(), DbErr> {
    let outcome = unit(Arc::clone(&transaction)).await;
    if outcome.keep {
        answers.push(outcome.answer);
        return unshare(transaction).await?.commit().await;
    }
    let result = unshare(transaction).await?.rollback().await;
    (outcome.answer)(Ok(()));
    result
}

/// All of them together; one by one if that fails, so that each is kept or refused for its own sake.
async fn keep_runs(
    desk: &Desk,
    transaction: &Arc<DatabaseTransaction>,
    runs: Vec<Waiting>,
    answers: &mut Vec<Answer>,
) -> Result<(), DbErr> {
    transaction.execute_unprepared("SAVEPOINT runs").await?;
    let all: Vec<&Waiting> = runs.iter().collect();
    let kept = insert_runs(desk, transaction, &all).await;
    if kept.is_err() {
        transaction.execute_unprepared("ROLLBACK TO runs").await?;
    }
    let together = kept.is_ok();
    for waiting in runs {
        let result = if together {
            Ok(())
        } else {
            transaction.execute_unprepared("SAVEPOINT one").await?;
            let result = insert_runs(desk, transaction, &[&waiting]).await;
            if result.is_err() {
                transaction.execute_unprepared("ROLLBACK TO one").await?;
            }
            transaction.execute_unprepared("RELEASE one").await?;
            result
        };
        match result {
            Ok(()) => answers.push(Box::new(move |kept| {
                // Whoever asked may be gone; the run stands all the same.
                let _ = waiting.answer.send(kept);
            })),
            Err(error) => {
                let _ = waiting.answer.send(Err(error));
            }
        }
    }
    transaction.execute_unprepared("RELEASE runs").await?;
    Ok(())
}

async fn insert_runs(desk: &Desk, transaction: &Arc<DatabaseTransaction>, runs: &[&Waiting]) -> Result<(), StoreError> {
    let mut tenants: Vec<TenantId> = runs.iter().map(|waiting| waiting.tenant).collect();
    tenants.dedup();
    // The tap, where it is on, wants each statement to carry the one tenant that it is for.
    if desk.tap && tenants.len() > 1 {
        for waiting in runs {
            Box::pin(insert_runs(desk, transaction, &[waiting])).await?;
        }
        return Ok(());
    }
    let bound = tenants.first().copied();
    let link = Link::Write(Arc::downgrade(transaction));
    let connection = Connection::new(DbBackend::Sqlite, link, bound, desk.tap);
    let rows: Vec<&WholeRun> = runs.iter().map(|waiting| &*waiting.run).collect();
    whole_run::insert(&connection, &rows).await
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
