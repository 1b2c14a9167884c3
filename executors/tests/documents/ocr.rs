//! OCR of scans with known text. Needs Tesseract with English.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::surroundings::{Bench, expected, flat};

/// The part of the known words that were read, in order, by the longest common subsequence.
fn accuracy(known: &str, read: &str) -> f64 {
    let known: Vec<&str> = known.split_whitespace().collect();
    let read: Vec<&str> = read.split_whitespace().collect();
    let mut row = vec![0_u32; read.len() + 1];
    for word in &known {
        let mut diagonal = 0;
        for (at, other) in read.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if word == other { diagonal + 1 } else { above.max(row[at]) };
            diagonal = above;
        }
    }
    f64::from(row[read.len()]) / f64::from(u32::try_from(known.len()).unwrap())
}

#[tokio::test]
async fn scans_are_read_with_at_least_95_words_of_100_right() {
    let bench = Bench::new();
    let expected = expected();
    for (name, known) in &expected {
        let Some(pages) = known.get("scanned_pages").and_then(Value::as_array) else { continue };
        let output = bench.run("ocr_processor", &format!("documents/{name}"), json!({})).await.unwrap();
        let read = output["pages"].as_array().unwrap();
        assert_eq!(read.len(), pages.len(), "{name}");
        for (number, (page, known)) in (1..).zip(read.iter().zip(pages)) {
            assert_eq!(page["number"], number);
            let text = flat(page["text"].as_str().unwrap());
            let accuracy = accuracy(known.as_str().unwrap(), &text);
            assert!(accuracy >= 0.95, "{name}, page {number}: {accuracy:.3}\n{text}");
            let (width, height) = (page["width"].as_u64().unwrap(), page["height"].as_u64().unwrap());
            for word in page["words"].as_array().unwrap() {
                let place: Vec<u64> =
                    word["box"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).collect();
                assert!(place[0] + place[2] <= width + 1 && place[1] + place[3] <= height + 1, "{word}");
                assert!((0.0..=1.0).contains(&word["confidence"].as_f64().unwrap()));
            }
        }
        let confidence = output["confidence"].as_f64().unwrap();
        assert!((0.6..=1.0).contains(&confidence), "{confidence}");
    }
}

#[tokio::test]
async fn every_kind_of_image_is_read_and_boxes_are_in_its_own_pixels() {
    let bench = Bench::new();
    for kind in ["png", "jpg", "tiff", "webp", "bmp", "gif"] {
        let output = bench.run("ocr_processor", &format!("documents/words.{kind}"), json!({})).await.unwrap();
        assert_eq!(flat(output["text"].as_str().unwrap()), "The quick brown fox jumps over the lazy dog", "{kind}");
        let page = &output["pages"][0];
        assert_eq!((&page["width"], &page["height"]), (&json!(620), &json!(69)), "{kind}");
        let first = page["words"][0]["box"].as_array().unwrap();
        let (x, width) = (first[0].as_u64().unwrap(), first[2].as_u64().unwrap());
        assert!((10..=30).contains(&x) && (35..=65).contains(&width), "{kind}: {first:?}");
    }
}

#[tokio::test]
async fn a_blank_page_has_no_words_and_unsure_words_can_be_left_out() {
    let bench = Bench::new();
    let output = bench.run("ocr_processor", "documents/blank.png", json!({})).await.unwrap();
    assert_eq!((&output["text"], &output["confidence"]), (&json!(""), &Value::Null));
    let output = bench.run("ocr_processor", "documents/words.png", json!({"min_confidence": 1.0})).await.unwrap();
    assert_eq!(output["text"], "");
}

#[tokio::test]
async fn languages_and_kinds_that_cannot_be_read_say_so() {
    let bench = Bench::new();
    let config = json!({"languages": ["eng", "tlh"]});
    let failure = bench.run("ocr_processor", "documents/words.png", config).await.unwrap_err();
    assert_eq!(failure.code, "language_not_installed");
    assert!(failure.message.contains("`tlh`") && failure.message.contains("eng"), "{failure}");
    let failure = bench.run("ocr_processor", "documents/letter.docx", json!({})).await.unwrap_err();
    assert_eq!((failure.code.as_str(), failure.status()), ("unsupported_document", 422));
    let failure = bench.run("ocr_processor", "documents/scan.pdf", json!({"pages": "7"})).await.unwrap_err();
    assert_eq!(failure.code, "no_such_page");
}

