//! Trees of runs: children that go on when their parent is begun again, trees that may not grow, and time that passes while
//! a person is asked.

use std::time::Duration;

use domain::wire::RunDetail;
use domain::{RunId, RunStatus, StepStatus};
use entities::{Scope, run};
use sea_orm::ColumnTrait;
use serde_json::json;
use service::runs::{self, Answer, Resolve, WorkerOptions};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, everywhere};

async fn until(stage: &Stage, run: RunId, wanted: RunStatus) {
    for _ in 0..800 {
        if stage.status(run).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{run} is {}, not {wanted}: {:?}", stage.status(run).await, runs::why(&stage.weir, &stage.actor, run).await);
}

/// All runs of the tenant, in the order of their starts.
async fn rows(stage: &Stage) -> Vec<run::Model> {
    let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
    reader.find::<run::Entity>().order_by_asc(run::Column::Id).all().await.unwrap()
}

/// Flow, status and epoch of each.
async fn tree(stage: &Stage) -> Vec<(String, String, i32)> {
    rows(stage).await.into_iter().map(|row| (row.flow_name, row.status, row.epoch)).collect()
}

fn all(of: &[(&str, &str, i32)]) -> Vec<(String, String, i32)> {
    of.iter().map(|(flow, status, epoch)| ((*flow).to_owned(), (*status).to_owned(), *epoch)).collect()
}

async fn view(stage: &Stage, run: RunId) -> RunDetail {
    runs::get(&stage.weir, &stage.actor, run).await.unwrap()
}

/// `top` calls `middle`, which calls `bottom`, where something is bought before `last` does what its mode says.
async fn line(stage: &Stage, mode: &str) {
    let bottom = format!(
        "steps:\n  - {{name: charge, executor: buy, config: {{mode: priced}}}}\n  - {{name: last, executor: act, config: {{mode: {mode}}}}}\n"
    );
    stage.put("bottom", &bottom).await;
    for (flow, callee) in [("middle", "bottom"), ("top", "middle")] {
        let yaml = format!("steps:\n  - {{name: call, executor: call_flow, config: {{flow: {callee}, value: 1}}}}\n");
        stage.put(flow, &yaml).await;
    }
}

#[tokio::test]
async fn a_restart_goes_down_a_line_of_runs_and_repeats_nothing_that_succeeded() {
    everywhere(|stage| async move {
        line(&stage, "fail_once").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let top = stage.start("top", Answer::Later).await.unwrap().run_id;
        until(&stage, top, RunStatus::Failed).await;
        let failed = ["top", "middle", "bottom"].map(|flow| (flow, "failed", 1));
        assert_eq!(tree(&stage).await, all(&failed));
        runs::restart(&stage.weir, &stage.actor, top).await.unwrap();
        until(&stage, top, RunStatus::Succeeded).await;
        let succeeded = ["top", "middle", "bottom"].map(|flow| (flow, "succeeded", 2));
        assert_eq!(tree(&stage).await, all(&succeeded), "the same runs");
        assert_eq!((stage.probe().calls("charge"), stage.probe().calls("last")), (1, 2));
        for row in rows(&stage).await {
            // What was bought once is counted once, all the way up.
            assert_eq!((row.cost_nano_usd, row.ended_at.is_some()), (Some(1_500), true), "{}", row.flow_name);
            let used = view(&stage, RunId::from_uuid(row.id)).await.usage;
            assert_eq!(used.units.get("input_tokens"), Some(&10), "{}", row.flow_name);
        }
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn children_that_ended_with_their_parent_go_on_with_it() {
    everywhere(|stage| async move {
        line(&stage, "block").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let top = stage.start("top", Answer::Later).await.unwrap().run_id;
        for (epoch, status) in [(1, RunStatus::Cancelled), (2, RunStatus::Killed)] {
            stage.probe().reached(1).await;
            match status {
                RunStatus::Killed => runs::kill(&stage.weir, &stage.actor, top, "enough").await.unwrap(),
                _ => runs::cancel(&stage.weir, &stage.actor, top, None).await.unwrap(),
            };
            until(&stage, top, status).await;
            // Whatever became of those below by now, they go on behind their end.
            runs::restart(&stage.weir, &stage.actor, top).await.unwrap();
            until(&stage, top, RunStatus::Running).await;
            assert_eq!(rows(&stage).await.len(), 3, "epoch {epoch}");
        }
        stage.probe().reached(1).await;
        stage.probe().gate.add_permits(10);
        until(&stage, top, RunStatus::Succeeded).await;
        let succeeded = ["top", "middle", "bottom"].map(|flow| (flow, "succeeded", 3));
        assert_eq!(tree(&stage).await, all(&succeeded));
        assert_eq!((stage.probe().calls("charge"), stage.probe().calls("last")), (1, 3));
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn of_a_list_of_children_those_that_failed_go_on() {
    everywhere(|stage| async move {
        stage.put("fine", "steps:\n  - {name: charge, executor: act, config: {value: 1}}\n").await;
        stage.put("fails", "steps:\n  - {name: charge, executor: act, config: {value: 1}}\n  - {name: last, executor: act, config: {mode: fail_once}}\n").await;
        stage.put("parent", "steps:\n  - {name: call, executor: call_flow, for_each: [fine, fails, fine], max_parallel: 1, config: {flow: '{{ item }}'}}\n").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let parent = stage.start("parent", Answer::Later).await.unwrap().run_id;
        until(&stage, parent, RunStatus::Failed).await;
        assert_eq!(stage.probe().calls("charge"), 2, "the third was not begun");
        runs::restart(&stage.weir, &stage.actor, parent).await.unwrap();
        until(&stage, parent, RunStatus::Succeeded).await;
        let succeeded = [("parent", 2), ("fine", 1), ("fails", 2), ("fine", 1)].map(|(flow, epoch)| (flow, "succeeded", epoch));
        assert_eq!(tree(&stage).await, all(&succeeded));
        assert_eq!((stage.probe().calls("charge"), stage.probe().calls("last")), (3, 2));
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn who_goes_its_own_way_is_restarted_by_itself_and_nobody_else_below_is() {
    everywhere(|stage| async move {
        stage.put("child", "steps:\n  - {name: last, executor: act, config: {mode: fail}}\n").await;
        stage.put("parent", "steps:\n  - {name: start, executor: call_flow, config: {flow: child, mode: detached}}\n  - {name: call, executor: call_flow, config: {flow: child}}\n").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let parent = stage.start("parent", Answer::Later).await.unwrap().run_id;
        until(&stage, parent, RunStatus::Failed).await;
        let all = rows(&stage).await;
        let [apart, attached] = [1, 2].map(|row: usize| RunId::from_uuid(all[row].id));
        until(&stage, apart, RunStatus::Failed).await;
        let refused = runs::restart(&stage.weir, &stage.actor, attached).await.unwrap_err();
        assert!(matches!(refused, service::ServiceError::Conflict(_)), "{refused:?}");
        runs::restart(&stage.weir, &stage.actor, parent).await.unwrap();
        until(&stage, parent, RunStatus::Failed).await;
        let epochs = async || rows(&stage).await.iter().map(|row| row.epoch).collect::<Vec<_>>();
        assert_eq!(epochs().await, [2, 1, 2], "its parent's restart does not reach it");
        runs::restart(&stage.weir, &stage.actor, apart).await.unwrap();
        until(&stage, apart, RunStatus::Failed).await;
        assert_eq!(epochs().await, [2, 2, 2]);
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_tree_has_so_many_runs_and_no_more() {
    everywhere(|stage| async move {
        let most = usize::try_from(engine::limits::TREE_RUNS).unwrap();
        stage.put("child", "steps:\n  - {name: one, executor: think, config: {value: 1}}\n").await;
        stage.put("parent", "steps:\n  - {name: hold, executor: act, config: {mode: block}}\n  - {name: fits, executor: call_flow, for_each: '{{ range(20) }}', max_parallel: 1, config: {flow: child}}\n  - {name: beyond, executor: call_flow, config: {flow: child}}\n").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let parent = stage.start("parent", Answer::Later).await.unwrap().run_id;
        let other = stage.start("parent", Answer::Later).await.unwrap().run_id;
        stage.probe().reached(2).await;
        let row = rows(&stage).await.into_iter().find(|row| row.id == parent.uuid()).unwrap();
        let of_the_past = |number: usize| run::Model {
            id: uuid::Uuid::from_u128(number as u128 + 1),
            parent_run_id: Some(row.id),
            status: "succeeded".to_owned(),
            depth: 1,
            lease_owner: None,
            lease_until: None,
            ..row.clone()
        };
        // Of the room for twenty some are counted, and some begin without.
        let past: Vec<run::Model> = (0..most - 20).map(of_the_past).collect();
        let kept = stage.weir.store().write(stage.tenant(), move |unit| async move { unit.insert_all(past).await });
        kept.await.unwrap();
        stage.probe().gate.add_permits(2);
        until(&stage, parent, RunStatus::Failed).await;
        until(&stage, other, RunStatus::Succeeded).await;
        let error = view(&stage, parent).await.summary.error.unwrap();
        assert_eq!((error.code.as_str(), error.retryable), ("tree_too_large", false));
        let steps = runs::steps(&stage.weir, &stage.actor, parent).await.unwrap();
        let of = |name: &str| steps.iter().find(|step| step.name == name).map(|step| step.status);
        assert_eq!((of("fits"), of("beyond")), (Some(StepStatus::Succeeded), Some(StepStatus::Failed)));
        // A child that was refused before it was there is started anew.
        let remove = stage.weir.store().write(stage.tenant(), move |unit| async move {
            unit.delete::<run::Entity>().filter(run::Column::Id.eq(uuid::Uuid::from_u128(1))).exec().await
        });
        assert_eq!(remove.await.unwrap(), 1);
        runs::restart(&stage.weir, &stage.actor, parent).await.unwrap();
        until(&stage, parent, RunStatus::Succeeded).await;
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn time_passes_while_a_person_is_asked() {
    everywhere(|stage| async move {
        let asks = "{name: ask, executor: act, on_error: attention, config: {mode: fail}}";
        let own = format!("timeout: 3s\nsteps:\n  - {asks}\nfinally: [{{name: tidy, executor: act}}]\n");
        stage.put("own", &own).await;
        stage.put("patient", &format!("steps:\n  - {asks}\n")).await;
        let calls =
            |callee: &str| format!("steps:\n  - {{name: call, executor: call_flow, config: {{flow: {callee}}}}}\n");
        stage.put("above_own", &calls("own")).await;
        stage.put("above_all", &calls("above_own")).await;
        stage
            .put("hasty", &format!("timeout: 3s\n{}finally: [{{name: tidy_up, executor: act}}]\n", calls("patient")))
            .await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        // Its own time, with two that rest above it.
        let all = stage.start("above_all", Answer::Later).await.unwrap().run_id;
        until(&stage, all, RunStatus::NeedsAttention).await;
        until(&stage, all, RunStatus::Failed).await;
        assert_eq!(view(&stage, all).await.summary.error.unwrap().code, "run_timeout");
        let found = tree(&stage).await;
        assert_eq!(found.last().map(|(flow, status, _)| (flow.as_str(), status.as_str())), Some(("own", "timed_out")));
        assert_eq!(stage.probe().calls("tidy"), 1, "its handlers run");
        // The time of one that rests above it.
        let hasty = stage.start("hasty", Answer::Later).await.unwrap().run_id;
        until(&stage, hasty, RunStatus::NeedsAttention).await;
        until(&stage, hasty, RunStatus::TimedOut).await;
        assert_eq!(stage.probe().calls("tidy_up"), 1);
        let patient = rows(&stage).await.into_iter().next_back().unwrap();
        until(&stage, RunId::from_uuid(patient.id), RunStatus::Cancelled).await;
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn what_waits_beside_a_question_goes_on_in_its_time() {
    everywhere(|stage| async move {
        stage.put("both", "steps:\n  - {name: ask, executor: act, parallel_group: g, on_error: attention, config: {mode: fail}}\n  - {name: pause, executor: wait, parallel_group: g, config: {for: 3s}}\n").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let both = stage.start("both", Answer::Later).await.unwrap().run_id;
        until(&stage, both, RunStatus::NeedsAttention).await;
        let pause = async || {
            let steps = runs::steps(&stage.weir, &stage.actor, both).await.unwrap();
            steps.iter().find(|step| step.name == "pause").unwrap().status
        };
        for _ in 0..400 {
            if pause().await == StepStatus::Succeeded {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!(pause().await, StepStatus::Succeeded);
        until(&stage, both, RunStatus::NeedsAttention).await;
        let done = Resolve::Complete { output: json!("by hand") };
        runs::resolve(&stage.weir, &stage.actor, both, "ask", None, done).await.unwrap();
        until(&stage, both, RunStatus::Succeeded).await;
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}
