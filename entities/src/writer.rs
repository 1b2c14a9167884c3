//! SQLite's one writer: takes what is waiting, runs each unit in its own savepoint and what is written of runs together,
//! commits once, then answers all. It has a thread of its own, so that no other task's work comes before a commit. What somebody
//! waits for comes before what workers do by themselves: most of its commits take none of the latter, and the others only
//! so much as keeps the next caller's wait short.
//!
//! Invariant: nobody is answered with success before the commit that holds what they asked for; a unit that fails, panics or
//! takes too long leaves its neighbours as they are, and so does a run that cannot be written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode, TransactionOptions,
    TransactionTrait,
};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::error::StoreError;
use crate::scripted::{self, Scripted};

/// Units that one commit may hold. Bounds how long the first of them waits for the last.
const UNITS_A_COMMIT: usize = 256;
/// Units that may wait in each lane. More than this and writers wait at the door.
const QUEUE: usize = 4096;
/// How long the writer works in the background within one commit, at least. More where the disk is slower than this, so
/// that commits stay worth their cost.
const BACKGROUND_SHARE: Duration = Duration::from_micros(500);
/// Where somebody asked this short while ago, the next one is likely to ask now: a commit of the background begun meanwhile
/// would make them wait for its end.
const CALLERS_PAUSE: Duration = Duration::from_millis(2);
/// While callers come, the background's turn comes this many of its shares after its last one: they have most of the
/// writer's time, and work of the background still goes on.
const TURN_AFTER_SHARES: u32 = 16;
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
    Run(Scripted),
}

impl Job {
    fn into_run(self) -> Option<Scripted> {
        match self {
            Self::Run(run) => Some(run),
            Self::Unit(_) => None,
        }
    }
}

/// Whether somebody waits for what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    Foreground,
    Background,
}

/// How much the writer has done since the start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) units: AtomicU64,
    pub(crate) commits: AtomicU64,
}

#[derive(Debug, Clone)]
pub(crate) struct Writer {
    foreground: mpsc::Sender<Job>,
    background: mpsc::Sender<Job>,
    pub(crate) counters: Arc<Counters>,
}

impl Writer {
    pub(crate) fn start(connection: DatabaseConnection) -> std::io::Result<Self> {
        let (foreground, waited_for) = mpsc::channel(QUEUE);
        let (background, behind) = mpsc::channel(QUEUE);
        let counters = Arc::new(Counters::default());
        let desk = Desk { connection, counters: Arc::clone(&counters) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        std::thread::Builder::new()
            .name("weir-writer".to_owned())
            .spawn(move || runtime.block_on(work(desk, waited_for, behind)))?;
        Ok(Self { foreground, background, counters })
    }

    pub(crate) fn waiting(&self) -> usize {
        [&self.foreground, &self.background].map(|lane| lane.max_capacity() - lane.capacity()).iter().sum()
    }

    /// Hands a job over; waits while its lane is full.
    pub(crate) async fn submit(&self, lane: Lane, job: Job) -> Result<(), StoreError> {
        let jobs = match lane {
            Lane::Foreground => &self.foreground,
            Lane::Background => &self.background,
        };
        jobs.send(job).await.map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }
}

/// What the writer works with.
struct Desk {
    connection: DatabaseConnection,
    counters: Arc<Counters>,
}

/// What one commit takes.
struct Batch<'l> {
    jobs: Vec<Job>,
    background: &'l mut mpsc::Receiver<Job>,
    /// For how long more is taken from the background, once the others are done.
    share: Duration,
    turn: Turn,
}

/// The background's part in one commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Callers wait, and the background had its part a moment ago.
    Passed,
    Open,
    /// Something was taken, and more is until then.
    Until(Instant),
}

impl Batch<'_> {
    /// The next job of the background, while there is time for it; one in any case, so that it always goes on.
    fn next(&mut self) -> Option<Job> {
        let now = Instant::now();
        match self.turn {
            Turn::Passed => return None,
            Turn::Open => self.turn = Turn::Until(now + self.share),
            Turn::Until(until) if now >= until => return None,
            Turn::Until(_) => {}
        }
        self.background.try_recv().ok()
    }
}

