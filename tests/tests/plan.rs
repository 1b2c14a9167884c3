//! Suite: what a call would run, take and cost, asked beforehand: over REST with a history, by the command line without one.
use serde_json::{Value, json};
use std::fs;
use tests::{ApiKey, ModelServer, Program, Receiver, World, on_both_stores};

/// Every way in which a plan could act: a call to the outside, a model, another flow, Python, a template that renders.
fn acting(receiver: &Receiver) -> String {
    let url = receiver.url();
    format!(
        r#"
inputs: {{country: string, amount: {{type: number, default: 1}}}}
functions:
  twice: {{implementation: "def twice(n): return n * 2"}}
timeout: 10m
steps:
  - name: charge
    executor: api_request
    config: {{url: "{url}/charge", method: POST, json: {{amount: "{{{{ twice(inputs.amount) }}}}"}}}}
  - name: tax
    executor: api_request
    condition: inputs.country == 'NO'
    config: {{url: "{url}/tax"}}
  - name: after_tax
    executor: log
    config: {{message: "{{{{ steps.tax.body }}}}"}}
  - name: large
    executor: flow_executor
    condition: steps.charge.body.received > 5 and inputs.amount > 0
    config: {{flow_name: other}}
finally:
  - name: tell
    executor: webhook
    config: {{url: "{url}/tell", event: done}}
"#
    )
}

async fn plan(key: &ApiKey, flow: &str, body: &Value) -> Value {
    key.post(&format!("/api/v1/flows/{flow}/plan"), body).await.expect_status(200).json()
}

fn step<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let steps = plan["steps"].as_array().unwrap_or_else(|| panic!("steps are listed: {plan:#}"));
    steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("no step {name}: {plan:#}"))
}

fn limit<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let limits = plan["limits"].as_array().unwrap_or_else(|| panic!("limits are listed: {plan:#}"));
    limits.iter().find(|limit| limit["name"] == name).unwrap_or_else(|| panic!("no limit {name}: {plan:#}"))
}

fn outlooks(plan: &Value) -> Vec<(&str, &str)> {
    let steps = plan["steps"].as_array().unwrap_or_else(|| panic!("steps are listed: {plan:#}"));
    steps.iter().map(|step| (step["name"].as_str().unwrap_or(""), step["outlook"].as_str().unwrap_or(""))).collect()
}

#[track_caller]
fn within(spread: &Value, least: u64, most: u64) {
    let at = |name: &str| spread[name].as_u64().unwrap_or_else(|| panic!("no {name} in {spread}"));
    assert!(least <= at("p10") && at("p10") <= at("p50") && at("p50") <= at("p90") && at("p90") <= most, "{spread}");
}

async fn runs(key: &ApiKey) -> usize {
    key.get("/api/v1/runs").await.expect_status(200).json()["data"].as_array().map_or(0, Vec::len)
}

/// A tenant whose flow `ask` asks a model that reports 100 and 20 tokens.
async fn asked(world: &World, server: &ModelServer) -> ApiKey {
    let key = world.tenant("acme").await.key(&[]).await;
    let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": "sk-plan"});
    key.put("/api/v1/connections/house", &connection).await.expect_success();
    let yaml = "inputs: {text: string, twice: {type: boolean, default: false}}\nsteps:\n  - {name: ask, executor: llm_analyzer, config: {model: house/m, text: \"{{ inputs.text }}\"}}\n  - {name: again, executor: llm_analyzer, condition: inputs.twice, config: {model: house/m, text: \"{{ inputs.text }}\"}}\n";
    key.put_flow("ask", yaml).await.expect_success();
    key
}

