//! Waits, signals, approvals and what people do to a run (flow-language, sections 5 and 6).

use chrono::TimeDelta;
use domain::RunStatus;
use serde_json::json;

use super::status;
use crate::event::{Event, Outside, Resolution};
use crate::kit::{Ran, Stage};
use crate::run::Outcome;

fn rests(ran: &Ran, wanted: RunStatus) -> Option<chrono::DateTime<chrono::Utc>> {
    match &ran.outcome {
        Outcome::Suspended { status, wake_at } if *status == wanted => *wake_at,
        other => panic!("not {wanted}: {other:?}"),
    }
}

fn signal(name: &str, payload: serde_json::Value) -> Outside {
    Outside::Signal { name: name.to_owned(), payload }
}

fn decision(approved: bool) -> Outside {
    let comment = Some("as agreed".to_owned());
    Outside::Decision { step: "ask".to_owned(), item: None, approved, comment, form: json!({"limit": 5}) }
}

#[tokio::test]
async fn a_wait_gives_the_run_back_and_goes_on_when_its_time_has_come() {
    let mut stage = Stage::new("steps:\n  - {name: pause, executor: wait, config: {for: 2h}}\n");
    let ran = stage.go().await;
    assert!(rests(&ran, RunStatus::Waiting).is_some());
    stage.shift = TimeDelta::hours(3);
    let ran = stage.go_on(ran.entries).await;
    assert_eq!((status(&ran), &ran.settled().outputs["reason"]), (RunStatus::Succeeded, &json!("time")));
}

#[tokio::test]
async fn a_signal_wakes_the_step_that_waits_for_it_and_one_that_came_too_early_is_kept() {
    let yaml = "steps:\n  - {name: first, executor: wait, config: {signal: go}}\n  - {name: second, executor: wait, config: {signal: later}}\noutputs:\n  said: \"{{ steps.first.output.payload ~ steps.second.output.payload }}\"\n";
    let stage = Stage::new(yaml);
    let ran = stage.go().await;
    rests(&ran, RunStatus::Waiting);
    stage.inbox.put("d1", "ada", signal("later", json!("b")));
    let ran = stage.go_on(ran.entries).await;
    rests(&ran, RunStatus::Waiting);
    stage.inbox.put("d2", "ada", signal("go", json!("a")));
    let ran = stage.go_on(ran.entries).await;
    assert_eq!(ran.settled().outputs, json!({"said": "ab"}));
}

#[tokio::test]
async fn a_delivery_that_comes_twice_is_taken_in_once() {
    let stage = Stage::new(
        "steps:\n  - {name: a, executor: wait, config: {signal: go}}\n  - {name: b, executor: wait, config: {signal: go}}\n",
    );
    let ran = stage.go().await;
    stage.inbox.put("d1", "ada", signal("go", json!(1)));
    stage.inbox.put("d1", "ada", signal("go", json!(1)));
    let ran = stage.go_on(ran.entries).await;
    rests(&ran, RunStatus::Waiting);
    let received = ran.entries.iter().filter(|entry| matches!(entry.event, Event::OutsideReceived { .. })).count();
    assert_eq!(received, 1);
}

#[tokio::test]
async fn a_signal_that_never_comes_fails_the_wait_unless_it_may_go_on() {
    for (more, expected) in [("", RunStatus::Failed), (", on_timeout: continue", RunStatus::Succeeded)] {
        let mut stage =
            Stage::new(&format!("steps:\n  - {{name: a, executor: wait, config: {{signal: go, for: 1h{more}}}}}\n"));
        let ran = stage.go().await;
        stage.shift = TimeDelta::hours(2);
        let ran = stage.go_on(ran.entries).await;
        assert_eq!(status(&ran), expected);
    }
}

