//! The load of a storm: orders that wait, retry, fan out, call another flow and act on the outside world.
//!
//! Invariant: an order's number is its idempotency key, so however often its start is tried it is one run; what it does
//! outside is known beforehand.
use super::Shared;
use crate::key::ApiKey;
use reqwest::Method;
use serde_json::json;
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Flow names of the load.
pub(super) const ORDER: &str = "order";
pub(super) const PARCEL: &str = "parcel";
const LINES: u64 = 3;
/// Starts made for one look at the store, so that a window fills over several looks.
const AT_ONCE: u64 = 8;
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// A slow call, a group of a failing call and plain work, a wait that suspends the run, items, and a child.
pub(super) fn order(effects: &str) -> String {
    format!(
        r#"
defaults:
  retry: {{max_attempts: 8, initial_delay: 200ms, max_delay: 2s}}
inputs:
  number: {{type: integer, required: true}}
steps:
  - name: reserve
    executor: api_request
    config: {{url: "{effects}/reserve-{{{{ inputs.number }}}}?delay_ms=300", method: PUT, json: {{}}}}
  - name: charge
    executor: api_request
    parallel_group: both
    config: {{url: "{effects}/charge-{{{{ inputs.number }}}}?fail_first=true", method: PUT, json: {{}}}}
  - name: label
    executor: data_transformer
    parallel_group: both
    config: {{data: "{{{{ inputs.number * 2 }}}}"}}
  - name: pause
    executor: wait
    depends_on: [both]
    config: {{for: 1s}}
  - name: lines
    executor: api_request
    for_each: "{{{{ range({LINES}) | list }}}}"
    max_parallel: 2
    config: {{url: "{effects}/line-{{{{ inputs.number }}}}-{{{{ item }}}}?delay_ms=100", method: PUT, json: {{}}}}
  - name: parcel
    executor: flow_executor
    config: {{flow_name: {PARCEL}, inputs: {{number: "{{{{ inputs.number }}}}"}}}}
outputs:
  doubled: "{{{{ steps.label.output }}}}"
"#
    )
}

pub(super) fn parcel(effects: &str) -> String {
    format!(
        r#"
inputs:
  number: {{type: integer, required: true}}
steps:
  - name: pack
    executor: data_transformer
    config: {{data: "{{{{ inputs.number + 1 }}}}"}}
  - name: send
    executor: api_request
    config: {{url: "{effects}/parcel-{{{{ inputs.number }}}}?delay_ms=200", method: PUT, json: {{}}}}
    retry: {{max_attempts: 8, initial_delay: 200ms, max_delay: 2s}}
"#
    )
}

/// What an order does outside, once each.
pub(super) fn effects_of(number: u64) -> BTreeSet<String> {
    let lines = (0..LINES).map(|line| format!("line-{number}-{line}"));
    let single = ["reserve", "charge", "parcel"].map(|name| format!("{name}-{number}"));
    lines.chain(single).collect()
}

/// Keeps so many orders under way until the storm is over.
pub(super) async fn keep_coming(key: ApiKey, shared: Arc<Shared>, window: u64) {
    let mut census = shared.census.subscribe();
    let mut over = shared.over.subscribe();
    let mut number = 0;
    loop {
        tokio::select! {
            _ = over.wait_for(|over| *over) => return,
            changed = census.changed() => if changed.is_err() { return },
        }
        let open = census.borrow_and_update().map_or(window, |census| census.open);
        for _ in 0..window.saturating_sub(open).min(AT_ONCE) {
            start(&key, &shared, number).await;
            number += 1;
        }
    }
}

/// Starts one order, as often as it takes.
async fn start(key: &ApiKey, shared: &Shared, number: u64) {
    let mut again = tokio::time::interval(TRY_AGAIN_AFTER);
    loop {
        again.tick().await;
        let key = key.at(&shared.address.borrow());
        let request = key.request(Method::POST, &format!("/api/v1/flows/{ORDER}/run"));
        let request = request.header("prefer", "respond-async").header("idempotency-key", format!("order-{number}"));
        match key.try_send(request.json(&json!({"number": number}))).await {
            Ok(answer) if (200..300).contains(&answer.status()) => {
                let run = answer.json()["run_id"].as_str().expect("an acknowledged start names its run").to_owned();
                shared.acknowledged.lock().expect("no holder of the lock panics").insert(number, run);
                return;
            }
            Ok(answer) => {
                assert!(answer.status() >= 500, "a start is acknowledged or the server is in trouble: {answer}");
            }
            // The server is down, and the address of the next one is not known yet.
            Err(_) => {}
        }
    }
}