on_both_stores! {
    async fn a_plan_says_what_would_run_and_why_and_does_nothing(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::start().await;
        key.put_flow("act", &acting(&receiver)).await.expect_success();
        let audit = key.get("/api/v1/flows/act").await.expect_success().json();
        let abroad = plan(&key, "act", &json!({"inputs": {"country": "SE"}})).await;
        let expected = [("charge", "runs"), ("tax", "skipped"), ("after_tax", "skipped"), ("large", "may"), ("tell", "runs")];
        assert_eq!(outlooks(&abroad), expected, "{abroad:#}");
        assert!(step(&abroad, "tax")["reason"].as_str().is_some_and(|reason| reason.contains("inputs.country == 'NO'")), "{abroad:#}");
        assert!(step(&abroad, "after_tax")["reason"].as_str().is_some_and(|reason| reason.contains("`tax`")), "{abroad:#}");
        let at_home = plan(&key, "act", &json!({"inputs": {"country": "NO"}})).await;
        assert_eq!(outlooks(&at_home)[1..3], [("tax", "runs"), ("after_tax", "runs")]);
        // Nothing is known yet, and that is said.
        assert_eq!((&at_home["flow"], &at_home["version"]), (&json!("act"), &json!(1)));
        assert_eq!(at_home["duration_ms"], Value::Null, "{at_home:#}");
        assert_eq!(at_home["unknown"], json!(["charge", "tax", "after_tax", "large", "tell"]));
        assert!(limit(&at_home, "timeout")["sentence"].as_str().is_some_and(|text| text.contains("600000 ms")), "{at_home:#}");
        assert_eq!(limit(&at_home, "timeout")["hit"], false);
        assert!(receiver.calls().is_empty(), "{:?}", receiver.calls());
        assert_eq!(runs(&key).await, 0);
        assert_eq!(key.get("/api/v1/flows/act").await.expect_success().json(), audit, "its figures are what they were");
    }

    async fn a_plan_is_refused_for_what_a_call_would_be_refused_for(world: World) {
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let receiver = Receiver::start().await;
        key.put_flow("act", &acting(&receiver)).await.expect_success();
        let at = "/api/v1/flows/act/plan";
        let missing = key.post(at, &json!({})).await.expect_status(422).problem();
        assert_eq!((missing.code.as_str(), missing.errors[0].pointer.as_str()), ("invalid_input", "/country"));
        let run = key.run("act", &json!({})).await.expect_status(422).problem();
        assert_eq!(missing.errors, run.errors, "word for word as a call would be");
        let unknown = key.post(at, &json!({"input": {"country": "NO"}})).await;
        assert!(unknown.status() == 400 || unknown.status() == 422, "{unknown}");
        assert!(unknown.text().contains("inputs"), "{unknown}");
        let both = json!({"inputs": {"country": "NO"}, "version": 1, "channel": "stable"});
        key.post(at, &both).await.expect_status(400);
        key.post(at, &json!({"inputs": {"country": "NO"}, "version": 9})).await.expect_status(404);
        key.post("/api/v1/flows/nothing/plan", &json!({})).await.expect_status(404);
        let other = world.tenant("other").await.key(&[]).await;
        other.post(at, &json!({"inputs": {"country": "NO"}})).await.expect_status(404);
        tenant.key(&["runs:read"]).await.post(at, &json!({"inputs": {"country": "NO"}})).await.expect_status(403);
        world.stranger().post(at, &json!({})).await.expect_status(401);
        assert!(receiver.calls().is_empty());
    }

    async fn figures_come_from_earlier_runs_of_these_steps_and_of_this_tenant(world: World) {
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
        let server = ModelServer::start("sk-plan", &json!([{"match": {}, "response": {"content": "Fine.", "usage": usage}}])).await;
        let key = asked(&world, &server).await;
        for _ in 0..5 {
            key.run("ask", &json!({"text": "How are you?"})).await.expect_status(200);
        }
        let asked_before = server.asked().await.len();
        let once = plan(&key, "ask", &json!({"inputs": {"text": "x"}})).await;
        assert_eq!((&step(&once, "ask")["samples"], &step(&once, "again")["samples"]), (&json!(5), &json!(0)));
        within(&step(&once, "ask")["duration_ms"], 1, 60_000);
        assert_eq!(once["duration_ms"], step(&once, "ask")["duration_ms"], "a skipped step adds nothing");
        assert_eq!(once["tokens"], json!({"p10": 120, "p50": 120, "p90": 120}));
        // Nobody knows what this server charges: unknown is not nothing.
        assert_eq!((&once["cost_nano_usd"], &once["unknown"]), (&Value::Null, &json!([])));
        let twice = plan(&key, "ask", &json!({"inputs": {"text": "x", "twice": true}})).await;
        assert_eq!(twice["unknown"], json!(["again"]), "{twice:#}");
        for _ in 0..2 {
            key.run("ask", &json!({"text": "How are you?", "twice": true})).await.expect_status(200);
        }
        let twice = plan(&key, "ask", &json!({"inputs": {"text": "x", "twice": true}})).await;
        assert_eq!((&twice["unknown"], &twice["tokens"]), (&json!([]), &json!({"p10": 240, "p50": 240, "p90": 240})));
        let sum = |name: &str| step(&twice, "ask")["duration_ms"][name].as_u64().unwrap() + step(&twice, "again")["duration_ms"][name].as_u64().unwrap();
        assert_eq!(twice["duration_ms"], json!({"p10": sum("p10"), "p50": sum("p50"), "p90": sum("p90")}), "one behind the other");
        assert_eq!(server.asked().await.len(), asked_before + 4, "plans ask nobody");
        // Another tenant's runs of a flow of the same name are nobody else's history.
        let other = world.tenant("other").await.key(&[]).await;
        let yaml = key.get("/api/v1/flows/ask").await.expect_success().json()["yaml"].as_str().unwrap().to_owned();
        other.put_flow("ask", &yaml).await.expect_success();
        assert_eq!(step(&plan(&other, "ask", &json!({"inputs": {"text": "x"}})).await, "ask")["samples"], 0);
    }

    async fn a_plan_is_for_a_version_or_a_channel_as_a_run_is(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let flow = |input: &str| format!("inputs: {{{input}: string}}\nsteps:\n  - {{name: {input}, executor: log, config: {{message: x}}}}\n");
        key.put_flow("ask", &flow("one")).await.expect_success();
        let beta = key.request(reqwest::Method::PUT, "/api/v1/flows/ask?channel=beta");
        key.send(beta.header("content-type", "application/yaml").body(flow("two"))).await.expect_success();
        let at = |query: &str| format!("/api/v1/flows/ask/plan{query}");
        for (query, body, version, step) in [
            ("", json!({"inputs": {"one": "x"}}), 1, "one"),
            ("?version=2", json!({"inputs": {"two": "x"}}), 2, "two"),
            ("?channel=beta", json!({"inputs": {"two": "x"}}), 2, "two"),
            ("", json!({"inputs": {"two": "x"}, "channel": "beta"}), 2, "two"),
        ] {
            let plan = key.post(&at(query), &body).await.expect_status(200).json();
            assert_eq!((&plan["version"], plan["steps"][0]["name"].as_str()), (&json!(version), Some(step)), "{query} {body}");
        }
        let two = json!({"inputs": {"two": "x"}});
        for (query, body) in [("?version=2&channel=beta", two.clone()), ("?version=2", json!({"inputs": {"two": "x"}, "version": 2})), ("?version=2", json!({"inputs": {"two": "x"}, "channel": "beta"}))] {
            key.post(&at(query), &body).await.expect_status(400);
        }
        for query in ["?version=9", "?channel=gamma"] {
            let planned = key.post(&at(query), &two).await.expect_status(404).problem();
            let run = key.post(&format!("/api/v1/flows/ask/run{query}"), &json!({"two": "x"})).await.expect_status(404).problem();
            assert_eq!((planned.code, planned.detail), (run.code, run.detail), "{query}");
        }
        // What a run of it is refused for: word for word.
        let deep = (0..70).fold(json!("x"), |inner, _| json!([inner]));
        for inputs in [json!({"one": "x"}), json!({"two": 3}), json!({"two": "x", "more": 1}), json!([1]), json!({"two": deep}), json!({"two": "x".repeat(2 << 20)})] {
            let planned = key.post(&at("?version=2"), &json!({"inputs": inputs})).await;
            let run = key.post("/api/v1/flows/ask/run?version=2", &inputs).await;
            assert!(planned.status() >= 400, "{planned}");
            let (planned, run) = (planned.problem(), run.problem());
            assert_eq!((planned.status, planned.code, planned.errors), (run.status, run.code, run.errors), "{}", inputs.to_string().chars().take(80).collect::<String>());
        }
        key.put_flow("words", "macros:\n  m: \"{% macro m() %}x{% endmacro %}\"\n").await.expect_success();
        let library = key.post("/api/v1/flows/words/plan", &json!({})).await.expect_status(400).problem();
        assert_eq!(library.detail, key.run("words", &json!({})).await.expect_status(400).problem().detail);
        assert_eq!(runs(&key).await, 0);
    }

    async fn what_a_run_would_fail_at_is_said_and_nothing_is_asked(world: World) {
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let server = ModelServer::start("sk-plan", &json!([{"match": {}, "response": {"content": "Fine."}}])).await;
        let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": "sk-plan"});
        key.put("/api/v1/connections/house", &connection).await.expect_success();
        let flow = "inputs: {quiet: {type: boolean, default: false}}
max_cost: 0.5
steps:
  - {name: known, executor: llm_analyzer, config: {model: house/m, text: x}}
  - {name: gone, executor: llm_analyzer, config: {model: attic/m, text: x}}
  - {name: none, executor: llm_analyzer, condition: not inputs.quiet, config: {text: x}}
  - {name: crm, executor: api_request, config: {url: \"https://a.example\", connection: crm, headers: {x: \"{{ secrets.TOKEN }}\"}}}
  - {name: call, executor: flow_executor, config: {flow_name: nowhere}}
  - {name: back, executor: log, config: {message: x}, on_error: {fallback: [{executor: flow_executor, config: {flow_name: never}}]}}
";
        key.put_flow("many", flow).await.expect_success();
        let hits = |plan: &Value| -> Vec<String> {
            let limits = plan["limits"].as_array().cloned().unwrap_or_default();
            limits.iter().filter(|limit| limit["hit"] == true).map(|limit| limit["name"].as_str().unwrap_or("").to_owned()).collect()
        };
        let all = plan(&key, "many", &json!({})).await;
        assert_eq!(hits(&all), ["unknown_flow", "unknown_secret", "unknown_connection", "unknown_connection", "unknown_price", "no_model"], "{all:#}");
        assert!(all["limits"].to_string().contains("`nowhere`") && all["limits"].to_string().contains("`attic`"), "{all:#}");
        let quiet = plan(&key, "many", &json!({"inputs": {"quiet": true}})).await;
        assert!(!hits(&quiet).contains(&"no_model".to_owned()), "a skipped step asks no model: {quiet:#}");
        // Who may not know of secrets and connections is told nothing of them.
        let reader = tenant.key(&["flows:read"]).await;
        assert_eq!(hits(&plan(&reader, "many", &json!({})).await), ["unknown_flow"]);
        key.put("/api/v1/secrets/TOKEN", &json!({"value": "hunter22"})).await.expect_success();
        key.put_flow("nowhere", "steps:\n  - {name: a, executor: log, config: {message: x}}\n").await.expect_success();
        let mended = hits(&plan(&key, "many", &json!({})).await);
        assert!(!mended.contains(&"unknown_secret".to_owned()) && !mended.contains(&"unknown_flow".to_owned()), "{mended:?}");
        // What is called is looked into, as far as it goes and once each.
        let deep = "steps:\n  - {name: b, executor: api_request, config: {url: \"https://a.example\", headers: {x: \"{{ secrets.ABSENT }}\"}}}\n";
        let inner = "steps:\n  - {name: one, executor: flow_executor, config: {flow_name: deep}}\n  - {name: two, executor: flow_executor, config: {flow_name: deep}}\n";
        let outer = "inputs: {quiet: {type: boolean, default: false}}\nsteps:\n  - {name: a, executor: flow_executor, condition: not inputs.quiet, config: {flow_name: inner}}\n";
        key.put_flow("deep", deep).await.expect_success();
        key.put_flow("inner", inner).await.expect_success();
        key.put_flow("outer", outer).await.expect_success();
        let called = plan(&key, "outer", &json!({})).await;
        assert_eq!(hits(&called), ["unknown_secret"], "{called:#}");
        assert!(called["limits"].to_string().contains("In the flow `deep` that is called: In line 2"), "{called:#}");
        assert!(hits(&plan(&key, "outer", &json!({"inputs": {"quiet": true}})).await).is_empty(), "what is skipped calls nothing");
        let of_outer = tenant.key(&["flows:read"]).await;
        assert!(hits(&plan(&of_outer, "outer", &json!({})).await).is_empty());
        // A flow that the caller may not know of is not said to be absent.
        let narrow = tenant.key(&["flows:read:outer"]).await;
        assert!(hits(&plan(&narrow, "outer", &json!({})).await).is_empty());
        assert!(server.asked().await.is_empty());
        assert_eq!(runs(&key).await, 0);
    }

    async fn lists_and_waits_that_the_inputs_decide_are_counted(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let usage = json!({"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120});
        let server = ModelServer::start("sk-plan", &json!([{"match": {}, "response": {"content": "Fine.", "usage": usage}}])).await;
        let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": "sk-plan"});
        key.put("/api/v1/connections/house", &connection).await.expect_success();
        let flow = "inputs: {pages: array, span: {type: string, default: 1ms}}
timeout: 1h
steps:
  - {name: each, executor: llm_analyzer, for_each: \"{{ inputs.pages }}\", max_parallel: 2, max_items: 8, config: {model: house/m, text: \"{{ item }}\"}}
  - {name: rest, executor: wait, config: {for: \"{{ inputs.span }}\"}}
";
        key.put_flow("pages", flow).await.expect_success();
        let of = |pages: usize, span: &str| json!({"inputs": {"pages": vec!["x"; pages], "span": span}});
        let fresh = plan(&key, "pages", &of(3, "3d")).await;
        assert_eq!((&step(&fresh, "each")["items"], &fresh["unknown"]), (&json!(3), &json!(["each"])), "{fresh:#}");
        assert_eq!(fresh["duration_ms"]["p50"], 259_200_000, "{fresh:#}");
        assert_eq!((&limit(&fresh, "timeout")["hit"], &limit(&fresh, "max_wait")["hit"]), (&json!(true), &json!(true)));
        assert!(limit(&fresh, "max_wait")["sentence"].as_str().is_some_and(|text| text.contains("`rest`") && text.contains("202")), "{fresh:#}");
        for _ in 0..3 {
            key.run("pages", &of(2, "1ms")["inputs"]).await.expect_status(200);
        }
        let asked = server.asked().await.len();
        let six = plan(&key, "pages", &of(6, "1ms")).await;
        assert_eq!((&step(&six, "each")["items"], &step(&six, "each")["samples"]), (&json!(6), &json!(3)));
        assert_eq!(six["tokens"], json!({"p10": 720, "p50": 720, "p90": 720}), "120 an item: {six:#}");
        let (two, six_ms) = (plan(&key, "pages", &of(2, "1ms")).await, &step(&six, "each")["duration_ms"]["p50"]);
        assert_eq!(six_ms.as_u64(), step(&two, "each")["duration_ms"]["p50"].as_u64().map(|ms| ms * 3), "three rounds of two");
        assert!((limit(&six, "timeout")["hit"] == false) && limit(&six, "max_wait")["hit"] == false, "{six:#}");
        let none = plan(&key, "pages", &of(0, "1ms")).await;
        assert_eq!((&none["tokens"]["p90"], &step(&none, "each")["duration_ms"]["p90"]), (&json!(0), &json!(0)), "{none:#}");
        let nine = plan(&key, "pages", &of(9, "1ms")).await;
        assert!(limit(&nine, "max_items")["hit"] == true && limit(&nine, "max_items")["sentence"].as_str().is_some_and(|text| text.contains('9') && text.contains('8')), "{nine:#}");
        key.run("pages", &of(9, "1ms")["inputs"]).await.expect_status(500);
        assert_eq!(server.asked().await.len(), asked, "plans ask nobody, nor does a run whose list is too long");
        // A run that rests is answered as the plan says.
        assert_eq!(key.run("pages", &of(1, "3d")["inputs"]).await.status(), 202);
    }

    async fn limits_are_said_with_what_holds_them_now(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::holding().await;
        let yaml = |more: &str| format!("inputs: {{customer: string}}\nconcurrency: {{limit: 1, key: \"{{{{ inputs.customer }}}}\"}}\nmax_cost: 0.5\n{more}steps:\n  - {{name: hold, executor: api_request, config: {{url: \"{}/hold\"}}}}\n  - {{name: rest, executor: wait, config: {{for: 300ms}}}}\n", receiver.url());
        key.put_flow("busy", &yaml("")).await.expect_success();
        key.patch("/api/v1/tenant", &json!({"max_concurrent_runs": 2})).await.expect_success();
        let of = |customer: &str| json!({"inputs": {"customer": customer}});
        let free = plan(&key, "busy", &of("ada")).await;
        assert_eq!((&limit(&free, "concurrency")["hit"], &limit(&free, "max_concurrent_runs")["hit"]), (&json!(false), &json!(false)));
        let run = key.start("busy", &json!({"customer": "ada"})).await;
        receiver.reached(1).await;
        let held = plan(&key, "busy", &of("ada")).await;
        assert_eq!(limit(&held, "concurrency")["hit"], true, "{held:#}");
        assert!(limit(&held, "concurrency")["sentence"].as_str().is_some_and(|text| text.contains("1 hold")), "{held:#}");
        assert_eq!(limit(&held, "max_concurrent_runs")["hit"], false);
        assert_eq!(limit(&plan(&key, "busy", &of("bo")).await, "concurrency")["hit"], false, "places are counted by the key");
        let second = key.start("busy", &json!({"customer": "bo"})).await;
        receiver.reached(2).await;
        assert_eq!(limit(&plan(&key, "busy", &of("cem")).await, "max_concurrent_runs")["hit"], true);
        receiver.answer(2);
        for run in [run, second] {
            assert_eq!(key.finished(&run).await["status"], "succeeded");
        }
        // The wait alone takes longer than this: a later version would meet its own limit.
        key.put_flow("busy", &yaml("timeout: 100ms\nendpoint: {max_wait: 150ms}\n")).await.expect_success();
        let late = plan(&key, "busy", &of("ada")).await;
        assert_eq!((&late["version"], &step(&late, "rest")["samples"]), (&json!(2), &json!(2)), "{late:#}");
        for name in ["timeout", "max_wait"] {
            assert_eq!(limit(&late, name)["hit"], true, "{late:#}");
        }
        assert!(limit(&late, "max_cost")["sentence"].as_str().is_some_and(|text| text.contains("500000000")), "{late:#}");
        assert_eq!(limit(&plan(&key, "busy", &json!({"inputs": {"customer": "ada"}, "version": 1})).await, "max_wait")["hit"], false);
    }
}

#[tokio::test]
async fn the_command_line_plans_a_folder_and_calls_nobody() {
    let receiver = Receiver::start().await;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("act");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("flow.yaml"), acting(&receiver)).unwrap();
    let (program, path) = (Program::in_folder(home.path()), folder.to_string_lossy().into_owned());
    let answer = program.call(&["plan", &path, "--input", "country=SE", "--json"]).await.expect_success().json();
    let expected =
        [("charge", "runs"), ("tax", "skipped"), ("after_tax", "skipped"), ("large", "may"), ("tell", "runs")];
    assert_eq!(outlooks(&answer), expected, "{answer:#}");
    assert_eq!(
        (&answer["flow"], &answer["version"], &answer["duration_ms"]),
        (&json!("act"), &Value::Null, &Value::Null)
    );
    let text = program.call(&["plan", &path, "--input", "country=NO"]).await.expect_success().stdout;
    assert!(text.lines().any(|line| line.starts_with("runs") && line.contains("tax")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("hits") && line.contains("`other`")), "{text}");
    fs::write(
        folder.join("flow.yaml"),
        "inputs: {pages: {type: array, required: false}}\ntimeout: 1h\nsteps:\n  - {name: each, executor: log, for_each: \"{{ inputs.pages }}\", max_items: 2, config: {message: \"{{ item }}\"}}\n  - {name: rest, executor: wait, config: {for: 3d}}\n",
    )
    .unwrap();
    let long = program.call(&["plan", &path, "--input", "pages=[1, 2, 3]", "--json"]).await.expect_success().json();
    assert_eq!(
        (&step(&long, "each")["items"], &long["duration_ms"]["p50"]),
        (&json!(3), &json!(259_200_000)),
        "{long:#}"
    );
    for name in ["timeout", "max_wait", "max_items"] {
        assert_eq!(limit(&long, name)["hit"], true, "{long:#}");
    }
    fs::write(folder.join("flow.yaml"), acting(&receiver)).unwrap();
    let refused = program.call(&["plan", &path, "--input", "land=NO"]).await;
    assert!(refused.code == 6 && refused.stderr.contains("country"), "{refused}");
    fs::write(folder.join("flow.yaml"), "steps: 7\n").unwrap();
    assert_eq!(program.call(&["plan", &path]).await.code, 6);
    assert_eq!(program.call(&["plan", "/nowhere/at/all"]).await.code, 3);
    assert!(receiver.calls().is_empty());
}
