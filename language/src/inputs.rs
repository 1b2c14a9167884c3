//! A call's inputs against what the flow declares.
//!
//! Invariant: what comes out fits the plan's `input_schema`, defaults filled in; files are file values.

use std::collections::BTreeMap;

use domain::{FieldProblem, FileRef};
use serde_json::{Map, Value};

use crate::json_schema;
use crate::plan::{InputKind, InputPlan, Plan};
use crate::suggest;

/// Reads a JSON body and the files that came with it, by field.
///
/// # Errors
/// Every field that does not fit.
pub fn parse(plan: &Plan, body: Value, files: &BTreeMap<String, FileRef>) -> Result<Value, Vec<FieldProblem>> {
    let Value::Object(fields) = body else {
        return Err(vec![problem("", "the inputs must be a JSON object", None)]);
    };
    read(plan, fields, files)
}

/// Reads the text fields of a form, turning each into what the flow declares; empty text is a field left out.
///
/// # Errors
/// Every field that does not fit.
pub fn parse_form(
    plan: &Plan,
    form: &BTreeMap<String, String>,
    files: &BTreeMap<String, FileRef>,
) -> Result<Value, Vec<FieldProblem>> {
    let mut fields = Map::new();
    let mut problems = Vec::new();
    for (name, text) in form {
        let input = plan.inputs.iter().flatten().find(|input| input.name == *name);
        match input.map_or(Ok(Some(Value::String(text.clone()))), |input| from_text(input, text)) {
            Ok(Some(value)) => {
                fields.insert(name.clone(), value);
            }
            Ok(None) => {}
            Err(message) => problems.push(problem(name, &message, None)),
        }
    }
    // An unticked box is not sent at all.
    for input in plan.inputs.iter().flatten() {
        if input.kind == InputKind::Boolean && input.required && !form.contains_key(&input.name) {
            fields.insert(input.name.clone(), Value::Bool(false));
        }
    }
    let bad: Vec<String> = problems.iter().map(|problem| problem.pointer.clone()).collect();
    match read(plan, fields, files) {
        Ok(value) if problems.is_empty() => Ok(value),
        Ok(_) => Err(problems),
        Err(more) => {
            // A field that could not be read is not missing as well.
            problems.extend(more.into_iter().filter(|problem| !bad.contains(&problem.pointer)));
            Err(problems)
        }
    }
}

fn from_text(input: &InputPlan, text: &str) -> Result<Option<Value>, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(None);
    }
    let kind = match input.kind {
        InputKind::Schema => match input.schema.get("type").and_then(Value::as_str) {
            Some("integer") => InputKind::Integer,
            Some("number") => InputKind::Number,
            Some("boolean") => InputKind::Boolean,
            Some("string") => InputKind::String,
            _ => InputKind::Object,
        },
        kind => kind,
    };
    let json = || serde_json::from_str::<Value>(trimmed);
    match kind {
        InputKind::Integer => trimmed
            .parse::<i64>()
            .map(|value| Some(Value::from(value)))
            .map_err(|_| "must be a whole number".to_owned()),
        InputKind::Number => match trimmed.parse::<f64>() {
            Ok(value) if value.is_finite() => {
                Ok(Some(json().ok().filter(Value::is_number).unwrap_or_else(|| Value::from(value))))
            }
            _ => Err("must be a number".to_owned()),
        },
        InputKind::Boolean => match trimmed {
            "true" | "on" | "1" => Ok(Some(Value::Bool(true))),
            "false" | "off" | "0" => Ok(Some(Value::Bool(false))),
            _ => Err("must be true or false".to_owned()),
        },
        InputKind::Object | InputKind::Array | InputKind::File => {
            json().map(Some).map_err(|error| format!("must be JSON: {error}"))
        }
        InputKind::Enum => {
            // The choice as it was declared: `1` in a form may be the number or the text.
            let choices = input.schema.get("enum").and_then(Value::as_array);
            let shown = |choice: &&Value| {
                let shown = choice.as_str().map_or_else(|| choice.to_string(), str::to_owned);
                shown == trimmed
            };
            let chosen = choices.and_then(|choices| choices.iter().find(shown));
            Ok(Some(chosen.cloned().unwrap_or_else(|| Value::String(text.to_owned()))))
        }
        InputKind::String | InputKind::Schema => Ok(Some(Value::String(text.to_owned()))),
    }
}

