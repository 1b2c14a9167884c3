//! Declared inputs: their schemas, and whether their own defaults and examples fit.
//!
//! Invariant: an input's schema is valid JSON Schema 2020-12 or reported.

use serde_json::{Map, Value, json};

use crate::codes;
use crate::flow::{Flow, Input};
use crate::json_schema;
use crate::limits;
use crate::plan::InputKind;
use crate::report::Report;
use crate::source::Span;
use crate::suggest;

/// Compiles schemas that a flow brings, within one budget of patterns for all of them.
#[derive(Debug, Default)]
pub(super) struct Schemas {
    patterns: usize,
}

impl Schemas {
    pub(super) fn compile(&mut self, schema: &Value, span: Span, report: &mut Report) -> Option<jsonschema::Validator> {
        self.patterns += json_schema::patterns(schema);
        if self.patterns > limits::PATTERNS {
            let message = format!("more than {} patterns in the flow's JSON Schemas", limits::PATTERNS);
            report.add(span, codes::TOO_LARGE, message);
            return None;
        }
        match json_schema::compile(schema) {
            Ok(validator) => Some(validator),
            Err(reason) => {
                report.add(span, codes::INVALID_SCHEMA, format!("this is no JSON Schema: {reason}"));
                None
            }
        }
    }
}

pub(super) fn check(flow: &Flow, schemas: &mut Schemas, report: &mut Report) {
    for input in flow.inputs.iter().flatten() {
        let schema = input_value_schema(input);
        let span = input.schema.as_ref().map_or(input.span, |node| node.span);
        let Some(validator) = schemas.compile(&schema, span, report) else { continue };
        let name = &input.name.value;
        if let (Some(default), Some(true)) = (&input.default, input.required) {
            let message = format!("`{name}` is required and has a default; it cannot be both");
            report.add(default.span, codes::DEFAULT_MISFIT, message);
        }
        if input.kind == InputKind::File {
            for node in input.default.iter().chain(&input.examples) {
                let message = format!("`{name}` is a file; it has no default and no examples");
                report.add(node.span, codes::DEFAULT_MISFIT, message);
            }
            continue;
        }
        let default = input.default.iter().map(|node| ("default", node));
        for (what, node) in default.chain(input.examples.iter().map(|node| ("example", node))) {
            if let Some((_, reason)) = json_schema::first_problem(&validator, &node.to_json()) {
                let message = format!("the {what} of `{name}` does not fit: {reason}");
                report.add(node.span, codes::DEFAULT_MISFIT, message);
            }
        }
    }
    search(flow, report);
}

fn search(flow: &Flow, report: &mut Report) {
    let inputs: Vec<&str> = flow.inputs.iter().flatten().map(|input| input.name.value.as_str()).collect();
    let outputs: Vec<&str> = flow.outputs.iter().flatten().map(|output| output.name.as_str()).collect();
    for field in &flow.search {
        let (known, open, name) = match field.value.split_once('.') {
            Some(("inputs", rest)) => (inputs.clone(), flow.inputs.is_none(), rest),
            Some(("outputs", rest)) => (outputs.clone(), flow.outputs.is_none(), rest),
            _ => {
                let open = flow.inputs.is_none() || flow.outputs.is_none();
                (inputs.iter().chain(&outputs).copied().collect(), open, field.value.as_str())
            }
        };
        let root = name.split('.').next().unwrap_or_default();
        if !open && !known.contains(&root) {
            let message = format!("there is no input or output `{root}` to search by");
            let hint = suggest::did_you_mean(root, known);
            report.hint(field.span, codes::UNKNOWN_FIELD, (message, hint));
        }
    }
}

/// JSON Schema of one input's value.
pub(crate) fn input_value_schema(input: &Input) -> Value {
    let mut schema = match input.kind {
        InputKind::Schema => match input.schema.as_ref().map(crate::node::Node::to_json) {
            Some(Value::Object(object)) => object,
            _ => Map::new(),
        },
        InputKind::Enum => {
            let values: Vec<Value> = input.values.iter().map(crate::node::Node::to_json).collect();
            Map::from_iter([("enum".to_owned(), Value::Array(values))])
        }
        InputKind::File => file(input),
        InputKind::String => typed("string"),
        InputKind::Integer => typed("integer"),
        InputKind::Number => typed("number"),
        InputKind::Boolean => typed("boolean"),
        InputKind::Object => typed("object"),
        InputKind::Array => typed("array"),
    };
    schema.extend(input.bounds.iter().map(|(keyword, node)| (keyword.clone(), node.to_json())));
    if let Some(description) = &input.description {
        schema.insert("description".to_owned(), Value::String(description.clone()));
    }
    if let Some(default) = &input.default {
        schema.insert("default".to_owned(), default.to_json());
    }
    if !input.examples.is_empty() {
        let examples = input.examples.iter().map(crate::node::Node::to_json).collect();
        schema.insert("examples".to_owned(), Value::Array(examples));
    }
    Value::Object(schema)
}

fn typed(name: &str) -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), Value::String(name.to_owned()))])
}

/// A file is an object with its id; consoles and clients know it by `format`.
fn file(input: &Input) -> Map<String, Value> {
    let mut schema = typed("object");
    schema.insert("format".to_owned(), json!("weir-file"));
    schema.insert("x-weir-type".to_owned(), json!("file"));
    schema.insert("required".to_owned(), json!(["file_id"]));
    schema.insert("properties".to_owned(), json!({ "file_id": { "type": "string" } }));
    if !input.accept.is_empty() {
        schema.insert("x-accept".to_owned(), json!(input.accept));
    }
    if let Some(bytes) = input.max_bytes {
        schema.insert("x-max-bytes".to_owned(), json!(bytes));
    }
    schema
}

/// Kestra's rule: what has no default must be given, unless it says otherwise.
pub(crate) fn is_required(input: &Input) -> bool {
    input.required.unwrap_or(input.default.is_none())
}

/// JSON Schema 2020-12 of a call's inputs.
pub(crate) fn input_schema(flow: &Flow) -> Value {
    let Some(inputs) = &flow.inputs else {
        return json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object" });
    };
    let properties: Map<String, Value> =
        inputs.iter().map(|input| (input.name.value.clone(), input_value_schema(input))).collect();
    let required: Vec<&str> =
        inputs.iter().filter(|input| is_required(input)).map(|input| input.name.value.as_str()).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
        "properties": properties, "required": required, "additionalProperties": false
    })
}