async fn work(desk: Desk, mut foreground: mpsc::Receiver<Job>, mut background: mpsc::Receiver<Job>) {
    let mut disk = Duration::ZERO;
    let (mut last_call, mut last_turn): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let share = BACKGROUND_SHARE.max(disk);
        let quiet = last_call.map(|call| call + CALLERS_PAUSE);
        let due = last_turn.map(|turn| turn + share * TURN_AFTER_SHARES);
        // The sooner of the two. Without either there is nothing to wait for.
        let open = quiet.and_then(|quiet| Some(quiet.min(due?)));
        let mut turn = Turn::Open;
        let mut called = false;
        let mut jobs = Vec::with_capacity(UNITS_A_COMMIT);
        tokio::select! {
            biased;
            taken = foreground.recv_many(&mut jobs, UNITS_A_COMMIT) => {
                // Both lanes end together, with the store.
                if taken == 0 { break }
                let now = Instant::now();
                last_call = Some(now);
                called = true;
                if due.is_some_and(|due| now < due) {
                    turn = Turn::Passed;
                }
            }
            Some(job) = opened(open, &mut background) => jobs.push(job),
        }
        // Callers' runs wait for nothing of the background.
        if called && jobs.iter().all(|job| matches!(job, Job::Run(_))) {
            keep_runs(&desk, jobs.drain(..).filter_map(Job::into_run).collect()).await;
        }
        let mut batch = Batch { jobs, background: &mut background, share, turn };
        if batch.jobs.is_empty() {
            match batch.next() {
                Some(job) => batch.jobs.push(job),
                None => continue,
            }
        }
        let mut answers = Vec::with_capacity(batch.jobs.len());
        let result = commit(&desk, &mut batch, &mut answers).await;
        desk.counters.units.fetch_add(answers.len() as u64, Ordering::Relaxed);
        match &result {
            Ok(took) => {
                disk = *took;
                desk.counters.commits.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => tracing::error!(%error, units = answers.len(), "a group of units was not committed"),
        }
        if let Turn::Until(_) = batch.turn {
            last_turn = Some(Instant::now());
        }
        // Jobs that were never run are dropped with the batch; their callers see a closed channel.
        drop(batch);
        for answer in answers {
            answer(result.as_ref().map(|_| ()).map_err(|error| StoreError::Unavailable(error.to_string())));
        }
    }
    if let Err(error) = desk.connection.close().await {
        tracing::warn!(%error, "the writer's connection did not close cleanly");
    }
}

/// The background's next job, once it may have one.
async fn opened(open: Option<Instant>, background: &mut mpsc::Receiver<Job>) -> Option<Job> {
    if let Some(open) = open {
        tokio::time::sleep_until(open).await;
    }
    background.recv().await
}

/// A transaction of their own.
async fn keep_runs(desk: &Desk, mut runs: Vec<Scripted>) {
    desk.counters.units.fetch_add(runs.len() as u64, Ordering::Relaxed);
    match write_runs(desk, &mut runs).await {
        Ok(()) => runs.into_iter().for_each(|run| run.answer(Ok(()))),
        // Not for the sake of any of them: another try would wait for the same.
        Err(StoreError::Unavailable(why)) => {
            runs.into_iter().for_each(|run| run.answer(Err(StoreError::Unavailable(why.clone()))));
        }
        Err(_) => {
            let mut answers = Vec::with_capacity(runs.len());
            let kept = write_each(desk, runs, &mut answers).await;
            for answer in answers {
                answer(kept.as_ref().map(|_| ()).map_err(|error| StoreError::Unavailable(error.to_string())));
            }
        }
    }
}

