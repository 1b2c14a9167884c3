//! Attempts: retries, limits of time, crashes, cancels and panics (flow-language, section 5).

use chrono::TimeDelta;
use domain::{FailureKind, RunStatus};

use super::{run, status};
use crate::event::Event;
use crate::kit::Stage;
use crate::run::Outcome;

#[tokio::test]
async fn retries_count_the_first_attempt_and_keep_the_config() {
    let stage = Stage::new(
        r#"
steps:
  - name: flaky
    executor: act
    config: {fail: connect, times: 2}
    retry: {max_attempts: 3, initial_delay: 5ms, jitter: none}
"#,
    );
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.calls(), [("flaky".to_owned(), 1), ("flaky".to_owned(), 2), ("flaky".to_owned(), 3)]);
    let keys = stage.seen.keys.lock().unwrap().clone();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    let configured = ran.entries.iter().filter(|entry| matches!(entry.event, Event::StepConfigured { .. }));
    assert_eq!(configured.count(), 1);
}

#[tokio::test]
async fn a_long_wait_suspends_the_run_and_it_goes_on_later() {
    let mut stage = Stage::new(
        r#"
steps:
  - name: flaky
    executor: act
    config: {fail: connect, times: 1}
    retry: {max_attempts: 2, initial_delay: 60s, jitter: none}
"#,
    );
    let ran = stage.go().await;
    let Outcome::Suspended { status: RunStatus::Waiting, wake_at: Some(_) } = ran.outcome else { panic!("{ran:?}") };
    stage.shift = TimeDelta::seconds(61);
    let ran = stage.go_on(ran.entries).await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    assert_eq!(stage.calls().len(), 2);
}

#[tokio::test]
async fn time_limits_end_attempts_steps_and_runs() {
    let ran = run("steps:\n  - {name: slow, executor: act, timeout: 20ms, config: {sleep_ms: 5000}}\n").await;
    assert_eq!((ran.step("slow"), ran.error_of("slow").code.as_str()), ("timed_out".to_owned(), "attempt_timeout"));
    assert_eq!(status(&ran), RunStatus::Failed);
    let ran = run(r"
steps:
  - name: slow
    executor: act
    timeout: 15ms
    total_timeout: 40ms
    config: {sleep_ms: 5000}
    retry: {max_attempts: 50, initial_delay: 1ms}
")
    .await;
    assert_eq!(ran.error_of("slow").code, "total_timeout");
    let ran = run("timeout: 20ms\nsteps:\n  - {name: slow, executor: act, config: {sleep_ms: 5000}}\n  - {name: next, executor: act}\n").await;
    assert_eq!(status(&ran), RunStatus::TimedOut);
    assert_eq!(ran.step("next"), "skipped(cancelled)");
}

#[tokio::test]
async fn an_unsafe_call_with_unknown_outcome_waits_for_a_person() {
    let ran = run("steps:\n  - {name: pay, executor: pay, config: {fail: timeout}, retry: {max_attempts: 5}}\n").await;
    assert_eq!(ran.outcome, Outcome::Suspended { status: RunStatus::NeedsAttention, wake_at: None });
    let ran = run("steps:\n  - {name: pay, executor: pay, config: {fail: connect, times: 1}, retry: {max_attempts: 2, initial_delay: 1ms}}\n").await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
    let ran = run("steps:\n  - {name: pay, executor: pay, config: {fail: rejected}}\n").await;
    assert_eq!(status(&ran), RunStatus::Failed);
    let ran = run("steps:\n  - {name: pay, executor: pay, on_unknown: fail, config: {fail: timeout}}\n").await;
    assert_eq!((status(&ran), ran.error_of("pay").kind), (RunStatus::Failed, FailureKind::Timeout));
    let ran = run("steps:\n  - {name: pay, executor: pay, on_unknown: retry, config: {fail: timeout, times: 1}, retry: {max_attempts: 2, initial_delay: 1ms}}\n").await;
    assert_eq!(status(&ran), RunStatus::Succeeded);
}

#[tokio::test]
async fn after_a_crash_safe_attempts_run_again_and_unsafe_ones_need_attention() {
    for (executor, again) in [("act", true), ("pay", false)] {
        let stage = Stage::new(&format!(
            "steps:\n  - {{name: before, executor: act}}\n  - {{name: middle, executor: {executor}}}\n  - {{name: after, executor: act}}\n"
        ));
        *stage.seen.hang.lock().unwrap() = Some("middle".to_owned());
        let control = stage.control.clone();
        let stop = async {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            control.stop.cancel();
        };
        let (ran, ()) = tokio::join!(stage.go(), stop);
        assert_eq!(ran.outcome, Outcome::Stopped);
        *stage.seen.hang.lock().unwrap() = None;
        let mut stage = stage;
        stage.control = crate::run::Control::default();
        let resumed = stage.go_on(ran.entries).await;
        if again {
            assert_eq!(status(&resumed), RunStatus::Succeeded);
            let middle: Vec<_> = stage.calls().into_iter().filter(|(step, _)| step == "middle").collect();
            assert_eq!(middle, [("middle".to_owned(), 1), ("middle".to_owned(), 1)], "the same attempt");
        } else {
            assert_eq!(resumed.outcome, Outcome::Suspended { status: RunStatus::NeedsAttention, wake_at: None });
        }
        assert_eq!(stage.calls().iter().filter(|(step, _)| step == "before").count(), 1);
    }
}

#[tokio::test]
async fn a_cancel_stops_what_runs_and_skips_the_rest() {
    let stage = Stage::new(
        "steps:\n  - {name: slow, executor: act, config: {sleep_ms: 5000}}\n  - {name: next, executor: act}\n",
    );
    let control = stage.control.clone();
    let cancel = async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        control.cancel.cancel();
    };
    let (ran, ()) = tokio::join!(stage.go(), cancel);
    assert_eq!(status(&ran), RunStatus::Cancelled);
    assert_eq!(
        (ran.step("slow"), ran.step("next")),
        ("cancelled(cancelled)".to_owned(), "skipped(cancelled)".to_owned())
    );
}

#[tokio::test]
async fn a_panic_of_an_executor_is_a_failure_of_its_step() {
    let ran = run("steps:\n  - {name: one, executor: act, config: {panic: true}}\n").await;
    assert_eq!(
        (ran.error_of("one").kind, ran.error_of("one").code.as_str()),
        (FailureKind::Internal, "executor_panicked")
    );
}
