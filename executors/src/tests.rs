//! What holds for every executor, whichever comes next.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use language::{Catalogue, EffectRule, ExecutorSpec, Folder, Severity};
use serde_json::{Value, json};

use crate::{Tools, registry};

/// Names of a step's record: an output field of such a name could not be read as `steps.x.field`.
const RECORD: [&str; 10] =
    ["status", "success", "skipped", "cached", "attempts", "error", "output", "started_at", "duration_ms", "cost"];

fn catalogue() -> Catalogue {
    let egress = egress::Client::new(egress::Policy::default()).unwrap();
    let sandbox = Arc::new(sandbox::Pool::of_this_program().unwrap());
    registry(&Tools { egress, sandbox }).catalogue()
}

fn properties(schema: &Value) -> Vec<String> {
    schema["properties"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default()
}

fn named_fields(spec: &ExecutorSpec) -> Vec<&String> {
    let main = spec.main_input.iter().map(|main| &main.field);
    let effect = match &spec.effect {
        EffectRule::ByMethod { field } => Some(field),
        EffectRule::Always(_) | EffectRule::StrictestChild => None,
    };
    main.chain(effect).chain(&spec.file_fields).chain(&spec.raw_fields).chain(&spec.secret_fields).collect()
}

#[test]
fn a_spec_names_only_fields_that_it_has() {
    for spec in catalogue().iter() {
        let (config, output) = (properties(&spec.config), properties(&spec.output));
        for field in named_fields(spec) {
            assert!(config.contains(field), "{}: `{field}` is no field of the config", spec.name);
        }
        for marked in &spec.marked {
            assert!(output.contains(&marked.field), "{}: `{}` is no field of the output", spec.name, marked.field);
        }
        for name in RECORD {
            assert!(!output.iter().any(|field| field == name), "{}: an output field is called `{name}`", spec.name);
        }
    }
}

/// The rule is closed: a new executor, and a new field, take secrets only when this table says so too.
#[test]
fn a_secret_is_taken_by_what_sends_it_to_a_service_and_refused_by_every_other_field() {
    let takes = |executor: &str, field: &str| match executor {
        "api_request" => ["url", "headers", "query", "json", "form", "body", "auth"].contains(&field),
        "webhook" => ["url", "headers", "data", "secret"].contains(&field),
        "database" => ["url", "parameters"].contains(&field),
        _ => false,
    };
    let catalogue = catalogue();
    for spec in catalogue.iter() {
        // A file's name must be written out in any case.
        let literal = |field: &&String| spec.raw_fields.contains(field) || spec.file_fields.contains(field);
        for field in properties(&spec.config).iter().filter(|field| !literal(field)) {
            for value in [json!("{{ secrets.TOK }}"), json!([{"deep": "x{{ secrets.TOK }}"}])] {
                let flow = json!({"steps": [{"name": "a", "executor": spec.name, "config": {field: value}}]});
                let folder = Folder { name: None, yaml: flow.to_string(), files: BTreeMap::new() };
                let compiled = language::compile(&folder, &catalogue);
                let refused = compiled.problems.iter().any(|problem| matches!(problem.code.as_str(), "F073" | "F053"));
                assert_eq!(refused, !takes(&spec.name, field), "{}.{field}: {:?}", spec.name, compiled.problems);
            }
        }
    }
}

#[test]
fn every_schema_is_one_and_every_field_is_described() {
    for spec in catalogue().iter() {
        for schema in [&spec.config, &spec.output] {
            jsonschema::draft202012::new(schema).unwrap_or_else(|error| panic!("{}: {error}", spec.name));
        }
        let refuses = spec.config.get("additionalProperties") == Some(&json!(false));
        assert_eq!(refuses, !spec.open_config, "{}: unknown keys", spec.name);
        for (field, schema) in spec.config["properties"].as_object().into_iter().flatten() {
            let described = ["description", "anyOf", "oneOf"].iter().any(|key| schema.get(key).is_some());
            assert!(described, "{}: `{field}` has no description", spec.name);
        }
        assert!(spec.summary.ends_with('.') && spec.summary.len() < 160, "{}: {}", spec.name, spec.summary);
    }
}

#[test]
fn the_least_config_of_each_executor_is_enough() {
    let file = json!({"file_id": "file_01234567890123456789abcdef"});
    let least = BTreeMap::from([
        ("api_request", json!({"url": "https://example.com/"})),
        ("approval", json!({})),
        ("cache", json!({"key": "last"})),
        ("conditional", json!({"cases": [{"condition": true, "value": 1}]})),
        ("data_combiner", json!({"sources": {"a": 1}})),
        ("data_transformer", json!({"data": []})),
        ("database", json!({"query": "select 1", "connection": "warehouse"})),
        ("document_extractor", json!({"file": file})),
        ("document_pipeline", json!({"file": file})),
        ("fail", json!({"message": "No."})),
        ("file_analyzer", json!({"file": file})),
        ("flow_executor", json!({"flow_name": "other"})),
        ("flow_pipeline", json!({"flows": ["other"]})),
        ("flow_router", json!({"routes": [{"condition": true, "flow_name": "other"}]})),
        ("generic_processor", json!({"file": file})),
        ("llm_analyzer", json!({"key_phrases": ["a variable of the author's"]})),
        ("log", json!({"message": {"any": "value"}})),
        ("ocr_processor", json!({"file": file})),
        ("python", json!({"code": "return data"})),
        ("text_analyzer", json!({"text": "x"})),
        ("wait", json!({"for": "10m"})),
        ("webhook", json!({"url": "https://example.com/", "event": "a.b"})),
    ]);
    for spec in catalogue().iter() {
        let config = least.get(spec.name.as_str()).unwrap_or_else(|| panic!("{} has no least config here", spec.name));
        let validator = jsonschema::draft202012::new(&spec.config).unwrap();
        let problems: Vec<String> = validator.iter_errors(config).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{}: {problems:?}", spec.name);
    }
}

fn texts(folder: &Path, base: &Path, found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts(&path, base, found);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            found.insert(path.strip_prefix(base).unwrap().to_string_lossy().into_owned(), text);
        }
    }
}

