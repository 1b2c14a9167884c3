//! Groups: their joins, and how many of their members run at once (flow-language, section 2).

use domain::RunStatus;
use serde_json::json;

use super::{run, status};
use crate::event::Event;
use crate::kit::Stage;

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
