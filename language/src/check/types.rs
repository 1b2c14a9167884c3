//! Types followed through a flow: what is known of the value of a look-up, and where that cannot be what is wanted.
//!
//! Invariant: what is not known fits everywhere; a problem is reported only where a value could never fit.

use std::collections::BTreeSet;

use minijinja::value::ValueKind;
use serde_json::{Value, json};

use super::outputs::{field_schema, item_field_schema, resolve};
use super::scope::{Scope, Spot, Templates};
use crate::catalogue::ExecutorSpec;
use crate::codes;
use crate::names;
use crate::node::{Kind, Node};
use crate::plan::Target;
use crate::suggest;
use crate::templates::{self, Comparison, Operation, Read};

type Types = BTreeSet<&'static str>;

impl Templates<'_, '_> {
    /// JSON Schema of what a text gives that is exactly one look-up.
    pub(super) fn text_schema(&self, text: &str, scope: &Scope) -> Option<Value> {
        let (_, inner) = templates::only_expression(text)?;
        self.expression_schema(inner, scope)
    }

    fn expression_schema(&self, inner: &str, scope: &Scope) -> Option<Value> {
        let found = templates::scan_expression(inner).ok()?;
        let [read] = found.reads.as_slice() else { return None };
        // Anything but the bare chain computes something else.
        if read.computed || inner.trim().len() != read.range.len() {
            return None;
        }
        self.read_schema(read, scope).filter(|schema| *schema != Value::Bool(true))
    }

    /// What is known of a value that may hold templates.
    pub(super) fn value_schema(&self, node: &Node, scope: &Scope) -> Value {
        match &node.kind {
            Kind::String(text) if !templates::is_template(text) => json!({ "const": text }),
            Kind::String(text) => match templates::only_expression(text) {
                Some(_) => self.text_schema(text, scope).unwrap_or(Value::Bool(true)),
                None => json!({ "type": "string" }),
            },
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => json!({ "const": node.to_json() }),
            Kind::List(_) => json!({ "type": "array" }),
            Kind::Map(_) => json!({ "type": "object" }),
        }
    }

    /// What is known of the items of a `for_each`.
    pub(super) fn item_schema(&self, list: &Node, scope: &Scope) -> Value {
        match &list.kind {
            Kind::List(items) => {
                let mut known = items.iter().map(|item| self.value_schema(item, scope));
                let first = known.next().map_or(Value::Bool(true), |schema| without_value(&schema));
                if known.all(|schema| without_value(&schema) == first) { first } else { Value::Bool(true) }
            }
            Kind::String(text) => {
                let inner = templates::only_expression(text).map_or(text.as_str(), |(_, inner)| inner);
                self.expression_schema(inner, scope).map_or(Value::Bool(true), |schema| item_of_output(&schema))
            }
            _ => Value::Bool(true),
        }
    }

    fn read_schema(&self, read: &Read, scope: &Scope) -> Option<Value> {
        if let Some(schema) = scope.extra.get(&read.root) {
            return item_field_schema(schema, &read.path).ok();
        }
        match read.root.as_str() {
            "inputs" => {
                let (name, rest) = read.path.split_first()?;
                let input = self.subject.flow.inputs.iter().flatten().find(|input| input.name.value == *name)?;
                field_schema(&super::input_value_schema(input), rest).ok()
            }
            "vars" => {
                let (name, rest) = read.path.split_first()?;
                let index = self.subject.flow.vars.iter().position(|variable| variable.name == *name)?;
                field_schema(self.variables.get(index)?, rest).ok()
            }
            "steps" => {
                let (name, rest) = read.path.split_first()?;
                let (step, rest) = match self.names.get(name)? {
                    Target::Step(step) => (step, rest),
                    Target::Group(group) => {
                        let (member, rest) = rest.split_first()?;
                        let members = &self.names.groups[group].members;
                        let is_named = |step: &&usize| self.subject.steps[**step].name.value == *member;
                        (*members.iter().find(is_named)?, rest)
                    }
                };
                record_schema(&self.schemas[step], rest)
            }
            _ => None,
        }
    }

