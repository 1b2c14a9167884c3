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
    let refused = program.call(&["plan", &path, "--input", "land=NO"]).await;
    assert!(refused.code == 6 && refused.stderr.contains("country"), "{refused}");
    fs::write(folder.join("flow.yaml"), "steps: 7\n").unwrap();
    assert_eq!(program.call(&["plan", &path]).await.code, 6);
    assert_eq!(program.call(&["plan", "/nowhere/at/all"]).await.code, 3);
    assert!(receiver.calls().is_empty());
}
