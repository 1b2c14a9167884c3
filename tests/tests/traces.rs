//! Suite: W3C trace context. A caller's trace goes through a run, its children and everything that leaves; what cannot be read
//! is no reason to refuse, and a new trace begins.
use reqwest::Method;
use serde_json::{Value, json};
use tests::{ApiKey, Receiver, World, on_both_stores};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const SPAN: &str = "00f067aa0ba902b7";
const OTHER: &str = "11111111111111111111111111111111";

fn parent(trace: &str) -> String {
    format!("00-{trace}-{SPAN}-01")
}

/// Trace, span and flags of a well-formed header.
#[track_caller]
fn read(header: Option<&str>) -> [String; 3] {
    let header = header.unwrap_or_else(|| panic!("there is no place in a trace"));
    let parts: Vec<&str> = header.split('-').collect();
    let hex = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    };
    assert!(parts.len() == 4 && parts[0] == "00", "{header}");
    assert!(hex(parts[1], 32) && hex(parts[2], 16) && hex(parts[3], 2), "{header}");
    [parts[1].to_owned(), parts[2].to_owned(), parts[3].to_owned()]
}

async fn run(key: &ApiKey, id: &str) -> Value {
    key.get(&format!("/api/v1/runs/{id}")).await.expect_status(200).json()
}

/// What the calls to this path carried, in order.
fn carried(receiver: &Receiver, path: &str) -> Vec<[String; 3]> {
    let calls = receiver.calls().into_iter().filter(|call| call.path.starts_with(path));
    calls.map(|call| read(call.headers.get("traceparent").map(String::as_str))).collect()
}

