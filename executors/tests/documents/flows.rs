//! Other flows as steps: one, one of several, one after the other.

use serde_json::{Value, json};

use crate::surroundings::Bench;

#[tokio::test]
async fn only_the_first_route_that_holds_starts_a_flow() {
    let bench = Bench::new();
    let config = json!({
        "routes": [
            {"condition": false, "flow_name": "broken"},
            {"condition": true, "flow_name": "shout", "version": 3, "inputs": {"text": "hi"}},
            {"condition": true, "flow_name": "echo"},
        ],
        "default": {"flow_name": "echo"},
        "inputs": {"text": "shared"},
    });
    assert_eq!(bench.run_plain("flow_router", config).await, Ok(json!({"text": "HI"})));
    assert_eq!(bench.flows.names(), ["shout"]);
    assert_eq!(bench.flows.started.lock().unwrap()[0].version, Some(3));
    let shared = json!({"routes": [{"condition": true, "flow_name": "shout"}], "inputs": {"text": "shared"}});
    assert_eq!(bench.run_plain("flow_router", shared).await, Ok(json!({"text": "SHARED"})));
}

#[tokio::test]
async fn without_a_route_the_default_runs_or_the_step_says_that_there_is_none() {
    let bench = Bench::new();
    let routes = json!([{"condition": false, "flow_name": "broken"}]);
    let fallen = json!({"routes": routes, "default": {"flow_name": "echo", "inputs": {"a": 1}}});
    assert_eq!(bench.run_plain("flow_router", fallen).await, Ok(json!({"a": 1})));
    let none = bench.run_plain("flow_router", json!({"routes": routes})).await.unwrap_err();
    assert_eq!(none.code, "no_route");
    let senseless =
        json!({"routes": [{"condition": "yes", "flow_name": "echo"}, {"condition": true, "flow_name": "echo"}]});
    assert_eq!(bench.run_plain("flow_router", senseless).await.unwrap_err().code, "condition_type");
    assert_eq!(bench.flows.names(), ["echo"], "nothing was started by what failed");
}

#[tokio::test]
async fn a_pipeline_feeds_each_flow_with_what_the_one_before_gave() {
    let bench = Bench::new();
    let config = json!({
        "inputs": {"text": "hello", "tone": "kind"},
        "flows": [
            "shout",
            {
                "flow_name": "echo",
                "inputs": {"text": "{{ output.text }}!", "tone": "{{ inputs.tone }}", "n": "{{ output.text|length }}"},
            },
            "echo",
        ],
    });
    assert_eq!(bench.run_plain("flow_pipeline", config).await, Ok(json!({"text": "HELLO!", "tone": "kind", "n": 5})));
    assert_eq!(bench.flows.names(), ["shout", "echo", "echo"]);
    let keys: Vec<String> = bench.flows.started.lock().unwrap().iter().map(|request| request.key.clone()).collect();
    assert_eq!(keys, ["key#1/0", "key#1/1", "key#1/2"], "each has a key of its own, the same when it is resumed");
}

#[tokio::test]
async fn a_pipeline_stops_at_the_first_failure_with_its_kind() {
    let bench = Bench::new();
    let broken = bench.run_plain("flow_pipeline", json!({"flows": ["echo", "broken", "shout"]})).await.unwrap_err();
    assert_eq!((broken.code.as_str(), bench.flows.names().len()), ("no_text_layer", 2));
    let unknown = bench.run_plain("flow_pipeline", json!({"flows": ["nothing"]})).await.unwrap_err();
    assert_eq!(unknown.code, "unknown_flow");
    let plain = json!({"flows": ["echo", {"flow_name": "echo", "inputs": "{{ output.absent|default('text') }}"}]});
    assert_eq!(bench.run_plain("flow_pipeline", plain).await.unwrap_err().code, "inputs_type");
    let undefined = json!({"flows": [{"flow_name": "echo", "inputs": {"a": "{{ steps.x }}"}}]});
    assert_eq!(bench.run_plain("flow_pipeline", undefined).await.unwrap_err().code, "undefined_name");
    let both = json!({"flows": [{"flow_name": "echo", "version": 1, "channel": "beta"}]});
    assert_eq!(bench.run_plain("flow_pipeline", both).await.unwrap_err().code, "config_invalid");
}

#[tokio::test]
async fn a_detached_flow_is_started_and_not_waited_for() {
    let bench = Bench::new();
    let config = json!({"flow_name": "endless", "channel": "beta", "detached": true, "inputs": {"a": 1}});
    let output = bench.run_plain("flow_executor", config).await.unwrap();
    assert!(output["run_id"].as_str().unwrap().starts_with("run_"), "{output}");
    let started = bench.flows.started.lock().unwrap()[0].clone();
    assert_eq!((started.channel.as_deref(), &started.inputs), (Some("beta"), &json!({"a": 1})));
}

#[tokio::test]
async fn a_cancel_reaches_the_flow_that_is_waited_for() {
    for (executor, config) in [
        ("flow_executor", json!({"flow_name": "endless"})),
        ("flow_pipeline", json!({"flows": ["echo", "endless"]})),
        ("flow_router", json!({"routes": [{"condition": true, "flow_name": "endless"}]})),
    ] {
        let bench = Bench::new();
        let cancel = bench.cancel.clone();
        let waited = bench.run_plain(executor, config);
        let cancelled = async {
            while !bench.flows.names().contains(&"endless".to_owned()) {
                tokio::task::yield_now().await;
            }
            cancel.cancel();
        };
        let (result, ()) = tokio::join!(waited, cancelled);
        assert_eq!(result.unwrap_err().code, "cancelled", "{executor}");
        assert_eq!(bench.flows.cancelled.lock().unwrap().len(), 1, "{executor}");
    }
}

#[tokio::test]
async fn a_value_is_kept_from_one_step_to_the_next() {
    let bench = Bench::new();
    let cache = async |config: Value| bench.run_plain("cache", config).await;
    let miss = json!({"found": false, "value": 0});
    assert_eq!(cache(json!({"key": "last", "default": 0})).await, Ok(miss));
    for found in [false, true] {
        let set = cache(json!({"operation": "set", "key": "last", "value": {"id": 7}, "ttl": "10m"})).await;
        assert_eq!(set, Ok(json!({"found": found, "value": {"id": 7}})), "the second is the same as the first");
    }
    assert_eq!(cache(json!({"key": "last"})).await, Ok(json!({"found": true, "value": {"id": 7}})));
    assert_eq!(cache(json!({"operation": "delete", "key": "last"})).await, Ok(json!({"found": true, "value": null})));
    assert_eq!(cache(json!({"key": "last"})).await, Ok(json!({"found": false, "value": null})));
    for (config, code) in [
        (json!({"key": ""}), "config_invalid"),
        (json!({"key": "k".repeat(257)}), "config_invalid"),
        (json!({"operation": "set", "key": "k", "value": "x".repeat(70_000)}), "value_too_large"),
        (json!({"operation": "set", "key": "k", "ttl": "soon"}), "config_invalid"),
        (json!({"operation": "set", "key": "k", "ttl": "9999d"}), "config_invalid"),
    ] {
        assert_eq!(cache(config.clone()).await.unwrap_err().code, code, "{config}");
    }
}