/// Takes in the flows that a folder builds on, and those that these build on.
fn take_in(folder: &mut Folder, library: &Path) {
    for _ in 0..language::limits::DEPTH {
        for name in folder.missing_neighbours() {
            let path = library.join(&name);
            let Ok(yaml) = std::fs::read_to_string(path.join("flow.yaml")) else { continue };
            let mut files = BTreeMap::new();
            texts(&path, &path, &mut files);
            files.remove("flow.yaml");
            folder.take_in(Folder { name: Some(name.clone()), yaml, files }, &name);
        }
    }
}

#[test]
fn every_shipped_flow_fits_this_catalogue() {
    let catalogue = catalogue();
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flows");
    let mut count = 0;
    for entry in std::fs::read_dir(library).unwrap() {
        let path = entry.unwrap().path();
        let Ok(yaml) = std::fs::read_to_string(path.join("flow.yaml")) else { continue };
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut files = BTreeMap::new();
        texts(&path, &path, &mut files);
        files.remove("flow.yaml");
        let mut folder = Folder { name: Some(name.clone()), yaml, files };
        take_in(&mut folder, path.parent().unwrap());
        let compiled = language::compile(&folder, &catalogue);
        let errors: Vec<_> = compiled.problems.iter().filter(|problem| problem.severity == Severity::Error).collect();
        assert!(errors.is_empty() && compiled.plan.is_some(), "{name}: {errors:#?}");
        count += 1;
    }
    assert!(count >= 9, "only {count} flows were found");
}

/// Executors whose output is whatever they were given or asked for.
const OPEN: [&str; 7] =
    ["conditional", "data_combiner", "data_transformer", "flow_executor", "flow_pipeline", "flow_router", "python"];

#[test]
fn a_field_that_an_output_does_not_have_is_found_before_a_run() {
    let catalogue = catalogue();
    for spec in catalogue.iter() {
        let least = match spec.name.as_str() {
            "api_request" => r#"{url: "https://example.com/"}"#,
            "approval" => "{}",
            "cache" => "{operation: get, key: x}",
            "database" => r#"{connection: x, query: "select 1"}"#,
            "wait" => "{for: 1s}",
            "webhook" => r#"{url: "https://example.com/", event: x, data: {}}"#,
            "document_extractor" | "document_pipeline" | "file_analyzer" | "generic_processor" | "ocr_processor" => {
                r#"{file: "{{ inputs.document }}"}"#
            }
            "llm_analyzer" => "{prompt: hello, model: simulated/demo}",
            "log" => "{message: x}",
            "text_analyzer" => "{text: x}",
            // It never gives an output.
            "fail" => continue,
            name => {
                assert!(OPEN.contains(&name), "{name}: say whether its output is open");
                continue;
            }
        };
        let yaml = format!(
            "inputs: {{document: {{type: file, required: true}}}}\nsteps:\n  - {{name: a, executor: {}, config: {least}}}\n\
             outputs: {{x: \"{{{{ steps.a.no_such_field }}}}\"}}\n",
            spec.name
        );
        let compiled = language::compile(&Folder { name: None, yaml, files: BTreeMap::new() }, &catalogue);
        let codes: Vec<String> = compiled.problems.iter().map(|problem| problem.code.clone()).collect();
        assert!(codes.iter().any(|code| code == "F049"), "{}: {codes:?}", spec.name);
        assert_eq!(spec.output["additionalProperties"], json!(false), "{}", spec.name);
    }
}
