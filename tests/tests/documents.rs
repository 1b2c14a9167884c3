//! Suite: the main job, end to end: real documents go in through the built program and their text, words and analysis come
//! out. The documents were made by other programs (see tests/fixtures/documents/make.sh), so what is in them is known.
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use tests::{ApiKey, on_both_stores};

/// Text by its layer where there is one, else by OCR; then what the text is about.
const READ: &str = r#"
description: Reads any document and says what it is about.
inputs:
  document: {type: file, required: true}
steps:
  - name: kind
    executor: file_analyzer
  - name: layer
    executor: document_extractor
    condition: "{{ steps.kind.file_type != 'image' }}"
  - name: scan
    executor: ocr_processor
    condition: "{{ steps.layer.success == false }}"
  - name: analysis
    executor: text_analyzer
    depends_on: [layer, scan]
outputs:
  kind: "{{ steps.kind.file_type }}"
  pages: "{{ steps.layer.pages if steps.layer.success else steps.scan.pages }}"
  text: "{{ steps.layer.text if steps.layer.success else steps.scan.text }}"
  language: "{{ steps.analysis.language }}"
  key_phrases: "{{ steps.analysis.key_phrases }}"
"#;

fn fixture(name: &str) -> PathBuf {
    tests::room().join("fixtures/documents").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

async fn read(key: &ApiKey, name: &str, media_type: &str) -> Value {
    key.run_with_file("read", "document", (name, media_type, bytes(name)), &[]).await.expect_status(200).json()
}

/// The share of the words of `expected` that are in `found`.
fn share(expected: &str, found: &str) -> f64 {
    let words = |text: &str| -> BTreeSet<String> {
        text.split_whitespace()
            .map(|word| word.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase())
            .filter(|word| !word.is_empty())
            .collect()
    };
    let (wanted, found) = (words(expected), words(found));
    let hits = wanted.iter().filter(|word| found.contains(*word)).count();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred words")]
    let share = hits as f64 / wanted.len() as f64;
    share
}

const SCANNED: &str = "Northwind Paper Company, Canal Street 17 Order number 48213 was packed on Monday and left the \
    warehouse before noon. The driver carried twelve boxes of white paper, six bottles of black ink and one wooden shelf. \
    Please check every box when it arrives. Report missing goods within seven days, otherwise the delivery counts as \
    accepted. The invoice of 318 dollars follows by separate letter.";

on_both_stores! {
    async fn a_pdf_with_a_text_layer_gives_its_text_page_by_page(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("read", READ).await.expect_success();
        let answer = read(&key, "report.pdf", "application/pdf").await;
        let outputs = &answer["outputs"];
        assert_eq!(outputs["kind"], "pdf");
        let pages = outputs["pages"].as_array().expect("pages are listed");
        assert_eq!(pages.len(), 3, "{outputs:#}");
        for (page, sentence) in [
            (0, "The harbour office measured the water quality at four stations in February."),
            (1, "The Old Lock remains the weakest station because its gates open only twice a day."),
            (2, "Questions are answered by the harbour office under reference"),
        ] {
            let text = pages[page]["text"].as_str().unwrap_or_default();
            assert!(share(sentence, text) == 1.0, "page {page}: {text}");
        }
        assert_eq!(outputs["language"]["name"], "English", "{outputs:#}");
        let phrases = outputs["key_phrases"].to_string().to_lowercase();
        assert!(phrases.contains("harbour office") || phrases.contains("water quality"), "{phrases}");
        let run = answer["run_id"].as_str().expect("an answer names its run");
        let steps = key.steps(run).await;
        let scan = steps.iter().find(|step| step["name"] == "scan").expect("every declared step has a record");
        assert_eq!((&scan["status"], &scan["skip_reason"]), (&json!("skipped"), &json!("condition")));
    }

    async fn a_scanned_page_gives_its_words_with_their_places(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("read", READ).await.expect_success();
        let outputs = read(&key, "scan.png", "image/png").await["outputs"].clone();
        assert_eq!(outputs["kind"], "image");
        let text = outputs["text"].as_str().unwrap_or_default();
        let read = share(SCANNED, text);
        assert!(read >= 0.95, "{:.0} % of the words were read: {text}", read * 100.0);
        let words = outputs["pages"][0]["words"].as_array().expect("words are listed");
        let number = words.iter().find(|word| word["text"].as_str().is_some_and(|text| text.contains("48213")));
        let number = number.unwrap_or_else(|| panic!("the order number is among the words: {words:#?}"));
        let place = number["box"].as_array().expect("a word has a box");
        assert!(place.len() == 4 && place.iter().all(|side| side.as_f64().is_some_and(|side| side > 0.0)), "{number}");
        assert!(number["confidence"].as_f64().is_some_and(|confidence| confidence > 0.5 && confidence <= 1.0), "{number}");
    }

    async fn a_scanned_pdf_fails_its_text_layer_and_is_read_by_ocr(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("read", READ).await.expect_success();
        let answer = read(&key, "scan.pdf", "application/pdf").await;
        let run = answer["run_id"].as_str().expect("an answer names its run");
        let steps = key.steps(run).await;
        let layer = steps.iter().find(|step| step["name"] == "layer").expect("every declared step has a record");
        assert_eq!((&layer["status"], &layer["error"]["code"]), (&json!("failed"), &json!("no_text_layer")));
        let text = answer["outputs"]["text"].as_str().unwrap_or_default();
        assert!(share(SCANNED, text) >= 0.9, "{text}");
        assert_eq!(answer["outputs"]["pages"].as_array().map(Vec::len), Some(2));
    }

    async fn a_word_document_gives_its_text(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("read", READ).await.expect_success();
        let docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
        let outputs = read(&key, "letter.docx", docx).await["outputs"].clone();
        assert_eq!(outputs["kind"], "docx");
        let text = outputs["text"].as_str().unwrap_or_default();
        for part in ["garden meeting takes place on Saturday", "Frau Schröder", "Lucía Ortega", "Compost rota"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    async fn a_document_that_cannot_be_read_says_why(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("extract", "inputs:\n  document: {type: file, required: true}\nsteps:\n  - name: layer\n    executor: document_extractor\n").await.expect_success();
        for name in ["broken.pdf", "encrypted.pdf", "scan.pdf"] {
            let file = (name, "application/pdf", bytes(name));
            let problem = key.run_with_file("extract", "document", file, &[]).await.expect_status(422).problem();
            assert_eq!(problem.step.as_deref(), Some("layer"), "{problem:?}");
            assert!(!problem.retryable && !problem.detail.is_empty(), "{problem:?}");
        }
        world.stranger().get("/health/live").await.expect_status(200);
    }

    async fn an_uploaded_file_can_be_run_by_its_id(world: World) {
        let key = world.tenant("acme").await.key(&[]).await;
        key.put_flow("read", READ).await.expect_success();
        let part = reqwest::multipart::Part::bytes(bytes("letter.docx")).file_name("letter.docx");
        let form = reqwest::multipart::Form::new().part("file", part);
        let request = key.request(reqwest::Method::POST, "/api/v1/files").multipart(form);
        let file = key.send(request).await.expect_success().json();
        let answer = key.run("read", &json!({"document": {"file_id": file["file_id"]}})).await.expect_status(200).json();
        assert!(answer["outputs"]["text"].as_str().is_some_and(|text| text.contains("plum cake")), "{answer:#}");
    }
}

#[tokio::test]
async fn the_same_documents_go_through_the_same_flow_without_a_server() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let flow = folder.path().join("read");
    std::fs::create_dir(&flow).expect("a folder can be made");
    std::fs::write(flow.join("flow.yaml"), READ).expect("a file can be written");
    let program = tests::Program::in_folder(folder.path());
    let flow = flow.to_string_lossy().into_owned();
    program.call(&["check", &flow]).await.expect_success();
    for (name, words) in [("report.pdf", "railway bridge"), ("scan.png", "48213"), ("letter.docx", "plum cake")] {
        let file = format!("document={}", fixture(name).display());
        let answer = program.call(&["run", &flow, "--file", &file, "--json"]).await.expect_success().json();
        assert_eq!(answer["status"], "succeeded", "{answer:#}");
        assert!(answer["outputs"]["text"].as_str().is_some_and(|text| text.contains(words)), "{name}: {answer:#}");
    }
    let failed = program
        .call(&["run", &flow, "--file", &format!("document={}", fixture("blank.png").display()), "--json"])
        .await;
    assert!(failed.code == 0 || failed.code == 9, "{failed}");
}
