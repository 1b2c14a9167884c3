//! For tests: flows as YAML, one executor that does as its config says, and a driver around them in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use language::plan::Plan;
use language::{CostKind, DataKind, Effect, EffectRule, ExecutorSpec, Folder, MainInput, MarkedField};
use serde_json::{Value, json};

use crate::memory::{
    FixedModels, FixedSecrets, FlowLoader, MemoryBlobs, MemoryCache, MemoryInbox, MemoryJournal, Unobserved, World,
    WorldParts, new_run_id,
};
use crate::ports::{Children, Clock, Models, Money, PortError, Slots, SystemClock};
use crate::*;

/// What every executor of the kit saw.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) calls: Mutex<Vec<(String, u32)>>,
    pub(crate) keys: Mutex<Vec<String>>,
    pub(crate) configs: Mutex<HashMap<String, Value>>,
    /// Cuts a run off: attempts of this step never end.
    pub(crate) hang: Mutex<Option<String>>,
}

struct Act {
    spec: ExecutorSpec,
    seen: Arc<Seen>,
}

#[async_trait]
impl Executor for Act {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        self.seen.calls.lock().unwrap().push((call.step.clone(), call.attempt));
        self.seen.keys.lock().unwrap().push(call.key.clone());
        self.seen.configs.lock().unwrap().insert(call.step.clone(), config.clone());
        if self.seen.hang.lock().unwrap().as_deref() == Some(&call.step) {
            std::future::pending::<()>().await;
        }
        if let Some(ms) = config.get("sleep_ms").and_then(Value::as_u64) {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(ms)) => {}
                () = call.cancel.cancelled() => {
                    return Err(Failure::new(FailureKind::Cancelled, "cancelled", "stopped").into());
                }
            }
        }
        assert!(config.get("panic").is_none(), "as the config says");
        let times = config.get("times").and_then(Value::as_u64).unwrap_or(u64::MAX);
        if let Some(code) = config.get("fail").and_then(Value::as_str)
            && u64::from(call.attempt) <= times
        {
            let kind = serde_json::from_value(json!(code)).unwrap_or(FailureKind::Rejected);
            return Err(Failure::new(kind, code, format!("as told: {code}")).into());
        }
        Ok(Done::free(config.get("give").cloned().unwrap_or_else(|| json!({"done": call.step}))))
    }

    /// As the config says, in nano-dollars.
    async fn most_it_costs(&self, _call: &Call, config: &Value) -> Option<domain::NanoUsd> {
        config.get("give").and_then(Value::as_i64).map(domain::NanoUsd)
    }
}

pub(crate) fn spec(name: &str) -> ExecutorSpec {
    let any = json!({});
    ExecutorSpec {
        name: name.to_owned(),
        version: 1,
        summary: "Does as it is told.".to_owned(),
        config: json!({
            "type": "object",
            "properties": {
                "give": any, "sleep_ms": {"type": ["integer", "string"]}, "fail": any, "times": any, "panic": any,
                "file": any, "text": any, "sources": any, "token": {"type": "string"}, "prompt": any, "prompt_file": any,
                "connection": any,
            },
            "additionalProperties": false,
        }),
        output: json!({}),
        main_input: None,
        marked: Vec::new(),
        effect: EffectRule::Always(Effect::Pure),
        cost: CostKind::Free,
        streams: false,
        open_config: false,
        default_attempts: 1,
        file_fields: Vec::new(),
        raw_fields: Vec::new(),
        secret_fields: vec!["token".to_owned(), "give".to_owned()],
        control: None,
    }
}

/// Runs other flows, one after the other: its config is `{text: <flow or flows with commas>, give: <inputs>}`.
struct Nest(ExecutorSpec);

#[async_trait]
impl Executor for Nest {
    fn spec(&self) -> &ExecutorSpec {
        &self.0
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let mut last = Value::Null;
        let text = config["text"].as_str().unwrap_or_default();
        for (index, flow) in text.split(',').enumerate() {
            let inputs = config.get("give").cloned().unwrap_or_else(|| json!({}));
            let request =
                call.child(flow.to_owned(), inputs, &if index == 0 { String::new() } else { format!("/{index}") });
            let child = call.children.start(request).await?;
            last = match call.children.wait(child.run).await {
                Ok(Settled { error: None, outputs, .. }) => outputs,
                Ok(Settled { error: Some(error), .. }) => return Err(error.into()),
                Err(error) => return Err(Failure::new(FailureKind::Internal, "internal", error.to_string()).into()),
            };
        }
        Ok(Done::free(last))
    }
}

