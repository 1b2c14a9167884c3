//! Suite: what a step's cache gives again, and everything whose change makes it ask anew.
#![cfg(test)]
use serde_json::{Value, json};
use tests::{ApiKey, ModelServer, Receiver, on_both_stores};

/// What a run of the flow gives.
async fn given(key: &ApiKey, flow: &str) -> Value {
    key.run(flow, &json!({})).await.expect_success().json()["outputs"].clone()
}

fn saying(text: &str) -> String {
    format!("outputs: {{said: {text}}}\nsteps:\n  - {{name: note, executor: log, config: {{message: x}}}}\n")
}

fn calling(flow: &str, cache: &str) -> String {
    format!("steps:\n  - {{name: call, executor: flow_executor, config: {{flow_name: {flow}}}{cache}}}\n")
}

const CACHED: &str = ", cache: {mode: on}";

on_both_stores! {
    async fn a_flow_that_is_called_is_asked_again_when_it_or_what_it_calls_is_another_version(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("leaf", &saying("one")).await.expect_success();
        key.put_flow("middle", &calling("leaf", "")).await.expect_success();
        key.put_flow("direct", &calling("leaf", CACHED)).await.expect_success();
        key.put_flow("deep", &calling("middle", CACHED)).await.expect_success();
        let routed = "steps:\n  - {name: call, executor: flow_router, config: {routes: [{condition: false, flow_name: leaf}], default: {flow_name: middle}}, cache: {mode: on}}\n";
        key.put_flow("routed", routed).await.expect_success();
        let piped = "steps:\n  - {name: call, executor: flow_pipeline, config: {inputs: {}, flows: [middle]}, cache: {mode: on}}\n";
        key.put_flow("piped", piped).await.expect_success();
        let callers = ["direct", "deep", "routed", "piped"];
        for caller in callers {
            assert_eq!(given(&key, caller).await["said"], "one", "{caller}");
            let again = key.run(caller, &json!({})).await.expect_success().json();
            assert_eq!(again["outputs"]["said"], "one", "{caller}");
            let record = &key.steps(again["run_id"].as_str().unwrap_or_default()).await[0];
            assert_eq!(record["cached"], true, "{caller}: {record}");
        }
        key.put_flow("leaf", &saying("two")).await.expect_success();
        for caller in callers {
            assert_eq!(given(&key, caller).await["said"], "two", "{caller}");
        }
    }

    async fn a_flow_whose_name_is_computed_somewhere_below_and_one_with_effects_are_never_kept(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::start().await;
        let paying = format!("steps:\n  - {{name: pay, executor: api_request, config: {{url: \"{}/pay\", method: POST, json: {{}}}}}}\n", receiver.url());
        key.put_flow("paying", &paying).await.expect_success();
        key.put_flow("pays", &calling("paying", CACHED)).await.expect_success();
        given(&key, "pays").await;
        given(&key, "pays").await;
        assert_eq!(receiver.calls().len(), 2, "a payment is never taken from a cache");
        key.put_flow("leaf", &saying("one")).await.expect_success();
        let computed = "vars: {which: leaf}\nsteps:\n  - {name: call, executor: flow_executor, config: {flow_name: \"{{ vars.which }}\"}}\n";
        key.put_flow("middle", computed).await.expect_success();
        key.put_flow("deep", &calling("middle", CACHED)).await.expect_success();
        assert_eq!(given(&key, "deep").await["said"], "one");
        key.put_flow("leaf", &saying("two")).await.expect_success();
        assert_eq!(given(&key, "deep").await["said"], "two");
    }

    async fn a_secret_with_a_new_value_is_another_question(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let receiver = Receiver::start().await;
        let reading = |cache: &str| format!("outputs: {{n: \"{{{{ steps.read.body.received }}}}\"}}\nsteps:\n  - {{name: read, executor: api_request, config: {{url: \"{}/\", headers: {{x-key: \"{{{{ secrets.TOKEN }}}}\"}}}}{cache}}}\n", receiver.url());
        key.put_flow("own", &reading(CACHED)).await.expect_success();
        key.put_flow("callee", &reading("")).await.expect_success();
        key.put_flow("called", &calling("callee", CACHED)).await.expect_success();
        let secret = async |value: &str| key.put("/api/v1/secrets/TOKEN", &json!({"value": value})).await.expect_success();
        secret("first-value").await;
        for (round, flow) in [(1, "own"), (2, "called")] {
            for _ in 0..2 {
                assert_eq!(given(&key, flow).await["n"], round, "{flow}");
            }
        }
        secret("other-value").await;
        assert_eq!([given(&key, "own").await["n"].clone(), given(&key, "called").await["n"].clone()], [json!(3), json!(4)]);
        // Made again under its name it is in its first version again, and another one all the same.
        key.delete("/api/v1/secrets/TOKEN").await.expect_success();
        secret("third-value").await;
        assert_eq!([given(&key, "own").await["n"].clone(), given(&key, "called").await["n"].clone()], [json!(5), json!(6)]);
        assert_eq!([given(&key, "own").await["n"].clone(), given(&key, "called").await["n"].clone()], [json!(5), json!(6)]);
    }

    async fn a_connection_that_was_changed_is_another_question(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let (receiver, other) = (Receiver::start().await, Receiver::start().await);
        let service = async |url: &str, secret: &str| {
            let connection = json!({"kind": "http", "base_url": url, "api_key": secret});
            key.put("/api/v1/connections/shop", &connection).await.expect_success();
        };
        key.put_flow("read", "outputs: {n: \"{{ steps.read.body.received }}\"}\nsteps:\n  - {name: read, executor: api_request, config: {connection: shop, url: /x}, cache: {mode: on}}\n").await.expect_success();
        service(receiver.url(), "first-key-of-the-shop").await;
        assert_eq!([given(&key, "read").await["n"].clone(), given(&key, "read").await["n"].clone()], [json!(1), json!(1)]);
        service(receiver.url(), "other-key-of-the-shop").await;
        assert_eq!([given(&key, "read").await["n"].clone(), given(&key, "read").await["n"].clone()], [json!(2), json!(2)]);
        service(other.url(), "other-key-of-the-shop").await;
        given(&key, "read").await;
        assert_eq!((receiver.calls().len(), other.calls().len()), (2, 1));
    }

    async fn a_model_behind_a_connection_that_was_changed_is_another_question(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let server = ModelServer::start("sk-of-the-cache", &json!([{"match": {"userMessage": "anything"}, "response": {"content": "told"}}])).await;
        let connect = async || {
            let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": "sk-of-the-cache"});
            key.put("/api/v1/connections/house", &connection).await.expect_success();
        };
        connect().await;
        key.patch("/api/v1/tenant", &json!({"default_model": "house/m"})).await.expect_success();
        key.put_flow("ask", "steps:\n  - {name: ask, executor: llm_analyzer, config: {prompt: anything}, cache: {mode: on}}\n").await.expect_success();
        given(&key, "ask").await;
        given(&key, "ask").await;
        assert_eq!(server.asked().await.len(), 1);
        connect().await;
        given(&key, "ask").await;
        assert_eq!(server.asked().await.len(), 2);
    }
}
