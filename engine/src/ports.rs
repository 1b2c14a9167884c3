//! «CONTRACT» What the engine needs from its surroundings, as traits. The service implements them on the store; `weir run`
//! and the tests implement them in memory.
//!
//! Invariant: the engine does no I/O but through these.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{Failure, FileRef, NanoUsd, RunId, RunStatus, TraceContext};
use language::Effect;
use serde_json::Value;

use crate::event::{Entry, LimitKind, Outside, Settled};
use crate::money::{Purse, Whose};

/// Why the surroundings could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Another worker has this run now: stop at once, write nothing more.
    #[error("the lease on this run was lost")]
    LeaseLost,
    #[error("not found: {0}")]
    NotFound(String),
    /// It should be there, and is gone or damaged: trying again does not help.
    #[error("lost: {0}")]
    Lost(String),
    /// Storage or network trouble of ours; the run is left for recovery.
    #[error("the surroundings failed: {0}")]
    Unavailable(String),
}

/// Where a run's entries are made durable, for one run under one lease.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends in order, as one unit of work with their projections (step, attempt, ledger and run rows). Returns once
    /// durable. An error means that nothing was written.
    async fn append(&self, entries: &[Entry]) -> Result<(), PortError>;
}

/// Bytes by reference, within the run's tenant.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores a file that an executor made.
    async fn put_file(&self, name: &str, media_type: &str, bytes: Bytes) -> Result<FileRef, PortError>;
    async fn get_file(&self, file: &FileRef) -> Result<Bytes, PortError>;
    /// Stores a JSON value too large for a row; gives the reference for [`crate::event::Stored::Blob`].
    async fn put_value(&self, value: &Value) -> Result<String, PortError>;
    async fn get_value(&self, blob: &str) -> Result<Value, PortError>;
}

/// The tenant's secrets, in clear, by name.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// `None` if the tenant has no such secret.
    async fn reveal(&self, name: &str) -> Result<Option<String>, PortError>;

    /// What changes with the secret's value, and says nothing about it; `None` if the tenant has no such secret.
    async fn version(&self, name: &str) -> Result<Option<String>, PortError> {
        use sha2::Digest as _;
        Ok(self.reveal(name).await?.map(|value| hex::encode(sha2::Sha256::digest(value))))
    }
}

/// A model endpoint that a step may call.
#[derive(Clone)]
pub struct ModelEndpoint {
    /// The connection's name.
    pub connection: String,
    pub kind: ModelKind,
    /// Each up to and including `/v1`; calls are spread over them. Empty for `Simulated`.
    pub base_urls: Vec<String>,
    pub api_key: Option<String>,
    /// The model's name at the provider.
    pub model: String,
    pub price: Option<ModelPrice>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// Any endpoint that speaks OpenAI's chat completions.
    OpenAi,
    /// The demo's built-in provider, which says so in every answer.
    Simulated,
}

/// Prices per million units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPrice {
    pub input_per_million: NanoUsd,
    pub output_per_million: NanoUsd,
    pub cached_input_per_million: Option<NanoUsd>,
}

/// A service that is no model, as a step calls it: a web API or a database.
#[derive(Clone)]
pub struct ServiceEndpoint {
    /// The connection's name.
    pub connection: String,
    /// `http` or `postgres`.
    pub kind: String,
    pub base_url: String,
    pub credential: Option<String>,
}

/// The tenant's connections: to models, and to other services.
#[async_trait]
pub trait Models: Send + Sync {
    /// Resolves `connection/model`, or the tenant's default for `None`. The error is a fault of the flow or the
    /// tenant's settings, said in a sentence.
    async fn resolve(&self, model: Option<&str>) -> Result<ModelEndpoint, Failure>;

    /// The service behind a connection's name. The error is said as for a model.
    async fn service(&self, name: &str) -> Result<ServiceEndpoint, Failure>;

    /// How many attempts may go through a connection at the same time, over all runs; `None`: as many as there are, or
    /// there is no such connection, which the attempt itself finds out.
    async fn most_at_once(&self, connection: &str) -> Result<Option<u32>, PortError> {
        let _ = connection;
        Ok(None)
    }

    /// What changes with a connection's address and key; `None` if there is no such connection, or it never changes.
    async fn revision(&self, connection: &str) -> Result<Option<String>, PortError> {
        let _ = connection;
        Ok(None)
    }
}

/// Small values that the tenant's flows keep between their runs, by names of their own.
#[async_trait]
pub trait KeyValue: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Value>, PortError>;
    /// Keeps the value for so long, over whatever was there.
    async fn set(&self, key: &str, value: &Value, ttl: Duration) -> Result<(), PortError>;
    async fn delete(&self, key: &str) -> Result<(), PortError>;
}