fn any() -> Value {
    json!({})
}

fn main_input(field: &str, kind: DataKind, list: bool) -> Option<MainInput> {
    Some(MainInput { field: field.to_owned(), kind, list, required: true, needed_unless: Vec::new() })
}

pub(crate) fn registry(seen: &Arc<Seen>) -> Registry {
    let text = json!({"type": "object", "properties": {"text": {"type": "string"}}, "additionalProperties": true});
    let specs = [
        ExecutorSpec { output: json!({"type": "object", "additionalProperties": true}), ..spec("act") },
        ExecutorSpec {
            main_input: main_input("file", DataKind::File, false),
            marked: vec![MarkedField { field: "text".to_owned(), kind: DataKind::Text }],
            output: text,
            ..spec("reader")
        },
        ExecutorSpec {
            main_input: main_input("text", DataKind::Text, false),
            file_fields: vec!["prompt_file".to_owned()],
            open_config: true,
            config: json!({"type": "object", "properties": {"prompt": any(), "prompt_file": any(), "system": any(), "text": any(), "give": any()}}),
            ..spec("writer")
        },
        ExecutorSpec { main_input: main_input("sources", DataKind::Data, true), ..spec("combiner") },
        ExecutorSpec { effect: EffectRule::Always(Effect::Unsafe), ..spec("pay") },
    ];
    let acts = specs.into_iter().map(|spec| Arc::new(Act { spec, seen: seen.clone() }) as Arc<dyn Executor>);
    let control = |name, control| ExecutorSpec {
        config: json!({
            "type": "object",
            "properties": {
                "for": any(), "until": any(), "signal": any(), "on_timeout": any(), "message": any(), "roles": any(),
                "form": any(), "expires_in": any(), "on_expiry": any(), "on_reject": any(),
            },
            "additionalProperties": false,
        }),
        output: json!({"type": "object", "additionalProperties": true}),
        control: Some(control),
        ..spec(name)
    };
    let waits = [control("wait", language::Control::Wait), control("approval", language::Control::Approval)];
    let acts = acts.chain(waits.map(|spec| Arc::new(Act { spec, seen: seen.clone() }) as Arc<dyn Executor>));
    let priced = ExecutorSpec { cost: CostKind::Tokens, ..spec("model") };
    let acts = acts.chain([Arc::new(Act { spec: priced, seen: seen.clone() }) as Arc<dyn Executor>]);
    let nest = Nest(ExecutorSpec { cost: CostKind::Child, effect: EffectRule::StrictestChild, ..spec("nest") });
    Registry::new(acts.chain([Arc::new(nest) as Arc<dyn Executor>]))
}

pub(crate) fn folder(yaml: &str) -> Folder {
    Folder { name: None, yaml: yaml.to_owned(), files: BTreeMap::new() }
}

pub(crate) fn plan_of(folder: &Folder, registry: &Registry) -> Arc<Plan> {
    let compiled = language::compile(folder, &registry.catalogue());
    Arc::new(compiled.plan.unwrap_or_else(|| panic!("{:#?}\n{}", compiled.problems, folder.yaml)))
}

/// A clock that a test can move.
pub(crate) struct ShiftedClock(pub(crate) TimeDelta);

impl Clock for ShiftedClock {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + self.0
    }
}

/// Children as a store keeps them, by key: each epoch of a flow's runs ends as the test says.
#[derive(Default)]
pub(crate) struct Kids {
    runs: Mutex<Vec<Kid>>,
    pub(crate) cancelled: Mutex<Vec<RunId>>,
    /// By flow, how the epochs of all its runs end, in turn; `None` and what is beyond is success.
    pub(crate) ends: Mutex<HashMap<String, std::collections::VecDeque<Option<FailureKind>>>>,
}

/// One child.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kid {
    pub(crate) run: RunId,
    pub(crate) flow: String,
    pub(crate) key: String,
    pub(crate) epoch: u32,
    end: Option<FailureKind>,
}

impl Kids {
    pub(crate) fn end(&self, flow: &str, ends: &[Option<FailureKind>]) {
        self.ends.lock().unwrap().insert(flow.to_owned(), ends.iter().copied().collect());
    }

    /// Each child's flow and epoch, in the order of their starts.
    pub(crate) fn all(&self) -> Vec<(String, u32)> {
        self.runs.lock().unwrap().iter().map(|kid| (kid.flow.clone(), kid.epoch)).collect()
    }

