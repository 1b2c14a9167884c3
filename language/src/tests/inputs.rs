//! A call's inputs against the plan.

use std::collections::BTreeMap;

use domain::{FieldProblem, FileRef};
use insta::assert_snapshot;
use serde_json::{Value, json};

use super::planned;
use crate::Plan;
use crate::inputs::{parse, parse_form};

const FLOW: &str = r#"
inputs:
  name: {type: string, pattern: "^[a-z]+$", max_length: 5}
  count: {type: integer, minimum: 1, default: 3}
  ratio: {type: number, required: false}
  loud: {type: boolean, required: false}
  kind: {type: enum, values: [a, 2], default: a}
  list: {type: array, items: {type: string}, required: false}
  thing: {type: object, required: false}
  document: {type: file, accept: [application/pdf, "image/*", .md], max_bytes: 100, required: false}
  raw: {schema: {type: [string, "null"]}, required: false}
steps:
  - {name: s, executor: llm_analyzer, config: {text: x}}
"#;

fn plan() -> Plan {
    planned(FLOW)
}

fn file(name: &str, media_type: &str, size_bytes: u64) -> FileRef {
    let value = json!({
        "file_id": "file_00000000000000000000000001", "name": name, "media_type": media_type,
        "size_bytes": size_bytes, "sha256": "00"
    });
    serde_json::from_value(value).unwrap()
}

fn json_call(body: Value) -> String {
    outcome(parse(&plan(), body, &BTreeMap::new()))
}

fn outcome(result: Result<Value, Vec<FieldProblem>>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(problems) => problems
            .into_iter()
            .map(|problem| format!("{} {} {}\n", problem.pointer, problem.message, problem.hint.unwrap_or_default()))
            .collect(),
    }
}

#[test]
fn what_fits_comes_out_with_its_defaults() {
    assert_snapshot!(json_call(json!({ "name": "ab", "raw": null })), @r#"
        {"name":"ab","count":3,"kind":"a","raw":null}
        "#);
    assert_snapshot!(json_call(json!({ "name": "ab", "kind": 2, "ratio": 1, "list": ["x"], "thing": {} })), @r#"
        {"name":"ab","count":3,"ratio":1,"kind":2,"list":["x"],"thing":{}}
        "#);
}

#[test]
fn every_field_that_does_not_fit_is_named() {
    assert_snapshot!(json_call(json!({ "nmae": "x", "count": 0, "ratio": "1", "loud": "yes", "kind": "b", "list": ["x", 3], "document": "x" })), @r#"
        /nmae the flow has no such input Did you mean `name`?
        /name is required 
        /count 0 is less than the minimum of 1 
        /ratio "1" is not of type "number" 
        /loud "yes" is not of type "boolean" 
        /kind "b" is not one of "a" or 2 
        /list/1 3 is not of type "string" 
        /document must be a file Send it as a part of a multipart form, or upload it before and give {"file_id": ...}.
        "#);
    assert_snapshot!(json_call(json!({ "name": "TOO LONG" })), @r#"
        /name "TOO LONG" is longer than 5 characters 
        /name "TOO LONG" does not match "^[a-z]+$"
        "#);
    assert_snapshot!(json_call(json!([])), @r"
         the inputs must be a JSON object
        ");
}

#[test]
fn text_becomes_numbers_only_in_forms() {
    let form = |fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        outcome(parse_form(&plan(), &fields, &BTreeMap::new()))
    };
    assert_snapshot!(form(&[("name", "ab"), ("count", "7"), ("ratio", "0.5"), ("loud", "true"), ("kind", "2"), ("list", "[\"x\"]"), ("thing", "")]), @r#"
        {"name":"ab","count":7,"ratio":0.5,"loud":true,"kind":2,"list":["x"]}
        "#);
    assert_snapshot!(form(&[("name", ""), ("count", "many"), ("list", "[")]), @r"
        /count must be a whole number 
        /list must be JSON: EOF while parsing a list at line 1 column 1 
        /name is required
        ");
}

#[test]
fn files_are_checked_by_type_and_size() {
    let call = |file: FileRef| {
        let files = BTreeMap::from([("document".to_owned(), file)]);
        outcome(parse(&plan(), json!({ "name": "ab" }), &files))
    };
    for (name, media_type) in [("a.pdf", "application/pdf"), ("a.png", "image/png"), ("a.MD", "text/plain")] {
        assert!(call(file(name, media_type, 100)).contains("\"file_id\""), "{name}");
    }
    assert_snapshot!(call(file("a.exe", "application/octet-stream", 1)), @r"
        /document files of the type application/octet-stream are not taken Taken are application/pdf, image/*, .md.
        ");
    assert_snapshot!(call(file("a.pdf", "application/pdf", 101)), @r"
        /document the file has 101 bytes; at most 100 are taken
        ");
}

#[test]
fn a_flow_without_declared_inputs_takes_anything() {
    let plan = planned("steps:\n  - {name: a, executor: document_extractor}\n");
    let files = BTreeMap::from([("any".to_owned(), file("a.pdf", "application/pdf", 1))]);
    let value = parse(&plan, json!({ "x": 1 }), &files).unwrap();
    assert_eq!((value["x"].as_i64(), value["any"]["name"].as_str()), (Some(1), Some("a.pdf")));
}
