//! Suite: `llm_analyzer` in the built program against an OpenAI-compatible server that others wrote, errors and all.
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Answer, ApiKey, Event, ModelServer, World, on_both_stores};

/// The key of the connection; must be seen by the model server and by nobody else.
const KEY: &str = "sk-zebrafinch-of-the-connection";
const WRONG_KEY: &str = "sk-zebrafinch-that-nobody-knows";

const ASK: &str = r#"
inputs:
  text: {type: string, required: true}
steps:
  - name: ask
    executor: llm_analyzer
    retry: {max_attempts: 3, initial_delay: 5ms, jitter: none}
    config: {text: "{{ inputs.text }}", instruction: What does the customer think?}
"#;

/// A key of a tenant whose default model is the server's.
async fn connected(world: &World, server: &ModelServer, api_key: &str) -> ApiKey {
    let key = world.tenant("acme").await.key(&[]).await;
    let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": api_key});
    let answer = key.put("/api/v1/connections/house", &connection).await.expect_success();
    assert!(!answer.text().contains("zebrafinch"), "{answer}");
    key.patch("/api/v1/tenant", &json!({"default_model": "house/test-model"})).await.expect_success();
    key.put_flow("ask", ASK).await.expect_success();
    key
}

async fn ask(key: &ApiKey, text: &str) -> Answer {
    key.run("ask", &json!({"text": text})).await
}

fn run_of(answer: &Answer) -> String {
    let run = if answer.status() < 300 { answer.json()["run_id"].clone() } else { json!(answer.problem().run_id) };
    run.as_str().unwrap_or_else(|| panic!("no run in {answer}")).to_owned()
}

/// The record of the one step.
async fn step(key: &ApiKey, answer: &Answer) -> Value {
    let steps = key.steps(&run_of(answer)).await;
    assert_eq!(steps.len(), 1, "{steps:#?}");
    steps[0].clone()
}

/// Everything that can be read of a run, and what the program wrote, without the connection's key.
async fn is_clean(world: &World, key: &ApiKey, answer: &Answer) {
    let run = run_of(answer);
    let mut seen = vec![answer.text()];
    for path in ["", "/steps"] {
        seen.push(key.get(&format!("/api/v1/runs/{run}{path}")).await.expect_success().text());
    }
    for path in ["/api/v1/runs", "/api/v1/connections", "/api/v1/connections/house", "/api/v1/tenant"] {
        seen.push(key.get(path).await.expect_success().text());
    }
    seen.push(format!("{:?}", key.follow(&run).await));
    seen.push(world.running().log());
    for text in seen {
        assert!(!text.contains("zebrafinch"), "{text}");
    }
}

async fn streamed(key: &ApiKey, text: &str) -> Vec<Event> {
    let request = key.request(reqwest::Method::POST, "/api/v1/flows/ask/run").header("accept", "text/event-stream");
    tests::events(request.json(&json!({"text": text}))).await
}

/// The text that arrived by deltas in one attempt.
fn told(events: &[Event], attempt: u64) -> String {
    let deltas = events.iter().filter(|event| event.name == "delta" && event.data["attempt"] == attempt);
    deltas.map(|event| event.data["text"].as_str().unwrap_or_default()).collect()
}

fn attempts(step: &Value, pointer: &str) -> Vec<Value> {
    let list = step["attempt_list"].as_array().unwrap_or_else(|| panic!("attempts are listed: {step:#}"));
    list.iter().map(|attempt| attempt.pointer(pointer).cloned().unwrap_or_default()).collect()
}

