//! Starting, waiting, listing, cancelling.

use std::time::Duration;

use domain::{NanoUsd, RunStatus, StepStatus};
use entities::{Scope as _, run};
use sea_orm::ColumnTrait as _;
use serde_json::json;
use service::ServiceError;
use service::runs::{self, Answer, RunFilter, Waited};
use tokio_util::sync::CancellationToken;

use crate::stage::{ONE, Stage, everywhere, put, settled, wish};

#[tokio::test]
async fn a_synchronous_run_of_one_pure_step_costs_one_commit() {
    let stage = Stage::on(None).await;
    stage.put("one", ONE).await;
    let shutdown = CancellationToken::new();
    let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
    stage.run("one").await;
    let before = stage.weir.store().write_counts().unwrap();
    let over = stage.run("one").await;
    let after = stage.weir.store().write_counts().unwrap();
    assert_eq!(over.settled.status, RunStatus::Succeeded);
    assert_eq!(over.settled.outputs, json!({"value": 7}));
    assert_eq!(after.commits - before.commits, 1);
    shutdown.cancel();
    worker.await.unwrap();
}

/// Each future that awaits another has room for it, and each poll for what it moves: once a debug build's run needed nearly
/// all of the 2 MB that a thread has.
#[test]
fn a_run_needs_half_of_a_thread_s_stack() {
    let scenario = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Box::pin(async {
            let stage = Stage::on(None).await;
            stage.put("sub", ONE).await;
            stage.put("top", "steps:\n  - {name: first, executor: act, config: {mode: priced}}\n  - {name: call, executor: call_flow, depends_on: [first], config: {flow: sub, value: 7}}\n").await;
            let id = stage.start("top", Answer::Later).await.unwrap().run_id;
            stage.step().await;
            assert_eq!(stage.status(id).await, RunStatus::Succeeded);
        }));
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(scenario).unwrap().join().unwrap();
}

#[tokio::test]
async fn the_rows_tell_what_the_answer_told() {
    everywhere(|stage| async move {
        stage
            .put(
                "two",
                "labels: {team: blue}\nsteps:\n  - {name: first, executor: act, config: {mode: priced}}\n  - name: second\n    executor: think\n    condition: '{{ false }}'\n  - {name: third, executor: act, config: {mode: fail}, on_error: continue}\n",
            )
            .await;
        let started = stage.start("two", Answer::Later).await.unwrap();
        let id = started.run_id;
        assert_eq!(stage.step().await, 1);
        let over = settled(runs::wait(&stage.weir, started, Duration::from_secs(5)).await.unwrap());
        let again = settled(runs::wait_for(&stage.weir, &stage.actor, id, Duration::ZERO).await.unwrap());
        assert_eq!(over.settled, again.settled);

        let detail = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(detail.summary.status, over.settled.status);
        assert_eq!(detail.inputs, json!({"value": 7}));
        assert_eq!(detail.labels["team"], "blue");
        assert_eq!(detail.summary.cost_nano_usd, Some(NanoUsd(1_500)));
        assert_eq!(detail.usage.units["input_tokens"], 10);
        assert!(detail.summary.duration_ms.is_some());

        let steps = runs::steps(&stage.weir, &stage.actor, id).await.unwrap();
        let told: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.status, step.attempts)).collect();
        assert_eq!(told, [
            ("first", StepStatus::Succeeded, 1),
            ("second", StepStatus::Skipped, 0),
            ("third", StepStatus::Failed, 1)
        ]);
        assert_eq!(steps[0].output, Some(json!("bought")));
        assert_eq!(steps[0].cost_nano_usd, Some(NanoUsd(1_500)));
        assert_eq!(steps[1].skip_reason.as_deref(), Some("condition"));
        assert_eq!(steps[2].error.as_ref().unwrap().code, "refused");
        assert_eq!(steps[2].attempt_list[0].status, StepStatus::Failed);
    })
    .await;
}

#[tokio::test]
async fn a_large_output_comes_back_and_lies_encrypted() {
    everywhere(|stage| async move {
        stage.put("large", "steps:\n  - {name: one, executor: think, config: {mode: large}}\n").await;
        let started = stage.start("large", Answer::Later).await.unwrap();
        let id = started.run_id;
        stage.step().await;
        let expected = json!({ "text": "canary".repeat(20_000) });
        let over = settled(runs::wait_for(&stage.weir, &stage.actor, id, Duration::ZERO).await.unwrap());
        assert_eq!(over.settled.outputs, expected);
        let steps = runs::steps(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(steps[0].output.as_ref(), Some(&expected));
        let mut kept = 0;
        let mut folders = vec![stage.ground.folder.path().join("blobs")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                kept += 1;
                let bytes = std::fs::read(&path).unwrap();
                assert!(!bytes.windows(6).any(|window| window == b"canary"), "{}", path.display());
            }
        }
        assert!(kept > 0);
    })
    .await;
}