fn read(
    plan: &Plan,
    mut fields: Map<String, Value>,
    files: &BTreeMap<String, FileRef>,
) -> Result<Value, Vec<FieldProblem>> {
    let mut problems = Vec::new();
    for (name, file) in files {
        if fields.contains_key(name) {
            problems.push(problem(name, "given both as a file and as a field", None));
        } else if let Ok(value) = serde_json::to_value(file) {
            fields.insert(name.clone(), value);
        }
    }
    let Some(inputs) = &plan.inputs else {
        return if problems.is_empty() { Ok(Value::Object(fields)) } else { Err(problems) };
    };
    for name in fields.keys().filter(|name| !inputs.iter().any(|input| input.name == **name)) {
        let hint = suggest::did_you_mean(name, inputs.iter().map(|input| input.name.as_str()));
        problems.push(problem(name, "the flow has no such input", Some(hint).filter(|hint| !hint.is_empty())));
    }
    let mut values = Map::new();
    for input in inputs {
        match fields.remove(&input.name).filter(|value| !value.is_null() || takes_null(input)) {
            Some(value) => {
                problems.extend(misfits(input, &value));
                values.insert(input.name.clone(), value);
            }
            None => match &input.default {
                Some(default) => {
                    values.insert(input.name.clone(), default.clone());
                }
                None if input.required => problems.push(problem(&input.name, "is required", None)),
                None => {}
            },
        }
    }
    if problems.is_empty() { Ok(Value::Object(values)) } else { Err(problems) }
}

fn takes_null(input: &InputPlan) -> bool {
    matches!(input.kind, InputKind::Schema | InputKind::Enum)
}

fn misfits(input: &InputPlan, value: &Value) -> Vec<FieldProblem> {
    if input.kind == InputKind::File {
        return file_misfit(input, value).into_iter().collect();
    }
    let Some(validator) = input.compiled.of(&input.schema) else {
        return vec![problem(&input.name, "its schema cannot be used", None)];
    };
    json_schema::problems(validator, value)
        .into_iter()
        .map(|(path, message)| FieldProblem { pointer: format!("{}{path}", pointer(&input.name)), message, hint: None })
        .collect()
}

fn file_misfit(input: &InputPlan, value: &Value) -> Option<FieldProblem> {
    let Some(file) = FileRef::from_value(value) else {
        return Some(problem(
            &input.name,
            "must be a file",
            Some("Send it as a part of a multipart form, or upload it before and give {\"file_id\": ...}.".to_owned()),
        ));
    };
    if let Some(most) = input.max_bytes
        && file.size_bytes > most
    {
        return Some(problem(
            &input.name,
            &format!("the file has {} bytes; at most {most} are taken", file.size_bytes),
            None,
        ));
    }
    if !input.accept.is_empty() && !input.accept.iter().any(|accepted| accepts(accepted, &file)) {
        let message = format!("files of the type {} are not taken", file.media_type);
        return Some(problem(&input.name, &message, Some(format!("Taken are {}.", input.accept.join(", ")))));
    }
    None
}

/// `application/pdf`, `image/*`, `*/*` or `.pdf`.
fn accepts(accepted: &str, file: &FileRef) -> bool {
    let accepted = accepted.to_ascii_lowercase();
    let media_type = file.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if accepted == "*/*" || accepted == media_type {
        return true;
    }
    if let Some(family) = accepted.strip_suffix("/*") {
        return media_type.split('/').next() == Some(family);
    }
    let extension = accepted.strip_prefix('.').unwrap_or(&accepted);
    !accepted.contains('/') && file.name.to_ascii_lowercase().ends_with(&format!(".{extension}"))
}

fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn problem(name: &str, message: &str, hint: Option<String>) -> FieldProblem {
    let pointer = if name.is_empty() { String::new() } else { pointer(name) };
    FieldProblem { pointer, message: message.to_owned(), hint }
}