fn usage(input: u64, output: u64) -> Value {
    json!({"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output})
}

on_both_stores! {
    async fn an_answer_comes_back_with_what_it_used(world: World) {
        let server = ModelServer::start(KEY, &json!([{
            "match": {"userMessage": "I love this grinder.", "model": "test-model"},
            "response": {"content": "The customer is happy with the grinder.", "usage": usage(120, 30)},
        }])).await;
        let key = connected(&world, &server, KEY).await;
        let answer = ask(&key, "I love this grinder.").await.expect_status(200);
        let body = answer.json();
        assert_eq!(body["outputs"]["text"], "The customer is happy with the grinder.");
        assert_eq!(body["outputs"]["model"], "house/test-model");
        assert_eq!(body["outputs"]["finish_reason"], "stop");
        assert_eq!(body["outputs"]["usage"], json!({"input_tokens": 120, "output_tokens": 30, "estimated": false}));
        assert_eq!(body["usage"]["units"], json!({"input_tokens": 120, "output_tokens": 30}));
        // Nobody knows what this server's operator charges: unknown, which is not nothing.
        assert_eq!(body.get("cost_nano_usd"), Some(&Value::Null));
        let step = step(&key, &answer).await;
        assert_eq!((&step["usage"]["model"], &step["usage"]["estimated"]), (&json!("house/test-model"), &json!(false)));
        assert_eq!(step.pointer("/usage/cost_nano_usd"), Some(&Value::Null));
        let asked = server.asked().await;
        assert_eq!(asked.len(), 1, "{asked:#?}");
        assert_eq!((&asked[0].0["model"], &asked[0].0["stream"]), (&json!("test-model"), &json!(true)));
        assert!(asked[0].0["max_tokens"].is_u64() && asked[0].0["messages"].to_string().contains("What does the customer think?"), "{asked:#?}");
        is_clean(&world, &key, &answer).await;
    }

    async fn a_streamed_run_brings_the_answer_in_pieces(world: World) {
        let text = "Customers praise the grinder, its quiet motor and its price.";
        let server = ModelServer::start(KEY, &json!([{
            "match": {}, "latency": 5, "response": {"content": text, "usage": usage(40, 20)},
        }])).await;
        let key = connected(&world, &server, KEY).await;
        let events = streamed(&key, "Sum the reviews up.").await;
        let deltas: Vec<&Event> = events.iter().filter(|event| event.name == "delta").collect();
        assert!(deltas.len() > 3, "{events:#?}");
        assert!(deltas.iter().all(|event| event.id.is_none() && event.data["step"] == "ask"), "{deltas:#?}");
        assert_eq!(told(&events, 1), text);
        let last = events.last().unwrap();
        assert_eq!((last.name.as_str(), &last.data["data"]["status"]), ("run_settled", &json!("succeeded")));
        assert_eq!(last.data["data"]["outputs"]["text"], text);
        let ids: Vec<u64> = events.iter().filter_map(|event| event.id.as_ref()?.parse().ok()).collect();
        let all: Vec<u64> = (1..).take(ids.len()).collect();
        assert_eq!(ids, all, "journal events come once each and in order");
        let run = key.get("/api/v1/runs").await.expect_success().json()["data"][0]["id"].clone();
        let journal = key.follow(run.as_str().unwrap()).await;
        assert!(journal.iter().all(|event| event.name != "delta"), "deltas are not kept: {journal:#?}");
        assert!(!format!("{events:?}").contains("zebrafinch"), "{events:#?}");
    }

    async fn an_answer_with_a_schema_is_data_and_a_wrong_one_is_repaired(world: World) {
        let right = json!({"sentiment": "positive", "score": 0.9});
        let server = ModelServer::start(KEY, &json!([
            {"match": {"model": "stubborn"}, "response": {"content": "I would rather not.", "usage": usage(10, 5)}},
            {
                "match": {"userMessage": "at once", "responseFormat": "json_schema", "turnIndex": 0},
                "response": {"content": right.to_string(), "usage": usage(10, 5)},
            },
            {
                "match": {"userMessage": "late", "turnIndex": 0},
                "response": {"content": "{\"sentiment\": \"glad\"}", "usage": usage(10, 5)},
            },
            {
                "match": {"userMessage": "does not match the JSON Schema", "turnIndex": 1},
                "response": {"content": right.to_string(), "usage": usage(20, 6)},
            },
        ])).await;
        let key = connected(&world, &server, KEY).await;
        let schema = "schema: {type: object, required: [sentiment, score], properties: {sentiment: {enum: [positive, negative]}, score: {type: number}}}";
        let yaml = ASK.replace("    config: {", &format!("    config: {{{schema}, "));
        key.put_flow("ask", &yaml).await.expect_success();
        for (text, units) in [("at once", (10, 5)), ("late", (30, 11))] {
            let body = ask(&key, text).await.expect_status(200).json();
            assert_eq!(body["outputs"], right, "{text}");
            assert_eq!(body["usage"]["units"], json!({"input_tokens": units.0, "output_tokens": units.1}), "{text}");
        }
        key.put_flow("ask", &yaml.replace("    config: {", "    config: {model: house/stubborn, ")).await.expect_success();
        let answer = ask(&key, "never").await.expect_status(502);
        let problem = answer.problem();
        assert_eq!((problem.code.as_str(), problem.retryable), ("answer_schema", false));
        let step = step(&key, &answer).await;
        assert_eq!(step["attempts"], 1);
        assert!(step["usage"]["units"]["output_tokens"] == 10, "what failed was used all the same: {step:#}");
    }

    async fn a_server_that_asks_to_wait_is_waited_for(world: World) {
        let busy = json!({"message": "Rate limited", "type": "rate_limit_error"});
        let server = ModelServer::start(KEY, &json!([
            {"match": {"userMessage": "again", "sequenceIndex": 0}, "response": {"error": busy, "status": 429, "retryAfter": 1}},
            {"match": {"userMessage": "again", "sequenceIndex": 1}, "response": {"content": "Now it works.", "usage": usage(12, 3)}},
        ])).await;
        let key = connected(&world, &server, KEY).await;
        let answer = ask(&key, "Try again.").await.expect_status(200);
        assert_eq!(answer.json()["outputs"]["text"], "Now it works.");
        let step = step(&key, &answer).await;
        assert_eq!(step["attempts"], 2);
        assert_eq!(attempts(&step, "/status"), ["failed", "succeeded"]);
        assert_eq!(attempts(&step, "/error/code"), [json!("provider_rate_limited"), Value::Null]);
        assert_eq!(attempts(&step, "/error/retry_after_ms")[0], 1000);
        // The flow's own delay is 5 ms; the server's second was kept.
        assert!(step["duration_ms"].as_u64() >= Some(1000), "{step:#}");
        let statuses: Vec<u64> = server.asked().await.into_iter().map(|(_, status)| status).collect();
        assert_eq!(statuses, [429, 200]);
        is_clean(&world, &key, &answer).await;
    }

    async fn a_refused_key_is_not_tried_twice_and_not_shown(world: World) {
        let server = ModelServer::start(KEY, &json!([{"match": {}, "response": {"content": "hi"}}])).await;
        let key = connected(&world, &server, WRONG_KEY).await;
        let answer = ask(&key, "Hello?").await.expect_status(502);
        let problem = answer.problem();
        assert_eq!((problem.code.as_str(), problem.retryable), ("provider_auth", false));
        assert_eq!((problem.step.as_deref(), problem.attempt), (Some("ask"), Some(1)));
        let step = step(&key, &answer).await;
        assert_eq!((&step["attempts"], &step["status"]), (&json!(1), &json!("failed")));
        assert_eq!(step["usage"], Value::Null, "a refusal costs nothing");
        is_clean(&world, &key, &answer).await;
        // The right key opens it without a new flow.
        let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": KEY});
        key.put("/api/v1/connections/house", &connection).await.expect_success();
        assert_eq!(ask(&key, "Hello?").await.expect_status(200).json()["outputs"]["text"], "hi");
    }

    async fn a_server_that_keeps_failing_is_given_up(world: World) {
        let oops = json!({"message": "Oops", "type": "server_error"});
        let server = ModelServer::start(KEY, &json!([{"match": {}, "response": {"error": oops, "status": 500}}])).await;
        let key = connected(&world, &server, KEY).await;
        let answer = ask(&key, "Anybody there?").await.expect_status(502);
        let problem = answer.problem();
        assert_eq!((problem.code.as_str(), problem.attempt, problem.retryable), ("provider_error", Some(3), true));
        let step = step(&key, &answer).await;
        assert_eq!(attempts(&step, "/status"), ["failed", "failed", "failed"]);
        assert_eq!(attempts(&step, "/error/code"), ["provider_error", "provider_error", "provider_error"]);
        let statuses: Vec<u64> = server.asked().await.into_iter().map(|(_, status)| status).collect();
        assert_eq!(statuses, [500, 500, 500]);
        is_clean(&world, &key, &answer).await;
    }

    async fn a_cut_answer_is_asked_for_again_and_its_part_is_counted(world: World) {
        let long = "This answer is long enough to be cut off somewhere in the middle of it.";
        let cut = |text: &str, index: u64| json!({
            "match": {"userMessage": text, "sequenceIndex": index}, "latency": 5, "truncateAfterChunks": 4,
            "response": {"content": long},
        });
        let server = ModelServer::start(KEY, &json!([
            cut("once", 0),
            {"match": {"userMessage": "once", "sequenceIndex": 1}, "response": {"content": long, "usage": usage(40, 18)}},
            cut("always", 0), cut("always", 1), cut("always", 2),
        ])).await;
        let key = connected(&world, &server, KEY).await;
        let events = streamed(&key, "Cut it once.").await;
        let last = events.last().unwrap();
        assert_eq!((last.name.as_str(), &last.data["data"]["outputs"]["text"]), ("run_settled", &json!(long)));
        let part = told(&events, 1);
        assert!(!part.is_empty() && part.len() < long.len() && long.starts_with(&part), "{events:#?}");
        assert_eq!(told(&events, 2), long);
        let answer = ask(&key, "Cut it always.").await.expect_status(502);
        let problem = answer.problem();
        assert_eq!((problem.code.as_str(), problem.attempt, problem.retryable), ("stream_cut", Some(3), true));
        let step = step(&key, &answer).await;
        assert_eq!(attempts(&step, "/error/code"), ["stream_cut", "stream_cut", "stream_cut"]);
        for usage in attempts(&step, "/usage") {
            assert!(usage["estimated"] == true && usage["units"]["output_tokens"].as_u64() > Some(0), "{usage}");
        }
        let run = key.get(&format!("/api/v1/runs/{}", run_of(&answer))).await.expect_success().json();
        assert!(run["usage"]["units"]["output_tokens"].as_u64() > Some(0), "{run:#}");
        assert_eq!(run.get("cost_nano_usd"), Some(&Value::Null), "an unknown price stays unknown");
        is_clean(&world, &key, &answer).await;
    }

    async fn a_provider_s_other_address_answers_when_the_first_does_not(world: World) {
        let everything = json!([{"match": {"model": "test-model"}, "response": {"content": "Here.", "usage": usage(10, 5)}}]);
        let servers = [ModelServer::start(KEY, &everything).await, ModelServer::start(KEY, &everything).await];
        let key = connected(&world, &servers[0], KEY).await;
        // Nobody listens on the discard port.
        let addresses = [servers[0].base_url(), servers[1].base_url()];
        let connection = json!({
            "kind": "openai", "base_url": "http://127.0.0.1:9/v1", "more_base_urls": addresses, "max_concurrency": 2, "api_key": KEY,
        });
        let view = key.put("/api/v1/connections/house", &connection).await.expect_success().json();
        assert_eq!((&view["more_base_urls"], &view["max_concurrency"]), (&json!(addresses), &json!(2)));
        let mut tries = 0;
        for _ in 0..6 {
            let answer = ask(&key, "Where are you?").await.expect_status(200);
            tries += step(&key, &answer).await["attempts"].as_u64().unwrap_or_default();
        }
        assert!(tries <= 8, "an address that is down is left alone: {tries} attempts for 6 answers");
        let calls = [servers[0].asked().await.len(), servers[1].asked().await.len()];
        assert!(calls[0] + calls[1] == 6 && calls.iter().all(|calls| *calls > 0), "{calls:?}");
        // The key goes to no host that it was not given for.
        let moved = json!({"kind": "openai", "base_url": servers[0].base_url(), "more_base_urls": ["http://127.0.0.2:9/v1"]});
        let view = key.put("/api/v1/connections/house", &moved).await.expect_success().json();
        assert_eq!(view["has_key"], false);
        for (field, value) in [("more_base_urls", json!([servers[0].base_url()])), ("max_concurrency", json!(0)), ("more_base_urls", json!(["ftp://x"]))] {
            let mut wrong = json!({"kind": "openai", "base_url": servers[0].base_url()});
            wrong[field] = value;
            let problem = key.put("/api/v1/connections/house", &wrong).await.expect_status(422).problem();
            assert!(format!("{problem:?}").contains(field), "{problem:?}");
        }
    }

    async fn a_connections_prices_hold_for_the_runs_that_start_from_then_on(world: World) {
        // The second is called while the price changes.
        let answers = json!([
            {"match": {"userMessage": "Slowly"}, "latency": 1_500, "response": {"content": "Here.", "usage": usage(1_000, 100)}},
            {"match": {}, "response": {"content": "Here.", "usage": usage(1_000, 100)}},
        ]);
        let server = ModelServer::start(KEY, &answers).await;
        let key = connected(&world, &server, KEY).await;
        let priced = |prices: Value| json!({"kind": "openai", "base_url": server.base_url(), "prices": prices});
        let capped = format!("max_cost: 0.50\n{ASK}");
        key.put_flow("ask", &capped).await.expect_success();
        let refused = ask(&key, "Unpriced?").await.expect_status(402);
        assert_eq!(refused.problem().code, "price_unknown");
        assert!(server.asked().await.is_empty(), "nothing is bought at an unknown price under a cap");

        let rates = json!({"test-model": {"input": 2.0, "output": 10.0}, "*": {"input": 0.5, "output": 0.5, "cached_input": 0.0}});
        let view = key.put("/api/v1/connections/house", &priced(rates.clone())).await.expect_success().json();
        assert_eq!(view["prices"], rates);
        let first = ask(&key, "Now?").await.expect_status(200).json();
        assert_eq!(first["cost_nano_usd"], 1_000 * 2_000 + 100 * 10_000);

        let (slow, change) = tokio::join!(ask(&key, "Slowly?"), async {
            tokio::time::sleep(Duration::from_millis(600)).await;
            key.put("/api/v1/connections/house", &priced(json!({"*": {"input": 0.0, "output": 1.0}}))).await
        });
        change.expect_success();
        assert_eq!(slow.expect_status(200).json()["cost_nano_usd"], first["cost_nano_usd"], "pinned when it started");
        let later = ask(&key, "And now?").await.expect_status(200).json();
        assert_eq!(later["cost_nano_usd"], 100 * 1_000);

        let unknown = priced(json!({"test-model": {"input": 1, "output": 1, "per_call": 1}}));
        key.put("/api/v1/connections/house", &unknown).await.expect_status(400);
        for wrong in [
            json!({"test-model": {"input": -1, "output": 1}}),
            json!({"test-model": {"input": 1}}),
            json!({"a b": {"input": 1, "output": 1}}),
            json!({"test-model": {"input": 1e9, "output": 1}}),
        ] {
            let problem = key.put("/api/v1/connections/house", &priced(wrong.clone())).await.expect_status(422).problem();
            assert_eq!(problem.code, "invalid_input", "{wrong}: {problem:?}");
        }
        let elsewhere = json!({"kind": "http", "base_url": "https://api.example.com", "prices": {"a": {"input": 1, "output": 1}}});
        key.put("/api/v1/connections/web", &elsewhere).await.expect_status(422);

        // Another connection of that name is another one.
        key.delete("/api/v1/connections/house").await.expect_success();
        let unpriced = json!({"kind": "openai", "base_url": server.base_url(), "api_key": KEY});
        key.put("/api/v1/connections/house", &unpriced).await.expect_success();
        ask(&key, "Whose prices?").await.expect_status(402);
    }

    async fn another_tenants_connection_cannot_be_used(world: World) {
        let server = ModelServer::start(KEY, &json!([{"match": {}, "response": {"content": "hi"}}])).await;
        connected(&world, &server, KEY).await;
        let foreign = world.tenant("globex").await.key(&[]).await;
        foreign.get("/api/v1/connections/house").await.expect_status(404);
        foreign.patch("/api/v1/tenant", &json!({"default_model": "house/test-model"})).await.expect_status(422);
        foreign.put_flow("ask", &ASK.replace("config: {", "config: {model: house/test-model, ")).await;
        let answer = ask(&foreign, "Hello?").await;
        assert!(answer.status() >= 400 && !answer.text().contains("zebrafinch"), "{answer}");
        assert!(server.asked().await.is_empty());
    }
}
