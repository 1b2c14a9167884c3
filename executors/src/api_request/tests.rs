//! Exchanges with real servers on the loopback.

use domain::FailureKind;
use egress::Policy;
use engine::{Executor, Failed};
use serde_json::{Value, json};
use wiremock::matchers::{any, body_json, body_string, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::ApiRequest;
use crate::testing;

fn executor() -> ApiRequest {
    ApiRequest::new(egress::Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap())
}

async fn run(config: Value) -> Result<Value, Failed> {
    executor().run(&testing::call(None).0, config).await.map(|done| done.output)
}

#[tokio::test]
async fn a_request_goes_out_as_written_and_its_answer_is_parsed() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/orders"))
        .and(query_param("dry", "true"))
        .and(header("authorization", "Bearer t0ken"))
        .and(header("x-number", "7"))
        .and(header("idempotency-key", "run_2/analyze_sentiment/main"))
        .and(body_json(json!({"item": 1})))
        .respond_with(ResponseTemplate::new(201).set_body_json(json!({"id": 9})).insert_header("x-seen", "yes"))
        .expect(1)
        .mount(&server)
        .await;
    let config = json!({
        "url": format!("{}/orders", server.uri()),
        "query": {"dry": true},
        "headers": {"X-Number": 7},
        "auth": {"bearer": "t0ken"},
        "json": {"item": 1},
    });
    let output = run(config).await.unwrap();
    assert_eq!(
        (&output["http_status"], &output["body"], &output["headers"]["x-seen"]),
        (&json!(201), &json!({"id": 9}), &json!("yes"))
    );
}

#[tokio::test]
async fn forms_texts_and_files_go_out_with_their_types() {
    let server = MockServer::start().await;
    let typed =
        |kind: &'static str, text: &'static str| Mock::given(header("content-type", kind)).and(body_string(text));
    typed("application/x-www-form-urlencoded", "a=1&b=x+y&b=z")
        .respond_with(ResponseTemplate::new(200))
        .expect(1)
        .mount(&server)
        .await;
    typed("text/plain; charset=utf-8", "hello").respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    typed("text/csv", "a,b").respond_with(ResponseTemplate::new(200)).expect(1).mount(&server).await;
    let url = server.uri();
    run(json!({"url": url, "form": {"a": 1, "b": ["x y", "z"]}})).await.unwrap();
    run(json!({"url": url, "body": "hello", "method": "PUT"})).await.unwrap();
    let (call, _) = testing::call(None);
    let file = call.blobs.put_file("t.csv", "text/csv", bytes::Bytes::from_static(b"a,b")).await.unwrap();
    executor().run(&call, json!({"url": url, "file": file})).await.unwrap();
    let failed = run(json!({"url": url, "body": "hello", "json": {}})).await.unwrap_err();
    assert_eq!(failed.failure.code, "config_invalid");
}

#[tokio::test]
async fn bytes_that_are_no_text_become_a_file() {
    let server = MockServer::start().await;
    let pdf = ResponseTemplate::new(200).set_body_raw(b"%PDF-1.7".to_vec(), "application/pdf");
    Mock::given(path("/report.pdf")).respond_with(pdf).mount(&server).await;
    let output = run(json!({"url": format!("{}/report.pdf", server.uri())})).await.unwrap();
    let seen = (&output["file"]["name"], &output["file"]["media_type"], &output["file"]["size_bytes"], &output["body"]);
    assert_eq!(seen, (&json!("report.pdf"), &json!("application/pdf"), &json!(8), &Value::Null));
}

#[tokio::test]
async fn a_status_that_is_not_expected_fails_by_its_kind() {
    let server = MockServer::start().await;
    for status in [404, 409, 425, 429, 500, 503] {
        let body = json!({"error": {"message": "No such order."}});
        let template = ResponseTemplate::new(status).set_body_json(body).insert_header("retry-after", "3");
        Mock::given(path(format!("/{status}"))).respond_with(template).mount(&server).await;
    }
    let cases = [
        (404, FailureKind::Rejected, false),
        (409, FailureKind::Rejected, true),
        (425, FailureKind::RateLimited, true),
        (429, FailureKind::RateLimited, true),
        (500, FailureKind::Provider, true),
        (503, FailureKind::Overloaded, true),
    ];
    for (status, kind, retryable) in cases {
        let failure = run(json!({"url": format!("{}/{status}", server.uri())})).await.unwrap_err().failure;
        let seen = (failure.kind, failure.retryable, failure.retry_after_ms, failure.code);
        assert_eq!(seen, (kind, retryable, Some(3_000), format!("http_{status}")));
        assert!(failure.message.contains("No such order"), "{}", failure.message);
    }
    let expected = json!({"url": format!("{}/404", server.uri()), "expect": ["2xx", 404]});
    assert_eq!(run(expected).await.unwrap()["http_status"], 404);
}

#[tokio::test]
async fn a_run_by_a_test_key_sends_nothing_that_is_not_safe_to_repeat() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let (mut call, _) = testing::call(None);
    call.test = true;
    for (method, sent) in [("POST", false), ("PATCH", false), ("PUT", true), ("GET", true)] {
        let output = executor().run(&call, json!({"url": server.uri(), "method": method})).await.unwrap().output;
        assert_eq!(output["http_status"], if sent { json!(200) } else { Value::Null }, "{method}");
    }
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[tokio::test]
async fn inside_addresses_and_foreign_schemes_are_the_callers_fault_and_nothing_is_sent() {
    let closed = ApiRequest::new(egress::Client::new(Policy::default()).unwrap());
    let (call, _) = testing::call(None);
    for url in [
        "http://127.0.0.1:9/",
        "http://169.254.169.254/latest/",
        "http://localhost/",
        "file:///etc/passwd",
        "not a url",
    ] {
        let failure = closed.run(&call, json!({"url": url})).await.unwrap_err().failure;
        assert_eq!((failure.kind, failure.status()), (FailureKind::Input, 422), "{url}: {failure:?}");
    }
}
