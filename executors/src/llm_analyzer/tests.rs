//! What no well-behaved server does, and the provider that is none.

use std::time::Duration;

use domain::FailureKind;
use egress::Policy;
use engine::ports::{ModelEndpoint, ModelKind};
use engine::{Done, Executor, Failed};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::LlmAnalyzer;
use crate::testing;

fn analyzer() -> LlmAnalyzer {
    LlmAnalyzer::new(
        egress::Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap(),
        crate::retry_budget::RetryBudget::default(),
    )
}

fn endpoint(base: &str) -> ModelEndpoint {
    ModelEndpoint {
        connection: "local".into(),
        kind: ModelKind::OpenAi,
        base_urls: vec![format!("{base}/v1")],
        api_key: Some("sk-canary".into()),
        model: "m".into(),
        price: None,
    }
}

fn simulated() -> ModelEndpoint {
    ModelEndpoint {
        kind: ModelKind::Simulated,
        base_urls: Vec::new(),
        api_key: None,
        model: "demo".into(),
        ..endpoint("")
    }
}

async fn ask(endpoint: ModelEndpoint, config: Value) -> Result<Done, Failed> {
    analyzer().run(&testing::call(Some(endpoint)).0, config).await
}

fn whole(text: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2},
    }))
}

#[tokio::test]
async fn a_server_that_knows_neither_streams_nor_schemas_is_asked_in_plainer_words() {
    let server = MockServer::start().await;
    let picky = |request: &Request| {
        let body: Value = request.body_json().unwrap();
        let refusal = |text: &str| ResponseTemplate::new(400).set_body_json(json!({"error": {"message": text}}));
        if body.get("stream_options").is_some() {
            refusal("Unrecognized request argument supplied: stream_options")
        } else if body["response_format"]["type"] == "json_schema" {
            refusal("response_format of type json_schema is not supported")
        } else if body.get("stream").is_some() {
            refusal("stream is not supported by this model")
        } else if body.get("max_completion_tokens").is_none() {
            refusal("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        } else {
            whole("{\"a\": 1}")
        }
    };
    Mock::given(method("POST")).and(path("/v1/chat/completions")).respond_with(picky).mount(&server).await;
    let done = ask(endpoint(&server.uri()), json!({"prompt": "x", "schema": {"type": "object"}, "max_tokens": 77}))
        .await
        .unwrap();
    assert_eq!(done.output, json!({"a": 1}));
    let requests = server.received_requests().await.unwrap();
    for request in &requests {
        let body: Value = request.body_json().unwrap();
        let limit = body.get("max_tokens").or(body.get("max_completion_tokens"));
        assert_eq!(limit, Some(&json!(77)), "the output limit is always sent");
    }
    let keys: std::collections::HashSet<_> =
        requests.iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.len(), requests.len(), "another question has another key");
}

#[tokio::test]
async fn a_whole_answer_to_a_streaming_question_is_taken() {
    let server = MockServer::start().await;
    let right = Mock::given(header("authorization", "Bearer sk-canary"))
        .and(body_partial_json(json!({"stream": true, "model": "m"})));
    right.respond_with(whole("Fine.")).mount(&server).await;
    let done = ask(endpoint(&server.uri()), json!({"prompt": "x"})).await.unwrap();
    assert_eq!(done.output["text"], "Fine.");
    assert_eq!(done.usage.unwrap().cost_nano_usd, None, "no price, no cost");
}

/// Sends these bytes as the answer to every request, then holds the connection for a while or closes it.
async fn raw_server(answer: &'static str, hold: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 65_536];
            let _ = socket.read(&mut buffer).await;
            let _ = socket.write_all(answer.as_bytes()).await;
            tokio::time::sleep(hold).await;
        }
    });
    format!("http://{address}")
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