#[tokio::test]
async fn an_idempotency_key_starts_one_run_however_often_it_comes() {
    everywhere(|stage| async move {
        stage.put("one", ONE).await;
        let with_key = |value: i64| {
            let mut wish = wish("one", json!({"value": value}), Answer::Later);
            wish.idempotency_key = Some("order-1".to_owned());
            runs::start(&stage.weir, &stage.actor, wish)
        };
        let all = futures_util::future::join_all((0..8).map(|_| with_key(1))).await;
        let started: Vec<_> = all.into_iter().map(|started| started.unwrap()).collect();
        assert_eq!(started.iter().filter(|started| !started.replayed).count(), 1);
        assert!(started.iter().all(|other| other.run_id == started[0].run_id));
        assert_eq!(stage.step().await, 1);
        let replayed = with_key(1).await.unwrap();
        assert!(replayed.replayed);
        let over = settled(runs::wait(&stage.weir, replayed, Duration::from_secs(5)).await.unwrap());
        assert_eq!(over.settled.outputs, json!({"value": 1}));
        let other = with_key(2).await.unwrap_err();
        assert!(matches!(other, ServiceError::IdempotencyMismatch), "{other:?}");
        // The same key on another flow, or of another tenant, is another key.
        stage.put("other", ONE).await;
        let mut elsewhere = wish("other", json!({"value": 1}), Answer::Later);
        elsewhere.idempotency_key = Some("order-1".to_owned());
        assert!(!runs::start(&stage.weir, &stage.actor, elsewhere).await.unwrap().replayed);
    })
    .await;
}