    fn next_end(&self, flow: &str) -> Option<FailureKind> {
        self.ends.lock().unwrap().get_mut(flow).and_then(std::collections::VecDeque::pop_front).flatten()
    }
}

#[async_trait]
impl Children for Kids {
    async fn start(&self, request: ports::ChildRequest) -> Result<ports::Child, Failure> {
        let mut runs = self.runs.lock().unwrap();
        let place = |key: &String| runs.iter().position(|kid| kid.key == *key);
        let child = |kid: &Kid| Ok(ports::Child { run: kid.run, effect: Effect::Pure });
        if let Some(own) = place(&request.key) {
            return child(&runs[own]);
        }
        if let Some(before) = request.earlier.iter().find_map(place) {
            let kid = &mut runs[before];
            kid.key = request.key;
            if kid.end.is_some() {
                (kid.epoch, kid.end) = (kid.epoch + 1, self.next_end(&request.flow));
            }
            return child(kid);
        }
        let end = self.next_end(&request.flow);
        runs.push(Kid { run: new_run_id(), flow: request.flow, key: request.key, epoch: 1, end });
        child(&runs[runs.len() - 1])
    }

    /// Runs of the flow `endless` do not end.
    async fn wait(&self, run: RunId) -> Result<Settled, PortError> {
        let kid = self.runs.lock().unwrap().iter().find(|kid| kid.run == run).cloned();
        let kid = kid.ok_or_else(|| PortError::NotFound(run.to_string()))?;
        if kid.flow == "endless" {
            std::future::pending::<()>().await;
        }
        let error = kid.end.map(|kind| Failure::new(kind, "as_told", "as told"));
        Ok(Settled {
            status: error.as_ref().map_or(RunStatus::Succeeded, |_| RunStatus::Failed),
            outputs: json!({"of": kid.flow}),
            error,
            failed_step: None,
            handler_errors: Vec::new(),
            failed_attempt: None,
            usage: domain::wire::UsageTotals::default(),
            cost: Some(domain::NanoUsd::ZERO),
        })
    }

    async fn cancel(&self, run: RunId, _reason: &str) -> Result<(), PortError> {
        self.cancelled.lock().unwrap().push(run);
        Ok(())
    }
}

struct Unwatching;

impl Watcher for Unwatching {
    fn progress(&self, _step: &str, _item: Option<u32>, _attempt: u32) -> Arc<dyn Progress> {
        Arc::new(Unwatched)
    }
}

/// One flow in a small world of its own.
pub(crate) struct Stage {
    pub(crate) seen: Arc<Seen>,
    pub(crate) registry: Registry,
    pub(crate) plan: Arc<Plan>,
    pub(crate) blobs: Arc<MemoryBlobs>,
    pub(crate) inputs: Value,
    pub(crate) control: Control,
    pub(crate) shift: TimeDelta,
    pub(crate) inbox: Arc<MemoryInbox>,
    pub(crate) cache: Arc<MemoryCache>,
    pub(crate) slots: Option<Arc<dyn Slots>>,
    pub(crate) money: Option<Arc<dyn Money>>,
    pub(crate) models: Arc<dyn Models>,
    pub(crate) kids: Arc<Kids>,
    pub(crate) restart_by: Option<String>,
    pub(crate) refused: Option<Refusal>,
    pub(crate) reused: Vec<dispatcher::Reused>,
    pub(crate) id: RunId,
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    pub(crate) entries: Vec<Entry>,
}

impl Stage {
    pub(crate) fn new(yaml: &str) -> Self {
        Self::of(&folder(yaml))
    }

    pub(crate) fn of(folder: &Folder) -> Self {
        let seen = Arc::new(Seen::default());
        let registry = registry(&seen);
        let plan = plan_of(folder, &registry);
        Self {
            seen,
            registry,
            plan,
            blobs: Arc::default(),
            inputs: json!({}),
            control: Control::default(),
            shift: TimeDelta::zero(),
            inbox: Arc::default(),
            cache: Arc::default(),
            slots: None,
            money: None,
            models: Arc::new(FixedModels::default()),
            kids: Arc::default(),
            restart_by: None,
            refused: None,
            reused: Vec::new(),
            id: new_run_id(),
        }
    }

    pub(crate) fn with(mut self, inputs: Value) -> Self {
        self.inputs = inputs;
        self
    }

    pub(crate) async fn go(&self) -> Ran {
        self.go_on(Vec::new()).await
    }

