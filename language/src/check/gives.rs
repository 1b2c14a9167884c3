//! What a step gives whose executor only hands on what its config says: `x-gives` in the schema of its output.
//!
//! Invariant: what is found holds for every run; whatever is not certain, or large, is not known.

use serde_json::{Map, Value, json};

use super::outputs;
use super::scope::{Scope, Templates};
use super::{StepFacts, Subject, Way};
use crate::node::{Kind, Node};
use crate::templates;

/// Steps may be written before what they read; a line of them that runs backwards is followed this far.
const PASSES: usize = 4;
/// A larger schema would grow along a line of steps without an end.
const LARGEST: usize = 256;

/// Finds out what the steps give, as far as their configs say.
pub(super) fn infer(templates: &mut Templates<'_, '_>, subject: Subject<'_>, steps: &mut [StepFacts<'_>]) {
    for _ in 0..PASSES {
        let mut is_settled = true;
        for (index, step) in subject.steps.iter().enumerate() {
            // What stands in for a failure may be anything else.
            if step.on_error.as_ref().is_some_and(|on_error| on_error.value().is_some()) {
                continue;
            }
            let facts = &mut steps[index];
            let scope = Scope { steps: true, vars: subject.flow.vars.len(), ..Scope::default() };
            for way in std::iter::once(&mut facts.own).chain(&mut facts.fallbacks) {
                way.gives = given(templates, way, &scope).filter(|schema| size(schema) <= LARGEST);
            }
            let output = outputs::step_output(step, &facts.own, &facts.fallbacks);
            if output != facts.output {
                is_settled = false;
                templates.schemas[index] = output.clone();
                facts.output = output;
            }
        }
        if is_settled {
            return;
        }
    }
}

fn given(templates: &Templates<'_, '_>, way: &Way<'_>, scope: &Scope) -> Option<Value> {
    let (rule, config) = (way.spec?.output.get("x-gives")?, way.config?);
    let word = |key: &str| rule.get(key).and_then(Value::as_str);
    let besides = rule.get("unless").and_then(Value::as_array);
    if besides.into_iter().flatten().filter_map(Value::as_str).any(|key| config.get(key).is_some()) {
        return None;
    }
    let known = |node: &Node| Some(templates.given_schema(node, scope)).filter(|schema| *schema != Value::Bool(true));
    if let Some(field) = word("field") {
        return known(config.get(field)?);
    }
    if let Some(named) = word("named") {
        return known(config.get(named)?)
            .filter(|_| matches!(config.get(named).map(|node| &node.kind), Some(Kind::Map(_))));
    }
    let (cases, value) = (config.get(word("cases")?)?, word("value")?);
    let Kind::List(cases) = &cases.kind else { return None };
    let values = cases.iter().map(|case| case.get(value)).chain(config.get(word("otherwise")?).map(Some));
    let mut branches: Vec<Value> = Vec::new();
    for value in values {
        let schema = known(value?)?;
        if !branches.contains(&schema) {
            branches.push(schema);
        }
    }
    match branches.len() {
        0 => None,
        1 => branches.pop(),
        _ => Some(json!({ "anyOf": branches })),
    }
}

fn size(schema: &Value) -> usize {
    match schema {
        Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

impl Templates<'_, '_> {
    /// What is known of a rendered value, all the way down.
    fn given_schema(&self, node: &Node, scope: &Scope) -> Value {
        match &node.kind {
            Kind::String(text) if !templates::is_template(text) => json!({ "type": "string" }),
            Kind::String(_) => self.value_schema(node, scope),
            Kind::Null => json!({ "type": "null" }),
            Kind::Bool(_) => json!({ "type": "boolean" }),
            Kind::Number(number) => json!({ "type": if number.is_f64() { "number" } else { "integer" } }),
            Kind::List(items) => {
                let mut known = items.iter().map(|item| self.given_schema(item, scope));
                match known.next() {
                    Some(first) if first != Value::Bool(true) && known.all(|schema| schema == first) => {
                        json!({ "type": "array", "items": first })
                    }
                    _ => json!({ "type": "array" }),
                }
            }
            Kind::Map(entries) => {
                if entries.len() > LARGEST {
                    return json!({ "type": "object" });
                }
                let fields = entries.iter().map(|entry| (entry.key.clone(), self.given_schema(&entry.value, scope)));
                let properties: Map<String, Value> = fields.collect();
                json!({ "type": "object", "properties": properties, "additionalProperties": false })
            }
        }
    }
}
