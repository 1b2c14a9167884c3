//! Whole runs on PostgreSQL: a few committers take what is waiting and keep it in one transaction, which is one trip to the
//! database: between processes on one machine a trip costs more than what is done at its end.
//!
//! Invariant: no run is answered with success before the commit that holds it; within the transaction each tenant's rows are
//! written under that tenant's setting, so that row level security looks at every one of them.

use std::fmt::Write as _;
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr};
use tokio::sync::{Mutex, mpsc};

use crate::error::StoreError;
use crate::notice::Announcer;
use crate::whole_run::{self, Waiting, WholeRun};

/// Committers, each with a connection of its own: one commits while others gather.
pub(crate) const COMMITTERS: u32 = 3;
/// Runs that one commit may hold.
const RUNS_A_COMMIT: usize = 64;
/// Runs that may wait. More than this and their callers wait at the door.
const QUEUE: usize = 4096;

#[derive(Debug, Clone)]
pub(crate) struct Groups {
    runs: mpsc::Sender<Waiting>,
}

impl Groups {
    /// Each of the connections has made [`prepared`] ready and is nobody else's.
    pub(crate) fn start(connections: Vec<DatabaseConnection>, announcer: &Announcer) -> Self {
        let (runs, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        for connection in connections {
            tokio::spawn(work(connection, announcer.clone(), Arc::clone(&waiting)));
        }
        Self { runs }
    }

    pub(crate) async fn submit(&self, run: Waiting) -> Result<(), StoreError> {
        self.runs.send(run).await.map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }
}

/// What a committer's connection says once: how the runs of one tenant are written.
pub(crate) fn prepared() -> String {
    let (parameters, inserts) = whole_run::of_records();
    format!("PREPARE keep_runs ({parameters}) AS {inserts}")
}

async fn work(connection: DatabaseConnection, announcer: Announcer, waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut batch = Vec::new();
        let taken = waiting.lock().await.recv_many(&mut batch, RUNS_A_COMMIT).await;
        if taken == 0 {
            return;
        }
        // One tenant's runs beside each other, so that the setting changes as seldom as possible.
        batch.sort_by_key(|waiting| waiting.tenant);
        let together = keep(&connection, &batch.iter().collect::<Vec<_>>()).await;
        for waiting in batch {
            let result = match &together {
                Ok(()) => Ok(()),
                // Nobody knows what came of the commit, and another try would not find out.
                Err(StoreError::Unavailable(why)) => Err(StoreError::Unavailable(why.clone())),
                // It may be for another's sake that all were refused.
                Err(_) => keep(&connection, &[&waiting]).await,
            };
            if result.is_ok() {
                announcer.announce([waiting.run.notice]);
            }
            // Whoever asked may be gone; the run stands all the same.
            let _ = waiting.answer.send(result);
        }
    }
}

async fn keep(connection: &DatabaseConnection, batch: &[&Waiting]) -> Result<(), StoreError> {
    if let Err(error) = connection.execute_unprepared(&script(batch)?).await {
        // The transaction that the script began is still there, if the connection is.
        let _ = connection.execute_unprepared("ROLLBACK").await;
        return Err(error.into());
    }
    Ok(())
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