async fn outgoing(world: &World, receiver: &Receiver) -> ApiKey {
    let key = world.tenant("acme").await.key(&[]).await;
    let url = receiver.url();
    key.put_flow(
        "child",
        &format!("steps:\n  - {{name: get, executor: api_request, config: {{url: \"{url}/child\"}}}}\n"),
    )
    .await
    .expect_success();
    let connection = json!({"kind": "openai", "base_url": format!("{url}/v1"), "api_key": "sk-x"});
    key.put("/api/v1/connections/house", &connection).await.expect_success();
    let top = format!(
        "steps:
  - name: again
    executor: api_request
    config: {{url: \"{url}/again\"}}
    retry: {{max_attempts: 2, initial_delay: 5ms}}
  - {{name: tell, executor: webhook, config: {{url: \"{url}/hook\", event: told, data: {{}}}}}}
  - name: ask
    executor: llm_analyzer
    config: {{model: house/m, text: hi}}
    retry: {{max_attempts: 1}}
    on_error: continue
  - name: own
    executor: api_request
    config: {{url: \"{url}/own\", headers: {{Traceparent: \"00-{OTHER}-{SPAN}-00\"}}}}
  - name: each
    executor: api_request
    for_each: [1, 2]
    config: {{url: \"{url}/each\"}}
  - {{name: call, executor: flow_executor, config: {{flow_name: child}}}}
"
    );
    key.put_flow("top", &top).await.expect_success();
    key
}

on_both_stores! {
    async fn a_callers_trace_goes_through_the_run_and_all_that_leaves(world: World) {
        let receiver = Receiver::start().await;
        let key = outgoing(&world, &receiver).await;
        receiver.script("/again", &[503]);
        let answer = key.run_with("top", &json!({}), &[("traceparent", &parent(TRACE)), ("tracestate", "rojo=1,congo=t61")]).await;
        let answer = answer.expect_status(200);
        let [trace, span, flags] = read(answer.header("traceresponse"));
        assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"));
        assert_ne!(span, SPAN, "the request has a span of its own");
        assert_eq!(answer.header("traceparent"), answer.header("traceresponse"));
        let id = answer.run_id();
        let top = run(&key, &id).await;
        assert_eq!((&top["trace_id"], &top["parent_span_id"]), (&json!(TRACE), &json!(SPAN)), "{top:#}");
        let mut spans = vec![SPAN.to_owned()];
        for (path, calls) in [("/again", 2), ("/hook", 1), ("/v1/chat", 1), ("/each", 2), ("/child", 1)] {
            let carried = carried(&receiver, path);
            assert_eq!(carried.len(), calls, "{path}: {carried:?}");
            for [trace, span, flags] in carried {
                assert_eq!((trace.as_str(), flags.as_str()), (TRACE, "01"), "{path}");
                assert!(!spans.contains(&span), "{path}: every attempt has a span of its own");
                spans.push(span);
            }
        }
        for call in receiver.calls() {
            let state = call.headers.get("tracestate").map(String::as_str);
            assert_eq!(state, (call.path != "/own").then_some("rojo=1,congo=t61"), "{call:?}");
        }
        assert_eq!(carried(&receiver, "/own"), [[OTHER.to_owned(), SPAN.to_owned(), "00".to_owned()]]);
        let children = key.get(&format!("/api/v1/runs?parent={id}")).await.expect_status(200).json();
        assert_eq!(children["data"][0]["trace_id"], TRACE, "{children:#}");
        let child = run(&key, children["data"][0]["id"].as_str().unwrap_or_default()).await;
        let above = child["parent_span_id"].as_str().unwrap_or_default().to_owned();
        assert!(above.len() == 16 && !spans.contains(&above), "the parent's attempt, which called nobody itself: {child:#}");
    }

    async fn without_a_usable_parent_a_trace_begins_with_the_request(world: World) {
        let receiver = Receiver::start().await;
        let key = outgoing(&world, &receiver).await;
        let zeros = "0".repeat(32);
        let malformed = [
            "nonsense".to_owned(),
            parent(&zeros),
            parent(&TRACE.to_uppercase()),
            format!("00-{TRACE}-{}-01", &zeros[..16]),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-01-more"),
        ];
        let mut seen = Vec::new();
        for (number, header) in malformed.iter().enumerate() {
            let answer = key.run_with("child", &json!({}), &[("traceparent", header), ("tracestate", "a=1")]).await.expect_status(200);
            let [trace, _, flags] = read(answer.header("traceresponse"));
            assert!(trace != TRACE && trace != zeros && !seen.contains(&trace), "{header} gave {trace}");
            let kept = run(&key, &answer.run_id()).await;
            assert_eq!((&kept["trace_id"], &kept["parent_span_id"]), (&json!(trace), &Value::Null), "{header}: {kept:#}");
            assert_eq!(carried(&receiver, "/child")[number][0], trace);
            assert_eq!(receiver.calls()[number].headers.get("tracestate"), None, "no state without its parent");
            assert_eq!(flags, "01");
            seen.push(trace);
        }
        let future = format!("cc-{TRACE}-{SPAN}-00-what-will-be");
        let answer = key.run_with("child", &json!({}), &[("traceparent", &future)]).await.expect_status(200);
        assert_eq!(run(&key, &answer.run_id()).await["trace_id"], TRACE, "a version of the future is read as far as known");
        let last = carried(&receiver, "/child").pop().unwrap_or_default();
        assert_eq!((last[0].as_str(), last[2].as_str()), (TRACE, "00"), "nobody samples it");
    }

    async fn every_answer_says_its_place_in_the_trace(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let stranger = world.stranger();
        for (who, path, status) in [
            (&key, "/api/v1/runs", 200),
            (&key, "/api/v1/nowhere", 404),
            (&stranger, "/api/v1/runs", 401),
            (&stranger, "/health/live", 200),
        ] {
            let request = who.request(Method::GET, path).header("traceparent", parent(TRACE));
            let answer = who.send(request).await.expect_status(status);
            assert_eq!(read(answer.header("traceresponse"))[0], TRACE, "{path}");
        }
    }

    async fn a_restart_keeps_the_trace_and_a_replay_takes_the_one_that_asked(world: World) {
        let receiver = Receiver::start().await;
        let key = outgoing(&world, &receiver).await;
        receiver.script("/child", &[404]);
        let failed = key.run_with("child", &json!({}), &[("traceparent", &parent(TRACE))]).await.expect_status(502);
        let id = failed.problem().run_id.unwrap_or_default();
        let act = |act: &str| {
            let path = format!("/api/v1/runs/{id}/{act}");
            key.send(key.request(Method::POST, &path).header("traceparent", parent(OTHER)).json(&json!({})))
        };
        act("restart").await.expect_status(202);
        receiver.reached(2).await;
        let restarted = loop {
            // Its stream ended with the first epoch.
            let run = run(&key, &id).await;
            if run["status"] == "succeeded" {
                break run;
            }
        };
        assert_eq!(restarted["trace_id"], TRACE, "{restarted:#}");
        let [first, second] = <[_; 2]>::try_from(carried(&receiver, "/child")).unwrap_or_else(|all| panic!("{all:?}"));
        assert_eq!((first[0].as_str(), second[0].as_str()), (TRACE, TRACE));
        assert_ne!(first[1], second[1], "another attempt, another span");
        let replayed = act("replay").await.expect_status(202);
        let replayed = key.finished(&replayed.run_id()).await;
        assert_eq!((&replayed["trace_id"], &replayed["parent_span_id"]), (&json!(OTHER), &json!(SPAN)));
        assert_eq!(carried(&receiver, "/child").pop().unwrap_or_default()[0], OTHER);
    }

    async fn a_run_from_the_console_and_one_on_this_machine_have_a_trace_too(world: World) {
        let receiver = Receiver::start().await;
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let yaml = format!("steps:\n  - {{name: get, executor: api_request, config: {{url: \"{}/x\"}}}}\n", receiver.url());
        key.put_flow("get", &yaml).await.expect_success();
        let answer = key.run_with("get", &json!({}), &[("traceparent", &parent(TRACE))]).await.expect_status(200);
        let page = tenant.owner().await.open(&format!("/t/acme/runs/{}", answer.run_id())).await;
        assert!(page.text().contains(TRACE), "the run's page says its trace");
        let folder = world.folder().join("get");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("flow.yaml"), yaml).unwrap();
        let path = folder.to_string_lossy().into_owned();
        let program = world.program().clone();
        let fresh = program.call(&["run", &path, "--json"]).await.expect_success().json();
        let own = carried(&receiver, "/x").pop().unwrap_or_default();
        assert_eq!(fresh["trace_id"], json!(own[0]), "{fresh:#}");
        assert_ne!(own[0], TRACE);
        let program = program.with("TRACEPARENT", parent(TRACE));
        let given = program.call(&["run", &path, "--json"]).await.expect_success().json();
        assert_eq!(given["trace_id"], TRACE, "{given:#}");
        assert_eq!(carried(&receiver, "/x").pop().unwrap_or_default()[0], TRACE);
    }
}
