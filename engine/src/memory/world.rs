//! Everything that runs need, in one process and in memory.
//!
//! Invariant: a run that suspends is woken by the same world; it ends settled, or waiting for a person.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use domain::wire::UsageTotals;
use domain::{Failure, FailureKind, NanoUsd, RunId, RunStatus, TenantId, TraceContext, TraceId};
use language::Plan;
use serde_json::Value;
use uuid::Uuid;

use super::blobs::MemoryBlobs;
use super::cache::MemoryCache;
use super::children::{FlowLoader, Runs, WorldChildren};
use super::journal::{MemoryJournal, Observer};
use super::money::{MemoryMoney, Outer};
use super::slots::{MemoryPools, MemorySlots};
use super::values::MemoryValues;
use crate::driver::drive_prepared;
use crate::event::Entry;
use crate::executor::{Progress, Registry};
use crate::money::has_caps;
use crate::ports::{
    Blobs as _, Clock, ModelEndpoint, ModelKind, Models, Money, PortError, Secrets, ServiceEndpoint, Slots as _,
    SystemClock,
};
use crate::prices;
use crate::run::{Control, DriveError, Outcome, Run, Surroundings, Watcher};
use crate::template::Prepared;

/// What a world is made of.
pub struct WorldParts {
    pub registry: Registry,
    pub secrets: FixedSecrets,
    pub models: FixedModels,
    pub loader: Arc<dyn FlowLoader>,
    pub observer: Arc<dyn Observer>,
    pub sandbox: Option<Arc<sandbox::Pool>>,
}

pub struct World {
    me: Weak<World>,
    pub(super) registry: Registry,
    blobs: Arc<MemoryBlobs>,
    secrets: Arc<FixedSecrets>,
    models: Arc<FixedModels>,
    values: Arc<MemoryValues>,
    observer: Arc<dyn Observer>,
    sandbox: Option<Arc<sandbox::Pool>>,
    cache: Arc<MemoryCache>,
    pools: Arc<MemoryPools>,
    tenant: TenantId,
    pub(super) loader: Arc<dyn FlowLoader>,
    pub(super) runs: Runs,
    spent: Mutex<(UsageTotals, Option<NanoUsd>)>,
}

/// A run to be made.
#[derive(Clone)]
pub struct Start {
    pub run: RunId,
    pub flow: String,
    /// Parsed against the plan's inputs.
    pub inputs: Value,
    pub trigger: String,
    pub depth: u32,
    /// The trace it belongs to.
    pub trace: TraceContext,
    /// Stands in for the flow's `defaults.model`.
    pub default_model: Option<String>,
    /// The account of the flow that calls this one.
    pub money: Option<Outer>,
}

impl Start {
    #[must_use]
    pub fn new(flow: impl Into<String>, inputs: Value) -> Self {
        let (run, trigger) = (new_run_id(), "cli".to_owned());
        let trace = TraceContext::of_run(run);
        Self { run, flow: flow.into(), inputs, trigger, depth: 0, trace, default_model: None, money: None }
    }
}

/// A run that came to rest.
#[derive(Debug)]
pub struct Finished {
    pub run: RunId,
    pub trace_id: TraceId,
    pub outcome: Outcome,
    pub entries: Vec<Entry>,
}

impl World {
    #[must_use]
    pub fn new(parts: WorldParts) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            registry: parts.registry,
            blobs: Arc::default(),
            secrets: Arc::new(parts.secrets),
            models: Arc::new(parts.models),
            values: Arc::default(),
            observer: parts.observer,
            sandbox: parts.sandbox,
            cache: Arc::default(),
            pools: Arc::default(),
            tenant: TenantId::from_uuid(new_uuid()),
            loader: parts.loader,
            runs: Runs::default(),
            spent: Mutex::new((UsageTotals::default(), Some(NanoUsd::ZERO))),
        })
    }

    #[must_use]
    pub fn blobs(&self) -> &Arc<MemoryBlobs> {
        &self.blobs
    }

    /// What all runs of this world used so far, children among them.
    #[must_use]
    pub fn spent(&self) -> (UsageTotals, Option<NanoUsd>) {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a plan until it settles, or until only a person can bring it on.
    pub async fn run(&self, plan: Arc<Plan>, start: Start, control: Control) -> Result<Finished, DriveError> {
        let prepared = Arc::new(Prepared::new(plan.clone(), &self.registry));
        let journal = Arc::new(MemoryJournal::new(start.run, start.depth, self.observer.clone()));
        self.runs.enter(start.run);
        let money = (has_caps(&plan) || start.money.is_some())
            .then(|| Arc::new(MemoryMoney::new(plan.clone(), start.money)) as Arc<dyn Money>);
        self.runs.keep_account(start.run, &plan, money.clone());
        let run = Run {
            tenant: self.tenant,
            id: start.run,
            default_model: plan.model.clone().or(start.default_model),
            plan,
            inputs: start.inputs,
            flow: start.flow,
            version: 1,
            created_at: SystemClock.now(),
            trigger: start.trigger,
            labels: BTreeMap::new(),
            trace: start.trace,
            test: false,
            depth: start.depth,
            reused: Vec::new(),
            keys_of: None,
            restart_by: None,
            refused: None,
        };
        let slots = Arc::new(self.pools.of_run(run.id));
        loop {
            let surroundings = self.surroundings(&run, journal.clone(), money.clone(), slots.clone());
            let history = journal.entries();
            let outcome = drive_prepared(run.clone(), prepared.clone(), history, surroundings, control.clone()).await?;
            let wait = |at: &DateTime<Utc>| (*at - SystemClock.now()).to_std().unwrap_or(Duration::ZERO);
            let in_line = matches!(outcome, Outcome::Suspended { status: RunStatus::Queued, .. });
            if let Outcome::Suspended { wake_at, .. } = &outcome
                && (in_line || wake_at.is_some())
            {
                tokio::select! {
                    () = tokio::time::sleep(wake_at.as_ref().map_or(Duration::MAX, wait)) => continue,
                    () = slots.offered(), if in_line => continue,
                    () = control.cancel.cancelled() => continue,
                    () = control.stop.cancelled() => return Ok(self.finished(&run, Outcome::Stopped, &journal)),
                }
            }
            self.pools.free(run.id);
            return Ok(self.finished(&run, outcome, &journal));
        }
    }

    fn finished(&self, run: &Run, outcome: Outcome, journal: &MemoryJournal) -> Finished {
        if let Outcome::Settled(settled) = &outcome {
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            for (kind, units) in &settled.usage.units {
                *spent.0.units.entry(kind.clone()).or_default() += units;
            }
            spent.1 = spent.1.zip(settled.cost).map(|(sum, cost)| sum.plus(cost));
        }
        Finished { run: run.id, trace_id: run.trace.trace_id, outcome, entries: journal.entries() }
    }

    fn surroundings(
        &self,
        run: &Run,
        journal: Arc<MemoryJournal>,
        money: Option<Arc<dyn Money>>,
        slots: Arc<MemorySlots>,
    ) -> Surroundings {
        Surroundings {
            registry: self.registry.clone(),
            journal,
            blobs: self.blobs.clone(),
            secrets: self.secrets.clone(),
            models: self.models.clone(),
            values: self.values.clone(),
            children: Arc::new(WorldChildren(self.me.clone())),
            clock: Arc::new(SystemClock),
            watcher: Arc::new(Watch { run: run.id, depth: run.depth, observer: self.observer.clone() }),
            inbox: None,
            cache: Some(self.cache.clone()),
            slots: Some(slots),
            money,
            sandbox: self.sandbox.clone(),
        }
    }

    /// Stores a file for an input.
    pub async fn put_file(
        &self,
        name: &str,
        media_type: &str,
        bytes: bytes::Bytes,
    ) -> Result<domain::FileRef, PortError> {
        self.blobs.put_file(name, media_type, bytes).await
    }
}

