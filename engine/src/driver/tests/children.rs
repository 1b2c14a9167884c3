//! Flows that run flows, and children that go on when their parent is begun again (flow-language, sections 7 and 10).

use domain::{FailureKind, RunStatus};
use serde_json::{Value, json};

use super::status;
use crate::event::{Event, Outside, Resolution};
use crate::kit::{Ran, Stage};
use crate::run::Outcome;

const FAILS: Option<FailureKind> = Some(FailureKind::Rejected);
const CUT: Option<FailureKind> = Some(FailureKind::Provider);

/// The run's next epoch.
async fn again(stage: &mut Stage, ran: Ran) -> Ran {
    stage.restart_by = Some("ada".to_owned());
    stage.go_on(ran.entries).await
}

fn kids(of: &[(&str, u32)]) -> Vec<(String, u32)> {
    of.iter().map(|(flow, epoch)| ((*flow).to_owned(), *epoch)).collect()
}

#[tokio::test]
async fn flows_run_flows_down_to_a_limit() {
    let registry = crate::kit::registry(&std::sync::Arc::default());
    let (world, plans) = crate::kit::world(
        registry,
        &[
            ("outer", "steps: [{name: call, executor: nest, config: {text: inner, give: \"{{ inputs }}\"}}]"),
            (
                "inner",
                "inputs: {n: {type: integer, required: true}}\nsteps: [{name: a, executor: act, config: {give: \"{{ inputs }}\"}}]",
            ),
            ("endless", "steps: [{name: again, executor: nest, config: {text: endless}}]"),
            ("lost", "steps: [{name: call, executor: nest, config: {text: nowhere}}]"),
        ],
    );
    let run = async |name: &str, inputs: Value| {
        let start = crate::memory::Start::new(name, inputs);
        let finished = world.run(plans[name].clone(), start, crate::run::Control::default()).await.unwrap();
        let Outcome::Settled(settled) = finished.outcome else { panic!("{:?}", finished.outcome) };
        (settled, finished.entries)
    };
    let (settled, entries) = run("outer", json!({"n": 5, "more": true})).await;
    assert_eq!(settled.outputs, json!({"n": 5}), "narrowed to what the callee declares");
    assert!(entries.iter().any(|entry| matches!(entry.event, Event::ChildStarted { .. })));
    let code = |settled: &crate::Settled| settled.error.as_ref().map(|error| error.code.clone());
    assert_eq!(code(&run("endless", json!({})).await.0).as_deref(), Some("child_depth"));
    assert_eq!(code(&run("lost", json!({})).await.0).as_deref(), Some("unknown_flow"));
}

#[tokio::test]
async fn a_restart_goes_on_with_the_children_of_the_last_attempt_and_leaves_those_that_succeeded() {
    let mut stage = Stage::new("steps:\n  - {name: call, executor: nest, config: {text: \"one,two,three\"}}\n");
    stage.kids.end("two", &[FAILS, FAILS]);
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Failed);
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("two", 1)]));
    let ran = again(&mut stage, ran).await;
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("two", 2)]));
    let ran = again(&mut stage, ran).await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("two", 3), ("three", 1)]));
    assert_eq!(ran.settled().outputs, json!({"of": "three"}));
}

#[tokio::test]
async fn a_child_that_the_last_epoch_did_not_come_to_is_still_gone_on_with() {
    let mut stage = Stage::new("steps:\n  - {name: call, executor: nest, config: {text: \"one,two\"}}\n");
    stage.kids.end("two", &[FAILS]);
    let ran = stage.go().await;
    // The second epoch fails before it comes to the second child.
    let first = ran.entries.len();
    stage.restart_by = Some("ada".to_owned());
    let mut ran = stage.go_on(ran.entries).await;
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("two", 2)]));
    let child = |entry: &&crate::Entry| matches!(entry.event, Event::ChildStarted { .. });
    let one = ran.entries[first..].iter().find(child).unwrap().position;
    ran.entries.truncate(usize::try_from(one).unwrap());
    let state = crate::dispatcher::State::replay(
        &crate::dispatcher::Graph::new(stage.plan.clone(), &stage.registry),
        &ran.entries,
    );
    let unit = &state.unwrap().steps[0].unit;
    assert_eq!(unit.earlier().iter().map(|line| line.attempt).collect::<Vec<_>>(), [1], "a resumed attempt finds both");
    stage.control.cancel.cancel();
    let ran = stage.go_on(ran.entries).await;
    stage.control = crate::run::Control::default();
    let ran = again(&mut stage, ran).await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("two", 2)]));
}

