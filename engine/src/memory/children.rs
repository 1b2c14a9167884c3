//! Child runs in the same process.
//!
//! Invariant: the same key finds the same child; depth and number are limited, so that flows that call each other end. A
//! run here has one epoch, so no child goes on from an earlier one.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use async_trait::async_trait;
use domain::{Failure, FailureKind, RunId};
use language::{Effect, Plan};
use serde_json::{Map, Value};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::money::Outer;
use super::world::{Start, World, new_run_id};
use crate::effects::Effects;
use crate::event::Settled;
use crate::limits;
use crate::money::Purse;
use crate::ports::{Child, ChildRequest, Children, Money, PortError};
use crate::run::{Control, Outcome};

/// Finds another flow by its name.
pub trait FlowLoader: Send + Sync {
    /// A fault of the flow that calls it, said in a sentence, if there is no such flow or it has problems.
    fn load(&self, flow: &str) -> Result<Arc<Plan>, Failure>;
}

struct Running {
    cancel: CancellationToken,
    canceller: Arc<OnceLock<String>>,
    settled: watch::Receiver<Option<Settled>>,
}

/// A run's account, and the plan that says which of its steps pays how.
type Paying = (Arc<dyn Money>, Arc<Plan>);

/// Where a run stands in its tree.
#[derive(Clone, Copy)]
struct InTree {
    root: RunId,
    depth: u32,
}

#[derive(Default)]
pub(super) struct Runs {
    children: Mutex<HashMap<RunId, Running>>,
    by_key: Mutex<HashMap<String, RunId>>,
    places: Mutex<HashMap<RunId, InTree>>,
    sizes: Mutex<HashMap<RunId, u64>>,
    accounts: Mutex<HashMap<RunId, Paying>>,
}

impl Runs {
    pub(super) fn enter(&self, run: RunId) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(run).or_insert(InTree { root: run, depth: 0 });
    }

    /// Gives a child its place below its parent, and says how deep that is.
    fn join(&self, parent: RunId, child: RunId) -> Result<u32, Failure> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let above = places.get(&parent).copied().unwrap_or(InTree { root: parent, depth: 0 });
        let depth = above.depth + 1;
        if depth >= limits::CHILD_DEPTH {
            return Err(limits::too_deep());
        }
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        let size = sizes.entry(above.root).or_default();
        if *size >= limits::TREE_RUNS {
            return Err(limits::too_large_a_tree());
        }
        *size += 1;
        places.insert(child, InTree { depth, ..above });
        Ok(depth)
    }

    /// The account that a run's children share.
    pub(super) fn keep_account(&self, run: RunId, plan: &Arc<Plan>, money: Option<Arc<dyn Money>>) {
        if let Some(money) = money {
            self.accounts.lock().unwrap_or_else(PoisonError::into_inner).insert(run, (money, plan.clone()));
        }
    }

    /// What a step of a run pays its child from.
    fn account(&self, run: RunId, step: &str) -> Option<Outer> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.get(&run).map(|(money, plan)| (money.clone(), Purse::named(plan, step)))
    }
}

/// The children of a world's runs. Holds the world weakly: it is the world that holds the runs.
pub(super) struct WorldChildren(pub(super) Weak<World>);

impl WorldChildren {
    fn world(&self) -> Result<Arc<World>, Failure> {
        self.0.upgrade().ok_or_else(|| Failure::new(FailureKind::Internal, "internal", "the program is ending"))
    }
}

#[async_trait]
impl Children for WorldChildren {
    async fn start(&self, request: ChildRequest) -> Result<Child, Failure> {
        let world = self.world()?;
        let effect = strictest(&world, &request.flow, limits::CHILD_DEPTH);
        let known = world.runs.by_key.lock().unwrap_or_else(PoisonError::into_inner).get(&request.key).copied();
        if let Some(run) = known {
            return Ok(Child { run, effect });
        }
        let run = new_run_id();
        let depth = world.runs.join(request.parent, run)?;
        let plan = world.loader.load(&request.flow)?;
        let inputs = child_inputs(&plan, request.inputs, request.narrow)?;
        let cancel = CancellationToken::new();
        let (sender, settled) = watch::channel(None);
        world.runs.by_key.lock().unwrap_or_else(PoisonError::into_inner).insert(request.key, run);
        let canceller = Arc::<OnceLock<String>>::default();
        let child = Running { cancel: cancel.clone(), canceller: canceller.clone(), settled };
        world.runs.children.lock().unwrap_or_else(PoisonError::into_inner).insert(run, child);
        let mut start = Start::new(request.flow, inputs);
        start.run = run;
        start.depth = depth;
        start.trace = request.trace;
        start.money = world.runs.account(request.parent, &request.parent_step);
        "flow".clone_into(&mut start.trigger);
        let control = Control { cancel, canceller, ..Control::default() };
        tokio::spawn(async move {
            let finished = world.run(plan, start, control).await;
            // The parent may be gone; a child that cannot settle leaves the channel closed.
            if let Ok(Outcome::Settled(settled)) = finished.map(|finished| finished.outcome) {
                let _ = sender.send(Some(*settled));
            }
        });
        Ok(Child { run, effect })
    }

