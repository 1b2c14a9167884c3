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
                assert_eq!(
                    result.as_ref().map_err(|failure| failure.code.as_str()).err(),
                    Some(*code),
                    "{name}: {result:?}"
                );
            }
        }
    }
    let output = bench.run("document_extractor", "documents/letter.docx", json!({})).await.unwrap();
    assert!(output["text"].as_str().unwrap().contains("Ahmed Karim"));
    assert!(bench.pool.idle_children() >= 1);
}

#[tokio::test]
async fn damaged_samples_end_in_text_or_in_a_clear_failure() {
    let bench = Bench::new();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for name in crate::surroundings::expected().into_keys() {
        let sample = std::fs::read(fixtures().join("documents").join(&name)).unwrap();
        for round in 0..4 {
            let mut bytes = sample.clone();
            for _ in 0..(1 + bytes.len() / 500) {
                let at = draw(bytes.len());
                bytes[at] = u8::try_from(draw(256)).unwrap();
            }
            if round == 3 {
                bytes.truncate(draw(sample.len()));
            }
            let started = Instant::now();
            let result = bench.run_on("document_extractor", &name, bytes, json!({})).await;
            assert!(started.elapsed() < Duration::from_secs(20), "round {round} of {name}");
            if let Err(failure) = result {
                assert_eq!(failure.kind, FailureKind::Document, "round {round} of {name}: {failure:?}");
            }
        }
    }
}