#[tokio::test]
async fn a_child_that_its_parent_never_heard_of_is_still_gone_on_with() {
    // Neither the first attempt's child nor the one that a restart went on with came to the journal before the run ended.
    for restarts_before in [0, 1] {
        let mut stage = Stage::new("timeout: 1h\nsteps:\n  - {name: call, executor: nest, config: {text: one}}\n");
        stage.kids.end("one", &[FAILS; 2][..=restarts_before]);
        let mut ran = stage.go().await;
        let mut durable = 0;
        for _ in 0..restarts_before {
            durable = ran.entries.len();
            ran = again(&mut stage, ran).await;
        }
        let begun = |entry: &crate::Entry| matches!(entry.event, Event::AttemptStarted { .. });
        let begun = ran.entries[durable..].iter().position(begun).unwrap();
        ran.entries.truncate(durable + begun + 1);
        stage.restart_by = None;
        // Its next worker comes when the run's time is over, and begins nothing.
        stage.shift += chrono::TimeDelta::hours(2);
        let ran = stage.go_on(ran.entries).await;
        let heard = |entry: &crate::Entry| matches!(entry.event, Event::ChildStarted { .. });
        assert_eq!(status(&ran), RunStatus::TimedOut);
        assert!(!ran.entries[durable..].iter().any(heard), "{:?}", ran.entries);
        let ran = again(&mut stage, ran).await;
        assert_eq!(status(&ran), RunStatus::Succeeded);
        let epoch = u32::try_from(restarts_before).unwrap() + 2;
        assert_eq!(stage.kids.all(), kids(&[("one", epoch)]));
    }
}

#[tokio::test]
async fn a_retry_has_a_child_of_its_own_and_a_restart_goes_on_with_the_last_one() {
    let mut stage = Stage::new(
        "steps:\n  - {name: call, executor: nest, config: {text: one}, retry: {max_attempts: 2, initial_delay: 1ms}}\n",
    );
    stage.kids.end("one", &[CUT, CUT, CUT]);
    let ran = stage.go().await;
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("one", 1)]));
    // The retry of the next epoch is on its own again.
    let ran = again(&mut stage, ran).await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("one", 2), ("one", 1)]));
}

#[tokio::test]
async fn items_fallbacks_and_iterations_go_on_with_their_own_children() {
    let mut stage = Stage::new(
        "steps:\n  - {name: call, executor: nest, for_each: [a, b, c], max_parallel: 1, on_item_error: collect, on_error: fail, config: {text: \"{{ item }}\"}}\n  - {name: last, executor: act, config: {fail: rejected, times: 1}}\n",
    );
    stage.kids.end("b", &[FAILS]);
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Failed);
    again(&mut stage, ran).await;
    assert_eq!(stage.kids.all(), kids(&[("a", 1), ("b", 1), ("c", 1)]), "what is collected is settled");

    let mut stage = Stage::new(
        "steps:\n  - {name: call, executor: nest, for_each: [a, b, c], max_parallel: 1, config: {text: \"{{ item }}\"}}\n",
    );
    stage.kids.end("b", &[FAILS]);
    let ran = stage.go().await;
    let ran = again(&mut stage, ran).await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.kids.all(), kids(&[("a", 1), ("b", 2), ("c", 1)]));

    let mut stage = Stage::new(
        "steps:\n  - {name: call, executor: nest, config: {text: own}, on_error: {fallback: [{executor: nest, config: {text: other}}]}}\n",
    );
    stage.kids.end("own", &[FAILS, FAILS]);
    stage.kids.end("other", &[FAILS]);
    let ran = stage.go().await;
    let ran = again(&mut stage, ran).await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.kids.all(), kids(&[("own", 2), ("other", 2)]));

    let mut stage = Stage::new(
        "steps:\n  - {name: call, executor: nest, config: {text: one}, repeat: {until: \"{{ iteration == 3 }}\", max_iterations: 5}}\n",
    );
    stage.kids.end("one", &[None, FAILS]);
    let ran = stage.go().await;
    let ran = again(&mut stage, ran).await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.kids.all(), kids(&[("one", 1), ("one", 2), ("one", 1), ("one", 1)]), "iterations begin anew");
}

#[tokio::test]
async fn what_was_undone_and_what_handles_an_end_has_new_children() {
    let mut stage = Stage::new(
        "steps:
  - {name: book, executor: nest, config: {text: book}, compensate: {executor: nest, config: {text: undo}}}
  - {name: last, executor: act, config: {fail: rejected, times: 2}}
on_error: [{name: tell, executor: nest, config: {text: tell}}]
",
    );
    stage.kids.end("tell", &[FAILS, None]);
    let ran = stage.go().await;
    assert_eq!(stage.kids.all(), kids(&[("book", 1), ("undo", 1), ("tell", 1)]));
    again(&mut stage, ran).await;
    let all = kids(&[("book", 1), ("undo", 1), ("tell", 1), ("book", 1), ("undo", 1), ("tell", 1)]);
    assert_eq!(stage.kids.all(), all);
}

#[tokio::test]
async fn a_person_who_has_a_parked_step_done_again_goes_on_with_its_child() {
    let stage = Stage::new("steps:\n  - {name: call, executor: nest, on_error: attention, config: {text: one}}\n");
    stage.kids.end("one", &[FAILS]);
    let ran = stage.go().await;
    assert!(matches!(ran.outcome, Outcome::Suspended { status: RunStatus::NeedsAttention, .. }), "{:?}", ran.outcome);
    let resolve = Outside::Resolve { step: "call".to_owned(), item: None, resolution: Resolution::Retry };
    stage.inbox.put("d1", "ada", resolve);
    assert_eq!(status(&stage.go_on(ran.entries).await), RunStatus::Succeeded);
    assert_eq!(stage.kids.all(), kids(&[("one", 2)]));
}
