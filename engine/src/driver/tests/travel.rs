//! How failures and skips travel, and who takes a failure on (flow-language, section 3).

use domain::{FailureKind, RunStatus};
use serde_json::json;

use super::{run, status};
use crate::kit::Stage;

/// The seed's routing by file type, with executors that do as they are told.
fn routing(kind: &str, pdf: &str, image: &str) -> String {
    format!(
        r#"
steps:
  - name: check_file_type
    executor: act
    config: {{give: {{file_type: {kind}}}}}
  - name: process_pdf
    executor: act
    condition: "{{{{ steps.check_file_type.file_type == 'pdf' }}}}"
    config: {pdf}
  - name: process_image
    executor: act
    condition: "{{{{ steps.check_file_type.file_type == 'image' }}}}"
    config: {image}
  - name: fallback_processing
    executor: act
    condition: "{{{{ steps.process_pdf.success == false and steps.process_image.success == false }}}}"
"#
    )
}

#[tokio::test]
async fn a_skip_by_condition_does_not_travel_along_the_written_order() {
    let ran = run(&routing("image", "{}", "{give: {text: seen}}")).await;
    assert_eq!(ran.step("process_pdf"), "skipped(condition)");
    assert_eq!(ran.step("process_image"), "succeeded");
    assert_eq!(ran.step("fallback_processing"), "skipped(condition)");
    assert_eq!(ran.settled().outputs, json!({"text": "seen"}));
}

#[tokio::test]
async fn success_of_a_skipped_step_is_false() {
    let ran = run(&routing("unknown", "{}", "{}")).await;
    assert_eq!(ran.step("fallback_processing"), "succeeded");
    assert_eq!(status(&ran), RunStatus::Succeeded);
}

#[tokio::test]
async fn a_watcher_takes_a_failure_on_through_steps_that_were_skipped_because_of_it() {
    let ran = run(&routing("pdf", "{fail: document}", "{}")).await;
    assert_eq!(ran.step("process_pdf"), "failed");
    assert_eq!(ran.step("process_image"), "skipped(upstream_failed)");
    assert_eq!(ran.step("fallback_processing"), "succeeded");
    assert_eq!(status(&ran), RunStatus::Succeeded);
}

