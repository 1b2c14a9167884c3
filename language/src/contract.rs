//! What changed for a flow's callers between two versions.
//!
//! Invariant: a change is called breaking if a call that was taken may be refused now, or an answer that was understood
//! may not be.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::plan::{InputPlan, Plan};

/// One change of the contract, in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub is_breaking: bool,
    /// `/inputs/note` or `/outputs/total`.
    pub pointer: String,
    pub message: String,
}

/// What differs for a caller of the newer version, breaking changes first.
#[must_use]
pub fn contract_changes(old: &Plan, new: &Plan) -> Vec<Change> {
    let mut changes = Vec::new();
    inputs(old, new, &mut changes);
    outputs(&old.output_schema, &new.output_schema, &mut changes);
    changes.sort_by_key(|change| !change.is_breaking);
    changes
}

fn add(changes: &mut Vec<Change>, is_breaking: bool, pointer: &str, message: String) {
    changes.push(Change { is_breaking, pointer: pointer.to_owned(), message });
}

fn inputs(old: &Plan, new: &Plan, changes: &mut Vec<Change>) {
    let (before, after) = match (&old.inputs, &new.inputs) {
        (None, None) => return,
        (None, Some(_)) => {
            let message = "Inputs are declared now: calls with other fields are refused.".to_owned();
            add(changes, true, "/inputs", message);
            return;
        }
        (Some(_), None) => {
            add(changes, false, "/inputs", "Inputs are no longer declared: any object is taken.".to_owned());
            return;
        }
        (Some(before), Some(after)) => (before, after),
    };
    for input in before {
        let pointer = format!("/inputs/{}", input.name);
        match after.iter().find(|other| other.name == input.name) {
            None => {
                let message = format!("The input `{}` is gone: calls that give it are refused.", input.name);
                add(changes, true, &pointer, message);
            }
            Some(now) => input_changes(input, now, &pointer, changes),
        }
    }
    for input in after.iter().filter(|input| !before.iter().any(|other| other.name == input.name)) {
        let pointer = format!("/inputs/{}", input.name);
        let message = if input.required {
            format!("The input `{}` is new and required.", input.name)
        } else {
            format!("The input `{}` is new and may be left out.", input.name)
        };
        add(changes, input.required, &pointer, message);
    }
}

fn input_changes(before: &InputPlan, after: &InputPlan, pointer: &str, changes: &mut Vec<Change>) {
    let name = &before.name;
    match (before.required, after.required) {
        (false, true) => add(changes, true, pointer, format!("The input `{name}` is required now.")),
        (true, false) => add(changes, false, pointer, format!("The input `{name}` may be left out now.")),
        _ => {}
    }
    if before.default != after.default && !(before.required || after.required) {
        let shown = |value: &Option<Value>| value.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        let (was, is) = (shown(&before.default), shown(&after.default));
        add(changes, false, pointer, format!("The default of `{name}` was {was} and is {is}."));
    }
    if before.kind != after.kind {
        let message = format!("The input `{name}` has another type: {} instead of {}.", word(after), word(before));
        add(changes, true, pointer, message);
        return;
    }
    bounds(name, (&before.schema, &after.schema), pointer, changes);
    if !after.accept.is_empty() && (before.accept.is_empty() || before.accept.iter().any(|kind| !after.accept.contains(kind)))
    {
        let message = format!("`{name}` takes fewer kinds of files: {}.", after.accept.join(", "));
        add(changes, true, pointer, message);
    } else if before.accept != after.accept {
        add(changes, false, pointer, format!("`{name}` takes more kinds of files."));
    }
    match (before.max_bytes, after.max_bytes) {
        (was, Some(is)) if was.is_none_or(|was| is < was) => {
            add(changes, true, pointer, format!("`{name}` takes files of at most {is} bytes now."));
        }
        (Some(was), is) if is.is_none_or(|is| is > was) => {
            add(changes, false, pointer, format!("`{name}` takes larger files."));
        }
        _ => {}
    }
}

