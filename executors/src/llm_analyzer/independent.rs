//! The executor against a server that others wrote: aimock, an OpenAI-compatible program from npm, started by each test.
//! `make test` installs it; without it these tests fail.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use domain::{FailureKind, NanoUsd};
use egress::Policy;
use engine::ports::{ModelEndpoint, ModelKind, ModelPrice};
use engine::{Done, Executor, Failed};
use serde_json::{Value, json};

use super::LlmAnalyzer;
use crate::testing;

const KEY: &str = "sk-of-this-test";

struct Server {
    process: Child,
    base_url: String,
    _fixtures: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(fixtures: &Value) -> Self {
        let cache = std::env::var("WEIR_CACHE").expect("WEIR_CACHE is set by scripts/env.sh");
        let program = format!("{cache}/node/node_modules/@copilotkit/aimock/dist/cli.js");
        assert!(std::path::Path::new(&program).exists(), "{program} is missing: run scripts/setup test");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fixtures.json");
        std::fs::write(&file, json!({"fixtures": fixtures}).to_string()).unwrap();
        let mut process = Command::new("node")
            .args([&program, "--port", "0", "--strict", "--chunk-size", "8", "--fixtures"])
            .arg(&file)
            .env("AIMOCK_API_KEYS", KEY)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.split_once("listening on ")?.1.to_owned())).unwrap();
        // Its log goes on; an unread pipe would stop it in the end.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, base_url: format!("{}/v1", address.trim()), _fixtures: folder }
    }

    fn endpoint(&self) -> ModelEndpoint {
        ModelEndpoint {
            connection: "independent".into(),
            kind: ModelKind::OpenAi,
            base_urls: vec![self.base_url.clone()],
            api_key: Some(KEY.into()),
            model: "test-model".into(),
            price: Some(ModelPrice {
                input_per_million: NanoUsd(1_000_000_000),
                output_per_million: NanoUsd(2_000_000_000),
                cached_input_per_million: None,
            }),
        }
    }
}

async fn ask(endpoint: ModelEndpoint, config: Value) -> (Result<Done, Failed>, Vec<String>) {
    let client = egress::Client::new(Policy::parse("127.0.0.0/8", None).unwrap()).unwrap();
    let (call, heard) = testing::call(Some(endpoint));
    let result = LlmAnalyzer::new(client, crate::retry_budget::RetryBudget::default()).run(&call, config).await;
    (result, heard.deltas())
}

#[tokio::test]
async fn an_answer_streams_in_and_is_billed_as_the_provider_reports_it() {
    let server = Server::start(&json!([{
        "match": {"userMessage": "<key_phrases>", "model": "test-model"},
        "response": {
            "content": "The review is positive. Customers praise the grinder.",
            "usage": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
        },
    }]));
    let config = json!({"text": "I love this grinder.", "key_phrases": ["grinder"], "temperature": 0});
    let (result, deltas) = ask(server.endpoint(), config).await;
    let done = result.unwrap();
    assert_eq!(done.output["text"], "The review is positive. Customers praise the grinder.");
    assert_eq!(
        (&done.output["model"], &done.output["finish_reason"]),
        (&json!("independent/test-model"), &json!("stop"))
    );
    assert!(deltas.len() > 3 && deltas.concat() == done.output["text"], "{deltas:?}");
    let usage = done.usage.unwrap();
    assert_eq!((usage.units["input_tokens"], usage.units["output_tokens"], usage.estimated), (120, 30, false));
    assert_eq!(usage.cost_nano_usd, Some(NanoUsd(120 * 1_000 + 30 * 2_000)));
}

