//! Suite: functions, macros and the executors that need their surroundings, over REST, on the built program.
#![expect(clippy::expect_used, reason = "a suite fails by panicking")]
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use tests::{Answer, ApiKey, Database, World, on_both_stores};

fn document(name: &str) -> Vec<u8> {
    let path = tests::room().join("fixtures/documents").join(name);
    std::fs::read(path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

async fn acme(world: &World) -> ApiKey {
    world.tenant("acme").await.key(&[]).await
}

/// Publishes a flow and runs it.
async fn run(key: &ApiKey, yaml: &str, inputs: &Value) -> Answer {
    key.put_flow("subject", yaml).await.expect_success();
    key.run("subject", inputs).await
}

async fn outputs(key: &ApiKey, yaml: &str, inputs: &Value) -> Value {
    run(key, yaml, inputs).await.expect_status(200).json()["outputs"].clone()
}

/// The specific code of a fault of the flow.
fn cause(answer: &Answer) -> String {
    assert_eq!(answer.problem().code, "flow_fault", "{answer}");
    answer.json()["cause"].as_str().unwrap_or_else(|| panic!("no cause in {answer}")).to_owned()
}

/// The one flow that a run called.
async fn children(key: &ApiKey, parent: &str) -> Vec<String> {
    let runs = key.get(&format!("/api/v1/runs?parent={parent}")).await.expect_status(200).json();
    let runs = runs["data"].as_array().expect("a list has `data`").iter();
    runs.map(|run| run["flow"].as_str().expect("a run names its flow").to_owned()).collect()
}

/// Starts a run that waits but for a moment.
async fn started(key: &ApiKey, yaml: &str, inputs: &Value) -> String {
    key.put_flow("subject", yaml).await.expect_success();
    key.start("subject", inputs).await
}

/// Starts a run that waits, and comes back when it does.
async fn waiting(key: &ApiKey, yaml: &str, inputs: &Value) -> String {
    let answer = run(key, yaml, inputs).await.expect_status(202);
    assert_eq!(answer.json()["status"], "waiting", "{answer}");
    answer.run_id()
}

/// The one question that a run asks.
async fn question(key: &ApiKey, run: &str) -> Value {
    let list = key.get(&format!("/api/v1/approvals?run={run}")).await.expect_status(200).json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(1), "{list:#}");
    list["data"][0].clone()
}

const GREETING: &str = r#"
inputs:
  amount: number
functions:
  rate:
    description: "A share of an amount"
    implementation: |
      import math

      def rate(amount, share=0.25, *, digits=2):
          return {"share": round(amount * share, digits), "whole": math.floor(amount)}
  format_currency:
    implementation: |
      def format_currency(amount, currency="USD"):
          return f"${amount:.2f} {currency}"
macros:
  greet: "{% macro greet(name) %}Hello {{ name }}, {{ format_currency(5) }}{% endmacro %}"
steps:
  - name: both
    executor: data_transformer
    config:
      data:
        rate: "{{ rate(inputs.amount, digits=1) }}"
        text: "{{ format_currency(inputs.amount) }}"
        greeting: "{{ greet('Ada') }}"
"#;

const LEND: &str = r#"
inputs: {amount: number}
steps:
  - name: note
    executor: log
    config: {message: asked}
  - name: ask
    executor: approval
    config:
      message: "Lend {{ inputs.amount }}?"
      roles: [admin]
      form: {type: object, required: [rate], properties: {rate: {type: number, maximum: 9}}}
      on_reject: continue
outputs: {approved: "{{ steps.ask.approved }}", decision: "{{ steps.ask.decision }}", form: "{{ steps.ask.form }}", comment: "{{ steps.ask.comment }}"}
"#;

on_both_stores! {
    async fn functions_and_macros_of_a_flow_are_called_by_its_templates(world: World) {
        let key = acme(&world).await;
        let expected = json!({
            "rate": {"share": 308.6, "whole": 1234}, "text": "$1234.50 USD", "greeting": "Hello Ada, $5.00 USD",
        });
        assert_eq!(outputs(&key, GREETING, &json!({"amount": 1234.5})).await, expected);
        let wrong = GREETING.replace("format_currency(5)", "format_currency()");
        let problems = key.put_flow("subject", &wrong).await.expect_status(422).json()["problems"].clone();
        assert_eq!(problems[0]["code"], "F065", "{problems:#}");
    }

    async fn a_kept_value_is_there_in_the_next_run_and_nowhere_else(world: World) {
        let key = acme(&world).await;
        let other = world.tenant("other").await.key(&[]).await;
        let set = "inputs:\n  value: {type: integer}\nsteps:\n  - name: keep\n    executor: cache\n    config: {operation: set, key: last, value: \"{{ inputs.value }}\", ttl: 1h}\n";
        let get = "steps:\n  - name: look\n    executor: cache\n    config: {key: last, default: none}\n";
        let nothing = json!({"found": false, "value": "none"});
        assert_eq!(outputs(&key, get, &json!({})).await, nothing);
        assert_eq!(outputs(&key, set, &json!({"value": 7})).await, json!({"found": false, "value": 7}));
        assert_eq!(outputs(&key, set, &json!({"value": 8})).await, json!({"found": true, "value": 8}));
        assert_eq!(outputs(&key, get, &json!({})).await, json!({"found": true, "value": 8}));
        assert_eq!(outputs(&other, get, &json!({})).await, nothing);
        let delete = "steps:\n  - name: forget\n    executor: cache\n    config: {operation: delete, key: last}\n";
        assert_eq!(outputs(&key, delete, &json!({})).await["found"], true);
        assert_eq!(outputs(&key, get, &json!({})).await, nothing);
        let large = format!("steps:\n  - name: keep\n    executor: cache\n    config: {{operation: set, key: a, value: \"{}\"}}\n", "x".repeat(70_000));
        assert_eq!(cause(&run(&key, &large, &json!({})).await.expect_status(500)), "value_too_large");
    }

    async fn a_router_starts_one_flow_and_a_pipeline_feeds_each_with_the_last(world: World) {
        let key = acme(&world).await;
        for (name, made) in [("shout", "{{ inputs.text | upper }}"), ("twice", "{{ inputs.text }}-{{ inputs.text }}")] {
            let yaml = format!("inputs:\n  text: string\nsteps:\n  - name: make\n    executor: data_transformer\n    config: {{data: \"{made}\"}}\noutputs:\n  text: \"{{{{ steps.make.output }}}}\"\n");
            key.put_flow(name, &yaml).await.expect_success();
        }
        let router = "inputs:\n  loud: boolean\nsteps:\n  - name: route\n    executor: flow_router\n    config:\n      routes: [{condition: \"{{ inputs.loud }}\", flow_name: shout}]\n      default: {flow_name: twice}\n      inputs: {text: hi}\n";
        for (loud, flow, text) in [(true, "shout", "HI"), (false, "twice", "hi-hi")] {
            let answer = run(&key, router, &json!({"loud": loud})).await.expect_status(200);
            assert_eq!(answer.json()["outputs"], json!({"text": text}));
            assert_eq!(children(&key, &answer.run_id()).await, [flow]);
        }
        let pipeline = "steps:\n  - name: chain\n    executor: flow_pipeline\n    config:\n      inputs: {text: ho}\n      flows: [shout, {flow_name: twice, inputs: {text: \"{{ output.text }}!{{ inputs.text }}\"}}]\n";
        let answer = run(&key, pipeline, &json!({})).await.expect_status(200);
        assert_eq!(answer.json()["outputs"], json!({"text": "HO!ho-HO!ho"}));
        assert_eq!(children(&key, &answer.run_id()).await.len(), 2);
        // What fails in the chain fails it, and nothing behind it is started.
        key.put_flow("refuse", "steps:\n  - {name: no, executor: fail, config: {code: not_today, message: Not today.}}\n").await.expect_success();
        let answer = run(&key, &pipeline.replace("[shout,", "[refuse,"), &json!({})).await.expect_status(422);
        assert_eq!(answer.problem().code, "not_today");
        assert_eq!(children(&key, &answer.run_id()).await, ["refuse"]);
        let nowhere = router.replace("      default: {flow_name: twice}\n", "");
        assert_eq!(cause(&run(&key, &nowhere, &json!({"loud": false})).await.expect_status(500)), "no_route");
    }

    async fn only_what_is_chosen_among_cases_is_rendered(world: World) {
        let key = acme(&world).await;
        let pick = "inputs:\n  a: {type: object, default: {}}\n  k: {type: integer, default: 0}\nsteps:\n  - name: pick\n    executor: conditional\n    config:\n      cases:\n        - {condition: inputs.a.x is defined, value: \"{{ inputs.a.x }}\"}\n        - {condition: inputs.k > 1, value: \"{{ 10 // (inputs.k - 2) }}\"}\n      default: \"{{ 10 // inputs.k if inputs.k else 'none' }}\"\n";
        for (inputs, expected) in [(json!({}), json!("none")), (json!({"a": {"x": 1}, "k": 2}), json!(1)), (json!({"k": 3}), json!(10))] {
            assert_eq!(outputs(&key, pick, &inputs).await, expected, "{inputs}");
        }
        key.put_flow("tell", "inputs: {text: string}\nsteps:\n  - {name: a, executor: data_transformer, config: {data: \"{{ inputs.text }}\"}}\n").await.expect_success();
        let route = "inputs:\n  a: {type: object, required: false}\n  k: {type: integer, default: 0}\nsteps:\n  - name: route\n    executor: flow_router\n    config:\n      routes:\n        - {condition: inputs.a is defined, flow_name: tell, inputs: {text: \"{{ inputs.a.text }}\"}}\n        - {condition: inputs.k == 0, flow_name: tell, inputs: {text: zero}}\n        - {condition: inputs.k + 1, flow_name: tell}\n";
        assert_eq!(outputs(&key, route, &json!({"a": {"text": "hi"}})).await, "hi");
        assert_eq!(outputs(&key, route, &json!({})).await, "zero");
        assert_eq!(cause(&run(&key, route, &json!({"k": 1})).await.expect_status(500)), "condition_type");
    }

    async fn a_document_pipeline_reads_each_page_its_own_way_and_remembers_what_it_saw(world: World) {
        let key = acme(&world).await;
        key.put_flow("subject", "inputs: {document: file}\nsteps:\n  - {name: read, executor: document_pipeline}\n").await.expect_success();
        let file = || ("mixed.pdf", "application/pdf", document("mixed.pdf"));
        let answer = key.run_with_file("subject", "document", file(), &[]).await.expect_status(200);
        let pages = answer.json()["outputs"]["pages"].clone();
        let sources: Vec<&str> = pages.as_array().unwrap().iter().filter_map(|page| page["source"].as_str()).collect();
        assert_eq!(sources, ["none", "text_layer", "ocr", "ocr"], "{pages:#}");
        let word = pages[2]["words"].as_array().unwrap().iter().find(|word| word["text"].as_str().is_some_and(|text| text.contains("48213")));
        let word = word.unwrap_or_else(|| panic!("the order number is among the words: {pages:#}"));
        assert_eq!(word["box"].as_array().map(Vec::len), Some(4), "{word:#}");
        // The second time the scanned pages are known: it gives the same, and says how far it is.
        let again = key.run_with_file("subject", "document", file(), &[]).await.expect_status(200);
        assert_eq!(again.json()["outputs"]["pages"], pages);
    }

    async fn python_runs_over_data_and_a_fault_of_it_names_its_line(world: World) {
        let key = acme(&world).await;
        let yaml = "inputs:\n  rows: {type: array}\nsteps:\n  - name: sum_up\n    executor: python\n    config:\n      data: \"{{ inputs.rows }}\"\n      code: |\n        total = sum([row['n'] for row in data])\n        return {'total': total, 'text': f\"{total:.1f}\", 'braces': '{{ not a template }}'}\n";
        let given = json!({"rows": [{"n": 1}, {"n": 2.5}]});
        let expected = json!({"total": 3.5, "text": "3.5", "braces": "{{ not a template }}"});
        assert_eq!(outputs(&key, yaml, &given).await, expected);
        let answer = key.run("subject", &json!({"rows": [{"m": 1}]})).await.expect_status(500);
        assert_eq!(cause(&answer), "python_failed");
        assert!(answer.problem().detail.contains("line 1: KeyError"), "{answer}");
    }

    async fn a_database_file_is_asked_with_bound_values_and_written_to_as_a_copy(world: World) {
        let key = acme(&world).await;
        let yaml = "inputs: {file: file, name: string}\nsteps:\n  - name: ask\n    executor: database\n    config: {sqlite: \"{{ inputs.file }}\", query: \"select id, city, paid from customers where name = $1\", parameters: [\"{{ inputs.name }}\"]}\n";
        key.put_flow("subject", yaml).await.expect_success();
        let file = || ("customers.db", "application/vnd.sqlite3", document("customers.db"));
        for (name, rows) in [
            ("Cem Öz", json!([{"id": 3, "city": null, "paid": 75.25}])),
            ("x' or '1'='1", json!([])),
        ] {
            let answer = key.run_with_file("subject", "file", file(), &[("name", name)]).await.expect_status(200).json();
            assert_eq!((&answer["outputs"]["rows"], &answer["outputs"]["columns"]), (&rows, &json!(["id", "city", "paid"])));
        }
        let writing = "inputs: {file: file}\nsteps:\n  - name: pay\n    executor: database\n    config: {sqlite: \"{{ inputs.file }}\", query: \"update customers set paid = paid + 1\", write: true}\n  - name: look\n    executor: database\n    config: {sqlite: \"{{ steps.pay.file }}\", query: \"select sum(paid) as paid from customers\"}\noutputs: {changed: \"{{ steps.pay.affected }}\", now: \"{{ steps.look.rows[0].paid }}\"}\n";
        key.put_flow("subject", writing).await.expect_success();
        let answer = key.run_with_file("subject", "file", file(), &[]).await.expect_status(200).json();
        assert_eq!(answer["outputs"], json!({"changed": 3, "now": 198.75}));
        key.put_flow("subject", &writing.replace(", write: true", "")).await.expect_success();
        assert_eq!(cause(&key.run_with_file("subject", "file", file(), &[]).await.expect_status(500)), "query_writes");
        let broken = ("a.db", "application/vnd.sqlite3", document("broken.pdf"));
        assert_eq!(key.run_with_file("subject", "file", broken, &[]).await.expect_status(422).problem().code, "document_broken");
    }

    async fn a_database_server_is_asked_by_its_connection_and_only_its_tenants(world: World) {
        let key = acme(&world).await;
        let other = world.tenant("other").await.key(&[]).await;
        let database = Database::create().await;
        let mut url = url::Url::parse(&database.owner_url).expect("the harness gives an address");
        let password = url.password().expect("with a password").to_owned();
        url.set_password(None).expect("a password can be taken out");
        url.set_query(Some("sslmode=disable"));
        let connection = json!({"kind": "postgres", "base_url": url.as_str(), "api_key": password});
        key.put("/api/v1/connections/books", &connection).await.expect_success();
        let flow = |query: &str, more: &str| format!("inputs: {{n: integer}}\nsteps:\n  - name: ask\n    executor: database\n    config: {{connection: books, query: \"{query}\"{more}}}\n");
        let one = json!({"n": 1});
        outputs(&key, &flow("create table entries (id bigint, text text)", ", write: true"), &one).await;
        for n in [1, 2] {
            let yaml = flow("insert into entries values ($1, 'entry ' || $2)", ", parameters: [\"{{ inputs.n }}\", \"{{ inputs.n | string }}\"], write: true");
            assert_eq!(outputs(&key, &yaml, &json!({"n": n})).await["affected"], 1);
        }
        let select = flow("select * from entries where id >= $1 order by id", ", parameters: [\"{{ inputs.n }}\"]");
        assert_eq!(outputs(&key, &select, &json!({"n": 2})).await["rows"], json!([{"id": 2, "text": "entry 2"}]));
        let delete = run(&key, &flow("delete from entries", ""), &one).await.expect_status(500);
        assert_eq!(cause(&delete), "query_writes");
        assert_eq!(outputs(&key, &select, &one).await["rows"].as_array().map(Vec::len), Some(2));
        assert_eq!(cause(&run(&other, &select, &one).await.expect_status(500)), "unknown_connection");
        assert_eq!(run(&key, &flow("select nothing from nowhere", ""), &one).await.expect_status(500).json()["cause"], "query_invalid");
    }

    async fn a_webhook_is_signed_and_a_repetition_carries_the_same_id(world: World) {
        let key = acme(&world).await;
        let server = wiremock::MockServer::start().await;
        let first = wiremock::Mock::given(wiremock::matchers::path("/hook")).respond_with(wiremock::ResponseTemplate::new(503));
        first.up_to_n_times(1).mount(&server).await;
        wiremock::Mock::given(wiremock::matchers::path("/hook")).respond_with(wiremock::ResponseTemplate::new(204)).mount(&server).await;
        let secret = [7; 32];
        let stored = json!({"value": format!("whsec_{}", BASE64.encode(secret))});
        key.put("/api/v1/secrets/HOOK", &stored).await.expect_success();
        let yaml = format!("inputs: {{id: integer}}\nsteps:\n  - name: tell\n    executor: webhook\n    retry: {{max_attempts: 2, initial_delay: 5ms}}\n    config: {{url: \"{}/hook\", event: invoice.approved, secret: \"{{{{ secrets.HOOK }}}}\", data: {{id: \"{{{{ inputs.id }}}}\"}}}}\n", server.uri());
        let answer = run(&key, &yaml, &json!({"id": 7})).await.expect_status(200);
        let calls = server.received_requests().await.expect("requests are recorded");
        assert_eq!(calls.len(), 2, "the first was refused");
        let header = |call: usize, name: &str| calls[call].headers[name].to_str().expect("a header is text").to_owned();
        assert_eq!(header(0, "webhook-id"), header(1, "webhook-id"));
        assert_eq!(answer.json()["outputs"], json!({"delivery_id": header(1, "webhook-id"), "http_status": 204}));
        let body: Value = serde_json::from_slice(&calls[1].body).expect("the body is JSON");
        assert_eq!((&body["type"], &body["data"]), (&json!("invoice.approved"), &json!({"id": 7})));
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&secret).expect("any key will do");
        mac.update(format!("{}.{}.", header(1, "webhook-id"), header(1, "webhook-timestamp")).as_bytes());
        mac.update(&calls[1].body);
        assert_eq!(header(1, "webhook-signature"), format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())));
        let seen = key.get(&format!("/api/v1/runs/{}/steps", answer.run_id())).await.text();
        assert!(!seen.contains(&BASE64.encode(secret)), "{seen}");
    }

    async fn a_wait_ends_by_its_signal_even_behind_a_restart_of_the_server(world: World) {
        let mut world = world;
        let key = acme(&world).await;
        let yaml = "steps:\n  - {name: paid, executor: wait, config: {signal: payment, for: 7d}}\noutputs: {reason: \"{{ steps.paid.reason }}\", payload: \"{{ steps.paid.payload }}\"}\n";
        let id = waiting(&key, yaml, &json!({})).await;
        let why = key.get(&format!("/api/v1/runs/{id}/why")).await.expect_status(200).json();
        assert_eq!(why["kind"], "outside", "{why:#}");
        assert!(world.stop().await.success());
        world.serve().await;
        let key = key.at(&world.url());
        let other = world.tenant("other").await.key(&[]).await;
        let signal = |name: &str| json!({"name": name, "payload": {"amount": 5}});
        other.post(&format!("/api/v1/runs/{id}/signal"), &signal("payment")).await.expect_status(404);
        // A signal that nothing waits for changes nothing.
        key.post(&format!("/api/v1/runs/{id}/signal"), &signal("refund")).await.expect_status(202);
        assert_eq!(key.get(&format!("/api/v1/runs/{id}")).await.json()["ended_at"], Value::Null);
        key.post(&format!("/api/v1/runs/{id}/signal"), &signal("payment")).await.expect_status(202);
        let finished = key.finished(&id).await;
        assert_eq!(finished["outputs"], json!({"reason": "signal", "payload": {"amount": 5}}), "{finished:#}");
        key.post(&format!("/api/v1/runs/{id}/signal"), &signal("payment")).await.expect_status(409);
    }

    async fn a_wait_for_a_time_ends_by_itself_and_one_too_long_is_what_its_flow_says(world: World) {
        let key = acme(&world).await;
        let yaml = "steps:\n  - {name: rest, executor: wait, config: {for: 1s}}\noutputs: {reason: \"{{ steps.rest.reason }}\"}\n";
        let id = started(&key, yaml, &json!({})).await;
        let finished = key.finished(&id).await;
        assert_eq!((&finished["status"], &finished["outputs"]["reason"]), (&json!("succeeded"), &json!("time")));
        assert!(finished["duration_ms"].as_u64() >= Some(1000), "{finished:#}");
        let waits = |more: &str| yaml.replace("{for: 1s}", &format!("{{signal: never, for: 300ms{more}}}"));
        let id = started(&key, &waits(", on_timeout: continue"), &json!({})).await;
        assert_eq!(key.finished(&id).await["outputs"]["reason"], "timeout");
        let id = started(&key, &waits(""), &json!({})).await;
        let failed = key.finished(&id).await;
        assert_eq!((&failed["status"], &failed["failed_step"]), (&json!("failed"), &json!("rest")), "{failed:#}");
    }

    async fn an_approval_is_decided_once_by_whoever_may_and_with_what_its_form_asks(world: World) {
        let tenant = world.tenant("acme").await;
        let key = tenant.key(&[]).await;
        let reader = tenant.key(&["runs:read"]).await;
        let other = world.tenant("other").await.key(&[]).await;
        let id = waiting(&key, LEND, &json!({"amount": 500})).await;
        let asked = question(&key, &id).await;
        assert_eq!((&asked["message"], &asked["status"], &asked["step"]), (&json!("Lend 500?"), &json!("open"), &json!("ask")));
        let path = format!("/api/v1/approvals/{}", asked["id"].as_str().expect("a question has an id"));
        let approve = |rate: u64| json!({"decision": "approve", "comment": "A good customer.", "form": {"rate": rate}});
        other.get(&path).await.expect_status(404);
        other.post(&path, &approve(4)).await.expect_status(404);
        reader.post(&path, &approve(4)).await.expect_status(403);
        let refused = key.post(&path, &approve(12)).await.expect_status(422).problem();
        assert!(refused.errors.iter().any(|error| error.pointer.contains("rate")), "{refused:?}");
        key.post(&path, &json!({"decision": "approve"})).await.expect_status(422);
        assert_eq!(question(&key, &id).await["status"], "open", "what was refused decided nothing");
        key.post(&path, &approve(4)).await.expect_status(200);
        let finished = key.finished(&id).await;
        let expected = json!({"approved": true, "decision": "approved", "form": {"rate": 4}, "comment": "A good customer."});
        assert_eq!(finished["outputs"], expected, "{finished:#}");
        key.post(&path, &json!({"decision": "reject"})).await.expect_status(409);
        let id = waiting(&key, LEND, &json!({"amount": 1})).await;
        let path = format!("/api/v1/approvals/{}", question(&key, &id).await["id"].as_str().expect("a question has an id"));
        key.post(&path, &json!({"decision": "reject"})).await.expect_status(200);
        assert_eq!(key.finished(&id).await["outputs"]["decision"], "rejected");
    }

    async fn a_question_expires_or_is_withdrawn_with_its_run(world: World) {
        let key = acme(&world).await;
        let expiring = |what: &str| LEND.replace("      on_reject: continue", &format!("      on_reject: continue\n      expires_in: 300ms\n      on_expiry: {what}"));
        let id = started(&key, &expiring("reject"), &json!({"amount": 5})).await;
        let finished = key.finished(&id).await;
        assert_eq!((&finished["outputs"]["approved"], &finished["outputs"]["decision"]), (&json!(false), &json!("expired")), "{finished:#}");
        assert_eq!(question(&key, &id).await["status"], "expired");
        let id = started(&key, &expiring("fail"), &json!({"amount": 5})).await;
        assert_eq!(key.finished(&id).await["failed_step"], "ask");
        let id = waiting(&key, LEND, &json!({"amount": 5})).await;
        key.post(&format!("/api/v1/runs/{id}/cancel"), &json!({})).await.expect_success();
        assert_eq!(key.finished(&id).await["status"], "cancelled");
        assert_eq!(question(&key, &id).await["status"], "withdrawn");
    }
}
