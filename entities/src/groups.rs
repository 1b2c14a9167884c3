//! Whole runs on PostgreSQL: a few committers take what is waiting and keep it in one transaction, which is one trip to the
//! database: between processes on one machine a trip costs more than what is done at its end.
//!
//! Invariant: no run is answered with success before the commit that holds it; within the transaction each tenant's rows are
//! written under that tenant's setting, so that row level security looks at every one of them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sqlx::postgres::{PgConnectOptions, PgConnection};
use sea_orm::sqlx::{self, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use sea_orm::{DbErr, RuntimeErr};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

use crate::error::StoreError;
use crate::notice::Announcer;
use crate::whole_run::{self, Waiting, WholeRun};

/// Committers, each with a connection of its own: one commits while others gather. Not of a pool, which makes a trip before it
/// gives a connection and another when it has it back.
pub(crate) const COMMITTERS: u32 = 3;
/// Runs that one commit may hold.
const RUNS_A_COMMIT: usize = 64;
/// Runs that may wait. More than this and their callers wait at the door.
const QUEUE: usize = 4096;
/// A connection that was idle for longer is tried before it is used: the server may have gone meanwhile.
const IDLE: Duration = Duration::from_secs(1);
/// How long a committer looks for a server that is not there.
const SEEKS: Duration = Duration::from_secs(10);
const SEEKS_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(crate) struct Groups {
    runs: mpsc::Sender<Waiting>,
}

impl Groups {
    /// `say` is what every connection of the store says first.
    pub(crate) async fn start(url: &str, say: &str, announcer: &Announcer) -> Result<Self, StoreError> {
        let (runs, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        let options: PgConnectOptions = url.parse().map_err(refused)?;
        let say: Arc<str> = format!("{say}; SET standard_conforming_strings = on; {}", prepared()).into();
        for _ in 0..COMMITTERS {
            let options = options.clone().disable_statement_logging();
            let mut committer = Committer { options, say: Arc::clone(&say), connection: None, used: Instant::now() };
            committer.connect().await.map_err(refused)?;
            tokio::spawn(work(committer, announcer.clone(), Arc::clone(&waiting)));
        }
        Ok(Self { runs })
    }

    pub(crate) async fn submit(&self, run: Waiting) -> Result<(), StoreError> {
        self.runs.send(run).await.map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }
}

/// How the runs of one tenant are written.
fn prepared() -> String {
    let (parameters, inserts) = whole_run::of_records();
    format!("PREPARE keep_runs ({parameters}) AS {inserts}")
}

async fn work(mut committer: Committer, announcer: Announcer, waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut batch = Vec::new();
        let taken = waiting.lock().await.recv_many(&mut batch, RUNS_A_COMMIT).await;
        if taken == 0 {
            return;
        }
        // One tenant's runs beside each other, so that the setting changes as seldom as possible.
        batch.sort_by_key(|waiting| waiting.tenant);
        let together = committer.keep(&batch.iter().collect::<Vec<_>>()).await;
        for waiting in batch {
            let result = match &together {
                Ok(()) => Ok(()),
                // Nobody knows what came of the commit, and another try would not find out.
                Err(StoreError::Unavailable(why)) => Err(StoreError::Unavailable(why.clone())),
                // It may be for another's sake that all were refused.
                Err(_) => committer.keep(&[&waiting]).await,
            };
            if result.is_ok() {
                announcer.announce([waiting.run.notice]);
            }
            // Whoever asked may be gone; the run stands all the same.
            let _ = waiting.answer.send(result);
        }
    }
}

struct Committer {
    options: PgConnectOptions,
    /// What a connection says first.
    say: Arc<str>,
    connection: Option<PgConnection>,
    /// When the connection last answered.
    used: Instant,
}

impl Committer {
    async fn keep(&mut self, batch: &[&Waiting]) -> Result<(), StoreError> {
        let script = script(batch)?;
        let mut connection = self.connection().await?;
        if let Err(error) = connection.execute(AssertSqlSafe(script)).await {
            // The transaction that the script began is still there, if the connection is.
            if connection.execute("ROLLBACK").await.is_ok() {
                self.connection = Some(connection);
            }
            return Err(refused(error));
        }
        (self.connection, self.used) = (Some(connection), Instant::now());
        Ok(())
    }

    /// Taken out, so that one whose use is given up in the middle is not used again.
    async fn connection(&mut self) -> Result<PgConnection, StoreError> {
        if let Some(mut connection) = self.connection.take()
            && (self.used.elapsed() < IDLE || connection.ping().await.is_ok())
        {
            return Ok(connection);
        }
        let until = Instant::now() + SEEKS;
        loop {
            match self.connect().await {
                Ok(()) => {}
                Err(error) if Instant::now() > until => return Err(StoreError::Unavailable(error.to_string())),
                Err(_) => tokio::time::sleep(SEEKS_EVERY).await,
            }
            if let Some(connection) = self.connection.take() {
                return Ok(connection);
            }
        }
    }

    async fn connect(&mut self) -> Result<(), sqlx::Error> {
        let mut connection = self.options.connect().await?;
        connection.execute(AssertSqlSafe(self.say.to_string())).await?;
        (self.connection, self.used) = (Some(connection), Instant::now());
        Ok(())
    }
}

fn refused(error: sqlx::Error) -> StoreError {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error))).into()
}

/// One transaction with all of these. Once one of its statements fails, those behind it are not executed.
fn script(batch: &[&Waiting]) -> Result<String, DbErr> {
    let mut script = "BEGIN".to_owned();
    for group in batch.chunk_by(|one, other| one.tenant == other.tenant) {
        let Some(Waiting { tenant, .. }) = group.first() else { continue };
        let runs: Vec<&WholeRun> = group.iter().map(|waiting| &*waiting.run).collect();
        let records: Vec<String> = whole_run::records(&runs)?.iter().map(|records| literal(records)).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            script,
            "; SELECT set_config('weir.tenant', '{}', true); EXECUTE keep_runs ({})",
            tenant.uuid(),
            records.join(", ")
        );
    }
    script.push_str("; COMMIT");
    Ok(script)
}

/// The text as SQL says it. A committer's connection has `standard_conforming_strings`, so that nothing but its own quote
/// ends it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