#[tokio::test]
async fn a_run_of_another_tenant_is_a_run_that_is_not_there() {
    everywhere(|stage| async move {
        stage.put("one", ONE).await;
        put(&stage.weir, &stage.stranger, "one", ONE).await;
        let id = stage.start("one", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let absent = |error: ServiceError| matches!(error, ServiceError::NotFound { .. });
        let stranger = &stage.stranger;
        assert!(absent(runs::get(&stage.weir, stranger, id).await.unwrap_err()));
        assert!(absent(runs::steps(&stage.weir, stranger, id).await.unwrap_err()));
        assert!(absent(runs::cancel(&stage.weir, stranger, id, None).await.unwrap_err()));
        assert!(absent(runs::wait_for(&stage.weir, stranger, id, Duration::ZERO).await.unwrap_err()));
        assert!(absent(runs::events(&stage.weir, stranger, id, 0).await.err().unwrap()));
        let theirs = RunFilter { cursor: Some(id.to_string()), ..RunFilter::default() };
        assert!(runs::list(&stage.weir, stranger, &theirs).await.unwrap().data.is_empty());
        let mine = runs::list(&stage.weir, &stage.actor, &RunFilter::default()).await.unwrap();
        assert_eq!(mine.data.len(), 1);
    })
    .await;
}

#[tokio::test]
async fn pages_hold_every_run_once_newest_first() {
    everywhere(|stage| async move {
        stage.put("one", ONE).await;
        stage.put("broken", "steps:\n  - {name: one, executor: think, config: {mode: fail}}\n").await;
        let mut made = Vec::new();
        for number in 0..25 {
            let flow = if number % 5 == 0 { "broken" } else { "one" };
            made.push(stage.start(flow, Answer::Later).await.unwrap().run_id);
        }
        assert_eq!(stage.step().await, 25);
        made.reverse();
        let mut seen = Vec::new();
        let mut filter = RunFilter { limit: Some(10), ..RunFilter::default() };
        loop {
            let page = runs::list(&stage.weir, &stage.actor, &filter).await.unwrap();
            seen.extend(page.data.iter().map(|run| run.id));
            filter.cursor = page.next_cursor;
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, made);
        let count = async |filter: RunFilter| runs::list(&stage.weir, &stage.actor, &filter).await.unwrap().data.len();
        assert_eq!(count(RunFilter { status: vec![RunStatus::Failed], ..RunFilter::default() }).await, 5);
        assert_eq!(count(RunFilter { flow: Some("one".to_owned()), ..RunFilter::default() }).await, 20);
        assert_eq!(count(RunFilter { flow: Some("none".to_owned()), ..RunFilter::default() }).await, 0);
        let later = chrono::Utc::now() + chrono::Duration::hours(1);
        assert_eq!(count(RunFilter { created_after: Some(later), ..RunFilter::default() }).await, 0);
        assert_eq!(count(RunFilter { created_before: Some(later), ..RunFilter::default() }).await, 25);
        let odd = RunFilter { cursor: Some("nonsense".to_owned()), ..RunFilter::default() };
        assert!(matches!(runs::list(&stage.weir, &stage.actor, &odd).await, Err(ServiceError::BadRequest(_))));
    })
    .await;
}

#[tokio::test]
async fn runs_are_found_by_the_words_of_the_fields_that_their_flow_names() {
    everywhere(|stage| async move {
        let yaml = |search: &str| {
            format!(
                "{search}inputs: {{customer: string, note: {{type: string, default: none}}}}\n\
                 steps:\n  - {{name: one, executor: act, config: {{value: \"Order {{{{ inputs.customer }}}}\"}}}}\n\
                 outputs: {{order: \"{{{{ steps.one }}}}\"}}\n"
            )
        };
        stage.put("orders", &yaml("search: [inputs.customer, outputs.order]\n")).await;
        stage.put("silent", &yaml("")).await;
        let start = async |flow: &str, customer: &str| {
            let wish = wish(flow, json!({"customer": customer, "note": "hidden"}), Answer::Later);
            runs::start(&stage.weir, &stage.actor, wish).await.unwrap().run_id
        };
        let ada = start("orders", "Ada.Lovelace@example.com").await;
        let grace = start("orders", "Grace Hopper, grace@example.com").await;
        start("silent", "Ada again").await;
        let found = async |text: &str| -> Vec<domain::RunId> {
            let filter = RunFilter { search: Some(text.to_owned()), ..RunFilter::default() };
            runs::list(&stage.weir, &stage.actor, &filter).await.unwrap().data.iter().map(|run| run.id).collect()
        };
        assert_eq!(found("ada").await, [], "none of them has begun");
        assert_eq!(stage.step().await, 3);
        assert_eq!(found("ada").await, [ada]);
        assert_eq!(found("EXAMPLE com").await, [grace, ada]);
        assert_eq!(found("com, lovelace").await, [ada]);
        assert_eq!(found("order hopper").await, [grace], "a word of the output and one of the input");
        for nobody in ["hidden", "love", "!?", "ada hopper"] {
            assert_eq!(found(nobody).await, [], "{nobody}");
        }
        assert_eq!(found("  ").await.len(), 3, "no search at all");
        let flow =
            RunFilter { search: Some("com".to_owned()), flow: Some("silent".to_owned()), ..RunFilter::default() };
        assert_eq!(runs::list(&stage.weir, &stage.actor, &flow).await.unwrap().data.len(), 0);
        let mut pages = RunFilter { search: Some("com".to_owned()), limit: Some(1), ..RunFilter::default() };
        let first = runs::list(&stage.weir, &stage.actor, &pages).await.unwrap();
        assert!(first.has_more && first.data[0].id == grace);
        pages.cursor = first.next_cursor;
        let second = runs::list(&stage.weir, &stage.actor, &pages).await.unwrap();
        assert!(!second.has_more && second.data[0].id == ada);
        let long = RunFilter { search: Some("a b c d e f g h i".to_owned()), ..RunFilter::default() };
        assert!(matches!(runs::list(&stage.weir, &stage.actor, &long).await, Err(ServiceError::BadRequest(_))));
    })
    .await;
}

#[tokio::test]
async fn a_waiting_and_a_running_run_can_be_cancelled_and_a_finished_one_not() {
    everywhere(|stage| async move {
        stage.put("block", "steps:\n  - {name: one, executor: act, config: {mode: block}}\n").await;
        let queued = stage.start("block", Answer::Later).await.unwrap().run_id;
        assert_eq!(
            runs::cancel(&stage.weir, &stage.actor, queued, Some("wrong file")).await.unwrap(),
            RunStatus::Queued
        );
        stage.step().await;
        assert_eq!(stage.status(queued).await, RunStatus::Cancelled);
        assert_eq!(stage.probe().calls("one"), 0, "it was never begun");

        let running = stage.start("block", Answer::Later).await.unwrap();
        let id = running.run_id;
        let cancel = async {
            stage.probe().reached(1).await;
            runs::cancel(&stage.weir, &stage.actor, id, None).await.unwrap()
        };
        let (_, before) = tokio::join!(stage.step(), cancel);
        assert_eq!(before, RunStatus::Running);
        let over = settled(runs::wait(&stage.weir, running, Duration::from_secs(5)).await.unwrap());
        assert_eq!(over.settled.status, RunStatus::Cancelled);
        let again = runs::cancel(&stage.weir, &stage.actor, id, None).await.unwrap_err();
        assert!(matches!(again, ServiceError::Conflict(_)), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn a_caller_who_has_waited_long_enough_is_told_that_it_goes_on() {
    everywhere(|stage| async move {
        stage.put("block", "steps:\n  - {name: one, executor: think, config: {mode: block}}\n").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        tokio::task::yield_now().await;
        let started = stage.start("block", Answer::Wait).await.unwrap();
        let id = started.run_id;
        stage.probe().reached(1).await;
        let waited = runs::wait(&stage.weir, started, Duration::from_millis(400)).await.unwrap();
        assert_eq!(waited, Waited::Pending { run_id: id, status: RunStatus::Running });
        // What was told is in the store by now, though the run's first effect is still under way.
        assert_eq!(stage.status(id).await, RunStatus::Running);
        stage.probe().gate.add_permits(1);
        let over = settled(runs::wait_for(&stage.weir, &stage.actor, id, Duration::from_secs(5)).await.unwrap());
        assert_eq!(over.settled.status, RunStatus::Succeeded);
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_run_that_is_kept_late_is_still_its_holders() {
    everywhere(|stage| async move {
        stage.put("quiet", "save: none\nsteps:\n  - {name: one, executor: think, config: {mode: block}}\n").await;
        let shutdown = CancellationToken::new();
        let options = runs::WorkerOptions { lease: Duration::from_millis(600), ..runs::WorkerOptions::default() };
        let worker = runs::worker::spawn(stage.weir.clone(), options, shutdown.clone());
        tokio::task::yield_now().await;
        let started = stage.start("quiet", Answer::Wait).await.unwrap();
        let id = started.run_id;
        stage.probe().reached(1).await;
        // Longer than the lease that it began with.
        let waited = runs::wait(&stage.weir, started, Duration::from_millis(1_500)).await.unwrap();
        assert_eq!(waited, Waited::Pending { run_id: id, status: RunStatus::Running });
        assert_eq!(stage.status(id).await, RunStatus::Running, "whoever was told of it finds it");
        let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
        let row = reader.find::<run::Entity>().filter(run::Column::Id.eq(id.uuid())).one().await.unwrap().unwrap();
        drop(reader);
        assert!(row.lease_until.unwrap() > stage.weir.now(), "nobody else may take it up");
        stage.probe().gate.add_permits(1);
        let over = settled(runs::wait_for(&stage.weir, &stage.actor, id, Duration::from_secs(5)).await.unwrap());
        assert_eq!(over.settled.status, RunStatus::Succeeded);
        assert_eq!(stage.probe().calls("one"), 1);
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn whoever_gives_up_waiting_as_the_run_ends_is_answered_or_finds_it() {
    everywhere(|stage| async move {
        stage.put("quick", &format!("save: none\n{ONE}")).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        tokio::task::yield_now().await;
        for micros in 0..100_u64 {
            let started = stage.start("quick", Answer::Wait).await.unwrap();
            match runs::wait(&stage.weir, started, Duration::from_micros(micros * 20)).await.unwrap() {
                Waited::Settled(over) => assert_eq!(over.settled.status, RunStatus::Succeeded),
                Waited::Pending { run_id, .. } => {
                    let over = runs::wait_for(&stage.weir, &stage.actor, run_id, Duration::from_secs(5)).await.unwrap();
                    assert_eq!(settled(over).settled.outputs, json!({"value": 7}));
                }
            }
        }
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_child_has_its_own_run_and_its_parents_marks() {
    everywhere(|stage| async move {
        stage.put("child", ONE).await;
        stage
            .put(
                "parent",
                "steps:\n  - {name: down, executor: call_flow, config: {flow: child, value: '{{ inputs.value }}'}}\n",
            )
            .await;
        let id = stage.start("parent", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let parent = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(parent.summary.status, RunStatus::Succeeded, "{:?}", parent.summary.error);
        assert_eq!(parent.outputs, Some(json!({"value": 7})));
        let filter = RunFilter { parent: Some(id), ..RunFilter::default() };
        let children = runs::list(&stage.weir, &stage.actor, &filter).await.unwrap().data;
        assert_eq!(children.len(), 1);
        assert_eq!((children[0].flow.as_str(), children[0].trigger.as_str()), ("child", "flow"));
        assert_eq!(children[0].parent_run_id, Some(id));
    })
    .await;
}

#[tokio::test]
async fn a_flow_that_calls_itself_ends_at_the_depth_limit() {
    everywhere(|stage| async move {
        stage.put("deep", ONE).await;
        stage.put("deep", "steps:\n  - {name: down, executor: call_flow, config: {flow: deep, value: 1}}\n").await;
        let id = stage.start("deep", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let run = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(run.summary.status, RunStatus::Failed);
        assert_eq!(run.summary.error.unwrap().code, "child_depth");
        let all = runs::list(&stage.weir, &stage.actor, &RunFilter::default()).await.unwrap();
        assert_eq!(all.data.len(), 8, "the root and seven below it");
    })
    .await;
}
