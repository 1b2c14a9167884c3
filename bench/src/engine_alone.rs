//! Runs of the engine without a store and without HTTP: the journal is a list in memory. What is left is what a run costs
//! before anything is kept.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use engine::memory::{FixedModels, FixedSecrets, MemoryBlobs, MemoryJournal, MemoryValues, Unobserved, new_run_id};
use engine::ports::{Child, ChildRequest, Children, Clock as _, PortError, SystemClock};
use engine::{
    Control, Outcome, Prepared, Progress, Registry, Run, Settled, Surroundings, Unwatched, Watcher, drive_prepared,
};
use language::{Folder, Plan};
use serde_json::Value;

use crate::load::Figures;
use crate::shapes::Shape;

/// A flow, ready to run again and again.
#[derive(Clone)]
pub(crate) struct Ready {
    registry: Registry,
    plan: Arc<Plan>,
    prepared: Arc<Prepared>,
    inputs: Value,
}

/// The executors of the program. The sandbox's children would start at first use; the shapes measured use none.
pub(crate) fn registry() -> Result<Registry, String> {
    let policy = egress::Policy::parse("", None).map_err(|error| error.to_string())?;
    let egress = egress::Client::new(policy).map_err(|error| error.to_string())?;
    let sandbox = sandbox::Pool::of_this_program().map_err(|error| error.to_string())?;
    Ok(executors::registry(&executors::Tools { egress, sandbox: Arc::new(sandbox) }))
}

impl Ready {
    pub(crate) fn new(shape: &Shape, registry: &Registry) -> Result<Self, String> {
        let folder = Folder { name: Some(shape.name.clone()), yaml: shape.yaml.clone(), files: BTreeMap::new() };
        let compiled = language::compile(&folder, &registry.catalogue());
        let plan = compiled.plan.ok_or_else(|| format!("{}: {:?}", shape.name, compiled.problems))?;
        let body = serde_json::from_str(shape.body).map_err(|error| error.to_string())?;
        let inputs = language::inputs::parse(&plan, body, &BTreeMap::new())
            .map_err(|problems| format!("{}: {problems:?}", shape.name))?;
        let plan = Arc::new(plan);
        let prepared = Arc::new(Prepared::new(Arc::clone(&plan), registry));
        Ok(Self { registry: registry.clone(), plan, prepared, inputs })
    }

    /// One run from its start to its end.
    pub(crate) async fn run(&self) -> Result<(), String> {
        let id = new_run_id();
        let run = Run {
            tenant: TenantId::from_uuid(id.uuid()),
            id,
            default_model: None,
            plan: Arc::clone(&self.plan),
            inputs: self.inputs.clone(),
            flow: "bench".to_owned(),
            version: 1,
            created_at: SystemClock.now(),
            trigger: "bench".to_owned(),
            labels: BTreeMap::new(),
            trace: domain::TraceContext::of_run(id),
            test: false,
            depth: 0,
            reused: Vec::new(),
            keys_of: None,
            restart_by: None,
            refused: None,
        };
        let surroundings = Surroundings {
            registry: self.registry.clone(),
            journal: Arc::new(MemoryJournal::new(id, 0, Arc::new(Unobserved))),
            blobs: Arc::new(MemoryBlobs::default()),
            secrets: Arc::new(FixedSecrets::default()),
            models: Arc::new(FixedModels::default()),
            children: Arc::new(Nobody),
            values: Arc::new(MemoryValues::default()),
            clock: Arc::new(SystemClock),
            watcher: Arc::new(Nobody),
            inbox: None,
            cache: None,
            slots: None,
            money: None,
            sandbox: None,
        };
        let driven =
            drive_prepared(run, Arc::clone(&self.prepared), Vec::new(), surroundings, Control::default()).await;
        match driven {
            Ok(Outcome::Settled(settled)) if settled.status == RunStatus::Succeeded => Ok(()),
            Ok(other) => Err(format!("a run did not succeed: {other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    /// So many callers, each with its next run when the last one is over.
    pub(crate) async fn load(&self, callers: usize, time: Duration) -> Result<Figures, String> {
        let began = Instant::now();
        let until = began + time;
        let mut tasks = Vec::with_capacity(callers);
        for _ in 0..callers {
            let ready = self.clone();
            tasks.push(tokio::spawn(async move {
                let mut latencies = Vec::new();
                while Instant::now() < until {
                    let sent = Instant::now();
                    ready.run().await?;
                    latencies.push(sent.elapsed());
                }
                Ok::<_, String>(latencies)
            }));
        }
        let mut latencies = Vec::new();
        for task in tasks {
            latencies.extend(task.await.map_err(|error| error.to_string())??);
        }
        Ok(Figures::new(latencies, began.elapsed()))
    }
}

/// No children, and no watcher: the shapes measured ask for neither.
struct Nobody;

#[async_trait]
impl Children for Nobody {
    async fn start(&self, _request: ChildRequest) -> Result<Child, Failure> {
        Err(Failure::new(FailureKind::Internal, "internal", "No flow is called while the engine is measured."))
    }

    async fn wait(&self, _run: RunId) -> Result<Settled, PortError> {
        Err(PortError::Unavailable("no run has children here".to_owned()))
    }

    async fn cancel(&self, _run: RunId, _reason: &str) -> Result<(), PortError> {
        Ok(())
    }
}

impl Watcher for Nobody {
    fn progress(&self, _step: &str, _item: Option<u32>, _attempt: u32) -> Arc<dyn Progress> {
        Arc::new(Unwatched)
    }
}
