//! Slots under limits that count over runs: who waits, who is refused, and when they are given back.
use std::sync::Arc;

use domain::{Failure, RunId, RunStatus};
use serde_json::json;

use crate::Outcome;
use crate::event::LimitKind;
use crate::kit::{Ran, Stage};
use crate::memory::{MemoryPools, MemorySlots};
use crate::ports::{ModelEndpoint, Models, PortError, ServiceEndpoint, SlotAnswer, SlotLimit, SlotRequest, Slots as _};
use crate::run::DriveError;

fn pools() -> Arc<MemoryPools> {
    Arc::new(MemoryPools::new([("gpu".to_owned(), 2)]))
}

fn staged(yaml: &str, pools: &Arc<MemoryPools>) -> Stage {
    let mut stage = Stage::new(yaml);
    stage.slots = Some(Arc::new(pools.of_run(stage.id)));
    stage
}

/// Another run, with slots of its own.
async fn other(pools: &Arc<MemoryPools>, kind: LimitKind, key: &str, units: u32) -> MemorySlots {
    let slots = pools.of_run(RunId::from_uuid(uuid::Uuid::from_u128(1)));
    let limit = SlotLimit { kind, key: key.to_owned(), units, most: None };
    let request = SlotRequest { step: "other".to_owned(), item: None, limits: vec![limit] };
    assert_eq!(slots.take(request).await.unwrap(), SlotAnswer::Taken);
    slots
}

fn is_queued(ran: &Ran) -> bool {
    matches!(ran.outcome, Outcome::Suspended { status: RunStatus::Queued, .. })
}

fn events(ran: &Ran, name: &str) -> usize {
    ran.entries.iter().filter(|entry| entry.event.name() == name).count()
}

const POOL: &str = "steps:\n  - {name: train, executor: act, resources: {pool: gpu, units: 2}, retry: {max_attempts: 3, initial_delay: 1ms}, config: {fail: timeout, times: 2, give: 7}}\n";

#[tokio::test]
async fn a_step_waits_for_units_of_its_pool_and_holds_them_while_it_executes_alone() {
    let pools = pools();
    let holder = other(&pools, LimitKind::Pool, "gpu", 1).await;
    let stage = staged(POOL, &pools);
    let first = stage.go().await;
    assert!(is_queued(&first), "{first:?}");
    assert_eq!((events(&first, "step_queued"), stage.calls().len()), (1, 0));
    let second = stage.go_on(first.entries).await;
    assert!(is_queued(&second), "{second:?}");
    assert_eq!(events(&second, "step_queued"), 1, "it is said once");
    holder.give_back("other", None).await.unwrap();
    let done = stage.go_on(second.entries).await;
    assert_eq!(done.settled().outputs, json!(7), "{done:?}");
    assert_eq!(stage.calls().len(), 3, "each attempt took its units anew");
    assert_eq!(pools.held(LimitKind::Pool, "gpu"), 0, "nothing is held when nothing executes");
}

#[tokio::test]
async fn a_run_that_executes_something_else_hears_of_units_that_are_free() {
    let pools = pools();
    let holder = other(&pools, LimitKind::Pool, "gpu", 2).await;
    let yaml = "steps:\n  - {name: train, executor: act, depends_on: [], resources: {pool: gpu}}\n  - {name: long, executor: act, depends_on: [], config: {sleep_ms: 200}}\n";
    let stage = staged(yaml, &pools);
    let (ran, ()) = tokio::join!(stage.go(), async {
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
        holder.give_back("other", None).await.unwrap();
    });
    assert_eq!(ran.settled().status, RunStatus::Succeeded, "{ran:?}");
    assert_eq!(ran.step("train"), "succeeded");
}

#[tokio::test]
async fn more_units_than_a_pool_has_are_refused() {
    let stage = staged("steps:\n  - {name: train, executor: act, resources: {pool: gpu, units: 3}}\n", &pools());
    let ran = stage.go().await;
    assert_eq!(ran.error_of("train").code, "pool_too_small");
    assert!(stage.calls().is_empty());
}

#[tokio::test]
async fn items_of_one_step_share_its_concurrency() {
    let pools = pools();
    let yaml = "steps:\n  - {name: each, executor: act, for_each: [1, 2, 3, 4, 5], concurrency: {limit: 2}, config: {sleep_ms: 5, give: \"{{ item }}\"}}\n";
    let ran = staged(yaml, &pools).go().await;
    assert_eq!(ran.settled().outputs, json!([1, 2, 3, 4, 5]), "{ran:?}");
    let (mut running, mut most) = (0_i32, 0);
    for entry in &ran.entries {
        match entry.event.name() {
            "attempt_started" => running += 1,
            "item_settled" => running -= 1,
            _ => {}
        }
        most = most.max(running);
    }
    assert_eq!(most, 2);
    assert_eq!(pools.held(LimitKind::Step, "tested:each:"), 0);
}

