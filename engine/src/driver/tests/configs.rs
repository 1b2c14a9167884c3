//! What executors are given: rendered configs, main inputs, secrets, prompts and variables (flow-language, sections 4 and 8).

use domain::{FailureKind, FileId, RunStatus};
use language::Folder;
use serde_json::{Value, json};

use super::{run, status};
use crate::kit::{Stage, folder};

#[tokio::test]
async fn a_config_that_does_not_fit_points_at_its_line() {
    let ran = run("steps:\n  - name: one\n    executor: act\n    config:\n      sleep_ms: \"{{ [1] }}\"\n").await;
    let error = ran.error_of("one");
    assert_eq!((error.code.as_str(), error.line), ("config_invalid", Some(5)), "{}", error.message);
}

fn file_value(name: &str) -> Value {
    let id = FileId::from_uuid(uuid::Uuid::from_u128(9));
    json!({"file_id": id, "name": name, "media_type": "application/pdf", "size_bytes": 3, "sha256": "00"})
}

#[tokio::test]
async fn a_main_input_comes_from_the_nearest_step_that_succeeded_else_from_the_call() {
    let stage = Stage::new(
        r#"
steps:
  - {name: far, executor: reader, config: {give: {text: far away}}}
  - {name: near, executor: reader, condition: inputs.near, config: {give: {text: near by}}}
  - {name: tell, executor: writer}
"#,
    );
    let stage = stage.with(json!({"doc": file_value("a.pdf"), "near": false}));
    stage.go().await;
    assert_eq!(stage.config("far")["file"]["name"], "a.pdf");
    assert_eq!(stage.config("tell")["text"], "far away");
    let stage = stage.with(json!({"doc": file_value("a.pdf"), "near": true}));
    stage.go().await;
    assert_eq!(stage.config("tell")["text"], "near by");
    let ran = stage.with(json!({"near": false})).go().await;
    assert_eq!(
        (ran.error_of("far").kind, ran.error_of("far").code.as_str()),
        (FailureKind::Input, "main_input_missing")
    );
    assert_eq!(ran.settled().error.as_ref().map(domain::Failure::status), Some(422));
}

#[tokio::test]
async fn a_list_of_whole_steps_arrives_by_the_steps_names() {
    let written = Stage::new(
        r#"
steps:
  - {name: a, executor: act, config: {give: 1}}
  - {name: b, executor: act, config: {give: 2}}
  - {name: all, executor: combiner, config: {sources: ["{{ steps.a }}", "{{ steps.b }}"]}}
  - {name: mixed, executor: combiner, config: {sources: ["{{ steps.a }}", 7]}}
"#,
    );
    written.go().await;
    assert_eq!(written.config("all")["sources"], json!({"a": 1, "b": 2}));
    assert_eq!(written.config("mixed")["sources"], json!([1, 7]));
    let found = Stage::new(
        r#"
steps:
  - {name: a, executor: act, parallel_group: both, config: {give: 1}}
  - {name: b, executor: act, parallel_group: both, config: {give: 2}}
  - {name: all, executor: combiner, depends_on: [both]}
"#,
    );
    found.go().await;
    assert_eq!(found.config("all")["sources"], json!({"a": 1, "b": 2}));
}

#[tokio::test]
async fn secrets_reach_the_executor_and_nothing_else() {
    let stage = Stage::new(
        r#"
outputs: {said: "{{ steps.call.output.echo }}"}
steps:
  - {name: call, executor: act, config: {token: "Bearer {{ secrets.TOKEN }}", give: {echo: "got {{ secrets.TOKEN }}"}}}
"#,
    );
    let ran = stage.go().await;
    assert_eq!(stage.config("call")["token"], "Bearer hunter22");
    assert_eq!(ran.settled().outputs, json!({"said": "got ***"}));
    let journal = serde_json::to_string(&ran.entries).unwrap();
    assert!(!journal.contains("hunter22"), "{journal}");
    assert!(journal.contains("Bearer ***"));
}

