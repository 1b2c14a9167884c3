//! «CONTRACT» One run, as it is handed to the driver and as it comes back.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Utc};
use domain::{Failure, RunId, TenantId, TraceContext};
use language::Plan;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::dispatcher::Reused;
use crate::event::Settled;
use crate::executor::{Progress, Registry};
use crate::ports::{
    Blobs, Children, Clock, Inbox, Journal, KeyValue, Models, Money, PortError, Secrets, Slots, StepCache,
};

/// What is to be run. Everything here was pinned when the run was created.
#[derive(Debug, Clone)]
pub struct Run {
    pub tenant: TenantId,
    pub id: RunId,
    pub plan: Arc<Plan>,
    /// Parsed against the plan's inputs, defaults filled in; files are [`domain::FileRef`] objects.
    pub inputs: Value,
    pub flow: String,
    pub version: u32,
    pub created_at: DateTime<Utc>,
    pub trigger: String,
    pub labels: BTreeMap<String, String>,
    /// The trace it belongs to, and what started it.
    pub trace: TraceContext,
    pub test: bool,
    /// `connection/model` of the flow's `defaults.model`, else the tenant's.
    pub default_model: Option<String>,
    /// 0 for a root run.
    pub depth: u32,
    /// In a replay: settled steps of the other run whose outcome stands.
    pub reused: Vec<Reused>,
    /// In a replay with `reuse_keys`: the run whose outgoing keys are sent again.
    pub keys_of: Option<RunId>,
    /// Who wants a run that has ended to go on in its next epoch.
    pub restart_by: Option<String>,
    /// Why a run that has not begun must fail before its first step. Its handlers have their turn all the same.
    pub refused: Option<Refusal>,
}

/// What was found out about a run before its first step.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub failure: Failure,
    /// The step that cannot be run.
    pub step: Option<String>,
}

/// What the run may use.
#[derive(Clone)]
pub struct Surroundings {
    pub registry: Registry,
    pub journal: Arc<dyn Journal>,
    pub blobs: Arc<dyn Blobs>,
    pub secrets: Arc<dyn Secrets>,
    pub models: Arc<dyn Models>,
    pub children: Arc<dyn Children>,
    pub values: Arc<dyn KeyValue>,
    pub clock: Arc<dyn Clock>,
    pub watcher: Arc<dyn Watcher>,
    /// Signals, decisions and the like; `None` where nobody can send any.
    pub inbox: Option<Arc<dyn Inbox>>,
    /// `None`: nothing is cached.
    pub cache: Option<Arc<dyn StepCache>>,
    /// `None`: limits that count over runs hold nobody up.
    pub slots: Option<Arc<dyn Slots>>,
    /// `None`: the run tree has no cap.
    pub money: Option<Arc<dyn Money>>,
    /// Renders templates that the check could not prove cheap. `None`: in process under fuel alone (tests only).
    pub sandbox: Option<Arc<sandbox::Pool>>,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Who watches a run live: hands out the progress sink of an attempt, of a step or of one of its items.
pub trait Watcher: Send + Sync {
    fn progress(&self, step: &str, item: Option<u32>, attempt: u32) -> Arc<dyn Progress>;
}

/// How a run is told to end from outside.
#[derive(Debug, Clone, Default)]
pub struct Control {
    /// A person's cancel: running attempts get their grace, the run settles as `cancelled`.
    pub cancel: CancellationToken,
    /// Who wants the end or why, as it reads behind `cancelled by`; set before `cancel`.
    pub canceller: Arc<OnceLock<String>>,
    /// The worker drains or lost its lease: stop at once, journal nothing more, leave the run for recovery.
    pub stop: CancellationToken,
}

impl Control {
    pub(crate) fn cancelled_by(&self) -> String {
        self.canceller.get().cloned().unwrap_or_else(|| "a person".to_owned())
    }
}

/// How the driver came back.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Settled(Box<Settled>),
    /// Nothing executes and nothing will before `wake_at` (or before somebody resolves a step): give the lease back.
    Suspended {
        status: domain::RunStatus,
        wake_at: Option<DateTime<Utc>>,
    },
    /// `Control::stop` was heeded.
    Stopped,
}

/// The driver could not go on; the run is left for recovery.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    #[error("the journal does not fit the plan: {0}")]
    History(String),
    #[error(transparent)]
    Port(#[from] PortError),
}
