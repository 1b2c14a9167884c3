//! Deliveries to a real server on the loopback, verified by an independent implementation of the standard.

use egress::Policy;
use engine::{Executor, Failed};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::testing;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

fn executor() -> Webhook {
    Webhook::new(
        egress::Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap(),
        crate::retry_budget::RetryBudget::default(),
    )
}

async fn run(config: Value) -> Result<Value, Failed> {
    executor().run(&testing::call(None).0, config).await.map(|done| done.output)
}

async fn server(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(status)).mount(&server).await;
    server
}

#[tokio::test]
async fn a_receiver_can_verify_the_delivery_with_the_standards_own_library() {
    let server = server(204).await;
    let config =
        json!({"url": server.uri(), "event": "invoice.approved", "data": {"total": 12.5}, "secret": [OTHER, SECRET]});
    let output = run(config).await.unwrap();
    assert_eq!(output["http_status"], 204);
    let request = server.received_requests().await.unwrap().remove(0);
    for secret in [SECRET, OTHER] {
        let verifier = standardwebhooks::Webhook::new(secret).unwrap();
        verifier.verify(&request.body, &request.headers).unwrap();
    }
    let foreign = standardwebhooks::Webhook::new("whsec_dGhpcyBpcyBub3QgdGhlIHJpZ2h0IGtleSE=").unwrap();
    assert!(foreign.verify(&request.body, &request.headers).is_err());
    assert_eq!(request.headers["webhook-id"], output["delivery_id"].as_str().unwrap());
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!((&body["type"], &body["data"]), (&json!("invoice.approved"), &json!({"total": 12.5})));
    assert!(body["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test]
async fn every_attempt_carries_the_same_id() {
    let server = server(200).await;
    let config = json!({"url": server.uri(), "event": "a"});
    let first = run(config.clone()).await.unwrap();
    let (mut call, _) = testing::call(None);
    call.attempt = 2;
    let second = executor().run(&call, config.clone()).await.unwrap().output;
    assert_eq!(first["delivery_id"], second["delivery_id"]);
    call.key = "another".into();
    assert_ne!(executor().run(&call, config).await.unwrap().output["delivery_id"], first["delivery_id"]);
    let request = server.received_requests().await.unwrap().remove(0);
    assert!(!request.headers.contains_key("webhook-signature"), "without a secret nothing is signed");
}

#[tokio::test]
async fn a_refused_delivery_fails_by_its_kind_and_a_gone_endpoint_is_not_asked_again() {
    for (status, retryable) in [(500, true), (429, true), (400, false), (410, false), (302, false)] {
        let failure = run(json!({"url": server(status).await.uri(), "event": "a"})).await.unwrap_err().failure;
        assert_eq!((failure.code, failure.retryable), (format!("http_{status}"), retryable));
    }
}

#[tokio::test]
async fn hostile_configs_send_nothing_and_show_no_secret() {
    let server = server(200).await;
    let url = server.uri();
    for (config, code) in [
        (json!({"url": url, "event": "a", "secret": "zebrafinch"}), "secret_invalid"),
        (json!({"url": url, "event": "a", "secret": "whsec_c2hvcnQ="}), "secret_invalid"),
        (json!({"url": url, "event": "a", "headers": {"host": "evil.test"}}), "header_forbidden"),
        (json!({"url": url, "event": "a", "headers": {"x-a": "b\r\nx-c: d"}}), "header_invalid"),
        (json!({"url": "file:///etc/passwd", "event": "a"}), "url_invalid"),
        (json!({"url": "http://169.254.169.254/", "event": "a"}), "address_forbidden"),
    ] {
        let failure = run(config).await.unwrap_err().failure;
        assert_eq!(failure.code, code);
        assert!(!failure.message.contains("zebrafinch"), "{}", failure.message);
    }
    let (mut call, _) = testing::call(None);
    call.test = true;
    let output = executor().run(&call, json!({"url": url, "event": "a"})).await.unwrap().output;
    assert_eq!(output["http_status"], Value::Null, "a run by a test key sends nothing");
    assert!(server.received_requests().await.unwrap().is_empty());
}
