//! One JSON Schema of flow files, generated from the types that hold them and from the catalogue.
//!
//! Invariant: its keys are the reader's keys; a test compares them.

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::catalogue::Catalogue;
use crate::flow::Flow;

/// JSON Schema 2020-12 of `flow.yaml` with the executors of a catalogue.
#[must_use]
pub fn schema(catalogue: &Catalogue) -> Value {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Flow>().to_value();
    without_null(&mut schema);
    schema["title"] = json!("Weir flow");
    let names: Vec<Value> =
        catalogue.iter().map(|spec| json!({ "const": spec.name, "description": spec.summary })).collect();
    let Some(step) = schema.pointer_mut("/$defs/Step").and_then(Value::as_object_mut) else { return schema };
    if let Some(executor) = step.get_mut("properties").and_then(|properties| properties.get_mut("executor")) {
        executor["oneOf"] = Value::Array(names);
    }
    let configs: Vec<Value> = catalogue
        .iter()
        .map(|spec| {
            json!({
                "if": { "properties": { "executor": { "const": spec.name } }, "required": ["executor"] },
                "then": { "properties": { "config": config(&spec.config, spec.open_config) } }
            })
        })
        .collect();
    step.insert("allOf".to_owned(), Value::Array(configs));
    schema
}

/// An executor's config as it may be written: any value may be a template, and the main input may be left out.
fn config(schema: &Value, open: bool) -> Value {
    let mut properties = Map::new();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let description = property.get("description").cloned();
        let mut relaxed = json!({ "anyOf": [ { "type": "string", "pattern": "\\{[{%]" }, property ] });
        if let Some(description) = description {
            relaxed["description"] = description;
        }
        properties.insert(name.clone(), relaxed);
    }
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": open });
    if let Some(definitions) = schema.get("$defs") {
        object["$defs"] = definitions.clone();
    }
    object
}

/// An optional key is left out, not null: what `Option` adds for `null` is taken away.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::Array(types)) = object.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    object.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(choices)) = object.get_mut("enum") {
                choices.retain(|choice| !choice.is_null());
            }
            if let Some(Value::Array(choices)) = object.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type").is_none_or(|name| name != "null"));
            }
            object.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}
