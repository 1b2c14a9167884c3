//! `for_each` and `repeat` as a run shows them (flow-language, section 6).

use domain::RunStatus;
use serde_json::json;

use super::{run, status};
use crate::event::Event;
use crate::kit::Stage;

fn each(more: &str, config: &str) -> String {
    format!(
        "steps:\n  - name: each\n    executor: act\n    for_each: \"{{{{ inputs.list }}}}\"\n{more}    config: {config}\n"
    )
}

#[tokio::test]
async fn results_keep_the_order_of_the_list_and_an_empty_list_succeeds() {
    let yaml = each("    as: page\n", r#"{give: "{{ page.value ~ page.index }}"}"#);
    let ran = Stage::new(&yaml).with(json!({"list": ["a", "b", "c"]})).go().await;
    assert_eq!(ran.settled().outputs, json!(["a0", "b1", "c2"]));
    let ran = Stage::new(&yaml).with(json!({"list": []})).go().await;
    assert_eq!((status(&ran), &ran.settled().outputs), (RunStatus::Succeeded, &json!([])));
    let ran = Stage::new(&each("", r#"{give: "{{ item }}"}"#)).with(json!({"list": [{"n": 1}, 2]})).go().await;
    assert_eq!(ran.settled().outputs, json!([{"n": 1}, 2]));
}

#[tokio::test]
async fn what_is_no_list_and_what_is_too_long_a_list_fails_the_step() {
    let yaml = each("    max_items: 2\n", "{}");
    for (list, code) in [(json!("abc"), "for_each_type"), (json!([1, 2, 3]), "too_many_items")] {
        let ran = Stage::new(&yaml).with(json!({"list": list})).go().await;
        assert_eq!(ran.error_of("each").code, code);
    }
}

#[tokio::test]
async fn never_more_items_run_at_once_than_allowed() {
    let yaml = each("    max_parallel: 3\n", "{sleep_ms: 5}");
    let ran = Stage::new(&yaml).with(json!({"list": vec![0; 20]})).go().await;
    let (mut now, mut most) = (0_i32, 0_i32);
    for entry in &ran.entries {
        match entry.event {
            Event::AttemptStarted { .. } => now += 1,
            Event::ItemSettled { .. } => now -= 1,
            _ => {}
        }
        most = most.max(now);
    }
    assert_eq!(most, 3);
}

#[tokio::test]
async fn one_failed_item_fails_the_step_and_stops_the_others_unless_failures_are_collected_or_dropped() {
    let config = r#"{fail: "{{ 'rejected' if item == 2 else none }}", give: "{{ item }}"}"#;
    let list = json!({"list": [1, 2, 3]});
    let of = |mode: &str| each(&format!("    on_item_error: {mode}\n    max_parallel: 1\n"), config);
    let ran = Stage::new(&of("fail")).with(list.clone()).go().await;
    assert_eq!(ran.error_of("each").message, "Item 2: as told: rejected");
    let begun = ran.entries.iter().filter(|entry| matches!(entry.event, Event::AttemptStarted { .. })).count();
    assert_eq!(begun, 2, "the third was never begun");
    let ran = Stage::new(&of("collect")).with(list.clone()).go().await;
    assert_eq!(ran.settled().outputs["results"], json!([1, null, 3]));
    assert_eq!(ran.settled().outputs["errors"][0]["index"], json!(1));
    assert_eq!(ran.settled().outputs["errors"][0]["error"]["code"], json!("rejected"));
    let ran = Stage::new(&of("drop")).with(list).go().await;
    assert_eq!(ran.settled().outputs, json!({"results": [1, 3], "indexes": [0, 2]}));
}

#[tokio::test]
async fn each_item_has_its_own_attempts_and_its_own_key() {
    let yaml = each(
        "    max_parallel: 1\n    retry: {max_attempts: 2, initial_delay: 1ms}\n",
        r#"{fail: connect, times: 1, give: "{{ item }}"}"#,
    );
    let stage = Stage::new(&yaml).with(json!({"list": ["a", "b"]}));
    let ran = stage.go().await;
    assert_eq!(ran.settled().outputs, json!(["a", "b"]));
    let mut keys = stage.seen.keys.lock().unwrap().clone();
    keys.sort();
    assert_eq!(keys.len(), 4);
    assert_eq!((&keys[0], &keys[2]), (&keys[1], &keys[3]), "equal for all attempts of an item");
    assert_ne!(keys[0], keys[2]);
}

#[tokio::test]
async fn a_step_repeats_until_its_condition_holds_and_fails_when_it_never_does() {
    let yaml = "steps:\n  - name: poll\n    executor: act\n    repeat: {until: \"iteration >= 3\", max_iterations: 5, interval: 1ms}\n    config: {give: {state: busy}}\n";
    let stage = Stage::new(yaml);
    let ran = stage.go().await;
    assert_eq!(ran.settled().outputs, json!({"state": "busy"}));
    let keys = stage.seen.keys.lock().unwrap().clone();
    assert_eq!(keys.len(), 3);
    assert!(keys[0] != keys[1] && keys[1] != keys[2], "each iteration is a call of its own");
    let ran = run(&yaml.replace("iteration >= 3", "output.state == 'done'")).await;
    let error = ran.error_of("poll");
    assert_eq!((error.code.as_str(), error.retryable), ("repeat_exhausted", false));
}
