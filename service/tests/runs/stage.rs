//! A service on a store of its own, with executors that the tests hold in their hands.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::{Failure, FailureKind, RunId, TenantId};
use engine::ports::{ChildRequest, SystemClock};
use engine::{Call, Done, Executor, Failed};
use entities::system::Claim;
use entities::{Store, StoreError, StoreOptions, run};
use language::{Control, CostKind, Effect, EffectRule, ExecutorSpec, Folder};
use serde_json::{Value, json};
use service::blobs::BlobStore;
use service::runs::{self, Answer, Inputs, SettledRun, StartRun, Started, Waited};
use service::vault::{MasterKeySource, Vault, master_key};
use service::{Actor, Parts, ServiceError, Settings, Weir};
use tokio::sync::Semaphore;

/// What the test executors share with the test.
pub(crate) struct Probe {
    calls: Mutex<HashMap<String, u32>>,
    keys: Mutex<Vec<String>>,
    /// A blocked step takes one permit.
    pub(crate) gate: Semaphore,
    reached: Semaphore,
}

impl Default for Probe {
    fn default() -> Self {
        Self { calls: Mutex::default(), keys: Mutex::default(), gate: Semaphore::new(0), reached: Semaphore::new(0) }
    }
}

impl Probe {
    pub(crate) fn calls(&self, step: &str) -> u32 {
        self.calls.lock().unwrap().get(step).copied().unwrap_or_default()
    }

    /// The outgoing keys of all calls, in order.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.keys.lock().unwrap().clone()
    }

    /// Waits until so many blocked steps have begun.
    pub(crate) async fn reached(&self, count: u32) {
        self.reached.acquire_many(count).await.unwrap().forget();
    }
}

fn spec(name: &str, effect: Effect) -> ExecutorSpec {
    ExecutorSpec {
        name: name.to_owned(),
        version: 1,
        summary: "For suites.".to_owned(),
        config: json!({
            "type": "object",
            "properties": {"value": {}, "mode": {"type": "string"}, "flow": {"type": "string"}, "connection": {"type": "string"}},
            "additionalProperties": false,
        }),
        output: json!({}),
        main_input: None,
        marked: Vec::new(),
        effect: EffectRule::Always(effect),
        cost: CostKind::Free,
        streams: false,
        open_config: false,
        default_attempts: 1,
        file_fields: Vec::new(),
        raw_fields: Vec::new(),
        secret_fields: Vec::new(),
        control: None,
    }
}

/// Gives its value back; `mode` makes it wait, fail, grow or kill.
struct Act {
    spec: ExecutorSpec,
    probe: Arc<Probe>,
}

#[async_trait::async_trait]
impl Executor for Act {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn most_it_costs(&self, _: &Call, _: &Value) -> Option<domain::NanoUsd> {
        Some(domain::NanoUsd(2_000))
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let probe = &self.probe;
        *probe.calls.lock().unwrap().entry(call.step.clone()).or_default() += 1;
        probe.keys.lock().unwrap().push(call.key.clone());
        match config["mode"].as_str() {
            Some("block") => {
                call.progress.delta("so far");
                probe.reached.add_permits(1);
                tokio::select! {
                    permit = probe.gate.acquire() => permit.unwrap().forget(),
                    () = call.cancel.cancelled() => {
                        return Err(Failure::new(FailureKind::Cancelled, "cancelled", "It was told to stop.").into());
                    }
                }
            }
            Some("fail") => {
                return Err(Failure::new(FailureKind::Rejected, "refused", "The other side refused.").into());
            }
            Some("fail_once") if probe.calls(&call.step) == 1 => {
                return Err(Failure::new(FailureKind::Rejected, "refused", "The other side refused, once.").into());
            }
            Some("storage_once") if probe.calls(&call.step) == 1 => {
                return Err(Failure::new(FailureKind::Internal, engine::STORAGE, "The store is away.").into());
            }
            Some("panic") => panic!("a step that kills its worker"),
            Some("large") => return Ok(Done::free(json!({ "text": "canary".repeat(20_000) }))),
            Some("priced") => {
                let usage = domain::wire::Usage {
                    model: Some("test/model".to_owned()),
                    units: BTreeMap::from([("input_tokens".to_owned(), 10)]),
                    cost_nano_usd: Some(domain::NanoUsd(1_500)),
                    estimated: false,
                    saved_nano_usd: None,
                };
                return Ok(Done { output: json!("bought"), usage: Some(usage) });
            }
            _ => {}
        }
        Ok(Done::free(json!({ "value": config["value"] })))
    }
}

