//! Calls whose outcome nobody knows: asked about, never doubled (flow-language, section 5).

use std::collections::BTreeSet;
use std::time::Duration;

use domain::RunStatus;
use serde_json::json;

use super::status;
use crate::event::{Event, Outside, Resolution};
use crate::kit::Stage;
use crate::memory::Start;
use crate::run::{Control, Outcome};

fn keys(stage: &Stage, step: &str) -> BTreeSet<String> {
    let keys = stage.seen.keys.lock().unwrap();
    keys.iter().filter(|key| key.contains(&format!("/{step}/"))).cloned().collect()
}

#[tokio::test]
async fn a_restart_repeats_a_call_that_was_cut_off_under_its_old_key() {
    for (above, on_step, cancel) in [
        ("", "", true),
        ("timeout: 40ms\n", "", false),
        ("", "for_each: [1], ", true),
        ("", "timeout: 40ms, on_unknown: fail, ", false),
    ] {
        let mut stage = Stage::new(&format!(
            "{above}steps:\n  - {{name: pay, executor: pay, {on_step}config: {{sleep_ms: 400}}}}\n"
        ));
        let control = stage.control.clone();
        let stop = async {
            tokio::time::sleep(Duration::from_millis(40)).await;
            if cancel {
                control.cancel.cancel();
            }
        };
        let (ran, ()) = tokio::join!(stage.go(), stop);
        assert!(status(&ran).is_terminal());
        stage.restart_by = Some("ada".to_owned());
        stage.control = Control::default();
        stage.go_on(ran.entries).await;
        assert_eq!(stage.calls().len(), 2, "{above}{on_step}");
        assert_eq!(keys(&stage, "pay").len(), 1, "{above}{on_step}: {:?}", keys(&stage, "pay"));
    }
}

#[tokio::test]
async fn no_handler_waits_for_a_person_and_those_behind_it_run() {
    for (compensate, on_error, finally) in [
        ("{executor: pay, config: {fail: timeout}}", "{name: tell, executor: act}", "{name: tidy, executor: act}"),
        ("{executor: act}", "{name: tell, executor: pay, config: {fail: provider}}", "{name: tidy, executor: act}"),
        ("{executor: act}", "{name: tell, executor: act}", "{name: tidy, executor: pay, config: {fail: timeout}}"),
    ] {
        let stage = Stage::new(&format!(
            "steps:
  - {{name: first, executor: act, compensate: {{executor: act}}}}
  - {{name: second, executor: act, compensate: {compensate}}}
  - {{name: last, executor: act, config: {{fail: rejected}}}}
on_error: [{on_error}]
finally: [{finally}]
"
        ));
        let ran = stage.go().await;
        assert_eq!(status(&ran), RunStatus::Failed);
        let called: BTreeSet<String> = stage.calls().into_iter().map(|(step, _)| step).collect();
        let expected = ["first", "second", "last", "first:compensate", "second:compensate", "tell", "tidy"];
        assert_eq!(called, expected.map(str::to_owned).into());
        assert_eq!(ran.settled().failed_step.as_deref(), Some("last"));
        assert_eq!(ran.settled().handler_errors.len(), 1, "{:?}", ran.settled().handler_errors);
    }
}