#[tokio::test]
async fn at_its_limit_a_step_is_refused_or_skipped_or_waits_so_long() {
    for (on_limit, expected) in
        [("on_limit: reject", "failed"), ("on_limit: skip", "skipped(concurrency)"), ("max_wait: 20ms", "timed_out")]
    {
        let pools = pools();
        let _holder = other_at_step(&pools).await;
        let yaml = format!(
            "steps:\n  - {{name: one, executor: act, concurrency: {{limit: 1, {on_limit}}}, on_error: continue}}\n"
        );
        let ran = staged(&yaml, &pools).go().await;
        assert_eq!(ran.step("one"), expected, "{on_limit}: {ran:?}");
    }
}

async fn other_at_step(pools: &Arc<MemoryPools>) -> MemorySlots {
    other(pools, LimitKind::Step, "tested:one:", 1).await
}

#[tokio::test]
async fn a_key_gives_each_customer_places_of_their_own() {
    let pools = pools();
    let _holder = other(&pools, LimitKind::Step, "tested:one:ada", 1).await;
    let yaml = "steps:\n  - {name: one, executor: act, concurrency: {limit: 1, key: \"{{ inputs.customer }}\"}}\n";
    assert!(is_queued(&staged(yaml, &pools).with(json!({"customer": "ada"})).go().await));
    let ran = staged(yaml, &pools).with(json!({"customer": "bob"})).go().await;
    assert_eq!(ran.step("one"), "succeeded");
}

#[tokio::test]
async fn an_output_that_somebody_is_making_for_the_cache_is_waited_for_and_not_made_twice() {
    let pools = pools();
    let yaml = "steps:\n  - {name: look, executor: act, cache: {ttl: 1h}, config: {give: 1, sleep_ms: 40}}\n  - {name: idle, executor: act, depends_on: [], config: {sleep_ms: 120}}\n";
    let first = staged(yaml, &pools);
    let mut second = staged(yaml, &pools);
    second.cache = first.cache.clone();
    let (one, two) = tokio::join!(first.go(), second.go());
    let looked = |stage: &Stage| stage.calls().iter().filter(|(step, _)| step == "look").count();
    assert_eq!(looked(&first) + looked(&second), 1, "{one:?}\n{two:?}");
    let mut ends = [one.step("look"), two.step("look")];
    ends.sort();
    assert_eq!(ends, ["cached", "succeeded"]);
}

/// Connections in a store that is away.
struct Away;

#[async_trait::async_trait]
impl Models for Away {
    async fn resolve(&self, _: Option<&str>) -> Result<ModelEndpoint, Failure> {
        panic!("no attempt is made");
    }

    async fn service(&self, _: &str) -> Result<ServiceEndpoint, Failure> {
        panic!("no attempt is made");
    }

    async fn most_at_once(&self, _: &str) -> Result<Option<u32>, PortError> {
        Err(PortError::Unavailable("the store is away".to_owned()))
    }
}

#[tokio::test]
async fn a_run_rests_while_the_limits_of_its_connections_cannot_be_read() {
    let pools = pools();
    let mut stage = staged("steps:\n  - {name: call, executor: act, config: {connection: house, give: 7}}\n", &pools);
    stage.models = Arc::new(Away);
    let rested = stage.driven(Vec::new()).await;
    assert!(matches!(rested, Err(DriveError::Port(PortError::Unavailable(_)))), "{rested:?}");
    assert!(stage.calls().is_empty());
    stage.models = Arc::new(crate::memory::FixedModels::default());
    assert_eq!(stage.go().await.settled().status, RunStatus::Succeeded);
}

/// A run whose worker went away while a step with a limit waited for its child.
async fn left_with_a_child(pools: &Arc<MemoryPools>, limit: &str) -> (Stage, Ran) {
    let yaml = format!("steps:\n  - {{name: call, executor: nest, {limit}, config: {{text: endless}}}}\n");
    let stage = staged(&yaml, pools);
    let stop = stage.control.stop.clone();
    let (ran, ()) = tokio::join!(stage.go(), async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        stop.cancel();
    });
    assert_eq!(events(&ran, "child_started"), 1, "{ran:?}");
    pools.free(stage.id);
    (stage, ran)
}

#[tokio::test]
async fn an_attempt_that_its_worker_left_behind_waits_for_its_slots_and_its_child_ends_with_it() {
    for limit in ["resources: {pool: gpu, units: 2}", "concurrency: {limit: 1, on_limit: reject}"] {
        let pools = pools();
        let (mut stage, ran) = left_with_a_child(&pools, limit).await;
        let kind = if limit.starts_with("res") { LimitKind::Pool } else { LimitKind::Step };
        let key = if kind == LimitKind::Pool { "gpu" } else { "tested:call:" };
        let _holder = other(&pools, kind, key, 1).await;
        stage.control = crate::Control::default();
        let rests = stage.go_on(ran.entries).await;
        assert!(is_queued(&rests), "{limit}: {rests:?}");
        stage.control.cancel.cancel();
        let ended = stage.go_on(rests.entries).await;
        assert_eq!(ended.settled().status, RunStatus::Cancelled, "{limit}");
        tokio::task::yield_now().await;
        assert_eq!(stage.kids.cancelled.lock().unwrap().len(), 1, "{limit}: its child ends with it");
    }
}