#[tokio::test]
async fn a_model_that_keeps_silent_is_given_up_at_the_first_token_timeout() {
    for answer in ["", STREAM_HEAD] {
        let base = raw_server(answer, Duration::from_secs(30)).await;
        let (mut call, _) = testing::call(Some(endpoint(&base)));
        call.first_token_timeout = Some(Duration::from_millis(100));
        let failed = analyzer().run(&call, json!({"prompt": "x"})).await.unwrap_err();
        assert_eq!((failed.failure.kind, failed.failure.code.as_str()), (FailureKind::Timeout, "first_token_timeout"));
    }
}

#[tokio::test]
async fn an_error_in_the_middle_of_a_stream_is_the_providers() {
    let cases = [
        (
            "data: {\"error\": {\"message\": \"Overloaded\", \"type\": \"overloaded_error\"}}\n\n",
            FailureKind::Overloaded,
            "provider_error",
        ),
        (
            "data: {\"error\": {\"message\": \"slow down\", \"code\": 429}}\n\n",
            FailureKind::RateLimited,
            "provider_rate_limited",
        ),
        ("data: not json\n\n", FailureKind::Provider, "answer_senseless"),
        (
            "data: {\"choices\": [{\"delta\": {\"content\": \"bad\"}, \"finish_reason\": \"content_filter\"}]}\n\ndata: [DONE]\n\n",
            FailureKind::ContentPolicy,
            "content_filter",
        ),
        (
            "data: {\"choices\": [{\"delta\": {\"refusal\": \"I cannot.\"}, \"finish_reason\": \"stop\"}]}\n\n",
            FailureKind::ContentPolicy,
            "model_declined",
        ),
        ("data: {\"choices\": [{\"delta\": {\"content\": \"half an ans\"}}]}\n\n", FailureKind::Provider, "stream_cut"),
    ];
    for (event, kind, code) in cases {
        let answer: &'static str = Box::leak(format!("{STREAM_HEAD}{event}").into_boxed_str());
        let base = raw_server(answer, Duration::ZERO).await;
        let failed = ask(endpoint(&base), json!({"prompt": "x"})).await.unwrap_err();
        assert_eq!((failed.failure.kind, failed.failure.code.as_str()), (kind, code), "{event}");
        assert!(failed.usage.unwrap().estimated, "{event}");
    }
}

#[tokio::test]
async fn a_cancelled_step_leaves_the_model_at_once() {
    let base = raw_server(STREAM_HEAD, Duration::from_secs(30)).await;
    let (call, _) = testing::call(Some(endpoint(&base)));
    call.cancel.cancel();
    let failed = analyzer().run(&call, json!({"prompt": "x"})).await.unwrap_err();
    assert_eq!(failed.failure.kind, FailureKind::Cancelled);
}

#[tokio::test]
async fn images_are_shown_and_other_files_refused() {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(whole("A cat.")).mount(&server).await;
    let (call, _) = testing::call(Some(endpoint(&server.uri())));
    let image = call.blobs.put_file("cat.png", "image/png", bytes::Bytes::from_static(b"png")).await.unwrap();
    let text = call.blobs.put_file("cat.txt", "text/plain", bytes::Bytes::from_static(b"txt")).await.unwrap();
    analyzer().run(&call, json!({"prompt": "What is it?", "images": image})).await.unwrap();
    let body: Value = server.received_requests().await.unwrap()[0].body_json().unwrap();
    assert_eq!(body.pointer("/messages/0/content/1/image_url/url"), Some(&json!("data:image/png;base64,cG5n")));
    let failed = analyzer().run(&call, json!({"prompt": "What is it?", "images": [text]})).await.unwrap_err();
    assert_eq!(failed.failure.code, "image_type");
}

