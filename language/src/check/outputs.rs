//! What is known about outputs: a step's schema, the fields in it, and the schema of the flow's answer.
//!
//! Invariant: what is not known is `true`, never a guess.

use serde_json::{Map, Value, json};

use super::defaults::Schemas;
use super::{Analysis, Way};
use crate::catalogue::ExecutorSpec;
use crate::codes;
use crate::flow::Step;
use crate::names;
use crate::plan::OnItemError;
use crate::plan::Target;
use crate::report::Report;
use crate::templates;

/// The schema of a step's output: what its ways have in common, once for each item where it has items.
pub(super) fn step_output(step: &Step, own: &Way<'_>, fallbacks: &[Way<'_>]) -> Value {
    let output = way_output(own);
    // Another way may give another thing; nobody can tell beforehand which.
    let output = if fallbacks.iter().all(|way| way_output(way) == output) { output } else { Value::Bool(true) };
    if step.for_each.is_none() {
        return output;
    }
    match step.on_item_error.unwrap_or_default() {
        OnItemError::Fail => json!({ "type": "array", "items": output }),
        OnItemError::Collect => json!({
            "type": "object", "additionalProperties": false, "required": ["results", "errors"],
            "properties": { "results": { "type": "array" }, "errors": { "type": "array" } }
        }),
        OnItemError::Drop => json!({
            "type": "object", "additionalProperties": false, "required": ["results", "indexes"],
            "properties": {
                "results": { "type": "array", "items": output },
                "indexes": { "type": "array", "items": { "type": "integer" } }
            }
        }),
    }
}

/// The executor's output, or what the config says of it (`x-schema-from`).
pub(super) fn way_output(way: &Way<'_>) -> Value {
    let Some(spec) = way.spec else { return Value::Bool(true) };
    if let Some(gives) = &way.gives {
        return gives.clone();
    }
    let from = spec.output.get("x-schema-from").and_then(Value::as_str);
    let Some(own) = from.and_then(|key| way.config?.get(key)) else { return spec.output.clone() };
    match &own.kind {
        crate::node::Kind::Map(_) => own.to_json(),
        _ => Value::Bool(true),
    }
}

/// Checks the schema that a step gives its own output, and warns where it has fields that the record hides.
pub(super) fn own_schema(step: &Step, way: &Way<'_>, spec: &ExecutorSpec, schemas: &mut Schemas, report: &mut Report) {
    let Some(key) = spec.output.get("x-schema-from").and_then(Value::as_str) else { return };
    let Some(schema) = way.config.and_then(|config| config.get(key)) else { return };
    if !matches!(schema.kind, crate::node::Kind::Map(_)) {
        return;
    }
    schemas.compile(&schema.to_json(), schema.span, report);
    let Some(properties) = schema.get("properties") else { return };
    for entry in properties.entries().iter().filter(|entry| names::RECORD_FIELDS.contains(&entry.key.as_str())) {
        let (name, field) = (&step.name.value, &entry.key);
        let message = format!("`steps.{name}.{field}` is the record's own field and hides this one");
        let hint = format!("Read it as `steps.{name}.output.{field}`, or call it something else.");
        report.hint(entry.key_span, codes::RECORD_NAME, (message, hint));
    }
}

/// The schema of a field, or the unknown name with the known ones.
pub(crate) fn field_schema(schema: &Value, path: &[String]) -> Result<Value, (String, Vec<String>)> {
    let mut at = schema;
    for name in path {
        at = resolve(schema, at);
        let Some(properties) = at.get("properties").and_then(Value::as_object) else { return Ok(Value::Bool(true)) };
        match properties.get(name) {
            Some(field) => at = field,
            None if at.get("additionalProperties") == Some(&Value::Bool(false)) => {
                return Err((name.clone(), properties.keys().cloned().collect()));
            }
            None => return Ok(Value::Bool(true)),
        }
    }
    Ok(resolve(schema, at).clone())
}

/// [`field_schema`] of what a template calls `item`: the record of an item, which has the fields of its element besides.
pub(crate) fn item_field_schema(item: &Value, path: &[String]) -> Result<Value, (String, Vec<String>)> {
    let of_record = path.first().is_some_and(|name| item["properties"].get(name).is_some());
    match item.get(ELEMENT) {
        Some(element) if !of_record => field_schema(element, path).map_err(|(field, mut known)| {
            if path.first() == Some(&field) {
                known.extend(item["properties"].as_object().into_iter().flat_map(|own| own.keys().cloned()));
            }
            (field, known)
        }),
        _ => field_schema(item, path),
    }
}

/// Marks the schema of an item's record, and holds that of its element.
pub(crate) const ELEMENT: &str = "x-element";

/// Follows local references; a schema that refers to itself for ever gives `true`.
pub(crate) fn resolve<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    let mut at = schema;
    for _ in 0..16 {
        let Some(reference) = at.get("$ref").and_then(Value::as_str) else { return at };
        match reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer)) {
            Some(target) => at = target,
            None => return &Value::Bool(true),
        }
    }
    &Value::Bool(true)
}

/// JSON Schema of the flow's answer as far as it is known.
pub(crate) fn output_schema(analysis: &Analysis<'_>) -> Value {
    match &analysis.flow.outputs {
        Some(outputs) => {
            let mut properties = Map::new();
            for output in outputs {
                let known = analysis.output_reads.get(&output.name).cloned();
                properties.insert(output.name.clone(), known.unwrap_or_else(|| literal(&output.value.to_json())));
            }
            let required: Vec<&String> = properties.keys().collect();
            json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
                "required": required, "additionalProperties": false, "properties": properties
            })
        }
        None => last(analysis),
    }
}

/// Without `outputs` the last step answers; one that may be skipped leaves it to the step before.
fn last(analysis: &Analysis<'_>) -> Value {
    let Some(index) = analysis.flow.steps.len().checked_sub(1) else { return Value::Bool(true) };
    if let Some(group) = analysis.names.group_of[index] {
        let members = analysis.names.steps_of(Target::Group(group));
        let properties: Map<String, Value> = members
            .into_iter()
            .map(|step| (analysis.flow.steps[step].name.value.clone(), analysis.steps[step].output.clone()))
            .collect();
        return json!({ "type": "object", "properties": properties });
    }
    if analysis.flow.steps[index].condition.is_some() {
        return Value::Bool(true);
    }
    analysis.steps[index].output.clone()
}

fn literal(value: &Value) -> Value {
    match value {
        Value::String(text) if !templates::is_template(text) => json!({ "const": text }),
        Value::String(text) if templates::only_expression(text).is_none() => json!({ "type": "string" }),
        Value::Bool(_) | Value::Number(_) | Value::Null => json!({ "const": value }),
        Value::Object(_) => json!({ "type": "object" }),
        Value::Array(_) => json!({ "type": "array" }),
        Value::String(_) => Value::Bool(true),
    }
}