    async fn wait(&self, run: RunId) -> Result<Settled, PortError> {
        let world = self.world().map_err(|failure| PortError::Unavailable(failure.message))?;
        let settled = {
            let children = world.runs.children.lock().unwrap_or_else(PoisonError::into_inner);
            children.get(&run).map(|child| child.settled.clone())
        };
        drop(world);
        let mut settled = settled.ok_or_else(|| PortError::NotFound(run.to_string()))?;
        let ended = settled.wait_for(Option::is_some).await.map(|value| value.clone());
        match ended {
            Ok(Some(settled)) => Ok(settled),
            Ok(None) | Err(_) => Err(PortError::Unavailable("the child run broke off".to_owned())),
        }
    }

    async fn cancel(&self, run: RunId, reason: &str) -> Result<(), PortError> {
        let world = self.world().map_err(|failure| PortError::Unavailable(failure.message))?;
        if let Some(child) = world.runs.children.lock().unwrap_or_else(PoisonError::into_inner).get(&run) {
            child.canceller.get_or_init(|| reason.to_owned());
            child.cancel.cancel();
        }
        Ok(())
    }

    async fn tree(&self, callees: &[language::Callee]) -> Result<Option<Value>, PortError> {
        let world = self.world().map_err(|failure| PortError::Unavailable(failure.message))?;
        let mut plans = BTreeMap::new();
        let mut open: Vec<String> = callees.iter().map(|callee| callee.flow.clone()).collect();
        while let Some(flow) = open.pop() {
            if plans.contains_key(&flow) {
                continue;
            }
            let Ok(plan) = world.loader.load(&flow) else { return Ok(None) };
            for step in plan.steps.iter().filter(|step| step.executor.starts_with("flow_")) {
                let Some(called) = language::callees(&step.config) else { return Ok(None) };
                open.extend(called.into_iter().map(|callee| callee.flow));
            }
            plans.insert(flow, serde_json::to_value(&*plan).unwrap_or_default());
        }
        Ok(Some(serde_json::json!(plans)))
    }
}

/// What a flow does with all that it calls. Where it cannot be loaded, its start says so.
fn strictest(world: &World, flow: &str, depth: u32) -> Effect {
    let Ok(plan) = world.loader.load(flow) else { return Effect::Pure };
    if depth == 0 {
        return Effect::Unsafe;
    }
    let effects = Effects::of(&plan, &world.registry);
    effects.calls.iter().map(|callee| strictest(world, &callee.flow, depth - 1)).fold(effects.own, Effect::max)
}

/// The inputs as the child declares them; a whole object is narrowed to what it knows.
fn child_inputs(plan: &Plan, inputs: Value, narrow: bool) -> Result<Value, Failure> {
    let inputs = match (inputs, &plan.inputs) {
        (Value::Object(fields), Some(declared)) if narrow => {
            let known = |name: &str| declared.iter().any(|input| input.name == name);
            Value::Object(fields.into_iter().filter(|(name, _)| known(name)).collect::<Map<_, _>>())
        }
        (inputs, _) => inputs,
    };
    language::inputs::parse(plan, inputs, &BTreeMap::new()).map_err(|problems| {
        let all: Vec<String> =
            problems.iter().map(|problem| format!("`{}`: {}", problem.pointer, problem.message)).collect();
        let name = plan.name.as_deref().unwrap_or("the flow");
        Failure::new(FailureKind::Flow, "child_inputs", format!("The inputs do not fit `{name}`: {}.", all.join("; ")))
    })
}
