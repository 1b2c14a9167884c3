//! The JSON Schema of flow files, against the reader and against real flows.

use serde_json::{Value, json};

use super::catalogue::catalogue;
use crate::read::KEYS;
use crate::{json_schema, schema, yaml_to_json};

#[test]
fn the_schema_has_the_readers_keys_and_no_others() {
    let schema = schema(&catalogue());
    for (name, keys) in KEYS {
        let object = if *name == "Flow" { &schema } else { &schema["$defs"][name] };
        let mut described: Vec<&str> =
            object["properties"].as_object().unwrap_or_else(|| panic!("{name}")).keys().map(String::as_str).collect();
        let mut keys = keys.to_vec();
        described.sort_unstable();
        keys.sort_unstable();
        assert_eq!(described, keys, "{name}");
        assert_eq!(object["additionalProperties"], false, "{name}");
    }
}

#[test]
fn the_schema_takes_the_seeds_flows_and_refuses_slips() {
    let validator = json_schema::trusted(&schema(&catalogue())).unwrap();
    for flow in ["complex_analysis", "file_type_routing", "parallel_analysis"] {
        let path = format!("{}/../flows/{flow}/flow.yaml", env!("CARGO_MANIFEST_DIR"));
        let value = yaml_to_json(&std::fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(json_schema::first_problem(&validator, &value), None, "{flow}");
    }
    let step = |config: Value| json!({ "steps": [{ "name": "a", "executor": "ocr_processor", "config": config }] });
    assert!(validator.is_valid(&step(json!({ "min_confidence": 0.5 }))));
    assert!(validator.is_valid(&step(json!({ "min_confidence": "{{ inputs.x }}" }))));
    assert!(!validator.is_valid(&step(json!({ "min_confidence": "high" }))));
    assert!(!validator.is_valid(&step(json!({ "confidence": 1 }))));
    assert!(!validator.is_valid(&json!({ "steps": [{ "name": "a", "executor": "ocr" }] })));
    assert!(!validator.is_valid(&json!({ "steps": [], "nmae": "x" })));
    let full = yaml_to_json("inputs: {a: string, b: {type: enum, values: [1]}}\nsteps: [{name: a, executor: file_analyzer, depends_on: b, timeout: 30s, retry: {initial_delay: 1}, on_error: {value: 1}}]\ngroups: {g: {join: {at_least: 2}}}").unwrap();
    assert_eq!(json_schema::first_problem(&validator, &full), None);
}