#[tokio::test]
async fn a_secret_in_a_field_that_takes_none_fails_the_step_even_in_a_flow_that_was_saved() {
    let old = "steps:\n  - {name: a, executor: act, config: {text: \"{{ secrets.TOKEN }}\"}}\n";
    let mut stage = Stage::new("steps:\n  - {name: a, executor: act}\n");
    let open = stage
        .registry
        .catalogue()
        .iter()
        .cloned()
        .map(|mut spec| {
            spec.secret_fields.push("text".to_owned());
            spec
        })
        .collect::<Vec<_>>();
    stage.plan = std::sync::Arc::new(language::compile(&folder(old), &language::Catalogue::new(open)).plan.unwrap());
    let ran = stage.go().await;
    assert_eq!(ran.error_of("a").code, "secret_not_allowed");
    assert!(!serde_json::to_string(&ran.entries).unwrap().contains("hunter22"));
}

#[tokio::test]
async fn a_missing_secret_and_a_changed_one_are_faults_of_the_flow() {
    let ran = run("steps:\n  - {name: a, executor: act, config: {token: \"{{ secrets.OTHER }}\"}}\n").await;
    assert_eq!(ran.error_of("a").code, "secret_missing");
    let ran = run("steps:\n  - {name: a, executor: act, config: {token: \"{{ secrets.TOKEN|upper }}\"}}\n").await;
    assert_eq!(ran.error_of("a").code, "secret_transformed");
}

#[tokio::test]
async fn a_prompt_file_sees_the_scope_and_the_steps_other_config() {
    let files = [
        ("prompts/ask.j2".to_owned(), "{% include 'prompts/head.j2' %} {{ text }} for {{ inputs.who }}".to_owned()),
        ("prompts/head.j2".to_owned(), "About".to_owned()),
    ];
    let yaml = "steps:\n  - {name: ask, executor: writer, config: {text: trees, prompt_file: prompts/ask.j2}}\n";
    let folder = Folder { files: files.into_iter().collect(), ..folder(yaml) };
    let stage = Stage::of(&folder).with(json!({"who": "Ada"}));
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Succeeded, "{ran:#?}");
    assert_eq!(stage.config("ask")["prompt"], "About trees for Ada");
    assert_eq!(stage.config("ask").get("prompt_file"), None);
}

#[tokio::test]
async fn an_inline_prompt_sees_variables_main_input_and_instruction() {
    let stage = Stage::new(
        r#"
steps:
  - {name: read, executor: reader, config: {give: {text: some trees}}}
  - name: name_trees
    executor: writer
    config:
      system: "For {{ audience }}."
      prompt: "{{ instruction }}: {{ text }} {% for word in words %}[{{ word }}]{% endfor %}"
      audience: "{{ inputs.who }}"
      words: [oak, elm]
"#,
    );
    let stage = stage.with(json!({"who": "Ada", "doc": file_value("a.pdf")}));
    let ran = stage.go().await;
    assert_eq!(status(&ran), RunStatus::Succeeded, "{ran:#?}");
    assert_eq!(stage.config("name_trees")["prompt"], "Name trees: some trees [oak][elm]");
    assert_eq!(stage.config("name_trees")["system"], "For Ada.");
}

#[tokio::test]
async fn vars_are_evaluated_once_in_order_and_outputs_are_templates() {
    let stage = Stage::new(
        r#"
vars: {base: "{{ inputs.n }}", double: "{{ vars.base + vars.base }}"}
outputs: {n: "{{ vars.double }}", text: "n={{ vars.double }}", who: "{{ flow.name }} {{ flow.version }}"}
steps: [{name: a, executor: act}]
"#,
    );
    let ran = stage.with(json!({"n": 4})).go().await;
    assert_eq!(ran.settled().outputs, json!({"n": 8, "text": "n=8", "who": "tested 3"}));
}