    pub(crate) async fn go_on(&self, history: Vec<Entry>) -> Ran {
        self.driven(history).await.unwrap()
    }

    /// The same where the surroundings may fail.
    pub(crate) async fn driven(&self, history: Vec<Entry>) -> Result<Ran, DriveError> {
        let journal = Arc::new(MemoryJournal::with_history(self.id, history.clone()));
        let secrets = FixedSecrets(BTreeMap::from([("TOKEN".to_owned(), "hunter22".to_owned())]));
        let run = Run {
            tenant: TenantId::from_uuid(uuid::Uuid::from_u128(7)),
            id: self.id,
            plan: self.plan.clone(),
            inputs: self.inputs.clone(),
            flow: "tested".to_owned(),
            version: 3,
            created_at: SystemClock.now(),
            trigger: "test".to_owned(),
            labels: BTreeMap::new(),
            trace: domain::TraceContext::of_run(self.id),
            test: false,
            default_model: None,
            depth: 0,
            reused: self.reused.clone(),
            keys_of: None,
            restart_by: self.restart_by.clone(),
            refused: self.refused.clone(),
        };
        let surroundings = Surroundings {
            registry: self.registry.clone(),
            journal: journal.clone(),
            blobs: self.blobs.clone(),
            secrets: Arc::new(secrets),
            models: self.models.clone(),
            values: Arc::new(crate::memory::MemoryValues::default()),
            children: self.kids.clone(),
            clock: Arc::new(ShiftedClock(self.shift)),
            watcher: Arc::new(Unwatching),
            sandbox: None,
            inbox: Some(self.inbox.clone()),
            cache: Some(self.cache.clone()),
            slots: self.slots.clone(),
            money: self.money.clone(),
        };
        let outcome = drive(run, history, surroundings, self.control.clone()).await?;
        Ok(Ran { outcome, entries: journal.entries() })
    }

    pub(crate) fn calls(&self) -> Vec<(String, u32)> {
        self.seen.calls.lock().unwrap().clone()
    }

    pub(crate) fn config(&self, step: &str) -> Value {
        self.seen.configs.lock().unwrap()[step].clone()
    }
}

impl Ran {
    pub(crate) fn settled(&self) -> &Settled {
        match &self.outcome {
            Outcome::Settled(settled) => settled,
            other => panic!("not settled: {other:?}\n{:#?}", self.entries),
        }
    }

    /// `status` or `status(reason)` of each settled step, by name.
    pub(crate) fn steps(&self) -> BTreeMap<&str, String> {
        let mut found = BTreeMap::new();
        for entry in &self.entries {
            if let Event::StepSettled { step, status, reason, .. } = &entry.event {
                let text = match reason {
                    Some(reason) => format!("{status}({})", reason.as_str()),
                    None => status.to_string(),
                };
                assert!(found.insert(step.as_str(), text).is_none(), "{step} settles twice");
            }
        }
        found
    }

    pub(crate) fn step(&self, name: &str) -> String {
        self.steps().get(name).cloned().unwrap_or_else(|| "unsettled".to_owned())
    }

    pub(crate) fn error_of(&self, name: &str) -> &Failure {
        let found = self.entries.iter().find_map(|entry| match &entry.event {
            Event::StepSettled { step, error: Some(error), .. } if step == name => Some(error),
            _ => None,
        });
        found.unwrap_or_else(|| panic!("{name} has no error: {:#?}", self.entries))
    }
}

struct Loader(BTreeMap<String, Arc<Plan>>);

impl FlowLoader for Loader {
    fn load(&self, flow: &str) -> Result<Arc<Plan>, Failure> {
        let unknown = || Failure::new(FailureKind::Flow, "unknown_flow", format!("There is no flow `{flow}`."));
        self.0.get(flow).cloned().ok_or_else(unknown)
    }
}

/// A world of several flows.
pub(crate) fn world(registry: Registry, flows: &[(&str, &str)]) -> (Arc<World>, BTreeMap<String, Arc<Plan>>) {
    let plans: BTreeMap<String, Arc<Plan>> =
        flows.iter().map(|(name, yaml)| ((*name).to_owned(), plan_of(&folder(yaml), &registry))).collect();
    let parts = WorldParts {
        registry,
        secrets: FixedSecrets::default(),
        models: FixedModels::default(),
        loader: Arc::new(Loader(plans.clone())),
        observer: Arc::new(Unobserved),
        sandbox: None,
    };
    (World::new(parts), plans)
}