    /// Reports a template whose value can never be what a config key takes.
    pub(super) fn fits(&mut self, key: &str, node: &Node, (spec, wanted): (&ExecutorSpec, &Value), scope: &Scope) {
        let wanted = resolve(&spec.config, wanted);
        match &node.kind {
            Kind::String(text) if templates::is_template(text) => {
                let given = match templates::only_expression(text) {
                    Some(_) => self.text_schema(text, scope),
                    None => Some(json!({ "type": "string" })),
                };
                let Some((given, taken)) =
                    given.and_then(|given| Some((types(&given, &given)?, types(&spec.config, wanted)?)))
                else {
                    return;
                };
                // Whether it may be left out is another question.
                let given: Types = given.into_iter().filter(|name| *name != "null").collect();
                if !given.is_empty() && !given.iter().any(|given| takes(&taken, given)) {
                    let message =
                        format!("`{key}` of `{}` takes {}, and this gives {}", spec.name, words(&taken), words(&given));
                    self.report.add(node.span, codes::TYPE_MISFIT, message);
                }
            }
            Kind::Map(entries) => {
                let Some(properties) = wanted.get("properties").and_then(Value::as_object) else { return };
                for entry in entries {
                    if let Some(wanted) = properties.get(&entry.key) {
                        self.fits(&entry.key, &entry.value, (spec, wanted), scope);
                    }
                }
            }
            Kind::List(items) => {
                let Some(wanted) = wanted.get("items") else { return };
                for item in items {
                    self.fits(key, item, (spec, wanted), scope);
                }
            }
            _ => {}
        }
    }

    /// Reports a look-up that is computed with, or ordered against, a literal of another kind.
    pub(super) fn operates(&mut self, spot: Spot<'_>, operation: &Operation, scope: &Scope) {
        let read = bare_read(&operation.root, &operation.path);
        let Some(given) = self.read_schema(&read, scope).and_then(|schema| types(&schema, &schema)) else { return };
        if given.iter().any(|given| *given == "null" || go_together(given, operation.kind)) {
            return;
        }
        let shown = format!("{}.{}", read.root, read.path.join("."));
        let literal = if operation.kind == ValueKind::String { "text" } else { "a number" };
        if operation.is_order {
            let message = format!("`{shown}` is {} and is neither less nor more than {literal}", words(&given));
            let hint = "What is of another kind comes in an order of its own, whatever its value.";
            self.hint(spot, codes::NEVER_EQUAL, (message, hint));
        } else {
            let message = format!("`{shown}` is {} and cannot be computed with {literal}", words(&given));
            self.hint(spot, codes::TYPE_MISFIT, (message, "Turn one into the other first: `| int`, `| string`."));
        }
    }