fn word(input: &InputPlan) -> String {
    serde_json::to_value(input.kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Keywords that describe and do not bind.
const SILENT: &[&str] = &["description", "default", "examples", "title", "x-accept", "x-max-bytes"];

fn bounds(name: &str, (before, after): (&Value, &Value), pointer: &str, changes: &mut Vec<Change>) {
    let empty = Map::new();
    let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let keys: BTreeSet<&String> =
        before.keys().chain(after.keys()).filter(|key| !SILENT.contains(&key.as_str())).collect();
    for key in keys {
        let (was, is) = (before.get(key), after.get(key));
        if was == is {
            continue;
        }
        let (is_breaking, message) = match (key.as_str(), was, is) {
            (_, Some(_), None) => (false, format!("`{name}` is no longer bound by `{key}`.")),
            ("minimum" | "minLength" | "minItems" | "exclusiveMinimum", was, Some(is)) => {
                let tighter = was.is_none_or(|was| is.as_f64() > was.as_f64());
                (tighter, format!("`{key}` of `{name}` is {is} now."))
            }
            ("maximum" | "maxLength" | "maxItems" | "exclusiveMaximum", was, Some(is)) => {
                let tighter = was.is_none_or(|was| is.as_f64() < was.as_f64());
                (tighter, format!("`{key}` of `{name}` is {is} now."))
            }
            ("enum", Some(Value::Array(was)), Some(Value::Array(is))) => {
                let gone: Vec<String> =
                    was.iter().filter(|value| !is.contains(value)).map(ToString::to_string).collect();
                if gone.is_empty() {
                    (false, format!("`{name}` takes more values."))
                } else {
                    (true, format!("`{name}` no longer takes {}.", gone.join(", ")))
                }
            }
            _ => (true, format!("`{key}` of `{name}` differs: calls that fitted may be refused.")),
        };
        add(changes, is_breaking, pointer, message);
    }
}

fn outputs(old: &Value, new: &Value, changes: &mut Vec<Change>) {
    let properties = |schema: &Value| schema.get("properties").and_then(Value::as_object).cloned();
    let (before, after) = match (properties(old), properties(new)) {
        (Some(before), Some(after)) => (before, after),
        (Some(_), None) => {
            add(changes, true, "/outputs", "What the answer holds is no longer known.".to_owned());
            return;
        }
        _ => return,
    };
    let closed = new.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, was) in &before {
        let pointer = format!("/outputs/{name}");
        match after.get(name) {
            None if closed => add(changes, true, &pointer, format!("The output `{name}` is gone.")),
            None => add(changes, true, &pointer, format!("The output `{name}` is no longer promised.")),
            Some(is) => output_change(name, was, is, &pointer, changes),
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        add(changes, false, &format!("/outputs/{name}"), format!("The output `{name}` is new."));
    }
}

fn output_change(name: &str, was: &Value, is: &Value, pointer: &str, changes: &mut Vec<Change>) {
    let kinds = |schema: &Value| -> Option<Vec<String>> {
        match schema.get("type") {
            Some(Value::String(kind)) => Some(vec![kind.clone()]),
            Some(Value::Array(kinds)) => Some(kinds.iter().filter_map(|kind| kind.as_str().map(str::to_owned)).collect()),
            _ => schema.get("const").map(|value| vec![kind_of(value).to_owned()]),
        }
    };
    match (kinds(was), kinds(is)) {
        (Some(was), Some(is)) => {
            let fits = |kind: &String| was.contains(kind) || (kind == "integer" && was.iter().any(|was| was == "number"));
            if !is.iter().all(fits) {
                let message = format!("The output `{name}` has another type: {} instead of {}.", is.join(" or "), was.join(" or "));
                add(changes, true, pointer, message);
                return;
            }
        }
        (Some(was), None) => {
            let message = format!("The output `{name}` was {} and may be anything now.", was.join(" or "));
            add(changes, true, pointer, message);
            return;
        }
        _ => {}
    }
    let fields = |schema: &Value| schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    let (before, after) = (fields(was), fields(is));
    for field in before.keys().filter(|field| !after.contains_key(*field)) {
        let message = format!("The output `{name}` no longer promises the field `{field}`.");
        add(changes, true, &format!("{pointer}/{field}"), message);
    }
}

const fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