/// A step that the engine does itself.
struct Suspending {
    spec: ExecutorSpec,
}

#[async_trait::async_trait]
impl Executor for Suspending {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, _: &Call, _: Value) -> Result<Done, Failed> {
        Err(Failure::new(FailureKind::Internal, "internal", "The engine suspends this step itself.").into())
    }
}

/// Runs another flow and gives its outputs.
struct CallFlow {
    spec: ExecutorSpec,
}

#[async_trait::async_trait]
impl Executor for CallFlow {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let flow = config["flow"].as_str().unwrap_or_default().to_owned();
        let child = call.child(flow, json!({ "value": config["value"] }), "");
        let request = ChildRequest { narrow: false, detached: config["mode"] == "detached", ..child };
        let detached = request.detached;
        let run = call.children.start(request).await?.run;
        if detached {
            return Ok(Done::free(json!({ "run_id": run })));
        }
        let waited = tokio::select! {
            biased;
            settled = call.children.wait(run) => settled,
            () = call.cancel.cancelled() => match call.children.cancel(run, "its parent was").await {
                Ok(()) => call.children.wait(run).await,
                Err(error) => Err(error),
            },
        };
        let settled =
            waited.map_err(|error| Failed::from(Failure::new(FailureKind::Internal, "internal", error.to_string())))?;
        match settled.error {
            Some(error) => Err(error.into()),
            None => Ok(Done::free(settled.outputs)),
        }
    }
}

/// A place for a store that outlives the services on it.
pub(crate) struct Ground {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) url: String,
    pub(crate) probe: Arc<Probe>,
}

static MADE: AtomicU64 = AtomicU64::new(0);

impl Ground {
    pub(crate) async fn new(owner: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = match owner {
            None => format!("sqlite://{}/weir.db?mode=rwc", folder.path().display()),
            Some(owner) => {
                let name = format!("weir_runs_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
                let connection = sea_orm::Database::connect(owner).await.unwrap();
                sea_orm::ConnectionTrait::execute_unprepared(&connection, &format!("CREATE DATABASE {name}"))
                    .await
                    .unwrap();
                format!("{}/{name}", owner.rsplit_once('/').unwrap().0)
            }
        };
        migration::migrate(&url, None).await.unwrap();
        Self { folder, url, probe: Arc::default() }
    }

    /// A service on this store, as a process would have one.
    pub(crate) async fn open(&self) -> Weir {
        let store = Store::connect(&self.url, &StoreOptions { tap: true, connections: 8, ..StoreOptions::default() })
            .await
            .unwrap();
        let probe = Arc::clone(&self.probe);
        let act = Act { spec: spec("act", Effect::Idempotent), probe: Arc::clone(&probe) };
        let paid = ExecutorSpec { cost: CostKind::Tokens, ..spec("buy", Effect::Pure) };
        let buy = Act { spec: paid, probe: Arc::clone(&probe) };
        let think = Act { spec: spec("think", Effect::Pure), probe };
        let call = CallFlow { spec: spec("call_flow", Effect::Idempotent) };
        let asking = |name: &str, control: Control| {
            let keys = ["signal", "for", "until", "on_timeout", "message", "roles", "form", "expires_in", "on_expiry"];
            let keys: serde_json::Map<String, Value> = keys.iter().map(|key| ((*key).to_owned(), json!({}))).collect();
            let config = json!({ "type": "object", "properties": keys, "additionalProperties": false });
            Arc::new(Suspending { spec: ExecutorSpec { control: Some(control), config, ..spec(name, Effect::Pure) } })
        };
        let (wait, approval) = (asking("wait", Control::Wait), asking("approval", Control::Approval));
        let executors: [Arc<dyn Executor>; 6] =
            [Arc::new(act), Arc::new(think), Arc::new(call), Arc::new(buy), wait, approval];
        let key = master_key(MasterKeySource::Text("5a".repeat(32)), self.folder.path()).unwrap();
        let settings = Settings {
            data: self.folder.path().to_owned(),
            database: "for suites".to_owned(),
            public_url: "http://127.0.0.1".to_owned(),
            paused: false,
            version: "0",
        };
        let parts = Parts {
            store,
            registry: engine::Registry::new(executors),
            vault: Vault::new(key),
            blobs: BlobStore::folder(self.folder.path().join("blobs")).unwrap(),
            clock: Arc::new(SystemClock),
            settings,
            sandbox: None,
            caller: None,
        };
        Weir::new(parts).await.unwrap()
    }
}

/// A service with two tenants.
pub(crate) struct Stage {
    pub(crate) ground: Ground,
    pub(crate) weir: Weir,
    pub(crate) actor: Actor,
    pub(crate) stranger: Actor,
}

impl Stage {
    pub(crate) async fn on(owner: Option<&str>) -> Self {
        let ground = Ground::new(owner).await;
        let weir = ground.open().await;
        let one = service::tenants::create(&weir, "one", "ann@example.com").await.unwrap();
        let two = service::tenants::create(&weir, "two", "bob@example.com").await.unwrap();
        Self { ground, weir, actor: Actor::system(one.id, "test"), stranger: Actor::system(two.id, "test") }
    }

