//! Calls that are cut off: where somebody charges for them, what they cost is unknown, which is not nothing.

use std::time::Duration;

use domain::RunStatus;

use super::status;
use crate::event::{Event, Outside};
use crate::kit::{Ran, Stage};
use crate::run::{Control, Outcome};

/// Each way in which a call is cut off, by what the flow says above the step and on it.
const CUTS: &[(&str, &str)] = &[
    ("", "timeout: 20ms, "),
    ("", "timeout: 20ms, retry: {max_attempts: 2, initial_delay: 1ms}, "),
    ("", "total_timeout: 20ms, "),
    ("timeout: 20ms\n", ""),
    ("timeout: 20ms\n", "for_each: [1, 2], "),
    ("groups: {both: {timeout: 20ms}}\n", "parallel_group: both, "),
];

async fn cut(executor: &str, above: &str, on_step: &str) -> Ran {
    let yaml =
        format!("{above}steps:\n  - {{name: ask, executor: {executor}, {on_step}config: {{sleep_ms: 30000}}}}\n");
    Stage::new(&yaml).go().await
}

#[tokio::test]
async fn a_limit_of_time_leaves_a_bought_call_without_a_known_cost() {
    for (above, on_step) in CUTS {
        let bought = cut("model", above, on_step).await;
        assert_eq!(bought.settled().cost, None, "{above}{on_step}");
        assert!(bought.settled().usage.units["unseen_calls"] >= 1, "{above}{on_step}");
        let free = cut("act", above, on_step).await;
        assert_eq!(free.settled().cost, Some(domain::NanoUsd::ZERO), "{above}{on_step}");
    }
}

#[tokio::test]
async fn a_kill_leaves_a_bought_call_without_a_known_cost() {
    for on_step in ["", "for_each: [1, 2], "] {
        let stage = Stage::new(&format!(
            "steps:\n  - {{name: ask, executor: model, {on_step}config: {{sleep_ms: 30000}}}}\n  - {{name: next, executor: model}}\n"
        ));
        let inbox = stage.inbox.clone();
        let kill = async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            inbox.put("d1", "ada", Outside::Kill { reason: "a runaway".to_owned() });
        };
        let (ran, ()) = tokio::join!(stage.go(), kill);
        assert_eq!(status(&ran), RunStatus::Killed);
        assert_eq!(ran.settled().cost, None, "{on_step}");
        let expected = if on_step.is_empty() { 1 } else { 2 };
        assert_eq!(ran.settled().usage.units["unseen_calls"], expected, "what had not begun used nothing");
    }
}

#[tokio::test]
async fn a_call_whose_worker_went_away_is_counted_each_time_and_goes_on() {
    for (executor, known) in [("model", false), ("act", true)] {
        let mut stage = Stage::new(&format!("steps:\n  - {{name: ask, executor: {executor}}}\n"));
        *stage.seen.hang.lock().unwrap() = Some("ask".to_owned());
        let mut history = Vec::new();
        for _ in 0..2 {
            stage.control = Control::default();
            let control = stage.control.clone();
            let stop = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                control.stop.cancel();
            };
            let (ran, ()) = tokio::join!(stage.go_on(history.clone()), stop);
            assert_eq!(ran.outcome, Outcome::Stopped);
            history = ran.entries;
        }
        *stage.seen.hang.lock().unwrap() = None;
        stage.control = Control::default();
        let ran = stage.go_on(history).await;
        assert_eq!(status(&ran), RunStatus::Succeeded);
        let interrupted =
            ran.entries.iter().filter(|entry| matches!(entry.event, Event::AttemptInterrupted { .. })).count();
        assert_eq!((ran.settled().cost.is_some(), interrupted), (known, if known { 0 } else { 2 }));
    }
}
