//! The queue: turns between tenants, priorities, limits and what a run waits for.

use std::time::Duration;

use domain::wire::{TenantPatch, WhyKind};
use domain::{RunId, RunStatus};
use entities::slot;
use serde_json::json;
use service::runs::{self, Answer, Started, Waited};
use service::{Actor, ServiceError, tenants};
use tokio_util::sync::CancellationToken;

use crate::stage::{ONE, Stage, everywhere, put, settled, wish};

async fn queue(stage: &Stage, actor: &Actor, flow: &str, count: usize, priority: i32) -> Vec<Started> {
    let mut started = Vec::new();
    for _ in 0..count {
        let mut wish = wish(flow, json!({"value": 7}), Answer::Later);
        wish.priority = Some(priority);
        started.push(runs::start(&stage.weir, actor, wish).await.unwrap());
    }
    started
}

async fn over(stage: &Stage, actor: &Actor, started: &[Started]) -> usize {
    let mut over = 0;
    for one in started {
        let run = runs::get(&stage.weir, actor, one.run_id).await.unwrap();
        over += usize::from(run.summary.status.is_terminal());
    }
    over
}

async fn why(stage: &Stage, run: RunId) -> domain::wire::WhyView {
    runs::why(&stage.weir, &stage.actor, run).await.unwrap()
}

fn limited(limit: u32, rest: &str) -> String {
    format!(
        "concurrency: {{limit: {limit}{rest}}}\nsteps:\n  - {{name: hold, executor: act, config: {{mode: block}}}}\n"
    )
}

#[tokio::test]
async fn ten_runs_are_not_held_up_by_another_tenants_two_thousand() {
    everywhere(|stage| async move {
        stage.put("one", ONE).await;
        put(&stage.weir, &stage.stranger, "one", ONE).await;
        queue(&stage, &stage.actor, "one", 2_000, 1).await;
        let few = queue(&stage, &stage.stranger, "one", 10, 3).await;
        // Alone they would take one claim.
        for _ in 0..2 {
            runs::worker::step(&stage.weir).await.unwrap();
        }
        assert_eq!(over(&stage, &stage.stranger, &few).await, 10);
    })
    .await;
}

#[tokio::test]
async fn weights_are_shares_of_what_is_taken() {
    everywhere(|stage| async move {
        stage.put("one", ONE).await;
        put(&stage.weir, &stage.stranger, "one", ONE).await;
        tenants::set_queue_weight(&stage.weir, "two", 3).await.unwrap();
        let one = queue(&stage, &stage.actor, "one", 40, 3).await;
        let two = queue(&stage, &stage.stranger, "one", 40, 3).await;
        assert_eq!(runs::worker::step(&stage.weir).await.unwrap(), 16);
        assert_eq!(over(&stage, &stage.actor, &one).await, 4);
        assert_eq!(over(&stage, &stage.stranger, &two).await, 12);
    })
    .await;
}

#[tokio::test]
async fn within_a_tenant_priority_comes_first_and_then_who_came_first() {
    everywhere(|stage| async move {
        stage.put("one", ONE).await;
        let usual = queue(&stage, &stage.actor, "one", 35, 3).await;
        let last = queue(&stage, &stage.actor, "one", 2, 5).await;
        let first = queue(&stage, &stage.actor, "one", 5, 1).await;
        assert_eq!(why(&stage, last[1].run_id).await.ahead, Some(41));
        assert_eq!(runs::worker::step(&stage.weir).await.unwrap(), 16);
        assert_eq!(over(&stage, &stage.actor, &first).await, 5);
        assert_eq!(over(&stage, &stage.actor, &usual[..11]).await, 11);
        assert_eq!(over(&stage, &stage.actor, &usual[11..]).await, 0);
        assert_eq!(over(&stage, &stage.actor, &last).await, 0);
        stage.step().await;
        assert_eq!(over(&stage, &stage.actor, &last).await, 2);
        let mut wrong = wish("one", json!({"value": 7}), Answer::Later);
        wrong.priority = Some(6);
        assert!(matches!(runs::start(&stage.weir, &stage.actor, wrong).await, Err(ServiceError::BadRequest(_))));
    })
    .await;
}

