//! Groups that are decided, runs out of time, flows that fail fast: what was to be stopped stays stopped (flow-language,
//! sections 2, 3 and 5).

use std::time::Duration;

use domain::{Failure, FailureKind, RunStatus};
use serde_json::json;

use super::{run, status};
use crate::event::Event;
use crate::kit::Stage;
use crate::run::{Outcome, Refusal};

#[tokio::test]
async fn nothing_begins_in_a_group_that_is_decided() {
    let four = |head: &str, first: &str| {
        format!(
            "{head}steps:
  - {{name: a, executor: act, parallel_group: g, config: {{{first}}}}}
  - {{name: b, executor: act, parallel_group: g}}
  - {{name: c, executor: act, parallel_group: g}}
  - {{name: d, executor: act, parallel_group: g}}
"
        )
    };
    for (head, first, begun) in [
        ("groups: {g: {join: any, max_parallel: 1}}\n", "give: 1", 1),
        ("groups: {g: {join: {at_least: 2}, max_parallel: 2}}\n", "give: 1", 3),
        ("groups: {g: {on_error: cancel_rest, max_parallel: 1}}\n", "fail: rejected", 1),
        ("fail_fast: true\ngroups: {g: {max_parallel: 1}}\n", "fail: rejected", 1),
    ] {
        let stage = Stage::new(&four(head, first));
        let ran = stage.go().await;
        // Who is freed before the join is met begins; nobody after.
        assert!(stage.calls().len() <= begun, "{head}: {:?}", ran.steps());
        assert_eq!(
            ran.step("d"),
            "skipped(group_joined)"
                .replace("group_joined", if head.starts_with("fail") { "fail_fast" } else { "group_joined" })
        );
    }
}

#[tokio::test]
async fn nothing_begins_in_a_run_that_is_cancelled_or_out_of_time() {
    let members = "steps:\n  - {name: a, executor: act, parallel_group: g, config: {sleep_ms: 30000}}\n  - {name: b, executor: act, parallel_group: g}\n  - {name: c, executor: act, parallel_group: g}\n";
    let stage = Stage::new(&format!("timeout: 30ms\ngroups: {{g: {{max_parallel: 1}}}}\n{members}"));
    assert_eq!(status(&stage.go().await), RunStatus::TimedOut);
    assert_eq!(stage.calls().len(), 1);
    let stage = Stage::new(&format!("groups: {{g: {{max_parallel: 1}}}}\n{members}"));
    let control = stage.control.clone();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        control.cancel.cancel();
    };
    let (ran, ()) = tokio::join!(stage.go(), cancel);
    assert_eq!(status(&ran), RunStatus::Cancelled);
    assert_eq!(stage.calls().len(), 1);
}

#[tokio::test]
async fn a_group_out_of_time_cannot_be_joined_whatever_its_members_were_doing() {
    for slow in [
        "executor: act, config: {sleep_ms: 30000}",
        "executor: wait, config: {for: 1h}",
        "executor: approval, config: {}",
        "executor: act, config: {fail: connect}, retry: {max_attempts: 2, initial_delay: 1h, max_elapsed: 2h, jitter: none}",
        "executor: act, depends_on: [outside]",
    ] {
        let stage = Stage::new(
            &format!(
                "groups: {{g: {{timeout: 80ms, max_parallel: 1}}}}
steps:
  - {{name: outside, executor: act, depends_on: [], config: {{sleep_ms: 500}}}}
  - {{name: fast, executor: act, depends_on: [], parallel_group: g}}
  - {{name: slow, parallel_group: g, depends_on: [], {slow}}}
  - {{name: queued, executor: act, depends_on: [], parallel_group: g}}
  - {{name: after, executor: act, depends_on: [g]}}
"
            )
            .replace("depends_on: [], executor: act, depends_on: [outside]", "executor: act, depends_on: [outside]"),
        );
        let mut ran = stage.go().await;
        let mut stage = stage;
        // What waits long gives its place back, and is woken when the group's time is over.
        while let Outcome::Suspended { wake_at: Some(_), .. } = ran.outcome {
            stage.shift += chrono::TimeDelta::seconds(1);
            ran = stage.go_on(ran.entries).await;
        }
        assert_eq!(status(&ran), RunStatus::Failed, "{slow}: {:?}", ran.steps());
        assert_eq!(ran.step("slow"), "timed_out", "{slow}");
        assert_eq!(ran.step("after"), "skipped(upstream_failed)", "{slow}");
        assert_eq!(ran.error_of("slow").code, "group_timeout", "{slow}");
    }
}

