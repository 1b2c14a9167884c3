//! Whole runs on PostgreSQL: a few committers take what is waiting and keep it in one transaction.
//!
//! Invariant: no run is answered with success before the commit that holds it; within the transaction each tenant's rows are
//! written under that tenant's setting, so that row level security looks at every one of them.

use domain::TenantId;
use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, TransactionTrait};
use std::sync::Arc;
use tokio::sync::{Mutex, mpsc};

use crate::error::StoreError;
use crate::link::{Connection, Link};
use crate::notice::Announcer;
use crate::store::set_tenant;
use crate::whole_run::{self, Waiting, WholeRun};
use crate::writer::unshare;

/// Committers: one commits while others gather.
const COMMITTERS: usize = 3;
/// Runs that one commit may hold.
const RUNS_A_COMMIT: usize = 64;
/// Runs that may wait. More than this and their callers wait at the door.
const QUEUE: usize = 4096;

#[derive(Debug, Clone)]
pub(crate) struct Groups {
    runs: mpsc::Sender<Waiting>,
}

impl Groups {
    pub(crate) fn start(pool: &DatabaseConnection, announcer: &Announcer, tap: bool) -> Self {
        let (runs, waiting) = mpsc::channel(QUEUE);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..COMMITTERS {
            tokio::spawn(work(pool.clone(), announcer.clone(), tap, Arc::clone(&waiting)));
        }
        Self { runs }
    }

    pub(crate) async fn submit(&self, run: Waiting) -> Result<(), StoreError> {
        self.runs.send(run).await.map_err(|_| StoreError::Unavailable("the store is closed".to_owned()))
    }
}

async fn work(pool: DatabaseConnection, announcer: Announcer, tap: bool, waiting: Arc<Mutex<mpsc::Receiver<Waiting>>>) {
    loop {
        let mut batch = Vec::new();
        let taken = waiting.lock().await.recv_many(&mut batch, RUNS_A_COMMIT).await;
        if taken == 0 {
            return;
        }
        // One tenant's runs beside each other, so that the setting changes as seldom as possible.
        batch.sort_by_key(|waiting| waiting.tenant);
        let together = keep(&pool, tap, &batch.iter().collect::<Vec<_>>()).await;
        for waiting in batch {
            let result = match &together {
                Ok(()) => Ok(()),
                // Nobody knows what came of the commit, and another try would not find out.
                Err(StoreError::Unavailable(why)) => Err(StoreError::Unavailable(why.clone())),
                // It may be for another's sake that all were refused.
                Err(_) => keep(&pool, tap, &[&waiting]).await,
            };
            if result.is_ok() {
                announcer.announce([waiting.run.notice]);
            }
            // Whoever asked may be gone; the run stands all the same.
            let _ = waiting.answer.send(result);
        }
    }
}

async fn keep(pool: &DatabaseConnection, tap: bool, batch: &[&Waiting]) -> Result<(), StoreError> {
    let transaction = Arc::new(pool.begin().await?);
    for group in batch.chunk_by(|one, other| one.tenant == other.tenant) {
        let tenant: Option<TenantId> = group.first().map(|waiting| waiting.tenant);
        if let Some(tenant) = tenant {
            transaction.query_one_raw(set_tenant(tenant)).await?;
        }
        let link = Link::Write(Arc::downgrade(&transaction));
        let connection = Connection::new(DbBackend::Postgres, link, tenant, tap);
        let rows: Vec<&WholeRun> = group.iter().map(|waiting| &*waiting.run).collect();
        whole_run::insert(&connection, &rows).await?;
    }
    Ok(unshare(transaction).await?.commit().await?)
}