#[tokio::test]
async fn an_approval_says_who_decided_and_a_rejection_fails_unless_the_flow_goes_on() {
    let yaml = |more: &str| format!("steps:\n  - {{name: ask, executor: approval, config: {{message: Pay?{more}}}}}\n");
    let decide = |yaml: String, approved: bool| async move {
        let stage = Stage::new(&yaml);
        let ran = stage.go().await;
        rests(&ran, RunStatus::Waiting);
        stage.inbox.put("d1", "ada", decision(approved));
        stage.go_on(ran.entries).await
    };
    let ran = decide(yaml(""), true).await;
    let outputs = &ran.settled().outputs;
    assert_eq!(
        (&outputs["approved"], &outputs["by"], &outputs["form"]["limit"]),
        (&json!(true), &json!("ada"), &json!(5))
    );
    let ran = decide(yaml(""), false).await;
    assert_eq!(ran.error_of("ask").code, "rejected");
    assert!(ran.error_of("ask").message.contains("ada: as agreed"), "{}", ran.error_of("ask").message);
    let ran = decide(yaml(", on_reject: continue"), false).await;
    assert_eq!(ran.settled().outputs["decision"], json!("rejected"));
}

#[tokio::test]
async fn an_approval_that_nobody_gives_expires_as_the_flow_says() {
    for (on_expiry, status_wanted, approved) in [
        ("fail", RunStatus::Failed, None),
        ("reject", RunStatus::Failed, None),
        ("reject, on_reject: continue", RunStatus::Succeeded, Some(false)),
        ("fail, on_reject: continue", RunStatus::Failed, None),
        ("approve", RunStatus::Succeeded, Some(true)),
        ("continue", RunStatus::Succeeded, Some(false)),
    ] {
        let mut stage = Stage::new(&format!(
            "steps:\n  - {{name: ask, executor: approval, config: {{expires_in: 1h, on_expiry: {on_expiry}}}}}\n"
        ));
        let ran = stage.go().await;
        stage.shift = TimeDelta::hours(2);
        let ran = stage.go_on(ran.entries).await;
        assert_eq!(status(&ran), status_wanted, "{on_expiry}");
        if let Some(approved) = approved {
            assert_eq!(ran.settled().outputs["approved"], json!(approved));
        }
    }
}

#[tokio::test]
async fn a_person_says_what_became_of_an_unsafe_call_whose_outcome_nobody_knows() {
    let yaml = "steps:\n  - {name: pay, executor: pay, config: {fail: timeout, times: 1, give: paid}}\n";
    for (resolution, expected) in [
        (Resolution::Complete { output: json!("by hand") }, Some(json!("by hand"))),
        (Resolution::Retry, Some(json!("paid"))),
        (Resolution::Fail, None),
    ] {
        let stage = Stage::new(yaml);
        let ran = stage.go().await;
        rests(&ran, RunStatus::NeedsAttention);
        stage.inbox.put("d1", "ada", Outside::Resolve { step: "pay".to_owned(), item: None, resolution });
        let ran = stage.go_on(ran.entries).await;
        match expected {
            Some(outputs) => assert_eq!(ran.settled().outputs, outputs),
            None => assert_eq!(status(&ran), RunStatus::Failed),
        }
        let keys = stage.seen.keys.lock().unwrap().clone();
        assert!(keys.iter().all(|key| key == &keys[0]), "the same call has the same key: {keys:?}");
    }
}

#[tokio::test]
async fn on_error_attention_lets_a_person_repair_and_go_on() {
    let stage = Stage::new(
        "steps:\n  - {name: ask, executor: act, on_error: attention, config: {fail: rejected, times: 1, give: fine}}\n",
    );
    let ran = stage.go().await;
    rests(&ran, RunStatus::NeedsAttention);
    stage.inbox.put(
        "d1",
        "ada",
        Outside::Resolve { step: "ask".to_owned(), item: None, resolution: Resolution::Retry },
    );
    assert_eq!(stage.go_on(ran.entries).await.settled().outputs, json!("fine"));
}

#[tokio::test]
async fn a_kill_ends_the_run_at_once_without_handlers() {
    let stage = Stage::new(
        "steps:\n  - {name: ask, executor: approval, config: {}}\nfinally:\n  - {name: clean, executor: act}\n",
    );
    let ran = stage.go().await;
    stage.inbox.put("d1", "ada", Outside::Kill { reason: "a runaway".to_owned() });
    let ran = stage.go_on(ran.entries).await;
    assert_eq!(status(&ran), RunStatus::Killed);
    assert_eq!(ran.step("clean"), "cancelled(cancelled)");
    assert!(stage.calls().is_empty());
}
