//! Hostile files end within limits, in a clear failure or a harmless answer, and harm nothing else.

use std::time::{Duration, Instant};

use domain::FailureKind;
use serde_json::json;

use crate::surroundings::{Bench, fixtures};

/// What each file must come to: a code, or nothing for "read or refused, as long as it is in time".
const FATES: &[(&str, &str)] = &[
    ("bomb.docx", "document_too_large"),
    ("bomb.xlsx", "document_too_large"),
    ("deep.docx", "document_too_complex"),
    ("deep.html", "document_too_complex"),
    ("empty.pdf", "document_broken"),
    ("truncated.docx", "document_broken"),
    ("wide.xlsx", "document_too_large"),
    ("noise.bin", "unsupported_document"),
];

#[tokio::test]
async fn hostile_files_end_in_time_and_the_pool_lives_on() {
    let bench = Bench::new();
    let folder = fixtures().join("hostile/documents");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 15, "the corpus is there");
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        for executor in ["file_analyzer", "document_extractor", "ocr_processor", "generic_processor"] {
            let started = Instant::now();
            let result = bench.run_on(executor, &name, std::fs::read(&path).unwrap(), json!({})).await;
            let took = started.elapsed();
            assert!(took < Duration::from_secs(30), "{executor} took {took:?} over {name}");
            if let Err(failure) = &result {
                let blamed = matches!(failure.kind, FailureKind::Document | FailureKind::Input);
                assert!(blamed && failure.status() == 422, "{executor} on {name}: {failure:?}");
                assert!(!failure.message.contains("panicked"), "{failure}");
            }
            if let Ok(output) = &result {
                let text = output.to_string();
                assert!(!text.contains("root:x:0:0") && !text.contains("lollollol"), "{executor} on {name}");
            }
            if executor == "file_analyzer" {
                assert!(result.is_ok(), "{name}: {result:?}");
            }
            let fate = FATES.iter().find(|(file, _)| *file == name);
            if let Some((_, code)) = fate.filter(|_| executor == "document_extractor") {
                assert_eq!(result.as_ref().map_err(|failure| failure.code.as_str()).err(), Some(*code), "{name}: {result:?}");
            }
        }
    }
    let output = bench.run("document_extractor", "documents/letter.docx", json!({})).await.unwrap();
    assert!(output["text"].as_str().unwrap().contains("Ahmed Karim"));
    assert!(bench.pool.idle_children() >= 1);
}