#[tokio::test]
async fn an_answer_that_misses_its_schema_is_repaired_once() {
    let server = Server::start(&json!([
        {
            "match": {"turnIndex": 0, "responseFormat": "json_schema"},
            "response": {"content": "{\"sentiment\": \"glad\"}", "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}},
        },
        {
            "match": {"turnIndex": 1, "userMessage": "does not match the JSON Schema"},
            "response": {"content": "```json\n{\"sentiment\": \"positive\"}\n```", "usage": {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}},
        },
    ]));
    let schema = json!({"type": "object", "properties": {"sentiment": {"enum": ["positive", "negative"]}}, "required": ["sentiment"]});
    let (result, _) = ask(server.endpoint(), json!({"text": "I love it.", "schema": schema})).await;
    let done = result.unwrap();
    assert_eq!(done.output, json!({"sentiment": "positive"}));
    let usage = done.usage.unwrap();
    assert_eq!((usage.units["input_tokens"], usage.units["output_tokens"]), (30, 10), "both calls are counted");
}

#[tokio::test]
async fn an_answer_that_misses_its_schema_twice_fails_and_is_billed() {
    let server = Server::start(&json!([{"match": {}, "response": {"content": "I would rather not."}}]));
    let (result, _) = ask(server.endpoint(), json!({"text": "x", "schema": {"type": "object"}})).await;
    let failed = result.unwrap_err();
    assert_eq!((failed.failure.kind, failed.failure.code.as_str()), (FailureKind::Schema, "answer_schema"));
    assert!(failed.usage.unwrap().cost_nano_usd > Some(NanoUsd::ZERO));
}

#[tokio::test]
async fn every_refusal_of_the_server_has_its_kind() {
    let refusal = |word: &str, status: u16, error: Value| json!({"match": {"userMessage": word}, "response": {"error": error, "status": status}});
    let server = Server::start(&json!([
        refusal("rate", 429, json!({"message": "Rate limited", "type": "rate_limit_error"})),
        refusal(
            "quota",
            429,
            json!({"message": "You exceeded your quota", "type": "insufficient_quota", "code": "insufficient_quota"})
        ),
        refusal("overload", 503, json!({"message": "Overloaded", "type": "server_error"})),
        refusal("broken", 500, json!({"message": "Oops", "type": "server_error"})),
        refusal(
            "absent",
            404,
            json!({"message": "The model does not exist", "type": "invalid_request_error", "code": "model_not_found"})
        ),
        refusal(
            "long",
            400,
            json!({"message": "This model's maximum context length is 8192 tokens", "type": "invalid_request_error", "code": "context_length_exceeded"})
        ),
        refusal(
            "policy",
            400,
            json!({"message": "Filtered", "type": "invalid_request_error", "code": "content_filter"})
        ),
        refusal("nonsense", 400, json!({"message": "Bad messages", "type": "invalid_request_error"})),
    ]));
    let cases = [
        ("rate", FailureKind::RateLimited, "provider_rate_limited", true),
        ("quota", FailureKind::Rejected, "provider_quota", false),
        ("overload", FailureKind::Overloaded, "provider_overloaded", true),
        ("broken", FailureKind::Provider, "provider_error", true),
        ("absent", FailureKind::Rejected, "model_not_found", false),
        ("long", FailureKind::ContextWindow, "context_window", false),
        ("policy", FailureKind::ContentPolicy, "content_policy", false),
        ("nonsense", FailureKind::Rejected, "provider_rejected", false),
    ];
    for (word, kind, code, retryable) in cases {
        let (result, _) = ask(server.endpoint(), json!({"prompt": word})).await;
        let failed = result.unwrap_err();
        let failure = &failed.failure;
        assert_eq!(
            (failure.kind, failure.code.as_str(), failure.retryable),
            (kind, code, retryable),
            "{word}: {failure:?}"
        );
        assert_eq!(failed.usage, None, "{word}: a refusal costs nothing");
        assert_eq!(failure.retry_after_ms, (word == "rate").then_some(1_000), "{word}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_never_shown() {
    let server = Server::start(&json!([{"match": {}, "response": {"content": "hi"}}]));
    let endpoint = ModelEndpoint { api_key: Some("sk-wrong-canary".into()), ..server.endpoint() };
    let (result, _) = ask(endpoint, json!({"prompt": "hi"})).await;
    let failure = result.unwrap_err().failure;
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Rejected, "provider_auth"));
    assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
}

#[tokio::test]
async fn a_stream_that_is_cut_fails_and_what_came_is_billed_as_an_estimate() {
    let server = Server::start(&json!([{
        "match": {},
        "response": {"content": "This answer is long enough to be cut off somewhere in the middle of it."},
        "latency": 5,
        "truncateAfterChunks": 4,
    }]));
    let (result, deltas) = ask(server.endpoint(), json!({"prompt": "tell me"})).await;
    let failed = result.unwrap_err();
    assert_eq!(
        (failed.failure.kind, failed.failure.code.as_str()),
        (FailureKind::Provider, "stream_cut"),
        "{:?}",
        failed.failure
    );
    assert!(failed.failure.retryable && !deltas.is_empty(), "{deltas:?}");
    let usage = failed.usage.unwrap();
    assert!(usage.estimated && usage.units["output_tokens"] > 0 && usage.cost_nano_usd.is_some(), "{usage:?}");
}