    /// Reports an expression whose value can never be what it has to be: `boolean` or `array`.
    pub(super) fn gives(
        &mut self,
        written: (&Node, &str),
        (what, wanted): (&str, &'static str),
        scope: &Scope,
    ) -> bool {
        let (node, text) = written;
        let schema = self.expression_schema(text, scope);
        let Some(given) = schema.and_then(|schema| types(&schema, &schema)) else { return true };
        let given: Types = given.into_iter().filter(|name| *name != "null").collect();
        if given.is_empty() || given.contains(wanted) {
            return true;
        }
        if wanted == "boolean" {
            let message = format!("{what} must be true or false, and this gives {}", words(&given));
            self.report.hint(node.span, codes::NOT_AN_EXPRESSION, (message, "Compare it with something."));
        } else {
            let message = format!("{what} takes a list, and this gives {}", words(&given));
            self.report.add(node.span, codes::TYPE_MISFIT, message);
        }
        false
    }

    /// Reports a comparison of a look-up with a literal that it can never be.
    pub(super) fn never_equal(&mut self, spot: Spot<'_>, comparison: &Comparison, scope: &Scope) {
        let read = bare_read(&comparison.root, &comparison.path);
        if read.root == "steps" && read.path.last().is_some_and(|field| field == "status") {
            return;
        }
        let Some(schema) = self.read_schema(&read, scope) else { return };
        let shown = format!("{}.{}", read.root, read.path.join("."));
        let literal = crate::reader::shorten(&comparison.literal);
        if let Some(choices) = choices(&schema)
            && comparison.kind == ValueKind::String
        {
            if !choices.iter().any(|choice| *choice == comparison.literal) {
                let message = format!("`{shown}` is never `{literal}`");
                self.hint(spot, codes::NEVER_EQUAL, (message, suggest::did_you_mean(&comparison.literal, choices)));
            }
            return;
        }
        let name = match comparison.kind {
            ValueKind::String => "string",
            ValueKind::Number => "number",
            ValueKind::Bool => "boolean",
            _ => return,
        };
        let Some(known) = types(&schema, &schema) else { return };
        // Templates take booleans for the numbers 0 and 1.
        let counts = |name: &str| matches!(name, "boolean" | "number" | "integer");
        let may_be = takes(&known, name) || (counts(name) && known.iter().any(|known| counts(known)));
        if !may_be {
            let message = format!("`{shown}` is {} and never equals `{literal}`", words(&known));
            self.hint(spot, codes::NEVER_EQUAL, (message, ""));
        }
    }
}

fn bare_read(root: &str, path: &[String]) -> Read {
    Read { root: root.to_owned(), path: path.to_vec(), computed: false, guarded: true, asked: Vec::new(), range: 0..0 }
}

/// Numbers, or values of one kind.
fn go_together(given: &str, literal: ValueKind) -> bool {
    match literal {
        ValueKind::Number => matches!(given, "integer" | "number" | "boolean"),
        ValueKind::String => given == "string",
        _ => true,
    }
}

/// The schema of a look-up in a step's record.
fn record_schema(output: &Value, rest: &[String]) -> Option<Value> {
    let path = match rest.first().map(String::as_str) {
        None => rest,
        Some("output") => &rest[1..],
        Some("success" | "skipped" | "cached") => return Some(json!({ "type": "boolean" })),
        Some("attempts") => return Some(json!({ "type": "integer" })),
        Some(field) if names::RECORD_FIELDS.contains(&field) => return None,
        Some(_) => rest,
    };
    field_schema(output, path).ok()
}

/// The schema of what a list's schema holds.
pub(super) fn item_of_output(list: &Value) -> Value {
    let items = list.get("items").map(|items| resolve(list, items).clone());
    items.filter(Value::is_object).unwrap_or(Value::Bool(true))
}

/// A literal's type instead of its value.
fn without_value(schema: &Value) -> Value {
    match schema.get("const") {
        Some(value) => json!({ "type": name_of(value) }),
        None => schema.clone(),
    }
}

fn name_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

const NAMES: &[&str] = &["string", "integer", "number", "boolean", "object", "array", "null"];

/// The types that a schema lets through; `None`: not known, or any.
fn types(root: &Value, schema: &Value) -> Option<Types> {
    types_within(root, schema, 8)
}

fn types_within(root: &Value, schema: &Value, depth: usize) -> Option<Types> {
    let schema = resolve(root, schema);
    let known = |name: &Value| NAMES.iter().copied().find(|known| name.as_str() == Some(known));
    if let Some(name) = schema.get("type") {
        return match name {
            Value::Array(names) => names.iter().map(known).collect(),
            name => known(name).map(|name| Types::from([name])),
        };
    }
    if let Some(value) = schema.get("const") {
        return Some(Types::from([name_of(value)]));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return Some(values.iter().map(name_of).collect());
    }
    let branches = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array)?;
    let depth = depth.checked_sub(1)?;
    let all: Option<Vec<Types>> = branches.iter().take(32).map(|branch| types_within(root, branch, depth)).collect();
    Some(all?.into_iter().flatten().collect())
}

/// What is taken and what is given, in words, where none of it can be the other. Whether it may be left out is another
/// question.
pub(crate) fn misfit(given: &Value, wanted: &Value) -> Option<(String, String)> {
    let (given, taken) = (types(given, given)?, types(wanted, wanted)?);
    let given: Types = given.into_iter().filter(|name| *name != "null").collect();
    let fits = given.is_empty() || given.iter().any(|given| takes(&taken, given));
    (!fits).then(|| (words(&taken), words(&given)))
}

fn takes(taken: &Types, given: &str) -> bool {
    taken.contains(given)
        || (matches!(given, "integer" | "number") && (taken.contains("integer") || taken.contains("number")))
}

fn words(types: &Types) -> String {
    let word = |name: &&str| match *name {
        "string" => "text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "a boolean",
        "object" => "an object",
        "array" => "a list",
        _ => "null",
    };
    let words: Vec<&str> = types.iter().map(word).collect();
    words.join(" or ")
}

fn choices(schema: &Value) -> Option<Vec<&str>> {
    let values = schema.get("enum").and_then(Value::as_array)?;
    values.iter().map(Value::as_str).collect()
}
