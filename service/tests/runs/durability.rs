//! What a crash, a lost lease and a stop leave behind.

use std::time::Duration;

use domain::{RunId, RunStatus, StepStatus};
use entities::system::Claim;
use entities::{Scope, append, run};
use sea_orm::ColumnTrait;
use service::runs::{self, Answer, WorkerOptions};
use service::{Actor, Weir};
use tokio_util::sync::CancellationToken;

use crate::stage::{Ground, claim_all, everywhere, put, wish};

/// Two steps: the second is held by the test.
const HELD: &str = "steps:\n  - {name: first, executor: act, config: {value: 1}}\n  - {name: second, executor: act, config: {mode: block}}\n";

async fn kinds(weir: &Weir, actor: &Actor, id: RunId) -> Vec<String> {
    let reader = weir.store().read(actor.tenant).await.unwrap();
    let appends = reader.find::<append::Entity>().filter(append::Column::RunId.eq(id.uuid()));
    let rows = appends.order_by_asc(append::Column::Position).all().await.unwrap();
    let entries = rows.iter().flat_map(|row| serde_json::from_str::<Vec<engine::Entry>>(&row.entries).unwrap());
    entries.map(|entry| entry.event.name().to_owned()).collect()
}

/// The first process is a runtime that is dropped in the middle of a step: its tasks, its worker and its connections are
/// gone at once, like a killed program's.
fn a_killed_process_loses_nothing(owner: Option<&str>) {
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (ground, tenant, id) = first.block_on(async {
        let ground = Ground::new(owner).await;
        let weir = ground.open().await;
        let tenant = service::tenants::create(&weir, "one", "ann@example.com").await.unwrap().id;
        let actor = Actor::system(tenant, "test");
        put(&weir, &actor, "held", HELD).await;
        let options = WorkerOptions { lease: Duration::from_secs(1), ..WorkerOptions::default() };
        drop(runs::worker::spawn(weir.clone(), options, CancellationToken::new()));
        let started = runs::start(&weir, &actor, wish("held", serde_json::json!({}), Answer::Later)).await.unwrap();
        ground.probe.reached(1).await;
        (ground, tenant, started.run_id)
    });
    first.shutdown_background();

    let second = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    second.block_on(async {
        let weir = ground.open().await;
        let actor = Actor::system(tenant, "test");
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(weir.clone(), WorkerOptions::default(), shutdown.clone());
        ground.probe.reached(1).await;
        ground.probe.gate.add_permits(1);
        let over = runs::wait_for(&weir, &actor, id, Duration::from_secs(20)).await.unwrap();
        assert_eq!(crate::stage::settled(over).settled.status, RunStatus::Succeeded);
        assert_eq!(ground.probe.calls("first"), 1, "a settled step never runs again");
        assert_eq!(ground.probe.calls("second"), 2);
        let keys = ground.probe.keys();
        assert_eq!(keys[1], keys[2], "both tries carry the same key");
        let kinds = kinds(&weir, &actor, id).await;
        assert_eq!(kinds.iter().filter(|kind| *kind == "run_settled").count(), 1);
        assert_eq!(kinds.first().map(String::as_str), Some("run_started"));
        shutdown.cancel();
        worker.await.unwrap();
    });
}

#[test]
fn a_killed_process_loses_nothing_on_sqlite() {
    a_killed_process_loses_nothing(None);
}

#[test]
fn a_killed_process_loses_nothing_on_postgres() {
    let Ok(owner) = std::env::var("WEIR_TEST_POSTGRES_OWNER_URL") else { return };
    a_killed_process_loses_nothing(Some(&owner));
}

#[tokio::test]
async fn a_holder_whose_lease_was_taken_writes_nothing_more() {
    everywhere(|stage| async move {
        stage.put("held", HELD).await;
        let id = stage.start("held", Answer::Later).await.unwrap().run_id;
        let usurp = async {
            stage.probe().reached(1).await;
            // Somebody whose clock is far ahead takes the run while its holder is in the second step.
            let now = stage.weir.now() + chrono::Duration::hours(1);
            let claim = Claim {
                owner: "usurper".to_owned(),
                now,
                lease_until: stage.weir.now() + chrono::Duration::hours(2),
                limit: 10,
            };
            assert_eq!(claim_all(&stage.weir, claim).await.len(), 1);
            let before = kinds(&stage.weir, &stage.actor, id).await;
            stage.probe().gate.add_permits(1);
            before
        };
        let (_, before) = tokio::join!(stage.step(), usurp);
        assert_eq!(kinds(&stage.weir, &stage.actor, id).await, before, "the stale holder's entries were refused");
        let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
        let row = reader.find::<run::Entity>().filter(run::Column::Id.eq(id.uuid())).one().await.unwrap().unwrap();
        assert_eq!((row.lease_owner.as_deref(), row.fencing_token), (Some("usurper"), 2));
        assert_eq!(row.status, "running");
    })
    .await;
}

