//! The store: where reads and units of work begin, on either database.
//!
//! Invariant: nobody outside sees a begin or a commit. A success that a caller saw is durable.

use std::panic::AssertUnwindSafe;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::TenantId;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend, Statement, TransactionTrait,
};
use tokio::sync::oneshot;

use crate::behind::Behind;
use crate::connect::{A_READERS, A_WRITERS, SAID_FIRST, postgres_options, refuse_mighty_role, sqlite_options};
use crate::error::StoreError;
use crate::groups::{self, Groups};
use crate::link::{Connection, Gate, Link, Tap};
use crate::notice::{Announcer, Listener};
use crate::run_update::RunUpdate;
use crate::scope::{Reader, Unit};
use crate::scripted::{Scripted, Work};
use crate::system::{System, SystemUnit};
use crate::whole_run::{Waiting, WholeRun};
use crate::writer::{self, Job, Lane, Outcome, UNIT_LIMIT, Writer};

/// What an acknowledged write survives, on SQLite. PostgreSQL has its own setting, `synchronous_commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Survives the loss of power: every commit waits for the disk (`synchronous=FULL`).
    #[default]
    Full,
    /// Survives the end of the program, not always the loss of power (`synchronous=NORMAL`).
    Normal,
}

impl FromStr for Durability {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "full" => Ok(Self::Full),
            "normal" => Ok(Self::Normal),
            other => Err(format!("`{other}` is not a durability; `full` and `normal` are")),
        }
    }
}

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub durability: Durability,
    /// Connections for reading (SQLite) or in all (PostgreSQL).
    pub connections: u32,
    /// Fail a statement on a tenant table that does not carry the tenant. Costs a scan of each statement's text.
    pub tap: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { durability: Durability::Full, connections: 16, tap: cfg!(debug_assertions) }
    }
}

/// How much has been written since the start. `commits` is below `units` when commits were shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteCounts {
    pub units: u64,
    pub commits: u64,
}

/// Which database is behind a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreKind {
    Sqlite,
    Postgres,
}

/// A store on SQLite or PostgreSQL. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
    lane: Lane,
}

#[derive(Debug)]
struct Inner {
    backend: Backend,
    url: String,
    tap: Option<Arc<Tap>>,
}

#[derive(Debug)]
enum Backend {
    Sqlite {
        readers: DatabaseConnection,
        writer: Writer,
    },
    Postgres {
        pool: DatabaseConnection,
        /// For what nobody waits for.
        behind: Behind,
        groups: Groups,
        announcer: Announcer,
    },
}

impl Store {
    /// Opens a migrated store. `sqlite://path/to/file.db` or `postgres://...`.
    ///
    /// # Errors
    /// [`StoreError::Role`] when the database role could bypass row level security, [`StoreError::Unavailable`] when the
    /// database is out of reach.
    pub async fn connect(url: &str, options: &StoreOptions) -> Result<Self, StoreError> {
        let backend = if url.starts_with("postgres") {
            let few = options.connections.div_ceil(4);
            let most = options.connections.saturating_sub(few + 1 + groups::COMMITTERS).max(1);
            let pool = Database::connect(postgres_options(url, most, "")).await?;
            refuse_mighty_role(&pool).await?;
            let behind = Behind::new(Database::connect(postgres_options(url, few, "")).await?, few);
            // What is announced is a hint: it need not survive the loss of power, and its commit does not wait for the disk.
            let hints = "SET synchronous_commit = off";
            let announcer = Announcer::start(Database::connect(postgres_options(url, 1, hints)).await?);
            let groups = Groups::start(url, SAID_FIRST, &announcer).await?;
            Backend::Postgres { pool, behind, groups, announcer }
        } else {
            let writer = Database::connect(sqlite_options(url, options.durability, 1, A_WRITERS)).await?;
            let readers =
                Database::connect(sqlite_options(url, options.durability, options.connections, A_READERS)).await?;
            let writer = Writer::start(writer).map_err(|error| StoreError::Unavailable(error.to_string()))?;
            Backend::Sqlite { readers, writer }
        };
        let inner = Arc::new(Inner { backend, url: url.to_owned(), tap: options.tap.then(Arc::default) });
        Ok(Self { inner, lane: Lane::Foreground })
    }

