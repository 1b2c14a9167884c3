//! Suite: a canary in the place of a secret: it reaches the service it is for, as it is and in the forms that services ask
//! for, and nobody else sees any form of it.
#![cfg(test)]
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tests::on_both_stores;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

const CANARY: &str = "zebrafinch/s3cr3t+va lue\"\u{fc}";
/// `shop:` and the canary, in Base64.
const BASIC: &str = "c2hvcDp6ZWJyYWZpbmNoL3MzY3IzdCt2YSBsdWUiw7w=";
/// The HMAC-SHA256 of `order 7` by the canary.
const SIGNATURE: &str = "618ef5ea09008e65e1d463fa6ad2ee519fd7c90804b935f31ab967319aa81455";
const IN_URL: &str = "zebrafinch/s3cr3t%2Bva%20lue%22%C3%BC";

/// What gives a form of the canary away: pieces that stand in every form of it.
const TRACES: &[&str] =
    &["zebrafinch", "emVicmFmaW5jaC9z", "plYnJhZmluY2gvcz", "6ZWJyYWZpbmNoL3M", "7a6562726166696e6368", SIGNATURE];

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// A service that gives back all that it was sent.
async fn echo() -> MockServer {
    let server = MockServer::start().await;
    let echo = |request: &Request| {
        let header = |name: &str| {
            let value = request.headers.get(name).and_then(|value| value.to_str().ok());
            value.map(ToOwned::to_owned)
        };
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        ResponseTemplate::new(200).set_body_json(json!({
            "authorization": header("authorization"), "signature": header("x-signature"), "key": header("x-key"),
            "url": request.url.to_string(), "body": body, "hex": hex(CANARY),
        }))
    };
    Mock::given(any()).respond_with(echo).mount(&server).await;
    server
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn flow(url: &str) -> String {
    format!(
        r#"steps:
  - name: call
    executor: api_request
    config:
      url: "{url}/q?key={{{{ secrets.TOKEN|urlencode }}}}"
      method: PUT
      headers:
        authorization: "Basic {{{{ ('shop:' ~ secrets.TOKEN)|b64encode }}}}"
        x-signature: "{{{{ 'order 7'|hmac_sha256(secrets.TOKEN) }}}}"
      json: {{token: "{{{{ secrets.TOKEN }}}}", both: "<{{{{ secrets.TOKEN }}}}>"}}
"#
    )
}

on_both_stores! {
    async fn a_canary_reaches_its_service_and_nobody_else(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put("/api/v1/secrets/TOKEN", &json!({"value": CANARY})).await.expect_success();
        let service = echo().await;
        key.put_flow("order", &flow(&service.uri())).await.expect_success();
        let answer = key.run("order", &json!({})).await.expect_success();
        let Some(requests) = service.received_requests().await else { panic!("the service keeps what it got") };
        let request = &requests[0];
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        assert_eq!(header("authorization"), format!("Basic {BASIC}"));
        assert_eq!(header("x-signature"), SIGNATURE);
        assert!(request.url.as_str().ends_with(IN_URL), "{}", request.url);
        assert_eq!(serde_json::from_slice::<Value>(&request.body).ok(), Some(json!({"token": CANARY, "both": format!("<{CANARY}>")})));
        let run = answer.json()["run_id"].as_str().unwrap_or_default().to_owned();
        let mut seen = vec![("the answer", answer.text()), ("the log", world.running().log())];
        seen.push(("the events", format!("{:?}", key.follow(&run).await)));
        for path in [format!("/api/v1/runs/{run}"), format!("/api/v1/runs/{run}/steps"), "/api/v1/secrets".to_owned()] {
            seen.push(("a page of the API", key.get(&path).await.expect_success().text()));
        }
        for (what, text) in &seen {
            for trace in TRACES {
                assert!(!text.contains(trace), "{what} holds `{trace}`: {text}");
            }
        }
        for file in files_below(world.folder()) {
            let bytes = std::fs::read(&file).unwrap_or_default();
            for trace in TRACES {
                let found = bytes.windows(trace.len()).any(|part| part == trace.as_bytes());
                assert!(!found, "`{trace}` is in {}", file.display());
            }
        }
    }

    async fn a_secret_is_for_what_goes_to_a_service_and_nothing_else_can_be_saved_with_one(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put("/api/v1/secrets/TOKEN", &json!({"value": CANARY})).await.expect_success();
        key.put_flow("other", "outputs: {a: \"{{ inputs.a }}\"}\ninputs: {a: string}\nsteps:\n  - {name: a, executor: log, config: {message: x}}\n").await.expect_success();
        for (executor, config) in [
            ("flow_executor", "{flow_name: other, inputs: {a: \"{{ secrets.TOKEN }}\"}}"),
            ("flow_pipeline", "{flows: [other], inputs: {a: \"{{ secrets.TOKEN }}\"}}"),
            ("flow_router", "{routes: [{condition: true, flow_name: other, inputs: {a: \"{{ secrets.TOKEN }}\"}}]}"),
            ("flow_router", "{routes: [{condition: \"{{ secrets.TOKEN == 'x' }}\", flow_name: other}]}"),
            ("flow_executor", "{flow_name: \"{{ secrets.TOKEN }}\"}"),
            ("cache", "{operation: set, key: k, value: \"{{ secrets.TOKEN }}\"}"),
            ("cache", "{operation: get, key: \"{{ secrets.TOKEN }}\"}"),
            ("python", "{data: \"{{ secrets.TOKEN }}\", code: \"return data[::-1]\"}"),
            ("data_transformer", "{data: [\"{{ secrets.TOKEN }}\"], map: \"{{ item[::-1] }}\"}"),
            ("data_transformer", "{data: {a: \"{{ secrets.TOKEN }}\"}, jmespath: \"reverse(a)\"}"),
            ("data_combiner", "{sources: {a: \"{{ secrets.TOKEN }}\"}}"),
            ("conditional", "{cases: [{condition: true, value: \"{{ secrets.TOKEN }}\"}]}"),
            ("text_analyzer", "{text: \"{{ secrets.TOKEN }}\"}"),
            ("approval", "{message: \"{{ secrets.TOKEN }}\"}"),
            ("database", "{connection: x, query: \"select '{{ secrets.TOKEN }}'\"}"),
        ] {
            let yaml = format!("steps:\n  - name: leak\n    executor: {executor}\n    config: {config}\n");
            let refused = key.put_flow("leak", &yaml).await.expect_status(422);
            assert!(refused.text().contains("F073"), "{executor} {config}: {refused}");
            if executor.starts_with("flow_") {
                assert!(refused.text().contains("reads `secrets.NAME` itself"), "{refused}");
            }
        }
    }

    async fn what_would_be_computed_from_a_secret_is_refused_and_calls_nobody(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put("/api/v1/secrets/TOKEN", &json!({"value": CANARY})).await.expect_success();
        let service = echo().await;
        for (template, code) in [
            ("x-key: \"{{ secrets.TOKEN|upper }}\"", "secret_transformed"),
            ("x-key: \"{{ secrets.TOKEN|length }}\"", "secret_transformed"),
            ("x-key: \"{{ secrets.TOKEN|reverse }}\"", "secret_transformed"),
            ("x-key: \"{{ secrets.TOKEN[:3] }}\"", "secret_transformed"),
            ("x-key: \"{{ 'a' if secrets.TOKEN == 'x' else 'b' }}\"", "secret_transformed"),
            ("x-key: \"{% set k = secrets.TOKEN %}{{ k|tojson }}\"", "secret_transformed"),
        ] {
            let yaml = format!("steps:\n  - name: call\n    executor: api_request\n    config:\n      url: {}/\n      headers:\n        {template}\n", service.uri());
            key.put_flow("bad", &yaml).await.expect_success();
            let answer = key.run("bad", &json!({})).await.expect_status(500);
            assert!(answer.text().contains(code), "{template}: {answer}");
            assert!(!answer.text().contains("zebrafinch"), "{answer}");
        }
        assert_eq!(service.received_requests().await.map(|requests| requests.len()), Some(0));
    }
}