/// Runs of other flows.
#[async_trait]
pub trait Children: Send + Sync {
    /// Starts the child for this step and attempt, or finds it again after a crash: same `key`, same run. A child that was
    /// started under one of the `earlier` keys goes on instead: it stays as it is if it succeeded, and its next epoch begins
    /// if it ended otherwise.
    async fn start(&self, request: ChildRequest) -> Result<Child, Failure>;
    /// Waits until the child settles, and gives what it used since it was started or began to go on. Dropping the future
    /// does not stop the child.
    async fn wait(&self, run: RunId) -> Result<Settled, PortError>;
    /// Comes back once the child has given its place back, with the status that it rests in: its parent need not hold one
    /// either. Never where children stay in memory.
    async fn rests(&self, run: RunId) -> Result<RunStatus, PortError> {
        let _ = run;
        std::future::pending().await
    }
    async fn cancel(&self, run: RunId, reason: &str) -> Result<(), PortError>;

    /// Everything that the outputs of these flows depend on, besides their inputs, as the run would call them now: their
    /// versions, those of all flows that they call, and what of the tenant's settings these read. `None` where that cannot
    /// be known, or must not be reused.
    async fn tree(&self, callees: &[language::Callee]) -> Result<Option<Value>, PortError> {
        let _ = callees;
        Ok(None)
    }
}

/// A child that was started or found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Child {
    pub run: RunId,
    /// What it does at most, with all that it runs.
    pub effect: Effect,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ChildRequest {
    pub flow: String,
    pub version: Option<u32>,
    pub channel: Option<String>,
    pub inputs: Value,
    /// Whether `inputs` came as one whole object and is narrowed to what the callee declares.
    pub narrow: bool,
    pub parent: RunId,
    pub parent_step: String,
    /// Nobody waits for it: it goes its own way, whatever becomes of its parent.
    pub detached: bool,
    pub key: String,
    /// The parent's, below the attempt that starts it.
    pub trace: TraceContext,
    /// The keys that the child may have been started under before its parent was begun again, newest first.
    pub earlier: Vec<String>,
}

/// Something for a run from outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// Its id in the run's inbox. The journal's `outside_received` carries it: with that entry it is taken.
    pub id: String,
    /// Who sent it, for people.
    pub by: String,
    pub what: Outside,
}

/// What came for one run and was not taken yet: signals, decisions, resolutions, kills.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// The next delivery that was not handed out by this value before; waits for one. Dropping the future loses nothing.
    async fn next(&self) -> Result<Delivery, PortError>;
}

/// An output to be kept for whoever asks the same.
#[derive(Debug, Clone, PartialEq)]
pub struct CacheEntry {
    pub key: String,
    pub value: Value,
    /// What making it cost.
    pub cost: Option<NanoUsd>,
    /// `None`: as long as the store keeps it.
    pub ttl_ms: Option<u64>,
    pub tags: Vec<String>,
}

/// An output that was kept.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedOutput {
    pub value: Value,
    /// What making it had cost; `None` if nobody knows.
    pub cost: Option<NanoUsd>,
}

/// Outputs of steps, within the run's tenant.
#[async_trait]
pub trait StepCache: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<CachedOutput>, PortError>;
    async fn put(&self, entry: CacheEntry) -> Result<(), PortError>;
}

/// A limit that counts over runs, and how much of it an attempt takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotLimit {
    pub kind: LimitKind,
    /// Within the tenant and the kind.
    pub key: String,
    pub units: u32,
    /// How many units there are. `None`: the tenant's settings say.
    pub most: Option<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotRequest {
    pub step: String,
    pub item: Option<u32>,
    /// All of them or none are taken.
    pub limits: Vec<SlotLimit>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum SlotAnswer {
    Taken,
    /// There is no room under this limit. The request waits in line until it is asked again and taken, or given back.
    Full(LimitKind),
    /// It can never be taken: a fault of the flow or the tenant's settings.
    Refused(Failure),
}

/// Slots for the attempts of one run. Each is a lease that ends with the run's own.
#[async_trait]
pub trait Slots: Send + Sync {
    /// Takes slots. Asking again for what is held already gives it again.
    async fn take(&self, request: SlotRequest) -> Result<SlotAnswer, PortError>;
    /// Gives back what is held or waited for.
    async fn give_back(&self, step: &str, item: Option<u32>) -> Result<(), PortError>;
    /// Comes back when slots may be free that this run waits for.
    async fn offered(&self);
}

/// Money set aside for one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    pub amount: NanoUsd,
    pub purse: Purse,
}

/// There is not enough left under the cap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverCap {
    pub whose: Whose,
    pub cap: NanoUsd,
    pub left: NanoUsd,
}

/// The accounts of a run tree with caps. Reservations and what was spent never exceed a cap together.
#[async_trait]
pub trait Money: Send + Sync {
    /// From all accounts that the purse pays from, or from none.
    async fn reserve(&self, purse: &Purse, amount: NanoUsd) -> Result<Result<Reserved, OverCap>, PortError>;
    /// Gives the rest back. `None`: the price is not known, and all that was reserved counts as spent.
    async fn settle(&self, reserved: Reserved, cost: Option<NanoUsd>) -> Result<(), PortError>;
}

/// The time, so that a simulation can move it.
pub trait Clock: Send + Sync {
    fn now(&self) -> DateTime<Utc>;

    /// Whether time passes by itself. On a clock that is moved from outside, a driver never waits in place: it gives
    /// the run back and says when to go on.
    fn runs_by_itself(&self) -> bool {
        true
    }
}

/// The wall clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        DateTime::<Utc>::from(std::time::SystemTime::now())
    }
}