#[tokio::test]
async fn what_succeeded_of_a_list_is_undone_in_reverse_and_done_again_by_a_restart() {
    for (item_error, succeeds) in [("fail", false), ("collect", true)] {
        let mut stage = Stage::new(&format!(
            "steps:
  - name: book
    executor: act
    for_each: [1, 2, 3]
    max_parallel: 1
    on_item_error: {item_error}
    config: {{give: {{id: \"{{{{ item }}}}\"}}}}
    compensate: {{executor: act, config: {{give: \"undo {{{{ item.output.id }}}}\"}}}}
  - {{name: last, executor: act, config: {{fail: rejected, times: 1}}}}
"
        ));
        if !succeeds {
            // The third of the list fails.
            let yaml = "steps:
  - name: book
    executor: act
    for_each: [none, none, rejected]
    max_parallel: 1
    config: {fail: \"{{ item }}\", give: {id: \"{{ item.index }}\"}}
    compensate: {executor: act, config: {give: \"undo {{ item.output.id }}\"}}
";
            stage = Stage::new(
                &yaml
                    .replace("[none, none, rejected]", "[\"\", \"\", rejected]")
                    .replace("fail: \"{{ item }}\"", "fail: \"{{ none if not item else item }}\""),
            );
        }
        let ran = stage.go().await;
        assert_eq!(status(&ran), RunStatus::Failed, "{:?}", ran.steps());
        let undone: Vec<String> = ran
            .entries
            .iter()
            .filter_map(|entry| match &entry.event {
                Event::ItemSettled { step, output: Some(crate::event::Stored::Inline(output)), .. }
                    if step == "book:compensate" =>
                {
                    output.as_str().map(str::to_owned)
                }
                _ => None,
            })
            .collect();
        let expected: &[&str] = if succeeds { &["undo 3", "undo 2", "undo 1"] } else { &["undo 1", "undo 0"] };
        assert_eq!(undone, expected, "{:?}", ran.steps());
        let before = stage.calls().iter().filter(|(step, _)| step == "book").count();
        stage.restart_by = Some("ada".to_owned());
        stage.go_on(ran.entries).await;
        let after = stage.calls().iter().filter(|(step, _)| step == "book").count();
        assert_eq!(after - before, 3, "what was undone is done again");
    }
}

#[tokio::test]
async fn a_parent_does_not_repeat_a_child_that_may_have_acted() {
    let seen = std::sync::Arc::<crate::kit::Seen>::default();
    let parent = |callee: &str, more: &str| {
        format!(
            "steps: [{{name: call, executor: nest, config: {{text: {callee}}}, retry: {{max_attempts: 3, initial_delay: 1ms}}{more}}}]"
        )
    };
    let flows: Vec<(&str, String)> = vec![
        ("slow_pay", "steps: [{name: pay, executor: pay, config: {sleep_ms: 400}}]".to_owned()),
        ("failing_pay", "steps: [{name: pay, executor: pay, on_unknown: fail, config: {fail: provider}}]".to_owned()),
        ("failing_act", "steps: [{name: act, executor: act, config: {fail: provider}}]".to_owned()),
        ("cut", parent("slow_pay", ", timeout: 40ms")),
        ("cut_at_last", parent("slow_pay", ", total_timeout: 40ms")),
        ("failed", parent("failing_pay", "")),
        ("harmless", parent("failing_act", "")),
        ("allowed", parent("failing_pay", ", on_unknown: retry")),
        ("declared", parent("failing_pay", ", effect: idempotent")),
    ];
    let flows: Vec<(&str, &str)> = flows.iter().map(|(name, yaml)| (*name, yaml.as_str())).collect();
    let (world, plans) = crate::kit::world(crate::kit::registry(&seen), &flows);
    for (flow, calls, asks) in [
        ("cut", 1, true),
        ("cut_at_last", 1, true),
        ("failed", 1, false),
        ("harmless", 3, false),
        ("allowed", 3, false),
        ("declared", 3, false),
    ] {
        seen.calls.lock().unwrap().clear();
        let finished = world.run(plans[flow].clone(), Start::new(flow, json!({})), Control::default()).await.unwrap();
        let is_asked = matches!(finished.outcome, Outcome::Suspended { status: RunStatus::NeedsAttention, .. });
        assert_eq!(is_asked, asks, "{flow}: {:?}", finished.outcome);
        assert_eq!(seen.calls.lock().unwrap().len(), calls, "{flow}");
    }
}

#[tokio::test]
async fn a_person_may_still_repeat_a_child() {
    let stage = Stage::new("steps:\n  - {name: pay, executor: pay, config: {fail: timeout, times: 1}}\n");
    let ran = stage.go().await;
    let resolve = Outside::Resolve { step: "pay".to_owned(), item: None, resolution: Resolution::Retry };
    stage.inbox.put("d1", "ada", resolve);
    assert_eq!(status(&stage.go_on(ran.entries).await), RunStatus::Succeeded);
    assert_eq!(keys(&stage, "pay").len(), 1);
}

#[tokio::test]
async fn a_run_whose_time_passes_while_a_person_is_asked_ends_with_the_call_in_doubt() {
    for (on_step, doubt) in [("", true), ("for_each: [1], ", true), ("on_error: attention, ", false)] {
        let (executor, fail) = if doubt { ("pay", "timeout") } else { ("act", "rejected") };
        let mut stage = Stage::new(&format!(
            "timeout: 1h
steps:
  - {{name: pay, executor: {executor}, {on_step}config: {{fail: {fail}, times: 1}}}}
finally: [{{name: tidy, executor: act}}]
"
        ));
        let ran = stage.go().await;
        let Outcome::Suspended { status: RunStatus::NeedsAttention, wake_at: Some(wake_at) } = ran.outcome else {
            panic!("{:?}", ran.outcome)
        };
        stage.shift = chrono::TimeDelta::hours(1) + chrono::TimeDelta::seconds(1);
        assert!(wake_at <= chrono::Utc::now() + stage.shift);
        let ran = stage.go_on(ran.entries).await;
        assert_eq!((status(&ran), ran.step("pay").as_str()), (RunStatus::TimedOut, "timed_out"), "{on_step}");
        assert_eq!(ran.step("tidy"), "succeeded");
        let said = ran.entries.iter().any(|entry| match &entry.event {
            Event::StepSettled { step, error: Some(error), .. }
            | Event::ItemSettled { step, error: Some(error), .. } => {
                step == "pay" && error.message.contains("may have taken effect")
            }
            _ => false,
        });
        assert_eq!(said, doubt, "{on_step}");
        // The same call under its old key, as far as anybody knows.
        stage.restart_by = Some("ada".to_owned());
        stage.go_on(ran.entries).await;
        assert_eq!(keys(&stage, "pay").len(), if doubt { 1 } else { 2 }, "{on_step}: {:?}", keys(&stage, "pay"));
    }
}

#[tokio::test]
async fn a_step_that_its_group_ended_before_its_turn_waits_for_its_needs_when_it_is_retried() {
    for (resolved_after_ms, condition) in [(120, ""), (600, ""), (120, "condition: \"{{ false }}\", ")] {
        let stage = Stage::new(&format!(
            "groups: {{g: {{timeout: 60ms}}}}
steps:
  - {{name: outside, executor: act, depends_on: [], config: {{sleep_ms: 400}}}}
  - {{name: fast, executor: act, depends_on: [], parallel_group: g}}
  - {{name: held, executor: act, parallel_group: g, depends_on: [outside], {condition}on_error: attention}}
"
        ));
        let inbox = stage.inbox.clone();
        let person = async {
            tokio::time::sleep(std::time::Duration::from_millis(resolved_after_ms)).await;
            inbox.put(
                "d1",
                "ada",
                Outside::Resolve { step: "held".to_owned(), item: None, resolution: Resolution::Retry },
            );
        };
        let (ran, ()) = tokio::join!(stage.go(), person);
        let ran = if matches!(ran.outcome, Outcome::Suspended { .. }) { stage.go_on(ran.entries).await } else { ran };
        assert_eq!(status(&ran), RunStatus::Succeeded, "{:?}", ran.entries);
        let at = |found: &dyn Fn(&Event) -> bool| {
            ran.entries.iter().find(|entry| found(&entry.event)).map(|entry| entry.position)
        };
        let outside = at(&|event| matches!(event, Event::StepSettled { step, .. } if step == "outside"));
        let parked = at(&|event| matches!(event, Event::StepNeedsAttention { step, .. } if step == "held"));
        let resolved = at(&|event| matches!(event, Event::OutsideReceived { .. }));
        let begun = at(&|event| matches!(event, Event::AttemptStarted { step, .. } if step == "held"));
        assert!(parked.is_some() && parked < resolved, "{:?}", ran.entries);
        if condition.is_empty() {
            assert!(begun > outside && begun > resolved, "{:?}", ran.entries);
        } else {
            assert_eq!((begun, ran.step("held")), (None, "skipped(condition)".to_owned()), "{:?}", ran.entries);
        }
    }
}