    pub(crate) fn probe(&self) -> &Probe {
        &self.ground.probe
    }

    pub(crate) fn tenant(&self) -> TenantId {
        self.actor.tenant
    }

    pub(crate) async fn put(&self, name: &str, yaml: &str) {
        put(&self.weir, &self.actor, name, yaml).await;
    }

    pub(crate) async fn start(&self, flow: &str, answer: Answer) -> Result<Started, ServiceError> {
        runs::start(&self.weir, &self.actor, wish(flow, json!({"value": 7}), answer)).await
    }

    /// Starts, and waits for the end.
    pub(crate) async fn run(&self, flow: &str) -> Arc<SettledRun> {
        let started = self.start(flow, Answer::Wait).await.unwrap();
        settled(runs::wait(&self.weir, started, Duration::from_secs(20)).await.unwrap())
    }

    /// Moves the worker by hand until nothing more may be claimed.
    pub(crate) async fn step(&self) -> usize {
        let mut all = 0;
        loop {
            match runs::worker::step(&self.weir).await.unwrap() {
                0 => return all,
                count => all += count,
            }
        }
    }

    pub(crate) async fn status(&self, run: RunId) -> domain::RunStatus {
        runs::get(&self.weir, &self.actor, run).await.unwrap().summary.status
    }
}

pub(crate) async fn put(weir: &Weir, actor: &Actor, name: &str, yaml: &str) {
    let folder = Folder { name: Some(name.to_owned()), yaml: yaml.to_owned(), files: BTreeMap::new() };
    service::flows::put(weir, actor, name, folder, service::flows::PutOptions::default()).await.unwrap();
}

pub(crate) fn wish(flow: &str, body: Value, answer: Answer) -> StartRun {
    StartRun {
        flow: flow.to_owned(),
        version: None,
        channel: None,
        inputs: Inputs::Json { body, files: BTreeMap::new() },
        idempotency_key: None,
        labels: BTreeMap::new(),
        subject: None,
        priority: None,
        answer,
    }
}

pub(crate) fn settled(waited: Waited) -> Arc<SettledRun> {
    match waited {
        Waited::Settled(settled) => settled,
        Waited::Pending { run_id, status } => panic!("{run_id} is still {status}"),
    }
}

/// Runs a test on every store there is.
pub(crate) async fn everywhere<F: Future<Output = ()>>(test: impl Fn(Stage) -> F) {
    let stage = Stage::on(None).await;
    let store = stage.weir.store().clone();
    test(stage).await;
    crate::plans::check(store.statements()).await;
    if let Ok(owner) = std::env::var("WEIR_TEST_POSTGRES_OWNER_URL") {
        test(Stage::on(Some(&owner)).await).await;
    }
}

/// One step that gives the call's value back.
pub(crate) const ONE: &str = "steps:\n  - name: one\n    executor: think\n    config: {value: '{{ inputs.value }}'}\n";

/// Claims what may be claimed, as a worker that says nothing more.
pub(crate) async fn claim_all(weir: &Weir, claim: Claim) -> Vec<run::Model> {
    let ready = weir.store().system().await.unwrap().ready_tenants(claim.now).await.unwrap();
    let taken: Result<Vec<run::Model>, StoreError> = weir
        .store()
        .write_system(|unit| async move {
            let mut taken = Vec::new();
            for tenant in &ready {
                taken.extend(unit.claim_runs(&claim, tenant).await?);
            }
            Ok(taken)
        })
        .await;
    taken.unwrap()
}
