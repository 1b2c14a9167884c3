//! Suite: runs that start runs. What ends a parent ends what waits for it and nothing else, and what a child used counts once.
use reqwest::Method;
use serde_json::{Value, json};
use tests::{ApiKey, ModelServer, Receiver, World, on_both_stores};

const KEY: &str = "sk-of-the-children";

/// A line of flows: `top` calls `middle`, which calls `bottom`; beside it `top` starts `apart` and goes on.
async fn family(world: &World, receiver: &Receiver) -> ApiKey {
    let key = world.tenant("acme").await.key(&[]).await;
    let hold = |path: &str| {
        format!("steps:\n  - {{name: hold, executor: api_request, config: {{url: \"{}/{path}\"}}}}\n", receiver.url())
    };
    key.put_flow("bottom", &hold("bottom")).await.expect_success();
    key.put_flow("apart", &hold("apart")).await.expect_success();
    key.put_flow("middle", "steps:\n  - {name: call, executor: flow_executor, config: {flow_name: bottom}}\n")
        .await
        .expect_success();
    let top = "steps:\n  - {name: start, executor: flow_executor, config: {flow_name: apart, detached: true}}\n  - {name: call, executor: flow_executor, config: {flow_name: middle}}\n  - {name: after, executor: log, config: {message: done}}\nfinally:\n  - {name: tidy, executor: log, config: {message: tidied}}\n";
    key.put_flow("top", top).await.expect_success();
    key
}