#[tokio::test]
async fn runs_beyond_their_flows_limit_are_parked_and_let_in_one_by_one() {
    everywhere(|stage| async move {
        stage.put("held", &limited(1, ", key: '{{ inputs.value }}'")).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let mut runs_of_seven = queue(&stage, &stage.actor, "held", 3, 3).await;
        let other =
            runs::start(&stage.weir, &stage.actor, wish("held", json!({"value": 8}), Answer::Later)).await.unwrap();
        // One of each key executes.
        stage.probe().reached(2).await;
        let told = why(&stage, runs_of_seven[2].run_id).await;
        assert_eq!((told.kind, told.ahead), (WhyKind::Limit, Some(1)), "{told:?}");
        assert_eq!(told.held_by, [runs_of_seven[0].run_id]);
        assert!(told.sentence.contains("One run of `held` may execute at once"), "{}", told.sentence);
        assert_eq!(why(&stage, other.run_id).await.kind, WhyKind::Step);
        assert_eq!(stage.probe().calls("hold"), 2);
        for left in (0..3).rev() {
            stage.probe().gate.add_permits(if left == 2 { 2 } else { 1 });
            let first = runs_of_seven.remove(0);
            settled(runs::wait(&stage.weir, first, Duration::from_secs(20)).await.unwrap());
            if left > 0 {
                stage.probe().reached(1).await;
            }
        }
        assert_eq!(stage.probe().calls("hold"), 4);
        shutdown.cancel();
        worker.await.unwrap();
        let left = stage.weir.store().read(stage.tenant()).await.unwrap();
        assert_eq!(entities::Scope::find::<slot::Entity>(&left).count().await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_flow_may_refuse_skip_or_replace_at_its_limit() {
    everywhere(|stage| async move {
        for (name, on_limit) in [("refusing", "reject"), ("skipping", "skip"), ("replacing", "replace_oldest")] {
            stage.put(name, &limited(1, &format!(", on_limit: {on_limit}"))).await;
        }
        let refused = stage.start("refusing", Answer::Later).await;
        assert!(refused.is_ok());
        let refused = stage.start("refusing", Answer::Later).await.unwrap_err();
        assert!(matches!(refused, ServiceError::RateLimited { .. }), "{refused:?}");

        stage.start("skipping", Answer::Later).await.unwrap();
        let skipped = stage.start("skipping", Answer::Later).await.unwrap();
        let skipped = settled(runs::wait(&stage.weir, skipped, Duration::from_secs(20)).await.unwrap());
        assert_eq!(skipped.settled.status, RunStatus::Cancelled);
        assert_eq!(skipped.settled.error.as_ref().unwrap().code, "concurrency_skipped");

        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        stage.probe().reached(2).await;
        let old = stage.start("replacing", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        let new = stage.start("replacing", Answer::Later).await.unwrap();
        let replaced = settled(runs::wait(&stage.weir, old, Duration::from_secs(20)).await.unwrap());
        assert_eq!(replaced.settled.status, RunStatus::Cancelled);
        stage.probe().reached(1).await;
        stage.probe().gate.add_permits(10);
        let done = settled(runs::wait(&stage.weir, new, Duration::from_secs(20)).await.unwrap());
        assert_eq!(done.settled.status, RunStatus::Succeeded);
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_waits_too_long_behind_a_limit_is_told_so() {
    everywhere(|stage| async move {
        stage.put("held", &limited(1, ", max_wait: 1s")).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let first = stage.start("held", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        let second = stage.start("held", Answer::Later).await.unwrap();
        let given_up = settled(runs::wait(&stage.weir, second, Duration::from_secs(20)).await.unwrap());
        assert_eq!(given_up.settled.status, RunStatus::TimedOut);
        assert_eq!(given_up.settled.error.as_ref().unwrap().code, "queue_timeout");
        stage.probe().gate.add_permits(1);
        let done = settled(runs::wait(&stage.weir, first, Duration::from_secs(20)).await.unwrap());
        assert_eq!(done.settled.status, RunStatus::Succeeded);
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_place_whose_holder_is_gone_is_given_to_the_next() {
    everywhere(|stage| async move {
        stage.put("held", &limited(1, "")).await;
        let first = stage.start("held", Answer::Later).await.unwrap();
        let second = stage.start("held", Answer::Later).await.unwrap();
        // As if the process that held the place had died, and its run were lost to it.
        let past = stage.weir.now() - chrono::Duration::seconds(1);
        let aged = stage.weir.store().write(stage.tenant(), move |unit| async move {
            unit.update::<slot::Entity>().set(slot::Column::Until, past).exec().await
        });
        let aged: Result<u64, entities::StoreError> = aged.await;
        assert_eq!(aged.unwrap(), 1);
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        stage.probe().gate.add_permits(2);
        for run in [first, second] {
            let done = settled(runs::wait(&stage.weir, run, Duration::from_secs(20)).await.unwrap());
            assert_eq!(done.settled.status, RunStatus::Succeeded);
        }
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_tenant_executes_no_more_root_runs_than_it_may() {
    everywhere(|stage| async move {
        stage.put("held", "steps:\n  - {name: hold, executor: act, config: {mode: block}}\n").await;
        let patch = TenantPatch { max_concurrent_runs: Some(Some(2)), ..TenantPatch::default() };
        let view = tenants::patch(&stage.weir, &stage.actor, patch).await.unwrap();
        assert_eq!(view.max_concurrent_runs, Some(2));
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let started = queue(&stage, &stage.actor, "held", 6, 3).await;
        stage.probe().reached(2).await;
        let told = why(&stage, started[5].run_id).await;
        assert_eq!(told.kind, WhyKind::Worker);
        assert!(told.sentence.contains("at most 2"), "{}", told.sentence);
        assert_eq!(stage.probe().calls("hold"), 2);
        stage.probe().gate.add_permits(6);
        for run in started {
            let waited = runs::wait(&stage.weir, run, Duration::from_secs(20)).await.unwrap();
            assert!(matches!(waited, Waited::Settled(_)), "{waited:?}");
        }
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}