#[tokio::test]
async fn a_run_that_kills_every_worker_waits_for_a_person() {
    everywhere(|stage| async move {
        stage.put("held", HELD).await;
        let id = stage.start("held", Answer::Later).await.unwrap().run_id;
        // Two workers may go down for another run's sake; then it is tried three times alone.
        for round in 1..=5_i64 {
            // Each claim is by a worker that dies without a word.
            let now = stage.weir.now();
            let until = now - chrono::Duration::seconds(10 - round);
            let claim = Claim { owner: format!("dying-{round}"), now, lease_until: until, limit: 1 };
            assert_eq!(claim_all(&stage.weir, claim).await.len(), 1);
        }
        assert_eq!(stage.step().await, 1);
        let run = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(run.summary.status, RunStatus::NeedsAttention);
        let error = run.summary.error.unwrap();
        assert_eq!(error.code, "worker_killed");
        assert!(error.message.starts_with("5 workers"), "{}", error.message);
        assert_eq!(stage.step().await, 0, "it is not claimed again by itself");
        // A person can end it.
        runs::cancel(&stage.weir, &stage.actor, id, None).await.unwrap();
        stage.step().await;
        assert_eq!(stage.status(id).await, RunStatus::Cancelled);
    })
    .await;
}

#[tokio::test]
async fn a_step_whose_store_was_away_is_not_failed_by_it_but_made_again_under_its_key() {
    everywhere(|stage| async move {
        // One attempt is all that it has.
        stage.put("away", "steps:\n  - {name: one, executor: act, config: {mode: storage_once, value: 1}}\n").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let over = stage.run("away").await;
        assert_eq!(over.settled.status, RunStatus::Succeeded);
        let keys = stage.probe().keys();
        assert_eq!((keys.len(), &keys[0]), (2, &keys[1]));
        let kinds = kinds(&stage.weir, &stage.actor, over.run_id).await;
        assert!(!kinds.contains(&"attempt_failed".to_owned()), "{kinds:?}");
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_child_that_was_left_to_a_person_can_be_tried_again_and_one_that_failed_only_with_its_parent() {
    everywhere(|stage| async move {
        stage.put("two", "steps:\n  - {name: a, executor: act, config: {value: 1}}\n").await;
        let parent = stage.start("two", Answer::Later).await.unwrap().run_id;
        let child = stage.start("two", Answer::Later).await.unwrap().run_id;
        for (status, may) in [("failed", false), ("needs_attention", true)] {
            let error = domain::Failure::new(domain::FailureKind::Internal, "worker_killed", "Its workers died.");
            let left = stage.weir.store().write(stage.tenant(), move |unit| async move {
                let update = unit
                    .update::<run::Entity>()
                    .set(run::Column::ParentRunId, Some(parent.uuid()))
                    .set(run::Column::ParentStep, Some("a"));
                let update =
                    update.set(run::Column::Status, status).set(run::Column::Error, entities::JsonText::of(&error));
                update.filter(run::Column::Id.eq(child.uuid())).exec().await
            });
            assert_eq!(left.await.unwrap_or_else(|error: entities::StoreError| panic!("{error}")), 1);
            assert_eq!(runs::restart(&stage.weir, &stage.actor, child).await.is_ok(), may);
        }
        stage.step().await;
        assert_eq!(stage.status(child).await, RunStatus::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn a_run_that_was_only_there_when_workers_died_is_tried_again_and_ends() {
    everywhere(|stage| async move {
        stage.put("two", "steps:\n  - {name: a, executor: act, config: {value: 1}}\n").await;
        let mut made = Vec::new();
        for _ in 0..5 {
            made.push(stage.start("two", Answer::Later).await.unwrap().run_id);
        }
        for round in 1..=4_i64 {
            let now = stage.weir.now();
            let until = now - chrono::Duration::seconds(10 - round);
            let claim = Claim { owner: format!("dying-{round}"), now, lease_until: until, limit: 10 };
            assert_eq!(claim_all(&stage.weir, claim).await.len(), 5);
        }
        stage.step().await;
        for id in made {
            assert_eq!(stage.status(id).await, RunStatus::Succeeded);
        }
        assert_eq!(stage.probe().calls("a"), 5);
    })
    .await;
}

#[tokio::test]
async fn a_worker_that_stops_gives_back_what_it_holds() {
    everywhere(|stage| async move {
        stage.put("held", HELD).await;
        let shutdown = CancellationToken::new();
        let options = WorkerOptions { grace: Duration::from_millis(50), ..WorkerOptions::default() };
        let worker = runs::worker::spawn(stage.weir.clone(), options, shutdown.clone());
        let id = stage.start("held", Answer::Later).await.unwrap().run_id;
        stage.probe().reached(1).await;
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(stage.status(id).await, RunStatus::Queued);
        stage.probe().gate.add_permits(1);
        assert_eq!(stage.step().await, 1);
        assert_eq!(stage.status(id).await, RunStatus::Succeeded);
        let steps = runs::steps(&stage.weir, &stage.actor, id).await.unwrap();
        assert!(steps.iter().all(|step| step.status == StepStatus::Succeeded));
        assert_eq!(stage.probe().calls("first"), 1);
    })
    .await;
}

#[tokio::test]
async fn many_runs_at_once_all_end_once() {
    everywhere(|stage| async move {
        stage.put("two", "steps:\n  - {name: a, executor: act, config: {value: 1}}\n  - {name: b, executor: act, config: {value: 2}}\n").await;
        let shutdown = CancellationToken::new();
        let options = WorkerOptions { concurrency: 8, ..WorkerOptions::default() };
        let worker = runs::worker::spawn(stage.weir.clone(), options, shutdown.clone());
        let started = futures_util::future::join_all((0..100).map(|_| stage.start("two", Answer::Later))).await;
        for started in started {
            let waited = runs::wait(&stage.weir, started.unwrap(), Duration::from_secs(60)).await.unwrap();
            assert_eq!(crate::stage::settled(waited).settled.status, RunStatus::Succeeded);
        }
        assert_eq!((stage.probe().calls("a"), stage.probe().calls("b")), (100, 100));
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}