    /// The same store for work that nobody waits for: what is written by this one comes behind what others write on SQLite,
    /// and goes over few connections on PostgreSQL.
    #[must_use]
    pub fn in_background(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), lane: Lane::Background }
    }

    /// Whether this one is for work that nobody waits for.
    #[must_use]
    pub fn is_in_background(&self) -> bool {
        matches!(self.lane, Lane::Background)
    }

    /// The texts of statements that were asked, each once, where the store has a tap: for suites that look at their plans.
    #[must_use]
    pub fn statements(&self) -> Vec<String> {
        self.inner.tap.as_ref().map(|tap| tap.heard()).unwrap_or_default()
    }

    #[must_use]
    pub fn kind(&self) -> StoreKind {
        match self.inner.backend {
            Backend::Sqlite { .. } => StoreKind::Sqlite,
            Backend::Postgres { .. } => StoreKind::Postgres,
        }
    }

    /// Starts to hear what units announce, from every process on this store. `None` on SQLite, where one process has the
    /// store and its units' callers tell it themselves.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection could be had.
    pub async fn listen(&self) -> Result<Option<Listener>, StoreError> {
        match self.kind() {
            StoreKind::Sqlite => Ok(None),
            StoreKind::Postgres => Listener::connect(&self.inner.url).await.map(Some),
        }
    }

    /// What the one writer has done; `None` on PostgreSQL, which has many.
    #[must_use]
    pub fn write_counts(&self) -> Option<WriteCounts> {
        match &self.inner.backend {
            Backend::Sqlite { writer, .. } => Some(WriteCounts {
                units: writer.counters.units.load(Ordering::Relaxed),
                commits: writer.counters.commits.load(Ordering::Relaxed),
            }),
            Backend::Postgres { .. } => None,
        }
    }

    /// Units that wait for the one writer; 0 on PostgreSQL, where none waits for another.
    #[must_use]
    pub fn waiting_units(&self) -> usize {
        match &self.inner.backend {
            Backend::Sqlite { writer, .. } => writer.waiting(),
            Backend::Postgres { .. } => 0,
        }
    }

    /// Reads within a tenant.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection could be had.
    pub async fn read(&self, tenant: TenantId) -> Result<Reader, StoreError> {
        Ok(Reader::new(self.reading(Some(tenant)).await?, tenant))
    }

    /// Reads across tenants, for the closed list of finders in [`crate::system`].
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when no connection could be had.
    pub async fn system(&self) -> Result<System, StoreError> {
        Ok(System::new(self.reading(None).await?))
    }

    /// Runs a unit of work within a tenant and answers when it is durable. See the crate's documentation.
    ///
    /// # Errors
    /// The unit's own error, or the store's turned into it.
    pub fn write<T, E, F, U>(&self, tenant: TenantId, unit: F) -> BoxFuture<'_, Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(Unit) -> U + Send + 'static,
        U: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.unit(Some(tenant), move |connection| unit(Unit::new(connection, tenant)))
    }

    /// Keeps a run that is not in the store yet, whole, and answers when it is durable. Runs of many callers share
    /// statements and commits.
    ///
    /// # Errors
    /// [`StoreError::Duplicate`] when the run is there already, [`StoreError::Unscoped`] when a row is not its own.
    pub async fn insert_run(&self, tenant: TenantId, run: Box<WholeRun>) -> Result<(), StoreError> {
        run.check(tenant)?;
        match &self.inner.backend {
            Backend::Sqlite { writer, .. } => self.script(writer, Work::New(run)).await,
            Backend::Postgres { groups, behind, .. } => {
                let (answer, answered) = oneshot::channel();
                let _waits = behind.call();
                groups.submit(Waiting { tenant, run, answer }).await?;
                answered.await.map_err(|_| StoreError::Unavailable("the commit failed".to_owned()))?
            }
        }
    }

    /// Adds to a run that is in the store, and answers when it is durable. On SQLite runs of many callers share statements
    /// and commits.
    ///
    /// # Errors
    /// [`StoreError::Stale`] when somebody else wrote the run meanwhile, [`StoreError::Unscoped`] when a row is not its own.
    pub async fn update_run(&self, tenant: TenantId, update: RunUpdate) -> Result<(), StoreError> {
        update.check(tenant)?;
        match &self.inner.backend {
            Backend::Sqlite { writer, .. } => self.script(writer, Work::Update(update)).await,
            Backend::Postgres { .. } => {
                self.write(tenant, move |unit| async move { unit.update_run(&update).await }).await
            }
        }
    }

    async fn script(&self, writer: &Writer, work: Work) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        writer.submit(self.lane, Job::Run(Scripted::new(work, answer))).await?;
        answered.await.map_err(|_| StoreError::Unavailable("the commit failed".to_owned()))?
    }

    /// Runs a unit of work across tenants, for the closed list of writes in [`crate::system`].
    ///
    /// # Errors
    /// The unit's own error, or the store's turned into it.
    pub fn write_system<T, E, F, U>(&self, unit: F) -> BoxFuture<'_, Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(SystemUnit) -> U + Send + 'static,
        U: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.unit(None, move |connection| unit(SystemUnit::new(connection)))
    }

    /// Whether the store answers, and takes writes.
    ///
    /// # Errors
    /// What the database said.
    pub async fn ping(&self) -> Result<(), StoreError> {
        match &self.inner.backend {
            Backend::Sqlite { readers, .. } => readers.ping().await?,
            Backend::Postgres { pool, .. } => pool.ping().await?,
        }
        self.write_system(|_| async { Ok(()) }).await
    }

    async fn reading(&self, tenant: Option<TenantId>) -> Result<Connection, StoreError> {
        Ok(match &self.inner.backend {
            Backend::Sqlite { readers, .. } => {
                Connection::new(DbBackend::Sqlite, Link::Pool(readers.clone()), tenant, self.inner.tap.clone())
            }
            Backend::Postgres { pool, .. } => {
                let transaction = begin(pool, tenant).await?;
                Connection::new(DbBackend::Postgres, Link::Read(Box::new(transaction)), tenant, self.inner.tap.clone())
            }
        })
    }

    /// In a future of its own on the heap: units hold rows, and so would, several times over, every future that awaits one.
    fn unit<T, E, F, U>(&self, tenant: Option<TenantId>, unit: F) -> BoxFuture<'_, Result<T, E>>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(Connection) -> U + Send + 'static,
        U: Future<Output = Result<T, E>> + Send + 'static,
    {
        let tap = self.inner.tap.clone();
        match &self.inner.backend {
            Backend::Sqlite { writer, .. } => {
                let (answer, answered) = oneshot::channel();
                let job: writer::UnitJob = Box::new(move |transaction: Arc<DatabaseTransaction>| {
                    Box::pin(async move {
                        let gate = Arc::default();
                        let result = attempt(&transaction, &gate, (tenant, tap), unit).await;
                        drop(transaction);
                        Outcome {
                            keep: result.is_ok(),
                            answer: Box::new(move |kept| {
                                // Whoever asked may be gone; the unit stands all the same.
                                let _ = answer.send(result.and_then(|value| kept.map(|()| value).map_err(E::from)));
                            }),
                        }
                    })
                });
                let lane = self.lane;
                Box::pin(async move {
                    writer.submit(lane, Job::Unit(job)).await?;
                    answered.await.map_err(|_| StoreError::Unavailable("the commit failed".to_owned()))?
                })
            }
            Backend::Postgres { pool, behind, announcer, .. } => {
                let lane = self.lane;
                Box::pin(async move {
                    let (transaction, _place, _waits) = match lane {
                        Lane::Background => {
                            let (begun, place) = behind.begin(tenant).await?;
                            (begun, Some(place), None)
                        }
                        Lane::Foreground => {
                            let waits = behind.call();
                            (begin(pool, tenant).await?, None, Some(waits))
                        }
                    };
                    let transaction = Arc::new(transaction);
                    let gate = Arc::default();
                    let result = attempt(&transaction, &gate, (tenant, tap), unit).await;
                    let transaction = writer::unshare(transaction).await.map_err(StoreError::from)?;
                    match result {
                        Ok(value) => {
                            transaction.commit().await.map_err(StoreError::from)?;
                            announcer.announce(gate.take_notices());
                            Ok(value)
                        }
                        Err(error) => {
                            // The unit's own error says more than a failed roll-back, which the server does by itself.
                            let _ = transaction.rollback().await;
                            Err(error)
                        }
                    }
                })
            }
        }
    }
}