#[tokio::test]
async fn an_outer_limit_of_time_is_not_the_steps_own_failure() {
    // An executor that heeds its deadline may not pass the run's end off as something to take on or to retry.
    for on_step in ["on_error: {value: 1}, ", "on_error: continue, ", "retry: {max_attempts: 3, initial_delay: 1ms}, "]
    {
        let yaml =
            format!("timeout: 60ms\nsteps:\n  - {{name: slow, executor: act, {on_step}config: {{sleep_ms: 30000}}}}\n");
        let ran = run(&yaml).await;
        assert_eq!(status(&ran), RunStatus::TimedOut, "{on_step}");
        let message = &ran.settled().error.as_ref().unwrap().message;
        assert!(message.contains("timeout of 0.06 s"), "{message}");
    }
}

#[tokio::test]
async fn a_cancelled_wait_is_cancelled() {
    let stage = Stage::new("steps:\n  - {name: hold, executor: wait, config: {for: 1h}}\n");
    let ran = stage.go().await;
    stage.control.cancel.cancel();
    let ran = stage.go_on(ran.entries).await;
    assert_eq!(ran.step("hold"), "cancelled(cancelled)");
}

#[tokio::test]
async fn a_failing_variable_runs_the_handlers() {
    let ran = run("vars: {y: \"{{ inputs.x }}\"}\nsteps:\n  - {name: one, executor: act}\non_error:\n  - {name: tell, executor: act}\nfinally:\n  - {name: tidy, executor: act}\n").await;
    assert_eq!(status(&ran), RunStatus::Failed);
    assert_eq!(
        (ran.step("one"), ran.step("tell"), ran.step("tidy")),
        ("skipped(cancelled)".into(), "succeeded".into(), "succeeded".into())
    );
}

fn refusal() -> Refusal {
    let failure = Failure::new(FailureKind::Flow, "unknown_flow", "The flow `other` is not there.");
    Refusal { failure, step: Some("two".to_owned()) }
}

const REFUSED: &str = "vars: {who: ada}
steps:
  - {name: one, executor: act, compensate: {executor: act}}
  - {name: two, executor: act, config: {give: \"{{ vars.who }}\"}}
on_error:
  - {name: tell, executor: act, config: {give: \"{{ error.code }} of {{ failed_step }} for {{ vars.who }}\"}}
finally:
  - {name: tidy, executor: act}
";

#[tokio::test]
async fn a_run_that_must_fail_before_its_first_step_runs_its_handlers() {
    let mut stage = Stage::new(REFUSED);
    stage.refused = Some(refusal());
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Failed);
    let settled = ran.settled();
    assert_eq!(settled.error.as_ref().map(|error| error.code.as_str()), Some("unknown_flow"));
    assert_eq!((settled.failed_step.as_deref(), settled.failed_attempt), (Some("two"), None));
    assert_eq!(
        ["one", "two", "one:compensate", "tell", "tidy"].map(|step| ran.step(step)),
        ["skipped(cancelled)", "skipped(cancelled)", "skipped(not_needed)", "succeeded", "succeeded"]
            .map(str::to_owned)
    );
    assert_eq!(stage.config("tell")["give"], "unknown_flow of two for ada");
    assert_eq!(stage.calls().iter().map(|(step, _)| step.as_str()).collect::<Vec<_>>(), ["tell", "tidy"]);
    // What is found out holds before the first step alone: a restart looks for itself, and has its variables.
    stage.restart_by = Some("ada".to_owned());
    let again = stage.go_on(ran.entries).await;
    assert_eq!((status(&again), &again.settled().outputs), (RunStatus::Succeeded, &json!("ada")));
}

#[tokio::test]
async fn another_worker_goes_on_with_the_handlers_of_a_run_that_had_to_fail() {
    let mut stage = Stage::new(REFUSED);
    stage.refused = Some(refusal());
    let whole = stage.go().await.entries;
    let begun = whole.iter().position(|entry| matches!(entry.event, Event::HandlersStarted { .. })).unwrap();
    // What it begins with and what comes of that are of one decision, and are appended together.
    assert!(whole[..=begun].iter().all(|entry| entry.at == whole[0].at));
    for kept in begun + 1..whole.len() {
        let ran = stage.go_on(whole[..kept].to_vec()).await;
        assert_eq!((status(&ran), ran.step("two")), (RunStatus::Failed, "skipped(cancelled)".to_owned()), "{kept}");
        assert_eq!((ran.step("tell"), ran.step("tidy")), ("succeeded".to_owned(), "succeeded".to_owned()), "{kept}");
    }
}

#[tokio::test]
async fn a_skipped_source_of_the_main_input_does_not_skip_a_step_that_the_call_feeds() {
    let yaml = "inputs: {t: string}
steps:
  - {name: a, executor: reader, config: {file: x, give: {text: AAA}}, condition: \"inputs.t is defined and inputs.t == 'b'\"}
  - {name: d, executor: writer, config: {give: done}}
";
    let ran = Stage::new(yaml).with(json!({"t": "given"})).go().await;
    assert_eq!(ran.step("d"), "succeeded", "{:?}", ran.steps());
    let ran = Stage::new(yaml).with(json!({})).go().await;
    assert_eq!(ran.step("d"), "skipped(upstream_skipped)", "{:?}", ran.steps());
}