/// The id of the run that a run started of this flow.
async fn child(key: &ApiKey, parent: &str, flow: &str) -> String {
    let runs = key.get(&format!("/api/v1/runs?parent={parent}")).await.expect_status(200).json();
    let found = runs["data"].as_array().and_then(|runs| runs.iter().find(|run| run["flow"] == flow).cloned());
    found.unwrap_or_else(|| panic!("{parent} started no {flow}: {runs:#}"))["id"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

async fn run(key: &ApiKey, id: &str) -> Value {
    key.get(&format!("/api/v1/runs/{id}")).await.expect_status(200).json()
}

/// The ids of a family that goes on: `top`, `middle`, `bottom` and `apart`.
async fn started(key: &ApiKey, receiver: &Receiver) -> [String; 4] {
    let calls = receiver.calls().len();
    let top = key.start("top", &json!({})).await;
    receiver.reached(calls + 2).await;
    let middle = child(key, &top, "middle").await;
    let bottom = child(key, &middle, "bottom").await;
    let apart = child(key, &top, "apart").await;
    [top, middle, bottom, apart]
}

/// A parent whose child asks a model that is slow to answer.
async fn asking(world: &World, server: &ModelServer) -> ApiKey {
    let key = world.tenant("acme").await.key(&[]).await;
    let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": KEY});
    key.put("/api/v1/connections/house", &connection).await.expect_success();
    let ask = "inputs: {text: string}\nsteps:\n  - {name: ask, executor: llm_analyzer, config: {model: house/m, text: \"{{ inputs.text }}\"}}\n";
    key.put_flow("ask", ask).await.expect_success();
    let parent = "inputs: {text: string}\nsteps:\n  - {name: call, executor: flow_executor, config: {flow_name: ask, inputs: \"{{ inputs }}\"}}\n  - {name: own, executor: llm_analyzer, config: {model: house/m, text: \"{{ inputs.text }}\"}}\n";
    key.put_flow("parent", parent).await.expect_success();
    key
}

on_both_stores! {
    async fn a_kill_reaches_those_who_are_waited_for_and_not_one_who_goes_its_own_way(world: World) {
        let receiver = Receiver::holding().await;
        let key = family(&world, &receiver).await;
        let other = world.tenant("other").await.key(&[]).await;
        let [top, middle, bottom, apart] = started(&key, &receiver).await;
        other.post(&format!("/api/v1/runs/{top}/kill"), &json!({"reason": "not mine"})).await.expect_status(404);
        key.post(&format!("/api/v1/runs/{top}/kill"), &json!({})).await.expect_status(422);
        key.post(&format!("/api/v1/runs/{top}/kill"), &json!({"reason": "It went wrong."})).await.expect_status(202);
        for id in [&top, &middle, &bottom] {
            let ended = key.finished(id).await;
            assert_eq!(ended["status"], "killed", "{ended:#}");
        }
        let records = key.records(&top).await;
        assert_ne!(records["after"]["status"], "succeeded", "{records:#?}");
        assert_ne!(records["tidy"]["status"], "succeeded", "a kill runs no handlers: {records:#?}");
        let detached = run(&key, &apart).await;
        assert_eq!((&detached["status"], &detached["parent_run_id"]), (&json!("running"), &json!(top)), "{detached:#}");
        receiver.answer(10);
        assert_eq!(key.finished(&apart).await["status"], "succeeded");
    }

    async fn a_cancel_reaches_those_who_are_waited_for_and_not_one_who_goes_its_own_way(world: World) {
        let receiver = Receiver::holding().await;
        let key = family(&world, &receiver).await;
        let [top, middle, bottom, apart] = started(&key, &receiver).await;
        key.post(&format!("/api/v1/runs/{top}/cancel"), &json!({"reason": "Not needed."})).await.expect_success();
        for id in [&top, &middle, &bottom] {
            let ended = key.finished(id).await;
            assert_eq!(ended["status"], "cancelled", "{ended:#}");
        }
        let records = key.records(&top).await;
        assert_eq!(records["tidy"]["status"], "succeeded", "what stands under `finally` runs: {records:#?}");
        assert_eq!(run(&key, &apart).await["status"], "running");
        receiver.answer(10);
        assert_eq!(key.finished(&apart).await["status"], "succeeded");
    }

    async fn a_child_that_is_ended_alone_fails_the_step_that_waits_for_it(world: World) {
        let receiver = Receiver::holding().await;
        let key = family(&world, &receiver).await;
        for act in ["cancel", "kill"] {
            let [top, middle, bottom, apart] = started(&key, &receiver).await;
            key.post(&format!("/api/v1/runs/{bottom}/{act}"), &json!({"reason": "Alone."})).await.expect_success();
            assert_eq!(key.finished(&bottom).await["status"], if act == "kill" { "killed" } else { "cancelled" });
            for (id, step) in [(&middle, "call"), (&top, "call")] {
                let ended = key.finished(id).await;
                assert_eq!((&ended["status"], &ended["failed_step"]), (&json!("failed"), &json!(step)), "{act}: {ended:#}");
                assert_eq!(ended["error"]["kind"], "cancelled", "{act}: {ended:#}");
            }
            assert_eq!(run(&key, &apart).await["status"], "running");
            receiver.answer(2);
            assert_eq!(key.finished(&apart).await["status"], "succeeded");
        }
    }

    async fn what_a_child_used_is_counted_with_its_parent_once(world: World) {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
        let server = ModelServer::start(KEY, &json!([{"match": {}, "response": {"content": "Fine.", "usage": usage}}])).await;
        let key = asking(&world, &server).await;
        let answer = key.run("parent", &json!({"text": "How are you?"})).await.expect_status(200);
        assert_eq!(answer.json()["usage"]["units"], json!({"input_tokens": 200, "output_tokens": 40}));
        let parent = answer.run_id();
        let child = child(&key, &parent, "ask").await;
        assert_eq!(run(&key, &child).await["usage"]["units"], json!({"input_tokens": 100, "output_tokens": 20}));
        assert_eq!(run(&key, &parent).await["usage"]["units"], json!({"input_tokens": 200, "output_tokens": 40}));
    }

    async fn what_an_aborted_child_used_is_not_lost(world: World) {
        let long = "This answer takes a while, and somebody will have lost patience long before it is told to its end.";
        let server = ModelServer::start(KEY, &json!([{"match": {}, "latency": 150, "response": {"content": long}}])).await;
        let key = asking(&world, &server).await;
        let parent = key.start("parent", &json!({"text": "Take your time."})).await;
        let mut watch = key.watch(&parent).await;
        let event = watch.until("the child's start", |event| event.name == "child_started").await;
        let child = event.data["data"]["run_id"].as_str().unwrap_or_default().to_owned();
        let mut talk = key.watch(&child).await;
        talk.until_seen("some words", |seen| seen.iter().filter(|event| event.name == "delta").count() > 2).await;
        key.post(&format!("/api/v1/runs/{parent}/cancel"), &json!({"reason": "Enough."})).await.expect_success();
        let ended = [key.finished(&parent).await, key.finished(&child).await];
        for run in &ended {
            assert_eq!(run["status"], "cancelled", "{run:#}");
            let said = run["usage"]["units"]["output_tokens"].as_u64();
            assert!(said > Some(0), "what was told was bought: {run:#}");
            assert!(run["usage"]["units"]["input_tokens"].as_u64() > Some(0), "{run:#}");
            // Nobody knows what this server charges: unknown is not nothing.
            assert_eq!(run["cost_nano_usd"], Value::Null, "{run:#}");
        }
        assert_eq!(ended[0]["usage"], ended[1]["usage"], "the parent itself bought nothing");
        let attempt = key.records(&child).await["ask"]["attempt_list"][0].clone();
        assert_eq!(attempt["usage"]["estimated"], true, "{attempt:#}");
    }

    async fn a_restart_that_would_call_a_flow_which_is_not_there_is_refused_with_its_name(world: World) {
        let receiver = Receiver::start().await;
        let key = world.tenant("acme").await.key(&[]).await;
        let quiet = "steps:\n  - {name: say, executor: log, config: {message: x}}\n";
        let post = format!("{{name: post, executor: api_request, effect: idempotent, config: {{method: POST, url: \"{}/post\"}}}}", receiver.url());
        key.put_flow("done", quiet).await.expect_success();
        key.put_flow("top", &format!("steps:\n  - {{name: first, executor: flow_executor, config: {{flow_name: done}}}}\n  - {post}\n  - {{name: last, executor: flow_executor, depends_on: [post], config: {{flow_name: later}}}}\n")).await.expect_success();
        let restart = |id: &str| key.send(key.request(Method::POST, &format!("/api/v1/runs/{id}/restart")).json(&json!({})));
        // It did not begin; nor does it a second time.
        let id = key.start("top", &json!({})).await;
        assert_eq!(key.finished(&id).await["error"]["code"], "unknown_flow");
        let refused = restart(&id).await.expect_status(409).problem();
        assert!(refused.detail.contains("`last`") && refused.detail.contains("`later`"), "{}", refused.detail);
        assert!(receiver.calls().is_empty());
        key.put_flow("later", quiet).await.expect_success();
        // Its tree is pinned to what was there: it would fail again, behind its other steps.
        restart(&id).await.expect_status(409);
        assert!(receiver.calls().is_empty());
        // With the flow there it begins, and what is done is not asked for again.
        receiver.script("/post", &[422, 200]);
        let id = key.start("top", &json!({})).await;
        assert_eq!(key.finished(&id).await["status"], "failed");
        for name in ["done", "later"] {
            key.send(key.request(Method::DELETE, &format!("/api/v1/flows/{name}"))).await.expect_success();
        }
        restart(&id).await.expect_success();
        let ended = key.finished(&id).await;
        assert_eq!(ended["status"], "succeeded", "a tree goes on with what was there when its root began: {ended:#}");
    }

    async fn a_restart_of_a_parent_repeats_no_effect_of_its_children(world: World) {
        let receiver = Receiver::start().await;
        let key = world.tenant("acme").await.key(&[]).await;
        let call = |name: &str, more: &str| {
            format!("  - {{name: {name}, executor: api_request, effect: idempotent, config: {{method: POST, url: \"{}/{name}{more}\"}}}}\n", receiver.url())
        };
        let inputs = "inputs: {what: {type: string, default: only}}\n";
        let bottom = format!("{inputs}steps:\n{}{}", call("charge", "-{{ inputs.what }}"), call("ship", "-{{ inputs.what }}"));
        key.put_flow("bottom", &bottom).await.expect_success();
        key.put_flow("first", &format!("steps:\n{}", call("first", ""))).await.expect_success();
        let callers = [
            ("line", "{name: call, executor: flow_executor, config: {flow_name: bottom}}", "only"),
            ("pipeline", "{name: call, executor: flow_pipeline, config: {inputs: {}, flows: [first, {flow_name: bottom, inputs: {what: piped}}]}}", "piped"),
            ("router", "{name: call, executor: flow_router, config: {routes: [{condition: \"{{ true }}\", flow_name: bottom, inputs: {what: routed}}]}}", "routed"),
            ("list", "{name: call, executor: flow_executor, for_each: [a, b, c], max_parallel: 1, config: {flow_name: bottom, inputs: {what: \"{{ item.value }}\"}}}", "b"),
        ];
        for (flow, step, fails) in callers {
            key.put_flow(flow, &format!("steps:\n  - {step}\n")).await.expect_success();
            key.put_flow("top", &format!("steps:\n  - {{name: call, executor: flow_executor, config: {{flow_name: {flow}}}}}\n")).await.expect_success();
            let ship = format!("/ship-{fails}");
            receiver.script(&ship, &[422, 422]);
            let top = key.start("top", &json!({})).await;
            assert_eq!(key.finished(&top).await["status"], "failed", "{flow}");
            for status in ["failed", "succeeded"] {
                key.post(&format!("/api/v1/runs/{top}/restart"), &json!({})).await.expect_success();
                let ended = key.finished(&top).await;
                assert_eq!(ended["status"], status, "{flow}: {ended:#}");
            }
            let middle = child(&key, &top, flow).await;
            let journal = key.follow(&middle).await;
            assert_eq!(journal.iter().filter(|event| event.name == "run_restarted").count(), 2, "{flow}: {journal:#?}");
        }
        let calls = receiver.calls();
        let of = |path: &str| calls.iter().filter(|call| call.path == path).count();
        for (path, times) in [
            ("/charge-only", 1), ("/ship-only", 3), ("/first", 1), ("/charge-piped", 1), ("/ship-piped", 3), ("/charge-routed", 1),
            ("/ship-routed", 3), ("/charge-a", 1), ("/ship-a", 1), ("/charge-b", 1), ("/ship-b", 3), ("/charge-c", 1), ("/ship-c", 1),
        ] {
            assert_eq!(of(path), times, "{path}: {:?}", receiver.by_key());
        }
        // A call whose failure is known is another call to its receiver.
        assert!(receiver.by_key().values().all(|times| *times == 1), "{:?}", receiver.by_key());
    }
}
