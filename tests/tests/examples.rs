//! Suite: the four examples that the project began with, byte for byte, over REST, on every path that they describe.
use serde_json::{Value, json};
use std::{collections::BTreeMap, fs, path::PathBuf};
use tests::{Answer, ApiKey, ModelServer, World, on_both_stores};

const COMPOSITION: &str = include_str!("../fixtures/seed/5.1.yaml");
const ROUTING: &str = include_str!("../fixtures/seed/5.2.yaml");
const PARALLEL: &str = include_str!("../fixtures/seed/5.3.yaml");
const FUNCTIONS: &str = include_str!("../fixtures/seed/5.4.yaml");

/// What the fourth example leaves open.
const OPEN: &str = "          # Custom logic here\n";
const BODY: &str = r#"          import re
          words = re.findall(r"[a-z]{4,}", text.lower())
          counts = {}
          for word in words:
              counts[word] = counts.get(word, 0) + 1
          phrases = sorted(counts, key=lambda word: (-counts[word], word))[:max_phrases]
"#;

const MODEL_KEY: &str = "sk-of-the-examples";

fn folder(path: &str) -> PathBuf {
    tests::room().join(path)
}

fn document(name: &str) -> Vec<u8> {
    fs::read(folder("fixtures/documents").join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs a flow with one document; gives the answer and the records of its steps.
async fn read(key: &ApiKey, flow: &str, name: &str, media_type: &str) -> (Answer, BTreeMap<String, Value>) {
    let answer = key.run_with_file(flow, "document", (name, media_type, document(name)), &[]).await;
    let records = key.records(&answer.run_id()).await;
    (answer, records)
}

/// `status` of each step, with the reason of a skip: `skipped (condition)`.
fn statuses(records: &BTreeMap<String, Value>) -> BTreeMap<&str, String> {
    let status = |record: &Value| match record["skip_reason"].as_str() {
        Some(reason) => format!("skipped ({reason})"),
        None => record["status"].as_str().unwrap_or_default().to_owned(),
    };
    records.iter().map(|(name, record)| (name.as_str(), status(record))).collect()
}

#[track_caller]
fn expect(records: &BTreeMap<String, Value>, expected: &[(&str, &str)]) {
    let expected = expected.iter().map(|(name, status)| (*name, (*status).to_owned())).collect();
    assert_eq!(statuses(records), expected, "{records:#?}");
}

fn shipped(path: &str) -> String {
    fs::read_to_string(folder("../flows").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A tenant with the first example and the two flows that it calls.
async fn composed(world: &World) -> ApiKey {
    let key = world.tenant("acme").await.key(&[]).await;
    let (analysis, prompt) =
        (shipped("document_analysis/flow.yaml"), shipped("document_analysis/prompts/summarize.j2"));
    let files = [("flow.yaml", analysis.as_str()), ("prompts/summarize.j2", prompt.as_str())];
    key.put_folder("document_analysis", &files).await.expect_success();
    key.put_flow("ocr_analysis", &shipped("ocr_analysis/flow.yaml")).await.expect_success();
    let saved = key.put_flow("complex_analysis", COMPOSITION).await.expect_success().json();
    assert_eq!(saved["problems"], json!([]), "{saved:#}");
    key
}

/// The run that a `flow_executor` step started.
async fn child(key: &ApiKey, record: &Value) -> Value {
    let run = record["child_run_id"].as_str().unwrap_or_else(|| panic!("no child: {record:#}"));
    key.get(&format!("/api/v1/runs/{run}")).await.expect_status(200).json()
}

/// A tenant whose default model is the server's, with a flow.
async fn asking(world: &World, server: &ModelServer, flow: &str, yaml: &str) -> ApiKey {
    let key = world.tenant("acme").await.key(&[]).await;
    let connection = json!({"kind": "openai", "base_url": server.base_url(), "api_key": MODEL_KEY});
    key.put("/api/v1/connections/house", &connection).await.expect_success();
    key.patch("/api/v1/tenant", &json!({"default_model": "house/test-model"})).await.expect_success();
    key.put_flow(flow, yaml).await.expect_success();
    key
}

fn answering(instruction: &str, content: &str) -> Value {
    json!({"match": {"userMessage": instruction}, "response": {"content": content}})
}

fn refusing(instruction: &str, turn: u64, status: u16, wait: Option<u64>) -> Value {
    let error = json!({"message": "Not now.", "type": "server_error"});
    let mut response = json!({"error": error, "status": status});
    if let Some(seconds) = wait {
        response["retryAfter"] = json!(seconds);
    }
    json!({"match": {"userMessage": instruction, "sequenceIndex": turn}, "response": response})
}

/// What each attempt of a step came to: its status and the code of its error.
fn attempts(record: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = record["attempt_list"].as_array().unwrap_or_else(|| panic!("attempts are listed: {record:#}"));
    list.iter().map(|attempt| (text(&attempt["status"]), text(&attempt["error"]["code"]))).collect()
}

fn tried(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(status, code)| ((*status).to_owned(), (*code).to_owned())).collect()
}

#[test]
fn the_examples_are_the_ones_that_ship_and_not_a_byte_was_tidied() {
    assert_eq!([COMPOSITION, ROUTING, PARALLEL, FUNCTIONS].map(str::len), [535, 563, 571, 675]);
    assert_eq!(COMPOSITION, shipped("complex_analysis/flow.yaml"));
    assert_eq!(ROUTING, shipped("file_type_routing/flow.yaml"));
    assert_eq!(PARALLEL, shipped("parallel_analysis/flow.yaml"));
    assert_eq!(FUNCTIONS.matches(OPEN).count(), 1);
}

on_both_stores! {
    async fn composition_combines_what_both_children_found(world: World) {
        let key = composed(&world).await;
        for (name, media_type, words, by_ocr) in [
            ("report.pdf", "application/pdf", "harbour office", true),
            ("scan.png", "image/png", "48213", true),
            ("letter.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "plum cake", false),
        ] {
            let (answer, records) = read(&key, "complex_analysis", name, media_type).await;
            let outputs = answer.expect_status(200).json()["outputs"].clone();
            expect(&records, &[("combine_results", "succeeded"), ("document_analysis", "succeeded"), ("ocr_analysis", "succeeded")]);
            let text = |step: &str| outputs[step]["text"].as_str().unwrap_or_default().to_owned();
            assert!(text("document_analysis").contains(words), "{name}: {outputs:#}");
            assert_eq!(text("ocr_analysis").contains(words), by_ocr, "{name}: {outputs:#}");
            assert_eq!(outputs, records["combine_results"]["output"], "the last step's output is the flow's");
            for step in ["document_analysis", "ocr_analysis"] {
                let child = child(&key, &records[step]).await;
                assert_eq!((&child["flow"], &child["status"]), (&json!(step), &json!("succeeded")), "{child:#}");
                assert_eq!(child["outputs"], records[step]["output"], "{name}: {step}");
                assert!(child["parent_run_id"].is_string(), "{child:#}");
            }
        }
    }

    async fn composition_fails_as_its_first_child_does(world: World) {
        let key = composed(&world).await;
        let (answer, records) = read(&key, "complex_analysis", "broken.pdf", "application/pdf").await;
        let problem = answer.expect_status(422).problem();
        assert_eq!((problem.code.as_str(), problem.step.as_deref()), ("document_broken", Some("document_analysis")));
        expect(&records, &[
            ("combine_results", "skipped (upstream_failed)"),
            ("document_analysis", "failed"),
            ("ocr_analysis", "skipped (upstream_failed)"),
        ]);
        let child = child(&key, &records["document_analysis"]).await;
        assert_eq!((&child["status"], &child["error"]["code"]), (&json!("failed"), &json!("document_broken")));
        assert_eq!(child["failed_step"], "extract", "{child:#}");
    }

    async fn composition_fails_as_its_second_child_does(world: World) {
        // Without an OCR engine the first child still finds the text layer; the second has nothing else.
        let mut world = world;
        world.stop().await;
        let mut world = world.configure("PATH", "");
        world.serve().await;
        let key = composed(&world).await;
        let (answer, records) = read(&key, "complex_analysis", "report.pdf", "application/pdf").await;
        let problem = answer.expect_status(500).problem();
        assert_eq!((problem.code.as_str(), problem.step.as_deref()), ("internal", Some("ocr_analysis")));
        expect(&records, &[
            ("combine_results", "skipped (upstream_failed)"),
            ("document_analysis", "succeeded"),
            ("ocr_analysis", "failed"),
        ]);
        assert_eq!(records["ocr_analysis"]["error"]["code"], "ocr_missing");
        assert_eq!(child(&key, &records["ocr_analysis"]).await["failed_step"], "read");
    }

    async fn composition_without_its_flows_is_taken_with_a_warning_and_fails_by_their_name(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        let saved = key.put_flow("complex_analysis", COMPOSITION).await.expect_success().json();
        let codes: Vec<&Value> = saved["problems"].as_array().unwrap().iter().map(|problem| &problem["code"]).collect();
        assert_eq!(codes, ["F066", "F066"], "{saved:#}");
        let (answer, records) = read(&key, "complex_analysis", "report.pdf", "application/pdf").await;
        let problem = answer.expect_status(500).problem();
        assert_eq!(problem.code, "flow_fault");
        assert!(problem.detail.contains("`document_analysis`"), "{problem:?}");
        assert_eq!((problem.step.as_deref(), problem.line), (Some("document_analysis"), Some(7)), "{problem:?}");
        assert!(records.values().all(|record| record["attempts"] == 0), "nothing was begun: {records:#?}");
        assert_eq!(key.get("/api/v1/runs").await.json()["data"].as_array().map(Vec::len), Some(1));
    }

    async fn routing_takes_each_file_its_own_way(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("routing", ROUTING).await.expect_success();
        let (pdf, image, other) = ("process_pdf", "process_image", "fallback_processing");
        let skipped = "skipped (condition)";
        for (name, media_type, words, step, expected) in [
            ("report.pdf", "application/pdf", "railway bridge", pdf, [(other, skipped), (image, skipped), (pdf, "succeeded")]),
            ("scan.png", "image/png", "48213", image, [(other, skipped), (image, "succeeded"), (pdf, skipped)]),
            ("article.md", "text/markdown", "", other, [(other, "succeeded"), (image, skipped), (pdf, skipped)]),
            // What a file is called and said to be does not count.
            ("words.png", "application/pdf", "", image, [(other, skipped), (image, "succeeded"), (pdf, skipped)]),
            // A scan has no text layer: its failure is what the fallback is for, and is seen no more.
            ("scan.pdf", "application/pdf", "48213", other, [(other, "succeeded"), (image, "skipped (upstream_failed)"), (pdf, "failed")]),
        ] {
            let (answer, records) = read(&key, "routing", name, media_type).await;
            let answer = answer.expect_status(200).json();
            let expected: Vec<_> = [("check_file_type", "succeeded")].into_iter().chain(expected).collect();
            expect(&records, &expected);
            assert_eq!(answer["outputs"], records[step]["output"], "{name}: the last step that ran gives the output");
            let text = answer["outputs"]["text"].as_str().unwrap_or_default();
            assert!(!text.is_empty() && text.contains(words), "{name}: {text}");
            assert_eq!(records[step]["attempts"], 1, "{name}");
        }
    }

    async fn routing_fails_with_a_document_that_no_way_can_read_and_tries_it_once(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("routing", ROUTING).await.expect_success();
        let (answer, records) = read(&key, "routing", "broken.pdf", "application/pdf").await;
        let problem = answer.expect_status(422).problem();
        assert_eq!((problem.code.as_str(), problem.retryable), ("document_broken", false));
        expect(&records, &[
            ("check_file_type", "succeeded"),
            ("fallback_processing", "failed"),
            ("process_image", "skipped (upstream_failed)"),
            ("process_pdf", "failed"),
        ]);
        // Three attempts are allowed, but a broken document stays broken.
        assert_eq!(attempts(&records["fallback_processing"]), tried(&[("failed", "document_broken")]));
    }

    async fn routing_falls_back_when_the_check_fails_and_retries_until_the_file_is_there(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("routing", ROUTING).await.expect_success();
        let form = reqwest::multipart::Form::new();
        let form = form.part("file", reqwest::multipart::Part::bytes(document("report.pdf")).file_name("report.pdf"));
        let upload = key.request(reqwest::Method::POST, "/api/v1/files").multipart(form);
        let file = json!({"document": {"file_id": key.send(upload).await.expect_success().json()["file_id"]}});
        // The tenant's files are lost before anything is read (a store that is away as a whole is waited for) ...
        let tenants = fs::read_dir(world.folder().join("data/blobs")).unwrap().map(|entry| entry.unwrap().path());
        let (blobs, away) = (tenants.filter(|path| path.is_dir()).max().unwrap(), world.folder().join("away"));
        fs::rename(&blobs, &away).unwrap();
        let run = key.start("routing", &file).await;
        let mut watch = key.watch(&run).await;
        let failed = watch.until("the fallback's first failure", |event| {
            event.name == "attempt_failed" && event.data["step"] == "fallback_processing"
        }).await;
        assert_eq!(failed.data["data"]["failure"]["code"], "file_lost", "{failed:#?}");
        // ... and is back for one of the fallback's further attempts.
        fs::rename(&away, &blobs).unwrap();
        let finished = key.finished(&run).await;
        assert_eq!(finished["status"], "succeeded", "{finished:#}");
        assert!(finished["outputs"]["text"].as_str().is_some_and(|text| text.contains("railway bridge")), "{finished:#}");
        let records = key.records(&run).await;
        expect(&records, &[
            ("check_file_type", "failed"),
            ("fallback_processing", "succeeded"),
            ("process_image", "skipped (upstream_failed)"),
            ("process_pdf", "skipped (upstream_failed)"),
        ]);
        assert_eq!(attempts(&records["check_file_type"]), tried(&[("failed", "file_lost")]), "it has no `retry`");
        // Gone for good, all three attempts are made, and the failure is what the run says.
        fs::rename(&blobs, &away).unwrap();
        let answer = key.run("routing", &file).await.expect_status(500);
        assert_eq!(answer.problem().code, "internal");
        let records = key.records(&answer.run_id()).await;
        let lost = ("failed", "file_lost");
        assert_eq!(attempts(&records["fallback_processing"]), tried(&[lost, lost, lost]));
    }

    async fn parallel_analysis_asks_the_model_for_each_member_and_waits_out_its_refusals(world: World) {
        let server = ModelServer::start(MODEL_KEY, &json!([
            refusing("Analyze sentiment", 0, 429, Some(1)),
            refusing("Extract entities", 0, 500, None),
            answering("Analyze sentiment", "Calm."),
            answering("Extract entities", "The harbour office."),
            answering("Classify content", "A report."),
        ])).await;
        let key = asking(&world, &server, "parallel", PARALLEL).await;
        let (answer, records) = read(&key, "parallel", "report.pdf", "application/pdf").await;
        let outputs = answer.expect_status(200).json()["outputs"].clone();
        assert!(records.values().all(|record| record["status"] == "succeeded"), "{records:#?}");
        for (step, text) in [("analyze_sentiment", "Calm."), ("extract_entities", "The harbour office."), ("classify_content", "A report.")] {
            assert_eq!(outputs[step]["text"], text, "{outputs:#}");
            assert_eq!(records[step]["group"], "analysis");
        }
        let ok = ("succeeded", "");
        assert_eq!(attempts(&records["analyze_sentiment"]), tried(&[("failed", "provider_rate_limited"), ok]));
        assert_eq!(attempts(&records["extract_entities"]), tried(&[("failed", "provider_error"), ok]));
        assert_eq!(attempts(&records["classify_content"]), tried(&[ok]));
        assert!(records["analyze_sentiment"]["duration_ms"].as_u64() >= Some(1000), "Retry-After is waited out");
        let asked = server.asked().await;
        assert_eq!(asked.len(), 5, "{asked:#?}");
        for (body, _) in &asked {
            assert!(body["messages"].to_string().contains("harbour office measured the water quality"), "{body:#}");
        }
    }

    async fn a_failed_member_fails_the_parallel_analysis_and_lets_the_others_end(world: World) {
        let server = ModelServer::start(MODEL_KEY, &json!([
            {"match": {"userMessage": "Classify content"}, "response": {"error": {"message": "No.", "type": "permission"}, "status": 403}},
            answering("Analyze sentiment", "Calm."),
            answering("Extract entities", "The harbour office."),
        ])).await;
        let key = asking(&world, &server, "parallel", PARALLEL).await;
        let (answer, records) = read(&key, "parallel", "report.pdf", "application/pdf").await;
        let problem = answer.expect_status(502).problem();
        assert_eq!((problem.step.as_deref(), problem.attempt, problem.retryable), (Some("classify_content"), Some(1), false));
        expect(&records, &[
            ("analyze_sentiment", "succeeded"),
            ("classify_content", "failed"),
            ("combine_analysis", "skipped (upstream_failed)"),
            ("extract_entities", "succeeded"),
            ("extract_text", "succeeded"),
        ]);
        // A scan has no text to ask about, so nobody is asked.
        let before = server.asked().await.len();
        let (answer, records) = read(&key, "parallel", "scan.pdf", "application/pdf").await;
        assert_eq!(answer.expect_status(422).problem().code, "no_text_layer");
        assert!(records.iter().all(|(name, record)| name == "extract_text" || record["skip_reason"] == "upstream_failed"), "{records:#?}");
        assert_eq!(server.asked().await.len(), before);
    }

    async fn functions_give_the_model_their_values_once_their_body_is_written(world: World) {
        let server = ModelServer::start(MODEL_KEY, &json!([answering("Process text", "Understood.")])).await;
        let key = asking(&world, &server, "functions", &FUNCTIONS.replace(OPEN, BODY)).await;
        let inputs = json!({"text": "Invoices and more invoices for the harbour desk.", "amount": 1234.5});
        let answer = key.run("functions", &inputs).await.expect_status(200);
        assert_eq!(answer.json()["outputs"]["text"], "Understood.");
        let config = key.records(&answer.run_id()).await["process_text"]["config"].clone();
        assert_eq!(config["key_phrases"], json!(["invoices", "desk", "harbour", "more"]), "a list stays a list");
        assert_eq!(config["formatted_amount"], "$1234.50 USD");
        let asked = server.asked().await;
        let message = asked[0].0["messages"][0]["content"].as_str().unwrap().to_owned();
        for part in ["Process text", "<text>\nInvoices and more", "<formatted_amount>\n$1234.50 USD\n", "<key_phrases>\n[", "\"harbour\""] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }

    async fn a_function_without_a_body_fails_by_its_name_and_line_before_anybody_is_asked(world: World) {
        let server = ModelServer::start(MODEL_KEY, &json!([answering("Process text", "Understood.")])).await;
        let key = asking(&world, &server, "filled", &FUNCTIONS.replace(OPEN, BODY)).await;
        let saved = key.put_flow("open", FUNCTIONS).await.expect_success().json();
        assert_eq!(saved["problems"][0]["code"], "F064", "{saved:#}");
        let answer = key.run("open", &json!({"text": "Invoices.", "amount": 5})).await.expect_status(500);
        let problem = answer.problem();
        assert_eq!((problem.code.as_str(), problem.step.as_deref()), ("flow_fault", Some("process_text")));
        let line = 1 + FUNCTIONS.lines().position(|line| line.contains("return phrases")).unwrap();
        let expected = format!("`extract_key_phrases` failed at line {line}: NameError");
        assert!(problem.detail.contains(&expected), "{expected}: {problem:?}");
        assert!(server.asked().await.is_empty());
    }
}
