//! Suite: the shipped flows pass their own tests, by `weir test` of the built program.
#![expect(clippy::unwrap_used, reason = "a suite fails by panicking")]
use std::path::PathBuf;

use tests::{CommandAnswer, Program};

fn flows() -> PathBuf {
    tests::room().join("../flows").canonicalize().unwrap()
}

async fn weir(arguments: &[&str]) -> CommandAnswer {
    let home = tempfile::tempdir().unwrap();
    Program::in_folder(home.path()).call(arguments).await
}

#[tokio::test]
async fn every_shipped_flow_has_two_tests_at_least_and_passes_them() {
    let folder = tempfile::tempdir().unwrap();
    let junit = folder.path().join("junit.xml");
    let flows = flows();
    let answer = weir(&["test", flows.to_str().unwrap(), "--json", "--junit", junit.to_str().unwrap()]).await;
    let report: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap_or_else(|_| panic!("{answer:?}"));
    let cases = report["tests"].as_array().unwrap();
    let failed: Vec<_> = cases.iter().filter(|case| case["passed"] != true).collect();
    assert!(failed.is_empty() && answer.code == 0, "{failed:#?}");
    let names: Vec<String> = std::fs::read_dir(&flows)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("flow.yaml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(names.len() >= 25, "only {} flows are shipped", names.len());
    for name in &names {
        let count = cases.iter().filter(|case| case["flow"] == name.as_str()).count();
        assert!(count >= 2, "{name} has {count} tests");
    }
    let xml = std::fs::read_to_string(junit).unwrap();
    assert!(xml.contains(&format!("tests=\"{}\" failures=\"0\"", cases.len())), "{xml}");
}

/// A folder with one flow and one test file.
fn folder(flow: &str, cases: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("subject/tests")).unwrap();
    std::fs::write(folder.path().join("subject/flow.yaml"), flow).unwrap();
    std::fs::write(folder.path().join("subject/tests/cases.yaml"), cases).unwrap();
    folder
}

const FLOW: &str =
    "steps:\n  - name: pick\n    executor: conditional\n    config: {cases: [{condition: true, value: 7}]}\n";

#[tokio::test]
async fn a_case_that_is_not_met_is_told_with_what_was_found_instead() {
    let cases = "- name: fails\n  expect: {outputs: 8, steps: {pick: failed}, calls: {pick: 2}}\n- name: passes\n  expect: {outputs: 7}\n";
    let folder = folder(FLOW, cases);
    let answer = weir(&["test", folder.path().join("subject").to_str().unwrap()]).await;
    let text = answer.stdout;
    assert_eq!(answer.code, 9, "{text}");
    for line in [
        "FAIL subject · fails",
        "outputs is 7; expected 8",
        "step `pick` is \"succeeded\"; expected \"failed\"",
        "step `pick` was executed 1 times; expected 2",
        "ok   subject · passes",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
}

#[tokio::test]
async fn a_test_file_that_says_nothing_or_something_unknown_is_refused() {
    for (flow, cases, exit) in [
        (FLOW, "- name: a\n  expect: {outptus: 7}\n", 6),
        (FLOW, "- name: a\n- name: a\n", 6),
        (FLOW, "[]\n", 6),
        (FLOW, "- name: a\n  mocks: {pikc: {output: 1}}\n", 9),
        (FLOW, "- name: a\n  expect: {steps: {pikc: succeeded}}\n", 9),
        ("steps: 7\n", "- name: a\n", 6),
    ] {
        let folder = folder(flow, cases);
        let answer = weir(&["test", folder.path().to_str().unwrap()]).await;
        assert_eq!(answer.code, exit, "{cases}: {answer:?}");
    }
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("flow.yaml"), FLOW).unwrap();
    assert_eq!(weir(&["test", empty.path().to_str().unwrap()]).await.code, 3);
}
