//! Parents whose children rest: they give their places back too, and go on when the child is over.

use std::time::Duration;

use domain::wire::WhyKind;
use domain::{RunId, RunStatus};
use serde_json::json;
use service::runs::{self, Answer, WorkerOptions};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, everywhere};

const CHILD: &str = "steps:\n  - {name: hold, executor: wait, config: {signal: go, for: 1h}}\n  - {name: after, executor: act, config: {value: 5}}\n";
const PARENT: &str = "concurrency: {limit: 2}\nsteps:\n  - {name: call, executor: call_flow, config: {flow: child, value: 1}}\n  - {name: last, executor: act, config: {value: 9}}\n";
const GRANDPARENT: &str = "steps:\n  - {name: call, executor: call_flow, config: {flow: parent, value: 1}}\n";

async fn until(stage: &Stage, run: RunId, wanted: RunStatus) {
    for _ in 0..400 {
        if stage.status(run).await == wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{run} is {}, not {wanted}: {:?}", stage.status(run).await, runs::why(&stage.weir, &stage.actor, run).await);
}

async fn child_of(stage: &Stage, run: RunId) -> RunId {
    let why = runs::why(&stage.weir, &stage.actor, run).await.unwrap();
    *why.held_by.first().unwrap_or_else(|| panic!("{why:?}"))
}

#[tokio::test]
async fn a_tree_whose_leaf_waits_holds_no_place_and_goes_on_with_it() {
    everywhere(|stage| async move {
        for (name, yaml) in [("child", CHILD), ("parent", PARENT), ("grandparent", GRANDPARENT)] {
            stage.put(name, yaml).await;
        }
        let shutdown = CancellationToken::new();
        // Two places: were they held by those that wait, nothing else could run.
        let options = WorkerOptions { concurrency: 2, ..WorkerOptions::default() };
        let worker = runs::worker::spawn(stage.weir.clone(), options, shutdown.clone());
        let mut roots = Vec::new();
        for _ in 0..6 {
            let started = stage.start("grandparent", Answer::Later).await.unwrap();
            roots.push(started.run_id);
        }
        for root in &roots {
            until(&stage, *root, RunStatus::Waiting).await;
        }
        let mut leaves = Vec::new();
        for root in &roots {
            let why = runs::why(&stage.weir, &stage.actor, *root).await.unwrap();
            assert_eq!(why.kind, WhyKind::Outside, "{why:?}");
            let parent = child_of(&stage, *root).await;
            until(&stage, parent, RunStatus::Waiting).await;
            let leaf = child_of(&stage, parent).await;
            until(&stage, leaf, RunStatus::Waiting).await;
            leaves.push(leaf);
        }
        for leaf in leaves {
            runs::signal(&stage.weir, &stage.actor, leaf, "go", json!({})).await.unwrap();
        }
        for root in roots {
            until(&stage, root, RunStatus::Succeeded).await;
        }
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(stage.weir.runs().executing(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_child_that_ends_just_as_its_parent_rests_wakes_it() {
    everywhere(|stage| async move {
        // Short waits end around the moment at which the parent gives its place back.
        stage.put("child", "steps:\n  - {name: hold, executor: wait, config: {signal: go, for: 1h}}\n").await;
        stage.put("parent", "steps:\n  - {name: call, executor: call_flow, config: {flow: child, value: 1}}\n").await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let mut roots = Vec::new();
        for round in 0..20_u64 {
            let root = stage.start("parent", Answer::Later).await.unwrap().run_id;
            let leaf = loop {
                let steps = runs::steps(&stage.weir, &stage.actor, root).await.unwrap_or_default();
                if let Some(child) = steps.iter().find_map(|step| step.child_run_id) {
                    break child;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            };
            tokio::time::sleep(Duration::from_millis(round % 7)).await;
            runs::signal(&stage.weir, &stage.actor, leaf, "go", json!({})).await.unwrap();
            roots.push(root);
        }
        for root in roots {
            until(&stage, root, RunStatus::Succeeded).await;
        }
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_resting_parent_can_be_cancelled_with_its_child() {
    everywhere(|stage| async move {
        stage.put("child", CHILD).await;
        stage.put("parent", PARENT).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), WorkerOptions::default(), shutdown.clone());
        let root = stage.start("parent", Answer::Later).await.unwrap().run_id;
        until(&stage, root, RunStatus::Waiting).await;
        let leaf = child_of(&stage, root).await;
        runs::cancel(&stage.weir, &stage.actor, root, None).await.unwrap();
        until(&stage, root, RunStatus::Cancelled).await;
        until(&stage, leaf, RunStatus::Cancelled).await;
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}
