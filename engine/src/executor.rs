//! «CONTRACT» What an executor is: a spec for everybody, and one call for the engine.
//!
//! Invariant: an executor reads nothing but its config and its call, acts on the outside world only through the tools it
//! was built with (egress client, sandbox pool), and honours `cancel` at every await that can take long.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use domain::wire::Usage;
use domain::{Failure, FailureKind, NanoUsd, RunId, SpanId, TenantId, TraceContext};
use language::ExecutorSpec;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::ports::{Blobs, ChildRequest, Children, KeyValue, Models};

/// One thing a step can do.
#[async_trait]
pub trait Executor: Send + Sync {
    fn spec(&self) -> &ExecutorSpec;

    /// Runs one attempt. `config` is rendered, has its main input filled in, matches the spec's schema and holds secrets
    /// in clear; it must not be logged.
    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed>;

    /// The most that an attempt with this config can cost; `None` if some price is not known. Asked only where the
    /// catalogue says that it costs tokens and the run has a cap.
    async fn most_it_costs(&self, call: &Call, config: &Value) -> Option<NanoUsd> {
        let _ = (call, config);
        None
    }
}

/// A successful attempt.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Done {
    pub output: Value,
    pub usage: Option<Usage>,
}

impl Done {
    #[must_use]
    pub const fn free(output: Value) -> Self {
        Self { output, usage: None }
    }
}

/// A failed attempt, with what it used all the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Failed {
    pub failure: Failure,
    pub usage: Option<Usage>,
}

/// The code of a failure, of kind `internal`, that says nothing of the step: the store was away. The attempt is not over by
/// it; the run is left as after a crash, and the same attempt is made again under its key.
pub const STORAGE: &str = "storage";

impl Failed {
    /// Whether the surroundings failed and not the step.
    pub(crate) fn is_of_surroundings(&self) -> bool {
        self.failure.kind == FailureKind::Internal && self.failure.code == STORAGE
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { failure, usage: None }
    }
}

/// The attempt's surroundings.
pub struct Call {
    pub tenant: TenantId,
    pub run: RunId,
    /// The step's name, and how it reads in words when there is no description (`Analyze sentiment`).
    pub step: String,
    /// Of a `for_each` step, counted from 0.
    pub item: Option<u32>,
    pub instruction: String,
    pub attempt: u32,
    /// Whether the policy allows another attempt after this one.
    pub may_be_retried: bool,
    /// The same for every attempt of this entry; goes out as `Idempotency-Key`.
    pub key: String,
    /// The run's; what leaves carries it on as `traceparent`, under the attempt's own span.
    pub trace: TraceContext,
    /// Attempts from before the step was begun again whose children this one goes on with, newest first.
    pub earlier: Vec<EarlierAttempt>,
    /// When the attempt is over, whatever it is doing.
    pub deadline: Option<Instant>,
    pub cancel: CancellationToken,
    /// Marks runs by test keys: unsafe effects are skipped.
    pub test: bool,
    /// The flow's `defaults.model`, else the tenant's default; `connection/model`.
    pub default_model: Option<String>,
    pub first_token_timeout: Option<std::time::Duration>,
    pub blobs: Arc<dyn Blobs>,
    pub models: Arc<dyn Models>,
    pub children: Arc<dyn Children>,
    pub values: Arc<dyn KeyValue>,
    pub progress: Arc<dyn Progress>,
}

/// An attempt whose children may be gone on with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierAttempt {
    /// Its `key`.
    pub key: String,
    pub attempt: u32,
}

impl Call {
    /// The attempt's span in the run's trace: always the same for this attempt, whoever makes it, and another's for none.
    #[must_use]
    pub fn span_id(&self) -> SpanId {
        let item = self.item.map_or_else(String::new, |item| format!("/i{item}"));
        let name = format!("{}/{}{item}#{}", self.run, self.step, self.attempt);
        let digest = Sha256::digest(name);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&digest[..8]);
        SpanId::made_of(bytes)
    }

    /// A child of this attempt, of the flow's `stable` channel. `part` tells the children of one attempt apart; empty for the
    /// only one.
    ///
    /// A retry is a new child; a resumed attempt finds its own again, and a step that was begun again goes on with it.
    #[must_use]
    pub fn child(&self, flow: String, inputs: Value, part: &str) -> ChildRequest {
        let named = |key: &str, attempt: u32| format!("{key}#{attempt}{part}");
        ChildRequest {
            flow,
            version: None,
            channel: None,
            inputs,
            narrow: true,
            parent: self.run,
            parent_step: self.step.clone(),
            detached: false,
            key: named(&self.key, self.attempt),
            earlier: self.earlier.iter().map(|attempt| named(&attempt.key, attempt.attempt)).collect(),
            trace: self.trace.below(self.span_id()),
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("run", &self.run)
            .field("step", &self.step)
            .field("attempt", &self.attempt)
            .finish()
    }
}

/// Takes what happens inside an attempt, for those who watch. Never journaled; may drop when nobody listens.
pub trait Progress: Send + Sync {
    /// A piece of text as it arrives from a model.
    fn delta(&self, text: &str);
    /// How far along, in units of the executor's own (`pages`).
    fn advanced(&self, done: u64, total: Option<u64>, unit: &str);
}

/// Progress that nobody watches.
#[derive(Debug, Default)]
pub struct Unwatched;

impl Progress for Unwatched {
    fn delta(&self, _text: &str) {}
    fn advanced(&self, _done: u64, _total: Option<u64>, _unit: &str) {}
}

/// The executors by name, as the engine looks them up.
#[derive(Clone, Default)]
pub struct Registry {
    executors: std::collections::BTreeMap<String, Arc<dyn Executor>>,
}

impl Registry {
    #[must_use]
    pub fn new(executors: impl IntoIterator<Item = Arc<dyn Executor>>) -> Self {
        Self { executors: executors.into_iter().map(|executor| (executor.spec().name.clone(), executor)).collect() }
    }

    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Executor>> {
        self.executors.get(name)
    }

    #[must_use]
    pub fn catalogue(&self) -> language::Catalogue {
        language::Catalogue::new(self.executors.values().map(|executor| executor.spec().clone()))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.executors.keys()).finish()
    }
}