async fn write_runs(desk: &Desk, runs: &mut [Scripted]) -> Result<(), StoreError> {
    if let Err(error) = scripted::together(&desk.connection, "BEGIN IMMEDIATE;", runs, "COMMIT").await {
        // Fails where the database gave the transaction up by itself.
        let _ = desk.connection.execute_unprepared("ROLLBACK").await;
        return Err(error.into());
    }
    desk.counters.commits.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// The same in one commit, where one of them cannot be kept.
async fn write_each(desk: &Desk, runs: Vec<Scripted>, answers: &mut Vec<Answer>) -> Result<(), DbErr> {
    let transaction = desk.connection.begin_with_options(immediate()).await?;
    keep_each(&transaction, runs, answers).await?;
    transaction.commit().await?;
    desk.counters.commits.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

fn immediate() -> TransactionOptions {
    TransactionOptions { sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate), ..Default::default() }
}

/// Keeps what waits, and says how long the disk took for it.
async fn commit(desk: &Desk, batch: &mut Batch<'_>, answers: &mut Vec<Answer>) -> Result<Duration, DbErr> {
    let transaction = Arc::new(desk.connection.begin_with_options(immediate()).await?);
    let mut jobs = std::mem::take(&mut batch.jobs).into_iter();
    let mut runs = Vec::new();
    let (mut first, mut open) = (true, false);
    let mut next = jobs.next().or_else(|| batch.next());
    while let Some(job) = next {
        next = jobs.next().or_else(|| batch.next());
        match job {
            Job::Run(run) => {
                runs.push(run);
                if runs.len() == scripted::RUNS_A_TRIP {
                    keep_among(&transaction, std::mem::take(&mut runs), answers).await?;
                }
            }
            Job::Unit(unit) if first && next.is_none() => return alone(unit, transaction, answers).await,
            Job::Unit(unit) => {
                if !open {
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
                // Fails when the database gave the whole transaction up (disk full): then nobody may be told "kept". One
                // call for both, because each is a trip to the database's thread.
                open = matches!(next, Some(Job::Unit(_)));
                let behind = if open { "RELEASE unit; SAVEPOINT unit" } else { "RELEASE unit" };
                transaction.execute_unprepared(behind).await?;
            }
        }
        first = false;
    }
    if !runs.is_empty() {
        keep_among(&transaction, runs, answers).await?;
    }
    commit_now(transaction).await
}

/// Runs among units: all of them in one savepoint, or each in its own.
async fn keep_among(
    transaction: &DatabaseTransaction,
    mut runs: Vec<Scripted>,
    answers: &mut Vec<Answer>,
) -> Result<(), DbErr> {
    if scripted::together(transaction, "SAVEPOINT runs;", &mut runs, "RELEASE runs").await.is_ok() {
        answers.extend(runs.into_iter().map(|run| -> Answer { Box::new(move |kept| run.answer(kept)) }));
        return Ok(());
    }
    transaction.execute_unprepared("ROLLBACK TO runs; RELEASE runs").await?;
    keep_each(transaction, runs, answers).await
}

/// Each is kept or refused for its own sake.
async fn keep_each(
    transaction: &DatabaseTransaction,
    runs: Vec<Scripted>,
    answers: &mut Vec<Answer>,
) -> Result<(), DbErr> {
    for run in runs {
        transaction.execute_unprepared("SAVEPOINT run").await?;
        match run.alone(transaction).await {
            Ok(()) => {
                answers.push(Box::new(move |kept| run.answer(kept)));
                transaction.execute_unprepared("RELEASE run").await?;
            }
            Err(error) => {
                transaction.execute_unprepared("ROLLBACK TO run; RELEASE run").await?;
                run.answer(Err(error));
            }
        }
    }
    Ok(())
}

async fn commit_now(transaction: Arc<DatabaseTransaction>) -> Result<Duration, DbErr> {
    let began = Instant::now();
    unshare(transaction).await?.commit().await?;
    Ok(began.elapsed())
}

/// The only unit of its commit needs no savepoint: what it did goes with the transaction.
async fn alone(
    unit: UnitJob,
    transaction: Arc<DatabaseTransaction>,
    answers: &mut Vec<Answer>,
) -> Result<Duration, DbErr> {
    let outcome = unit(Arc::clone(&transaction)).await;
    if outcome.keep {
        answers.push(outcome.answer);
        return commit_now(transaction).await;
    }
    let result = unshare(transaction).await?.rollback().await;
    (outcome.answer)(Ok(()));
    result.map(|()| Duration::ZERO)
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
