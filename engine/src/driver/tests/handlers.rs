//! Fallbacks, `on_error`, compensations and `finally` as a run shows them (flow-language, section 5).

use domain::RunStatus;
use serde_json::json;

use super::{run, status};
use crate::event::Event;
use crate::kit::Stage;
use crate::memory::MemoryMoney;
use crate::run::Outcome;

#[tokio::test]
async fn fallbacks_are_tried_in_order_each_with_its_own_retries_config_and_key() {
    let yaml = "
steps:
  - name: ask
    executor: act
    config: {fail: rejected}
    on_error:
      fallback:
        - {executor: act, config: {fail: connect}, retry: {max_attempts: 2, initial_delay: 1ms}}
        - {executor: act, config: {give: third}}
";
    let stage = Stage::new(yaml);
    let ran = stage.go().await;
    assert_eq!(ran.settled().outputs, json!("third"));
    assert_eq!(stage.calls(), [1, 2, 3, 4].map(|attempt| ("ask".to_owned(), attempt)));
    let keys = stage.seen.keys.lock().unwrap().clone();
    let ends: Vec<&str> = keys.iter().filter_map(|key| key.rsplit('/').next()).collect();
    assert_eq!(ends, ["main", "f1", "f1", "f2"]);
}

#[tokio::test]
async fn a_fallback_may_be_for_one_class_of_failure_only() {
    let yaml = |fail: &str| {
        format!(
            "
steps:
  - name: ask
    executor: act
    config: {{fail: {fail}}}
    on_error:
      fallback:
        - {{executor: act, for: rate_limited, config: {{give: waited}}}}
        - {{executor: act, for: content_policy, config: {{give: softened}}}}
"
        )
    };
    assert_eq!(run(&yaml("content_policy")).await.settled().outputs, json!("softened"));
    assert_eq!(run(&yaml("rate_limited")).await.settled().outputs, json!("waited"));
    assert_eq!(run(&yaml("rejected")).await.error_of("ask").code, "rejected");
}

