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
    ApiRequest::new(
        egress::Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap(),
        crate::retry_budget::RetryBudget::default(),
    )
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
    let closed =
        ApiRequest::new(egress::Client::new(Policy::default()).unwrap(), crate::retry_budget::RetryBudget::default());
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

#[tokio::test]
async fn a_list_in_pages_is_read_to_its_end_however_the_server_says_where_it_goes_on() {
    let server = MockServer::start().await;
    let uri = server.uri();
    let page = |route: &str, number: Option<(&str, &str)>, body: Value, link: Option<String>| {
        let mut template = ResponseTemplate::new(200).set_body_json(body);
        if let Some(link) = link {
            template = template.insert_header("link", link);
        }
        let mock = Mock::given(path(route));
        match number {
            Some((name, value)) => mock.and(query_param(name, value)).respond_with(template).with_priority(1),
            None => mock.respond_with(template).with_priority(9),
        }
    };
    let next = format!("<{uri}/link?at=2>; rel=\"next\"");
    for mock in [
        page("/link", None, json!([1, 2]), Some(next)),
        page("/link", Some(("at", "2")), json!([3]), None),
        page("/cursor", None, json!({"data": [1], "meta": {"next": "c2"}}), None),
        page("/cursor", Some(("after", "c2")), json!({"data": [2], "meta": {"next": null}}), None),
        page("/url", None, json!({"items": [1], "next": "/url?n=2"}), None),
        page("/url", Some(("n", "2")), json!({"items": [2], "next": ""}), None),
        page("/page", Some(("p", "1")), json!([1]), None),
        page("/page", Some(("p", "2")), json!([2]), None),
        page("/page", Some(("p", "3")), json!([]), None),
        page("/offset", Some(("skip", "0")), json!([1, 2]), None),
        page("/offset", Some(("skip", "2")), json!([3]), None),
    ] {
        mock.mount(&server).await;
    }
    for (route, pagination, expected, pages) in [
        ("link", json!({"by": "link"}), json!([1, 2, 3]), 2),
        (
            "cursor",
            json!({"by": {"cursor": {"path": "meta.next", "parameter": "after"}}, "items": "data"}),
            json!([1, 2]),
            2,
        ),
        ("url", json!({"by": {"url": "next"}, "items": "items"}), json!([1, 2]), 2),
        ("page", json!({"by": {"page": {"parameter": "p"}}}), json!([1, 2]), 3),
        ("offset", json!({"by": {"offset": {"parameter": "skip", "size": 2}}}), json!([1, 2, 3]), 2),
    ] {
        let output = run(json!({"url": format!("{uri}/{route}"), "pagination": pagination})).await.unwrap();
        assert_eq!((&output["body"], &output["pages"]), (&expected, &json!(pages)), "{route}");
    }
}

#[tokio::test]
async fn pages_never_end_up_at_another_host_nor_go_on_for_ever() {
    let server = MockServer::start().await;
    let away = json!({"items": [1], "next": "http://127.0.0.2:1/"});
    Mock::given(path("/away")).respond_with(ResponseTemplate::new(200).set_body_json(away)).mount(&server).await;
    let round = json!({"items": [1], "next": "/round"});
    Mock::given(path("/round")).respond_with(ResponseTemplate::new(200).set_body_json(round)).mount(&server).await;
    let code = async |route: &str, pagination: Value| {
        let config = json!({"url": format!("{}{route}", server.uri()), "pagination": pagination});
        run(config).await.unwrap_err().failure.code
    };
    let by = json!({"url": "next"});
    assert_eq!(code("/away", json!({"by": by, "items": "items"})).await, "pagination_origin");
    assert_eq!(code("/round", json!({"by": by, "items": "items", "max_pages": 3})).await, "too_many_pages");
    assert_eq!(code("/round", json!({"by": by, "items": "nothing.here"})).await, "pagination_items");
    assert_eq!(server.received_requests().await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_connection_gives_address_and_key_and_lets_the_key_go_nowhere_else() {
    let server = MockServer::start().await;
    Mock::given(path("/v2/orders"))
        .and(header("authorization", "Bearer k3y"))
        .respond_with(ResponseTemplate::new(200).set_body_json(json!({"ok": true})))
        .mount(&server)
        .await;
    let (mut call, _) = testing::call(None);
    call.models = testing::services("crm", "http", &format!("{}/v2", server.uri()), Some("k3y"));
    for url in ["orders", "/orders", "/orders?x=1"] {
        let output = executor().run(&call, json!({"connection": "crm", "url": url})).await.unwrap().output;
        assert_eq!(output["body"], json!({"ok": true}), "{url}");
    }
    for url in ["../admin", "/../admin", "%2e%2e/admin", "../v2admin"] {
        let failure = executor().run(&call, json!({"connection": "crm", "url": url})).await.unwrap_err().failure;
        assert_eq!(failure.code, "url_invalid", "{url}");
    }
    let unknown = executor().run(&call, json!({"connection": "nothing", "url": "x"})).await.unwrap_err().failure;
    assert_eq!(unknown.code, "unknown_connection");
    call.models = testing::services("crm", "postgres", "postgres://u@h/d", None);
    let wrong = executor().run(&call, json!({"connection": "crm", "url": "x"})).await.unwrap_err().failure;
    assert_eq!(wrong.code, "connection_kind");
}
