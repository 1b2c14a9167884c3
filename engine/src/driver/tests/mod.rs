//! The rules of the flow language, sections 2 to 5, as a run shows them.

mod doubts;
mod handlers;
mod items;
mod slots;
mod stops;
mod unseen;
mod waits;

use chrono::TimeDelta;
use domain::{FailureKind, FileId, RunStatus};
use language::Folder;
use serde_json::{Value, json};

use crate::event::{Event, Stored};
use crate::kit::{Ran, Stage, folder};
use crate::run::Outcome;

async fn run(yaml: &str) -> Ran {
    Stage::new(yaml).go().await
}

fn status(ran: &Ran) -> RunStatus {
    ran.settled().status
}

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

#[tokio::test]
async fn a_group_joins_by_its_rule() {
    let flow = |join: &str| {
        format!(
            r#"
groups: {{both: {{join: {join}}}}}
steps:
  - {{name: left, executor: act, parallel_group: both, config: {{fail: rejected}}}}
  - {{name: right, executor: act, parallel_group: both, config: {{sleep_ms: 20}}}}
  - {{name: after, executor: act, depends_on: [both], config: {{give: "{{{{ steps.both }}}}"}}}}
"#
        )
    };
    let ran = run(&flow("all")).await;
    assert_eq!(ran.step("after"), "skipped(upstream_failed)");
    assert_eq!(status(&ran), RunStatus::Failed);
    for join in ["any", "all_settled", "{at_least: 1}"] {
        let ran = run(&flow(join)).await;
        assert_eq!(ran.step("after"), "succeeded", "{join}");
        assert_eq!(ran.settled().outputs, json!({"left": null, "right": {"done": "right"}}), "{join}");
        assert_eq!(status(&ran), RunStatus::Succeeded, "{join}");
    }
    let ran = run(&flow("{at_least: 2}")).await;
    assert_eq!(status(&ran), RunStatus::Failed);
}

