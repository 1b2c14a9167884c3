//! Slots of steps under limits that count over runs, and caps that a person raises.

use std::time::Duration;

use domain::wire::{ConnectionInput, TenantPatch, WhyKind, WhyView};
use domain::{NanoUsd, RunId, RunStatus};
use entities::{Scope as _, account, slot};
use sea_orm::ColumnTrait;
use serde_json::json;
use service::runs::{self, Answer, Resolve};
use service::{ServiceError, connections, tenants};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, everywhere, settled, wish};

/// What a run waits for, once it was given back to the queue for it.
async fn in_line(stage: &Stage, run: RunId) -> WhyView {
    let looked = async {
        loop {
            let view = runs::why(&stage.weir, &stage.actor, run).await.unwrap();
            if (view.kind, view.status) == (WhyKind::Slot, RunStatus::Queued) {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looked).await.unwrap()
}

async fn slots_left(stage: &Stage) -> u64 {
    let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
    reader.find::<slot::Entity>().count().await.unwrap()
}

async fn with_pool(stage: &Stage, units: u32) {
    let patch = TenantPatch { pools: Some([("gpu".to_owned(), units)].into()), ..TenantPatch::default() };
    tenants::patch(&stage.weir, &stage.actor, patch).await.unwrap();
}

#[tokio::test]
async fn runs_take_units_of_a_pool_in_the_order_of_asking_and_wait_without_a_worker() {
    everywhere(|stage| async move {
        with_pool(&stage, 2).await;
        let training = |units: u32| {
            format!("steps:\n  - {{name: hold, executor: act, config: {{mode: block}}, resources: {{pool: gpu, units: {units}}}}}\n")
        };
        stage.put("small", &training(1)).await;
        stage.put("large", &training(2)).await;
        let shutdown = CancellationToken::new();
        // One place for runs: whoever waits for units must not keep it.
        let options = runs::WorkerOptions { concurrency: 2, ..runs::WorkerOptions::default() };
        let worker = runs::worker::spawn(stage.weir.clone(), options, shutdown.clone());
        let first = stage.start("small", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        let large = stage.start("large", Answer::Later).await.unwrap();
        let told = in_line(&stage, large.run_id).await;
        assert_eq!((told.status, told.ahead), (RunStatus::Queued, Some(0)), "{told:?}");
        assert_eq!((told.held_by.as_slice(), told.steps.as_slice()), ([first.run_id].as_slice(), ["hold".to_owned()].as_slice()));
        assert!(told.sentence.contains("2 units of the pool `gpu`, of which 1 is taken"), "{}", told.sentence);
        // One unit is free, and the one who came first wants two.
        let late = stage.start("small", Answer::Later).await.unwrap();
        assert_eq!(in_line(&stage, late.run_id).await.ahead, Some(1));
        assert_eq!(stage.probe().calls("hold"), 1);
        stage.probe().gate.add_permits(1);
        settled(runs::wait(&stage.weir, first, Duration::from_secs(20)).await.unwrap());
        stage.probe().reached(1).await;
        assert_eq!(in_line(&stage, late.run_id).await.held_by, [large.run_id]);
        stage.probe().gate.add_permits(2);
        for run in [large, late] {
            let done = settled(runs::wait(&stage.weir, run, Duration::from_secs(20)).await.unwrap());
            assert_eq!(done.settled.status, RunStatus::Succeeded);
        }
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(slots_left(&stage).await, 0);
    })
    .await;
}

#[tokio::test]
async fn who_moves_to_another_line_holds_nobody_up_in_the_first() {
    everywhere(|stage| async move {
        with_pool(&stage, 2).await;
        let hold = |units: u32, more: &str| {
            format!("steps:\n  - {{name: hold, executor: act, config: {{mode: block}}, resources: {{pool: gpu, units: {units}}}{more}}}\n")
        };
        stage.put("both", &hold(2, ", concurrency: {limit: 1}")).await;
        stage.put("pool", &hold(2, "")).await;
        stage.put("small", &hold(1, "")).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let first = stage.start("pool", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        // Two wait for the pool; one of them will find its own limit full when the pool has room.
        let one = stage.start("both", Answer::Later).await.unwrap();
        in_line(&stage, one.run_id).await;
        let two = stage.start("both", Answer::Later).await.unwrap();
        in_line(&stage, two.run_id).await;
        let small = stage.start("small", Answer::Later).await.unwrap();
        in_line(&stage, small.run_id).await;
        stage.probe().gate.add_permits(4);
        for run in [first, one, two, small] {
            let done = settled(runs::wait(&stage.weir, run, Duration::from_secs(20)).await.unwrap());
            assert_eq!(done.settled.status, RunStatus::Succeeded);
        }
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(slots_left(&stage).await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_pool_that_nobody_set_up_fails_the_step_and_says_where_it_is_set() {
    everywhere(|stage| async move {
        stage.put("lost", "steps:\n  - {name: one, executor: act, resources: {pool: gpu}}\n").await;
        let id = stage.start("lost", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let run = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        let error = run.summary.error.unwrap();
        assert_eq!(error.code, "unknown_pool");
        assert!(error.message.contains("PATCH /api/v1/tenant"), "{}", error.message);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_ends_while_it_waits_leaves_the_line() {
    everywhere(|stage| async move {
        let yaml = "steps:\n  - {name: hold, executor: act, config: {mode: block}, concurrency: {limit: 1}}\n";
        stage.put("held", yaml).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let first = stage.start("held", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        let second = stage.start("held", Answer::Later).await.unwrap();
        let third = stage.start("held", Answer::Later).await.unwrap();
        in_line(&stage, second.run_id).await;
        in_line(&stage, third.run_id).await;
        runs::cancel(&stage.weir, &stage.actor, second.run_id, None).await.unwrap();
        let ended = settled(runs::wait(&stage.weir, second, Duration::from_secs(20)).await.unwrap());
        assert_eq!(ended.settled.status, RunStatus::Cancelled);
        stage.probe().gate.add_permits(2);
        for run in [first, third] {
            settled(runs::wait(&stage.weir, run, Duration::from_secs(20)).await.unwrap());
        }
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!((slots_left(&stage).await, stage.probe().calls("hold")), (0, 2));
    })
    .await;
}

#[tokio::test]
async fn one_output_for_the_cache_is_made_once_however_many_want_it() {
    everywhere(|stage| async move {
        let yaml = "steps:\n  - {name: hold, executor: act, config: {mode: block}, cache: {ttl: 1h}}\n";
        stage.put("thinking", yaml).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let first = stage.start("thinking", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        let mut others = Vec::new();
        for _ in 0..3 {
            let started = stage.start("thinking", Answer::Later).await.unwrap();
            in_line(&stage, started.run_id).await;
            others.push(started);
        }
        stage.probe().gate.add_permits(1);
        for run in others.into_iter().chain([first]) {
            let done = settled(runs::wait(&stage.weir, run, Duration::from_secs(20)).await.unwrap());
            assert_eq!(done.settled.status, RunStatus::Succeeded);
        }
        assert_eq!(stage.probe().calls("hold"), 1);
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_step_at_its_cap_goes_on_when_a_person_raises_it() {
    everywhere(|stage| async move {
        let yaml = "max_cost: {amount: 0.000003, on_exceeded: approve}\nsteps:\n  - {name: one, executor: buy, config: {mode: priced}}\n  - {name: two, executor: buy, config: {mode: priced}}\n";
        stage.put("buying", yaml).await;
        let id = stage.start("buying", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        assert_eq!(stage.status(id).await, RunStatus::NeedsAttention);
        let raise = |dollars| Resolve::Retry { max_cost: Some(dollars) };
        for wrong in [0.000_003, -1.0, f64::NAN, 1e12] {
            let refused = runs::resolve(&stage.weir, &stage.actor, id, "two", None, raise(wrong)).await.unwrap_err();
            assert!(matches!(refused, ServiceError::Invalid { .. }), "{wrong}: {refused:?}");
        }
        runs::resolve(&stage.weir, &stage.actor, id, "two", None, raise(0.000_004)).await.unwrap();
        stage.step().await;
        let run = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!((run.summary.status, run.summary.cost_nano_usd), (RunStatus::Succeeded, Some(NanoUsd(3_000))));
        let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
        let accounts = reader.find::<account::Entity>().filter(account::Column::RunId.eq(id.uuid()));
        let account = accounts.one().await.unwrap().unwrap();
        assert_eq!((account.cap_nano_usd, account.spent_nano_usd, account.reserved_nano_usd), (4_000, 3_000, 0));
    })
    .await;
}

#[tokio::test]
async fn a_child_pays_from_the_caps_of_every_flow_above_it_and_of_the_groups_it_is_called_in() {
    everywhere(|stage| async move {
        stage.put("leaf", "steps:\n  - {name: bought, executor: buy, config: {mode: priced}}\n").await;
        // The middle has room for one purchase, its caller for many.
        stage.put("middle", "max_cost: 0.000003\nsteps:\n  - {name: a, executor: call_flow, config: {flow: leaf, value: 1}}\n  - {name: b, executor: call_flow, config: {flow: leaf, value: 2}}\n").await;
        stage.put("top", "max_cost: 1\nsteps:\n  - {name: call, executor: call_flow, config: {flow: middle, value: 1}}\n").await;
        let id = stage.start("top", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let run = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(run.summary.error.unwrap().code, "max_cost");
        assert_eq!(stage.probe().calls("bought"), 1);
        stage.put("grouped", "groups: {both: {max_cost: 0.000003}}\nsteps:\n  - {name: a, executor: call_flow, parallel_group: both, config: {flow: leaf, value: 1}}\n  - {name: b, executor: call_flow, parallel_group: both, depends_on: [], config: {flow: leaf, value: 2}}\n").await;
        let wish = wish("grouped", json!({"value": 7}), Answer::Later);
        let id = runs::start(&stage.weir, &stage.actor, wish).await.unwrap().run_id;
        stage.step().await;
        let run = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(run.summary.error.unwrap().code, "group_max_cost");
        assert_eq!(stage.probe().calls("bought"), 2, "the group's cap has room for one of the two");
    })
    .await;
}

#[tokio::test]
async fn attempts_through_one_connection_wait_for_each_other_and_those_through_another_do_not() {
    everywhere(|stage| async move {
        for (name, most) in [("narrow", Some(1)), ("wide", None)] {
            let input = ConnectionInput {
                kind: "http".to_owned(),
                base_url: Some("https://api.example.com".to_owned()),
                more_base_urls: Vec::new(),
                max_concurrency: most,
                prices: std::collections::BTreeMap::new(),
                api_key: None,
            };
            let view = connections::put(&stage.weir, &stage.actor, name, input).await.unwrap();
            assert_eq!(view.max_concurrency, most);
            let yaml =
                format!("steps:\n  - {{name: hold, executor: act, config: {{mode: block, connection: {name}}}}}\n");
            stage.put(name, &yaml).await;
        }
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let first = stage.start("narrow", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        let second = stage.start("narrow", Answer::Later).await.unwrap();
        let told = in_line(&stage, second.run_id).await;
        assert!(told.sentence.contains("connection `narrow`"), "{}", told.sentence);
        let others =
            [stage.start("wide", Answer::Later).await.unwrap(), stage.start("wide", Answer::Later).await.unwrap()];
        stage.probe().reached(2).await;
        stage.probe().gate.add_permits(4);
        for run in [first, second].into_iter().chain(others) {
            let done = settled(runs::wait(&stage.weir, run, Duration::from_secs(20)).await.unwrap());
            assert_eq!(done.settled.status, RunStatus::Succeeded);
        }
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(slots_left(&stage).await, 0);
    })
    .await;
}