const SAGA: &str = "
steps:
  - {name: reserve, executor: act, config: {give: {id: r1}}, compensate: {executor: act, config: {give: \"undo {{ steps.reserve.output.id }}\"}}}
  - {name: charge, executor: act, config: {give: {id: c1}}, compensate: {executor: act, config: {give: undone}}}
  - {name: ship, executor: act, config: {FAIL}, compensate: {executor: act, config: {give: never}}}
on_error:
  - {name: tell, executor: act, config: {give: \"{{ failed_step }} {{ error.code }}\"}}
finally:
  - {name: clean, executor: act, config: {give: \"{{ error is none }}\"}}
";

#[tokio::test]
async fn a_failure_undoes_what_succeeded_in_reverse_order_then_tells_then_cleans() {
    let stage = Stage::new(&SAGA.replace("FAIL", "fail: rejected"));
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Failed);
    let order: Vec<String> = stage.calls().into_iter().map(|(step, _)| step).collect();
    assert_eq!(order, ["reserve", "charge", "ship", "charge:compensate", "reserve:compensate", "tell", "clean"]);
    assert_eq!(stage.config("reserve:compensate"), json!({"give": "undo r1"}));
    assert_eq!(stage.config("tell"), json!({"give": "ship rejected"}));
    assert_eq!(stage.config("clean"), json!({"give": false}));
    assert_eq!(ran.step("ship:compensate"), "skipped(not_needed)");
    assert_eq!(ran.settled().failed_step.as_deref(), Some("ship"));
}

#[tokio::test]
async fn after_a_success_only_finally_runs_and_the_outputs_are_those_of_the_steps() {
    let stage = Stage::new(&SAGA.replace("FAIL", "give: shipped"));
    let ran = stage.go().await;
    assert_eq!((status(&ran), &ran.settled().outputs), (RunStatus::Succeeded, &json!("shipped")));
    assert_eq!(ran.step("tell"), "skipped(not_needed)");
    assert_eq!(stage.config("clean"), json!({"give": true}));
}

#[tokio::test]
async fn a_handler_that_fails_is_told_beside_the_first_failure_and_fails_a_run_that_had_none() {
    let yaml = |step: &str| {
        format!(
            "steps:\n  - {{name: work, executor: act, config: {step}}}\nfinally:\n  - {{name: clean, executor: act, config: {{fail: rejected}}}}\n"
        )
    };
    let ran = run(&yaml("{fail: document}")).await;
    assert_eq!(ran.settled().error.as_ref().map(|error| error.code.as_str()), Some("document"));
    assert_eq!(ran.settled().handler_errors[0].step, "clean");
    let ran = run(&yaml("{}")).await;
    assert_eq!((status(&ran), ran.settled().failed_step.as_deref()), (RunStatus::Failed, Some("clean")));
}

#[tokio::test]
async fn a_cancelled_run_still_cleans_up_and_undoes_nothing() {
    let stage = Stage::new(&SAGA.replace("FAIL", "sleep_ms: 60000"));
    let cancel = stage.control.cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        cancel.cancel();
    });
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Cancelled);
    assert_eq!(ran.step("reserve:compensate"), "skipped(not_needed)");
    assert_eq!(ran.step("clean"), "succeeded");
}

#[tokio::test]
async fn a_restart_runs_what_failed_and_what_was_undone_and_nothing_else() {
    let mut stage = Stage::new(
        "steps:\n  - {name: first, executor: act, config: {give: 1}}\n  - {name: second, executor: act, config: {fail: rejected, times: 1, give: 2}}\n",
    );
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Failed);
    stage.restart_by = Some("ada".to_owned());
    let again = stage.go_on(ran.entries).await;
    assert_eq!((status(&again), &again.settled().outputs), (RunStatus::Succeeded, &json!(2)));
    assert_eq!(stage.calls(), [("first".to_owned(), 1), ("second".to_owned(), 1), ("second".to_owned(), 2)]);
    let keys = stage.seen.keys.lock().unwrap().clone();
    assert!(keys[2].ends_with("second/main/e2"), "a known failure is a new call: {}", keys[2]);
}

#[tokio::test]
async fn a_replay_takes_over_what_it_is_given_and_runs_the_rest() {
    let mut stage = Stage::new(
        "steps:\n  - {name: first, executor: act, config: {give: 1}}\n  - {name: second, executor: act, config: {give: \"{{ (steps.first.output | int) + 1 }}\"}}\n",
    );
    stage.reused = vec![crate::dispatcher::Reused {
        step: "first".to_owned(),
        status: domain::StepStatus::Succeeded,
        output: Some(crate::event::Stored::Inline(json!(41))),
        from: stage.id,
    }];
    let ran = stage.go().await;
    assert_eq!(ran.settled().outputs, json!(42));
    assert_eq!(stage.calls(), [("second".to_owned(), 1)]);
}

#[tokio::test]
async fn a_cap_refuses_what_could_go_over_it_and_a_fallback_may_be_cheaper() {
    let yaml = |on_exceeded: &str| {
        format!(
            "max_cost: {{amount: 0.0000001, on_exceeded: {on_exceeded}}}\nsteps:\n  - name: ask\n    executor: model\n    config: {{give: 500}}\n    on_error:\n      fallback: [{{executor: model, config: {{give: 50}}}}]\n"
        )
    };
    for (mode, expected) in [("fail", None), ("fallback", Some(json!(50)))] {
        let mut stage = Stage::new(&yaml(mode));
        stage.money = Some(std::sync::Arc::new(MemoryMoney::new(stage.plan.clone(), None)));
        let ran = stage.go().await;
        match expected {
            Some(output) => assert_eq!(ran.settled().outputs, output),
            None => assert_eq!(ran.error_of("ask").code, "max_cost"),
        }
    }
    let mut stage = Stage::new(&yaml("approve"));
    stage.money = Some(std::sync::Arc::new(MemoryMoney::new(stage.plan.clone(), None)));
    let ran = stage.go().await;
    assert!(matches!(ran.outcome, Outcome::Suspended { status: RunStatus::NeedsAttention, .. }), "{ran:?}");
}

#[tokio::test]
async fn a_cached_output_is_taken_instead_of_a_call_and_only_for_the_same_config() {
    let yaml = "steps:\n  - {name: look, executor: act, cache: {ttl: 1h}, config: {give: \"{{ inputs.n }}\"}}\n";
    let stage = Stage::new(yaml).with(json!({"n": 1}));
    stage.go().await;
    let ran = stage.go().await;
    assert_eq!((ran.step("look").as_str(), &ran.settled().outputs), ("cached", &json!(1)));
    assert_eq!(stage.calls().len(), 1);
    let other = Stage { inputs: json!({"n": 2}), ..Stage::new(yaml) };
    let other = Stage { cache: stage.cache.clone(), ..other };
    assert_eq!(other.go().await.step("look"), "succeeded");
    let paid = Stage::new("steps:\n  - {name: pay, executor: pay, cache: {ttl: 1h}}\n");
    paid.go().await;
    assert_eq!(paid.go().await.step("pay"), "succeeded", "nothing unsafe is taken from a cache");
    let settled =
        |ran: &crate::kit::Ran| ran.entries.iter().any(|entry| matches!(entry.event, Event::RunSettled { .. }));
    assert!(settled(&ran));
}