#[tokio::test]
async fn a_decided_join_stops_the_losers_and_an_error_may_stop_the_rest() {
    let ran = run(r#"
groups: {race: {join: any}}
steps:
  - {name: fast, executor: act, parallel_group: race}
  - {name: slow, executor: act, parallel_group: race, config: {sleep_ms: 5000}}
  - {name: after, executor: act}
"#)
    .await;
    assert_eq!(ran.step("slow"), "cancelled(group_joined)");
    assert_eq!(ran.step("after"), "succeeded");
    let ran = run(r#"
groups: {work: {on_error: cancel_rest, max_parallel: 2}}
steps:
  - {name: bad, executor: act, parallel_group: work, config: {fail: rejected}}
  - {name: slow, executor: act, parallel_group: work, config: {sleep_ms: 5000}}
  - {name: third, executor: act, parallel_group: work}
"#)
    .await;
    assert_eq!(ran.step("slow"), "cancelled(group_joined)");
    assert_eq!(ran.step("third"), "skipped(group_joined)");
    assert_eq!(ran.settled().failed_step.as_deref(), Some("bad"));
}

#[tokio::test]
async fn a_group_that_cannot_be_joined_fails_though_no_member_did() {
    let ran = run(r#"
groups: {some: {join: {at_least: 2}}}
steps:
  - {name: one, executor: act, parallel_group: some}
  - {name: two, executor: act, parallel_group: some, condition: "false"}
"#)
    .await;
    assert_eq!(ran.settled().failed_step.as_deref(), Some("some"));
    assert_eq!(ran.settled().error.as_ref().map(|error| error.code.as_str()), Some("group_join"));
}

#[tokio::test]
async fn max_parallel_holds_members_back() {
    let stage = Stage::new(
        r#"
groups: {work: {max_parallel: 1}}
steps:
  - {name: one, executor: act, parallel_group: work, config: {sleep_ms: 10}}
  - {name: two, executor: act, parallel_group: work, config: {sleep_ms: 10}}
  - {name: three, executor: act, parallel_group: work}
"#,
    );
    let ran = stage.go().await;
    let mut running = 0_i32;
    for entry in &ran.entries {
        match entry.event {
            Event::AttemptStarted { .. } => running += 1,
            Event::StepSettled { .. } => running -= 1,
            _ => {}
        }
        assert!(running <= 1);
    }
    assert_eq!(stage.calls().len(), 3);
}

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

#[tokio::test]
async fn a_config_that_does_not_fit_points_at_its_line() {
    let ran = run("steps:\n  - name: one\n    executor: act\n    config:\n      sleep_ms: \"{{ [1] }}\"\n").await;
    let error = ran.error_of("one");
    assert_eq!((error.code.as_str(), error.line), ("config_invalid", Some(5)), "{}", error.message);
}

fn file_value(name: &str) -> Value {
    let id = FileId::from_uuid(uuid::Uuid::from_u128(9));
    json!({"file_id": id, "name": name, "media_type": "application/pdf", "size_bytes": 3, "sha256": "00"})
}

#[tokio::test]
async fn a_main_input_comes_from_the_nearest_step_that_succeeded_else_from_the_call() {
    let stage = Stage::new(
        r#"
steps:
  - {name: far, executor: reader, config: {give: {text: far away}}}
  - {name: near, executor: reader, condition: inputs.near, config: {give: {text: near by}}}
  - {name: tell, executor: writer}
"#,
    );
    let stage = stage.with(json!({"doc": file_value("a.pdf"), "near": false}));
    stage.go().await;
    assert_eq!(stage.config("far")["file"]["name"], "a.pdf");
    assert_eq!(stage.config("tell")["text"], "far away");
    let stage = stage.with(json!({"doc": file_value("a.pdf"), "near": true}));
    stage.go().await;
    assert_eq!(stage.config("tell")["text"], "near by");
    let ran = stage.with(json!({"near": false})).go().await;
    assert_eq!(
        (ran.error_of("far").kind, ran.error_of("far").code.as_str()),
        (FailureKind::Input, "main_input_missing")
    );
    assert_eq!(ran.settled().error.as_ref().map(domain::Failure::status), Some(422));
}

#[tokio::test]
async fn a_list_of_whole_steps_arrives_by_the_steps_names() {
    let written = Stage::new(
        r#"
steps:
  - {name: a, executor: act, config: {give: 1}}
  - {name: b, executor: act, config: {give: 2}}
  - {name: all, executor: combiner, config: {sources: ["{{ steps.a }}", "{{ steps.b }}"]}}
  - {name: mixed, executor: combiner, config: {sources: ["{{ steps.a }}", 7]}}
"#,
    );
    written.go().await;
    assert_eq!(written.config("all")["sources"], json!({"a": 1, "b": 2}));
    assert_eq!(written.config("mixed")["sources"], json!([1, 7]));
    let found = Stage::new(
        r#"
steps:
  - {name: a, executor: act, parallel_group: both, config: {give: 1}}
  - {name: b, executor: act, parallel_group: both, config: {give: 2}}
  - {name: all, executor: combiner, depends_on: [both]}
"#,
    );
    found.go().await;
    assert_eq!(found.config("all")["sources"], json!({"a": 1, "b": 2}));
}

#[tokio::test]
async fn secrets_reach_the_executor_and_nothing_else() {
    let stage = Stage::new(
        r#"
outputs: {said: "{{ steps.call.output.echo }}"}
steps:
  - {name: call, executor: act, config: {token: "Bearer {{ secrets.TOKEN }}", give: {echo: "got {{ secrets.TOKEN }}"}}}
"#,
    );
    let ran = stage.go().await;
    assert_eq!(stage.config("call")["token"], "Bearer hunter22");
    assert_eq!(ran.settled().outputs, json!({"said": "got ***"}));
    let journal = serde_json::to_string(&ran.entries).unwrap();
    assert!(!journal.contains("hunter22"), "{journal}");
    assert!(journal.contains("Bearer ***"));
}

#[tokio::test]
async fn a_secret_in_a_field_that_takes_none_fails_the_step_even_in_a_flow_that_was_saved() {
    let old = "steps:\n  - {name: a, executor: act, config: {text: \"{{ secrets.TOKEN }}\"}}\n";
    let mut stage = Stage::new("steps:\n  - {name: a, executor: act}\n");
    let open = stage
        .registry
        .catalogue()
        .iter()
        .cloned()
        .map(|mut spec| {
            spec.secret_fields.push("text".to_owned());
            spec
        })
        .collect::<Vec<_>>();
    stage.plan = std::sync::Arc::new(language::compile(&folder(old), &language::Catalogue::new(open)).plan.unwrap());
    let ran = stage.go().await;
    assert_eq!(ran.error_of("a").code, "secret_not_allowed");
    assert!(!serde_json::to_string(&ran.entries).unwrap().contains("hunter22"));
}

#[tokio::test]
async fn a_missing_secret_and_a_changed_one_are_faults_of_the_flow() {
    let ran = run("steps:\n  - {name: a, executor: act, config: {token: \"{{ secrets.OTHER }}\"}}\n").await;
    assert_eq!(ran.error_of("a").code, "secret_missing");
    let ran = run("steps:\n  - {name: a, executor: act, config: {token: \"{{ secrets.TOKEN|upper }}\"}}\n").await;
    assert_eq!(ran.error_of("a").code, "secret_transformed");
}

#[tokio::test]
async fn a_prompt_file_sees_the_scope_and_the_steps_other_config() {
    let files = [
        ("prompts/ask.j2".to_owned(), "{% include 'prompts/head.j2' %} {{ text }} for {{ inputs.who }}".to_owned()),
        ("prompts/head.j2".to_owned(), "About".to_owned()),
    ];
    let yaml = "steps:\n  - {name: ask, executor: writer, config: {text: trees, prompt_file: prompts/ask.j2}}\n";
    let folder = Folder { files: files.into_iter().collect(), ..folder(yaml) };
    let stage = Stage::of(&folder).with(json!({"who": "Ada"}));
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Succeeded, "{ran:#?}");
    assert_eq!(stage.config("ask")["prompt"], "About trees for Ada");
    assert_eq!(stage.config("ask").get("prompt_file"), None);
}

#[tokio::test]
async fn an_inline_prompt_sees_variables_main_input_and_instruction() {
    let stage = Stage::new(
        r#"
steps:
  - {name: read, executor: reader, config: {give: {text: some trees}}}
  - name: name_trees
    executor: writer
    config:
      system: "For {{ audience }}."
      prompt: "{{ instruction }}: {{ text }} {% for word in words %}[{{ word }}]{% endfor %}"
      audience: "{{ inputs.who }}"
      words: [oak, elm]
"#,
    );
    let stage = stage.with(json!({"who": "Ada", "doc": file_value("a.pdf")}));
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Succeeded, "{ran:#?}");
    assert_eq!(stage.config("name_trees")["prompt"], "Name trees: some trees [oak][elm]");
    assert_eq!(stage.config("name_trees")["system"], "For Ada.");
}

#[tokio::test]
async fn vars_are_evaluated_once_in_order_and_outputs_are_templates() {
    let stage = Stage::new(
        r#"
vars: {base: "{{ inputs.n }}", double: "{{ vars.base + vars.base }}"}
outputs: {n: "{{ vars.double }}", text: "n={{ vars.double }}", who: "{{ flow.name }} {{ flow.version }}"}
steps: [{name: a, executor: act}]
"#,
    );
    let ran = stage.with(json!({"n": 4})).go().await;
    assert_eq!(ran.settled().outputs, json!({"n": 8, "text": "n=8", "who": "tested 3"}));
}

#[tokio::test]
async fn large_outputs_go_to_blobs_and_come_back() {
    let stage = Stage::new(
        "steps:\n  - {name: a, executor: act, config: {give: \"{{ inputs.big }}\"}}\n  - {name: b, executor: act, config: {give: \"{{ steps.a|length }}\"}}\n",
    );
    let ran = stage.with(json!({"big": "x".repeat(100_000)})).go().await;
    assert_eq!(ran.settled().outputs, json!(100_000));
    let stored = ran.entries.iter().any(|entry| {
        matches!(&entry.event, Event::StepSettled { output: Some(Stored::Blob { size_bytes, .. }), .. } if *size_bytes > 100_000)
    });
    assert!(stored);
}

#[tokio::test]
async fn a_flow_of_pure_steps_is_appended_once() {
    let ran = run("steps:\n  - {name: a, executor: act}\n  - {name: b, executor: act}\n").await;
    let positions: Vec<u64> = ran.entries.iter().map(|entry| entry.position).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
    assert!(matches!(ran.entries.last().map(|entry| &entry.event), Some(Event::RunSettled { .. })));
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