/// Runs a unit's closure and decides whether what it did may be kept.
async fn attempt<T, E, F, U>(
    transaction: &Arc<DatabaseTransaction>,
    gate: &Arc<Gate>,
    (tenant, tap): (Option<TenantId>, Option<Arc<Tap>>),
    unit: F,
) -> Result<T, E>
where
    E: From<StoreError>,
    F: FnOnce(Connection) -> U,
    U: Future<Output = Result<T, E>>,
{
    let link = Link::Write(Arc::downgrade(transaction));
    let backend = transaction.get_database_backend();
    let connection = Connection::new(backend, link, tenant, tap).gated(Arc::clone(gate));
    let run = AssertUnwindSafe(async move { unit(connection).await }).catch_unwind();
    let result = tokio::time::timeout(UNIT_LIMIT, run).await;
    gate.close();
    match result {
        Err(_) => Err(StoreError::Abandoned("it took too long").into()),
        Ok(Err(_panic)) => Err(StoreError::Panicked.into()),
        Ok(Ok(Ok(_))) if gate.has_failed() => Err(StoreError::Abandoned("one of its statements failed").into()),
        Ok(Ok(result)) => result,
    }
}

/// Whose rows a transaction on PostgreSQL may see, until it ends or this is said again.
pub(crate) fn set_tenant(tenant: TenantId) -> Statement {
    let sql = "SELECT set_config('weir.tenant', $1, true)";
    Statement::from_sql_and_values(DbBackend::Postgres, sql, [tenant.uuid().to_string().into()])
}

pub(crate) async fn begin(
    pool: &DatabaseConnection,
    tenant: Option<TenantId>,
) -> Result<DatabaseTransaction, StoreError> {
    let transaction = pool.begin().await?;
    match tenant {
        Some(tenant) => {
            transaction.query_one_raw(set_tenant(tenant)).await?;
        }
        None => {
            transaction.execute_unprepared("SET LOCAL ROLE weir_system").await?;
        }
    }
    Ok(transaction)
}
