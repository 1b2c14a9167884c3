//! What a run keeps: appends of its journal, and values that are too large for it.

use serde_json::json;

use super::run;
use crate::event::{Event, Stored};
use crate::kit::Stage;

#[tokio::test]
async fn large_outputs_go_to_blobs_and_come_back() {
    let stage = Stage::new(
        "steps:\n  - {name: a, executor: act, config: {give: \"{{ inputs.big }}\"}}\n  - {name: b, executor: act, config: {give: \"{{ steps.a|length }}\"}}\n",
    );
    let ran = stage.with(json!({"big": "x".repeat(100_000)})).go().await;
    assert_eq!(ran.settled().outputs, json!(100_000));
    let stored = ran.entries.iter().any(|entry| {
        matches!(&entry.event, Event::StepSettled { output: Some(Stored::Blob { size_bytes, .. }), .. } if *size_bytes > 100_000)
    });
    assert!(stored);
}

#[tokio::test]
async fn a_flow_of_pure_steps_is_appended_once() {
    let ran = run("steps:\n  - {name: a, executor: act}\n  - {name: b, executor: act}\n").await;
    let positions: Vec<u64> = ran.entries.iter().map(|entry| entry.position).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
    assert!(matches!(ran.entries.last().map(|entry| &entry.event), Some(Event::RunSettled { .. })));
}