#[tokio::test]
async fn the_simulated_provider_says_so_in_every_answer() {
    let (call, heard) = testing::call(Some(simulated()));
    let config = json!({"text": "The grinder is wonderful. I love the quiet motor and the friendly service."});
    let done = analyzer().run(&call, config.clone()).await.unwrap();
    let text = done.output["text"].as_str().unwrap();
    assert!(text.starts_with("[simulated]") && text.contains("Sentiment: positive"), "{text}");
    assert_eq!((&done.output["model"], &done.output["simulated"]), (&json!("simulated/demo"), &json!(true)));
    assert_eq!(heard.deltas().concat(), text);
    let usage = done.usage.clone().unwrap();
    assert_eq!((usage.model.as_deref(), usage.estimated), (Some("simulated/demo"), true));
    assert_eq!(analyzer().run(&call, config).await.unwrap(), done, "the same question has the same answer");
}

#[tokio::test]
async fn a_simulated_answer_matches_the_schema_it_was_asked_for() {
    let schema = json!({
        "type": "object",
        "required": ["summary", "sentiment", "score", "topics", "due", "count", "parts"],
        "properties": {
            "summary": {"type": "string", "maxLength": 60},
            "sentiment": {"enum": ["negative", "neutral", "positive"]},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
            "topics": {"type": "array", "items": {"type": "string"}, "minItems": 2},
            "due": {"type": "string", "format": "date"},
            "count": {"type": "integer", "minimum": 3},
            "parts": {"type": "array", "items": {"$ref": "#/$defs/part"}},
        },
        "$defs": {"part": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
    });
    let config =
        json!({"text": "The grinder is wonderful. I love the quiet motor. Pay until 2026-04-01.", "schema": schema});
    let output = ask(simulated(), config).await.unwrap().output;
    assert!(jsonschema::draft202012::is_valid(&schema, &output), "{output}");
    assert_eq!(
        (&output["sentiment"], &output["simulated"], &output["due"]),
        (&json!("positive"), &json!(true), &json!("2026-04-01"))
    );
    let impossible =
        ask(simulated(), json!({"text": "x", "schema": {"type": "string", "pattern": "^[0-9]{9}$"}})).await;
    assert_eq!(impossible.unwrap_err().failure.code, "simulated_schema");
}

#[tokio::test]
async fn an_inside_address_is_refused_with_a_word_to_the_operator() {
    let analyzer =
        LlmAnalyzer::new(egress::Client::new(Policy::default()).unwrap(), crate::retry_budget::RetryBudget::default());
    let (call, _) = testing::call(Some(endpoint("http://127.0.0.1:11434")));
    let failure = analyzer.run(&call, json!({"prompt": "x"})).await.unwrap_err().failure;
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Flow, "connection_url"));
    assert!(failure.message.contains("WEIR_EGRESS_ALLOW"), "{}", failure.message);
}

#[tokio::test]
async fn the_most_an_attempt_can_cost_is_never_below_what_it_does_cost_and_unknown_without_a_price() {
    use engine::ports::ModelPrice;
    let dollars = |amount: i64| domain::NanoUsd(amount * domain::NanoUsd::PER_DOLLAR);
    let price =
        ModelPrice { input_per_million: dollars(2), output_per_million: dollars(10), cached_input_per_million: None };
    let priced = ModelEndpoint { price: Some(price), ..endpoint("http://127.0.0.1:1") };
    let most = |endpoint: ModelEndpoint, config: Value| async move {
        analyzer().most_it_costs(&testing::call(Some(endpoint)).0, &config).await
    };
    let plain = most(priced.clone(), json!({"text": "word ".repeat(1_000), "max_tokens": 1_000})).await.unwrap();
    // 1,000 tokens of output, and at least 1,000 of input.
    assert!(plain >= domain::NanoUsd(1_000 * 10_000 + 1_000 * 2_000), "{plain:?}");
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
    let shaped = json!({"text": "word ".repeat(1_000), "max_tokens": 1_000, "schema": schema});
    assert!(most(priced, shaped).await.unwrap().0 >= 2 * plain.0, "an answer may be asked for twice");
    assert_eq!(most(endpoint("http://127.0.0.1:1"), json!({"text": "a"})).await, None);
}
