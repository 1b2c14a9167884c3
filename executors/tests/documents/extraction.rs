//! What each sample is and holds, compared with `expected.json`.

use serde_json::{Value, json};

use crate::surroundings::{Bench, expected, flat};

#[tokio::test]
async fn every_sample_is_recognised_by_its_content() {
    let bench = Bench::new();
    let expected = expected();
    assert!(expected.len() > 20, "the samples are there");
    for (name, known) in expected {
        let bytes = std::fs::read(crate::surroundings::fixtures().join("documents").join(&name)).unwrap();
        // Without its name: content alone decides. Markdown and CSV may use theirs.
        let told =
            if matches!(known["media_type"].as_str(), Some("text/csv" | "text/markdown")) { name.as_str() } else { "" };
        let size = bytes.len();
        let found = bench.run_on("file_analyzer", told, bytes, json!({})).await.unwrap();
        for field in ["file_type", "media_type", "pages", "encoding", "language", "width", "height"] {
            assert_eq!(found[field], known.get(field).cloned().unwrap_or(Value::Null), "{field} of {name}: {found}");
        }
        assert_eq!(found["size_bytes"], size);
        assert_eq!(found["sha256"].as_str().map(str::len), Some(64));
    }
}

#[tokio::test]
async fn every_document_gives_its_known_content() {
    let bench = Bench::new();
    for (name, known) in expected() {
        let Some(sentences) = known.get("pages_hold").and_then(Value::as_object) else { continue };
        let output = bench.run("document_extractor", &format!("documents/{name}"), json!({})).await;
        let output = output.unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
        let whole = flat(output["text"].as_str().unwrap());
        for (number, sentences) in sentences {
            let page =
                output["pages"].as_array().unwrap().iter().find(|page| page["number"].as_u64() == number.parse().ok());
            let text = flat(page.unwrap_or_else(|| panic!("{name} has page {number}"))["text"].as_str().unwrap());
            for sentence in sentences.as_array().unwrap() {
                let sentence = sentence.as_str().unwrap();
                assert!(text.contains(sentence), "page {number} of {name} should hold {sentence:?}:\n{text}");
                assert!(whole.contains(sentence));
            }
        }
        for row in known.get("table_rows").and_then(Value::as_array).into_iter().flatten() {
            let tables = output["tables"].as_array().unwrap();
            let found = tables.iter().any(|table| table["rows"].as_array().unwrap().contains(row));
            assert!(found, "{name} should have the row {row}: {}", output["tables"]);
        }
        for (key, value) in known.get("metadata").and_then(Value::as_object).into_iter().flatten() {
            assert_eq!(&output["metadata"][key], value, "metadata of {name}");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let bench = Bench::new();
    for (file, code) in [
        ("broken.pdf", "document_broken"),
        ("encrypted.pdf", "document_encrypted"),
        ("scan.pdf", "no_text_layer"),
        ("scan.png", "no_text_layer"),
    ] {
        let failure = bench.run("document_extractor", &format!("documents/{file}"), json!({})).await.unwrap_err();
        assert_eq!((failure.code.as_str(), failure.status(), failure.retryable), (code, 422, false), "{file}");
    }
    let output = bench.run("document_extractor", "documents/scan.pdf", json!({"allow_empty": true})).await.unwrap();
    assert_eq!(output["text"], "");
    assert_eq!(output["pages"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn pages_are_chosen_by_number_and_range() {
    let bench = Bench::new();
    let read =
        async |pages: Value| bench.run("document_extractor", "documents/report.pdf", json!({"pages": pages})).await;
    for (pages, numbers) in [(json!("2-"), json!([2, 3])), (json!(1), json!([1])), (json!("1,3"), json!([1, 3]))] {
        let output = read(pages).await.unwrap();
        let found: Vec<_> = output["pages"].as_array().unwrap().iter().map(|page| page["number"].clone()).collect();
        assert_eq!(json!(found), numbers);
    }
    assert_eq!(read(json!("9")).await.unwrap_err().code, "no_such_page");
    assert_eq!(read(json!("3-1")).await.unwrap_err().code, "pages_invalid");
    let output = bench.run("document_extractor", "documents/report.pdf", json!({"tables": false})).await.unwrap();
    assert_eq!(output["tables"], json!([]));
}

#[tokio::test]
async fn the_generic_way_is_the_text_layer_and_else_ocr() {
    let bench = Bench::new();
    for (file, file_type, method, holds) in [
        ("report.pdf", "pdf", "extraction", "Harbour Water Report"),
        ("letter.docx", "docx", "extraction", "Ahmed Karim"),
        ("scan.pdf", "pdf", "ocr", "Delivery Note"),
        ("words.jpg", "image", "ocr", "quick brown fox"),
        ("blank.png", "image", "none", ""),
    ] {
        let output = bench.run("generic_processor", &format!("documents/{file}"), json!({})).await.unwrap();
        assert_eq!((&output["file_type"], &output["method"]), (&json!(file_type), &json!(method)), "{file}");
        assert!(flat(output["text"].as_str().unwrap()).contains(holds), "{file}: {output}");
    }
    let output = bench.run_on("generic_processor", "x", vec![0, 1, 2, 3], json!({})).await.unwrap();
    assert_eq!((&output["file_type"], &output["method"]), (&json!("unknown"), &json!("none")));
}

#[tokio::test]
async fn a_cancelled_step_stops_reading() {
    let bench = Bench::new();
    bench.cancel.cancel();
    let failure = bench.run("document_extractor", "documents/report.pdf", json!({})).await.unwrap_err();
    assert_eq!(failure.code, "cancelled");
}