struct Watch {
    run: RunId,
    depth: u32,
    observer: Arc<dyn Observer>,
}

impl Watcher for Watch {
    fn progress(&self, step: &str, _item: Option<u32>, _attempt: u32) -> Arc<dyn Progress> {
        self.observer.progress(self.run, self.depth, step)
    }
}

/// Secrets by name.
#[derive(Default, Clone)]
pub struct FixedSecrets(pub BTreeMap<String, String>);

#[async_trait]
impl Secrets for FixedSecrets {
    async fn reveal(&self, name: &str) -> Result<Option<String>, PortError> {
        Ok(self.0.get(name).cloned())
    }
}

/// One model endpoint.
#[derive(Clone)]
pub struct Connection {
    pub kind: ModelKind,
    pub base_urls: Vec<String>,
    pub api_key: Option<String>,
    /// By the model's name at the provider.
    pub prices: BTreeMap<String, domain::wire::ModelRate>,
}

/// Connections that do not change.
#[derive(Default, Clone)]
pub struct FixedModels {
    /// To models.
    pub connections: BTreeMap<String, Connection>,
    /// To other services.
    pub services: BTreeMap<String, ServiceEndpoint>,
    /// `connection/model`.
    pub default_model: Option<String>,
}

#[async_trait]
impl Models for FixedModels {
    async fn resolve(&self, model: Option<&str>) -> Result<ModelEndpoint, Failure> {
        let fault = |code: &str, message: String| Failure::new(FailureKind::Flow, code, message);
        let Some(wanted) = model.or(self.default_model.as_deref()) else {
            let message = "No model is named and there is no default model. Give `model` in the step, or a connections \
                           file with `default_model`.";
            return Err(fault("no_model", message.to_owned()));
        };
        let Some((name, model)) = wanted.split_once('/') else {
            return Err(fault("bad_model", format!("`{wanted}` is no model; write `connection/model`.")));
        };
        let Some(connection) = self.connections.get(name) else {
            let known: Vec<&str> = self.connections.keys().map(String::as_str).collect();
            let known =
                if known.is_empty() { "there are none".to_owned() } else { format!("known are {}", known.join(", ")) };
            return Err(fault("unknown_connection", format!("There is no connection `{name}`; {known}.")));
        };
        let address = connection.base_urls.first().map(String::as_str).unwrap_or_default();
        let price = match connection.kind {
            ModelKind::OpenAi => prices::of_openai(&connection.prices, prices::NEWEST, address, model),
            ModelKind::Simulated => Some(prices::of_simulated()),
        };
        Ok(ModelEndpoint {
            connection: name.to_owned(),
            kind: connection.kind,
            base_urls: connection.base_urls.clone(),
            api_key: connection.api_key.clone(),
            model: model.to_owned(),
            price,
        })
    }

    async fn service(&self, name: &str) -> Result<ServiceEndpoint, Failure> {
        self.services.get(name).cloned().ok_or_else(|| {
            let message = format!(
                "There is no connection `{name}` to a service. Write it into the connections file, with its kind."
            );
            Failure::new(FailureKind::Flow, "unknown_connection", message)
        })
    }
}

pub(super) fn new_uuid() -> Uuid {
    let ms = u64::try_from(SystemClock.now().timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(ms, &rand::random::<[u8; 10]>()).into_uuid()
}

/// An id for a run that no store hands out.
#[must_use]
pub fn new_run_id() -> RunId {
    RunId::from_uuid(new_uuid())
}