#[tokio::test]
async fn a_false_condition_hands_the_failure_on() {
    let ran = run(r#"
steps:
  - {name: charge, executor: act, config: {fail: rejected}}
  - {name: ship, executor: act, condition: steps.charge.success}
  - {name: tell, executor: act}
"#)
    .await;
    assert_eq!(ran.step("ship"), "skipped(condition)");
    assert_eq!(ran.step("tell"), "skipped(upstream_failed)");
    assert_eq!(status(&ran), RunStatus::Failed);
    assert_eq!(ran.settled().failed_step.as_deref(), Some("charge"));
    assert_eq!(ran.settled().failed_attempt, Some(1));
}

#[tokio::test]
async fn a_watcher_that_fails_hands_both_failures_on() {
    let ran = run(r#"
steps:
  - {name: first, executor: act, config: {fail: rejected}}
  - {name: rescue, executor: act, condition: not steps.first.success, config: {fail: document}}
"#)
    .await;
    assert_eq!(ran.settled().failed_step.as_deref(), Some("first"));
    assert_eq!(status(&ran), RunStatus::Failed);
}

#[tokio::test]
async fn descendants_of_the_rescuer_no_longer_see_the_failure_and_others_do() {
    let ran = run(r#"
steps:
  - {name: first, executor: act, config: {fail: rejected}}
  - {name: plain, executor: act, depends_on: [first]}
  - {name: rescue, executor: act, depends_on: [first], condition: not steps.first.success}
  - {name: both, executor: act, depends_on: [plain, rescue]}
  - {name: only_plain, executor: act, depends_on: [plain]}
"#)
    .await;
    assert_eq!(ran.step("plain"), "skipped(upstream_failed)");
    assert_eq!(ran.step("both"), "succeeded");
    assert_eq!(ran.step("only_plain"), "skipped(upstream_failed)");
    assert_eq!(status(&ran), RunStatus::Succeeded);
}

#[tokio::test]
async fn branches_without_a_path_from_a_failure_go_on_unless_fail_fast() {
    let yaml = r#"
steps:
  - {name: bad, executor: act, depends_on: [], config: {fail: rejected}}
  - {name: after_bad, executor: act, depends_on: [bad]}
  - {name: slow, executor: act, depends_on: [], config: {sleep_ms: 60}}
  - {name: later, executor: act, depends_on: [slow]}
"#;
    let ran = run(yaml).await;
    assert_eq!((ran.step("slow"), ran.step("later")), ("succeeded".to_owned(), "succeeded".to_owned()));
    let ran = run(&format!("fail_fast: true\n{yaml}")).await;
    assert_eq!(ran.step("slow"), "cancelled(fail_fast)");
    assert_eq!(ran.step("later"), "skipped(fail_fast)");
    assert_eq!(ran.step("after_bad"), "skipped(upstream_failed)");
    assert_eq!(ran.settled().failed_step.as_deref(), Some("bad"));
}

#[tokio::test]
async fn run_if_decides_on_settled_needs_and_always_takes_nothing_on() {
    let flow = |run_if: &str| {
        format!(
            r"
steps:
  - {{name: good, executor: act, depends_on: []}}
  - {{name: bad, executor: act, depends_on: [], config: {{fail: rejected}}}}
  - {{name: end, executor: act, depends_on: [good, bad], run_if: {run_if}}}
"
        )
    };
    for (run_if, step, run_status) in [
        ("all_success", "skipped(upstream_failed)", RunStatus::Failed),
        ("any_success", "succeeded", RunStatus::Succeeded),
        ("all_settled", "succeeded", RunStatus::Succeeded),
        ("any_failed", "succeeded", RunStatus::Succeeded),
        ("always", "succeeded", RunStatus::Failed),
    ] {
        let ran = run(&flow(run_if)).await;
        assert_eq!(ran.step("end"), step, "{run_if}");
        assert_eq!(status(&ran), run_status, "{run_if}");
    }
    let ran =
        run("steps:\n  - {name: good, executor: act}\n  - {name: end, executor: act, run_if: any_failed}\n").await;
    assert_eq!(ran.step("end"), "skipped(run_if)");
}

#[tokio::test]
async fn on_error_takes_the_failure_on_at_once() {
    let ran = run(r#"
steps:
  - {name: soft, executor: act, config: {fail: rejected}, on_error: continue}
  - {name: valued, executor: act, config: {fail: rejected}, on_error: {value: {text: "for {{ run.trigger }}"}}}
  - {name: last, executor: act, config: {give: ["{{ steps.soft.success }}", "{{ steps.soft.output }}", "{{ steps.valued.text }}"]}}
"#)
    .await;
    assert_eq!(ran.step("soft"), "failed");
    assert_eq!(ran.step("valued"), "succeeded");
    assert_eq!(ran.settled().outputs, json!([false, null, "for test"]));
    assert_eq!(status(&ran), RunStatus::Succeeded);
}

#[tokio::test]
async fn a_skip_travels_when_all_that_is_read_or_declared_was_skipped() {
    let ran = run(r#"
steps:
  - {name: never, executor: act, condition: "false"}
  - {name: reads, executor: act, config: {give: "{{ steps.never.output }}"}}
  - {name: ordered, executor: act}
  - {name: mixed, executor: act, depends_on: [never, ordered]}
"#)
    .await;
    assert_eq!(ran.step("reads"), "skipped(upstream_skipped)");
    assert_eq!(ran.step("ordered"), "succeeded");
    assert_eq!(ran.step("mixed"), "succeeded");
}

#[tokio::test]
async fn on_skip_overrides_how_a_skip_travels() {
    let flow = |on_skip: &str| {
        format!(
            r#"
steps:
  - {{name: never, executor: act, condition: "false", on_skip: {on_skip}}}
  - {{name: good, executor: act}}
  - {{name: alone, executor: act, depends_on: [never]}}
  - {{name: mixed, executor: act, depends_on: [never, good]}}
"#
        )
    };
    let ran = run(&flow("continue")).await;
    assert_eq!((ran.step("alone"), ran.step("mixed")), ("succeeded".to_owned(), "succeeded".to_owned()));
    let ran = run(&flow("cascade")).await;
    assert_eq!(ran.step("mixed"), "skipped(upstream_skipped)");
    let ran = run(&flow("fail")).await;
    assert_eq!((ran.step("never"), ran.error_of("never").code.as_str()), ("failed".to_owned(), "skipped"));
    assert_eq!(status(&ran), RunStatus::Failed);
}

#[tokio::test]
async fn a_condition_must_be_a_boolean_and_names_must_be_there() {
    let ran = run("steps:\n  - {name: one, executor: act, condition: inputs.count}\n").await;
    assert_eq!(ran.error_of("one").code, "undefined_name");
    let stage =
        Stage::new("steps:\n  - {name: one, executor: act, condition: inputs.count}\n").with(json!({"count": 3}));
    let ran = stage.go().await;
    let error = ran.error_of("one");
    assert_eq!((error.kind, error.code.as_str(), error.line), (FailureKind::Flow, "condition_type", Some(2)));
}