#[tokio::test]
async fn cancelling_stops_the_engine() {
    let bench = Bench::new();
    // Warm up, so that the cancel meets the engine at work rather than the start of a child.
    bench.run("ocr_processor", "documents/words.png", json!({})).await.unwrap();
    let started = Instant::now();
    let cancel = bench.cancel.clone();
    let stop = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(bench.run("ocr_processor", "documents/scan.png", json!({})), stop);
    // A machine fast enough to read a page in that time has nothing left to cancel.
    if let Err(failure) = result {
        assert_eq!(failure.code, "cancelled");
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_document_of_scans_and_text_is_read_page_by_page_by_the_way_of_each() {
    let bench = Bench::new();
    let output = bench.run("document_pipeline", "documents/mixed.pdf", json!({})).await.unwrap();
    let pages = output["pages"].as_array().unwrap();
    let sources: Vec<&Value> = pages.iter().map(|page| &page["source"]).collect();
    // The letter begins with an empty page.
    assert_eq!(sources, ["none", "text_layer", "ocr", "ocr"]);
    let known = &expected()["scan.pdf"]["scanned_pages"];
    for (page, known) in pages[2..].iter().zip(known.as_array().unwrap()) {
        let text = flat(page["text"].as_str().unwrap());
        assert!(accuracy(known.as_str().unwrap(), &text) >= 0.95, "{text}");
    }
    // Words of a text layer have places too, in the same pixels as a picture of the page.
    let letter = &pages[1];
    let (width, height) = (letter["width"].as_u64().unwrap(), letter["height"].as_u64().unwrap());
    let words = letter["words"].as_array().unwrap();
    let text: Vec<&str> = words.iter().map(|word| word["text"].as_str().unwrap()).collect();
    assert!(accuracy(letter["text"].as_str().unwrap(), &text.join(" ")) >= 0.9, "{text:?}");
    for word in words {
        let place: Vec<u64> = word["box"].as_array().unwrap().iter().map(|side| side.as_u64().unwrap()).collect();
        assert!(place[0] + place[2] <= width + 1 && place[1] + place[3] <= height + 1, "{word}");
        assert!(place[2] > 0 && place[3] > 0 && place[3] < height / 10, "{word}");
    }
    let generic = bench.run("generic_processor", "documents/mixed.pdf", json!({})).await.unwrap();
    assert_eq!((&generic["method"], &generic["text"]), (&json!("mixed"), &output["text"]));
}

#[tokio::test]
async fn a_page_that_was_read_once_is_not_read_again() {
    let bench = Bench::new();
    let first = bench.run("document_pipeline", "documents/scan.pdf", json!({"pages": "1"})).await.unwrap();
    let started = Instant::now();
    let again = bench.run("document_pipeline", "documents/scan.pdf", json!({"pages": "1"})).await.unwrap();
    assert_eq!(first, again);
    let sure =
        bench.run("document_pipeline", "documents/scan.pdf", json!({"pages": "1", "min_confidence": 0.99})).await;
    let count = |output: &Value| output["pages"][0]["words"].as_array().unwrap().len();
    assert!(count(&sure.unwrap()) < count(&first), "what is remembered is all of it");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn every_page_of_a_tiff_is_read() {
    let bench = Bench::new();
    let output = bench.run("ocr_processor", "documents/two-pages.tiff", json!({})).await.unwrap();
    let pages = output["pages"].as_array().unwrap();
    assert_eq!(pages.len(), 2);
    assert_eq!(flat(pages[0]["text"].as_str().unwrap()), "The quick brown fox jumps over the lazy dog");
    assert!(pages[1]["words"].as_array().unwrap().len() > 30, "{}", pages[1]["text"]);
    let second = bench.run("ocr_processor", "documents/two-pages.tiff", json!({"pages": 2})).await.unwrap();
    assert_eq!((second["pages"].as_array().unwrap().len(), &second["pages"][0]["number"]), (1, &json!(2)));
    let analyzed = bench.run("file_analyzer", "documents/two-pages.tiff", json!({})).await.unwrap();
    assert_eq!(analyzed["pages"], 2);
    let missing = bench.run("ocr_processor", "documents/two-pages.tiff", json!({"pages": 3})).await.unwrap_err();
    assert_eq!(missing.code, "no_such_page");
}
