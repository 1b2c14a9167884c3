//! Conditions inside an executor's config: like a step's own, they may be written with or without braces.
//!
//! Invariant: in a plan all of them have braces, so that nobody after the check has to know which fields they are.

use serde_json::{Map, Value};

use super::outputs::resolve;
use crate::catalogue::ExecutorSpec;
use crate::node::{Kind, Node};
use crate::templates;

/// The value of the keyword `x-weir-type` in the schema of such a field.
const CONDITION: &str = "condition";

fn is_condition(schema: &Value) -> bool {
    schema.get("x-weir-type").and_then(Value::as_str) == Some(CONDITION)
}

/// The places of a config that hold conditions.
pub(super) fn of<'n>(config: &'n Node, spec: &ExecutorSpec) -> Vec<&'n Node> {
    let mut found = Vec::new();
    collect(config, &spec.config, &spec.config, &mut found);
    found
}

fn collect<'n>(node: &'n Node, schema: &Value, root: &Value, found: &mut Vec<&'n Node>) {
    let schema = resolve(root, schema);
    if is_condition(schema) {
        found.push(node);
        return;
    }
    match &node.kind {
        Kind::Map(entries) => {
            for entry in entries {
                if let Some(field) = schema["properties"].get(&entry.key) {
                    collect(&entry.value, field, root, found);
                }
            }
        }
        Kind::List(items) => {
            if let Some(element) = schema.get("items") {
                items.iter().for_each(|item| collect(item, element, root, found));
            }
        }
        Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => {}
    }
}

/// Puts braces around those that have none.
pub(crate) fn in_braces(config: &mut Map<String, Value>, spec: &ExecutorSpec) {
    let Some(properties) = spec.config["properties"].as_object() else { return };
    for (name, value) in config {
        if let Some(field) = properties.get(name) {
            embrace(value, field, &spec.config);
        }
    }
}

fn embrace(value: &mut Value, schema: &Value, root: &Value) {
    let schema = resolve(root, schema);
    match value {
        Value::String(text) if is_condition(schema) => {
            if !templates::is_template(text) {
                *text = format!("{{{{ {} }}}}", text.trim());
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(field) = schema["properties"].get(name) {
                    embrace(value, field, root);
                }
            }
        }
        Value::Array(items) => {
            if let Some(element) = schema.get("items") {
                items.iter_mut().for_each(|item| embrace(item, element, root));
            }
        }
        _ => {}
    }
}
