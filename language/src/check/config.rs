//! A step's config against its executor's schema. A string with a template fits everywhere: only the run can tell.
//!
//! Invariant: a literal that passes here passes the executor's own schema.

use serde_json::Value;

use super::Way;
use super::outputs::resolve;
use crate::catalogue::{Catalogue, ExecutorSpec};
use crate::codes;
use crate::flow::Located;
use crate::json_schema;
use crate::node::{Kind, Node};
use crate::report::Report;
use crate::suggest;
use crate::templates;

/// Looks the executor up.
pub(super) fn executor<'a>(
    executor: &Located<String>,
    catalogue: &'a Catalogue,
    report: &mut Report,
) -> Option<&'a ExecutorSpec> {
    let name = &executor.value;
    let found = catalogue.get(name);
    // A missing one is reported where it is missing.
    if found.is_none() && !name.is_empty() {
        if name.starts_with("plugin:") {
            let hint = "Plugins come with a later version.";
            let message = format!("`{}` is not available yet in this version", crate::reader::shorten(name));
            report.hint(executor.span, codes::NOT_YET, (message, hint));
            return None;
        }
        let message = format!("there is no executor `{}`", crate::reader::shorten(name));
        let known: Vec<&str> = catalogue.iter().map(|spec| spec.name.as_str()).collect();
        let hint = suggest::did_you_mean(name, known);
        report.hint(executor.span, codes::UNKNOWN_EXECUTOR, (message, hint));
    }
    found
}

pub(super) fn check(way: &Way<'_>, spec: &ExecutorSpec, report: &mut Report) {
    let mut check = Check { spec, report };
    let empty = Node { kind: Kind::Map(Vec::new()), span: way.executor.span };
    let config = way.config.unwrap_or(&empty);
    check.object(config, &spec.config, true);
}

struct Check<'a> {
    spec: &'a ExecutorSpec,
    report: &'a mut Report,
}

impl Check<'_> {
    fn value(&mut self, name: &str, node: &Node, schema: &Value) {
        let schema = resolve(&self.spec.config, schema);
        let has_template = {
            let mut found = false;
            node.each_text(&mut |_, text| found |= templates::is_template(text));
            found
        };
        match &node.kind {
            Kind::String(_) if has_template => {}
            Kind::Map(_) if schema.get("properties").is_some() => self.object(node, schema, false),
            Kind::List(items) if has_template && schema.get("items").is_some() => {
                for item in items {
                    self.value(name, item, &schema["items"]);
                }
            }
            _ if has_template => {}
            _ => self.literal(name, node, schema),
        }
    }

    /// A mapping key by key, so that problems point at the key they mean.
    fn object(&mut self, node: &Node, schema: &Value, top: bool) {
        let empty = serde_json::Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        for entry in node.entries() {
            match properties.get(&entry.key) {
                Some(property) => self.value(&entry.key, &entry.value, property),
                None if top && self.spec.open_config => self.variable(&entry.key, entry.key_span, properties),
                None if closed || top => {
                    let executor = &self.spec.name;
                    let message =
                        format!("`{executor}` has no config key `{}` here", crate::reader::shorten(&entry.key));
                    let hint = suggest::did_you_mean(&entry.key, properties.keys().map(String::as_str));
                    self.report.hint(entry.key_span, codes::UNKNOWN_CONFIG, (message, hint));
                }
                None => {}
            }
        }
        if top {
            self.one_of(node, schema);
        }
        let main = self.spec.main_input.as_ref().map(|main| main.field.as_str()).filter(|_| top);
        for required in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let Some(key) = required.as_str() else { continue };
            if main != Some(key) && node.get(key).is_none() {
                let message = format!("`{}` needs the config key `{key}`", self.spec.name);
                let description = properties.get(key).and_then(|property| property.get("description")?.as_str());
                let hint = description.unwrap_or_default();
                let start = node.span.before();
                self.report.hint(start, codes::MISSING_CONFIG, (message, hint));
            }
        }
    }

    /// A schema that wants one of several keys.
    fn one_of(&mut self, node: &Node, schema: &Value) {
        let Some(branches) = schema.get("anyOf").and_then(Value::as_array) else { return };
        let keys = |branch: &Value| -> Option<Vec<String>> {
            let keys = branch.get("required")?.as_array()?;
            Some(keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect())
        };
        let Some(wanted) = branches.iter().map(keys).collect::<Option<Vec<_>>>() else { return };
        if !wanted.iter().any(|keys| keys.iter().all(|key| node.get(key).is_some())) {
            let names: Vec<String> = wanted.iter().map(|keys| format!("`{}`", keys.join("` and `"))).collect();
            let message = format!("`{}` needs one of the config keys {}", self.spec.name, names.join(", "));
            self.report.add(node.span.before(), codes::MISSING_CONFIG, message);
        }
    }

    /// A key that is not the executor's own is a variable of the prompt, unless it must be a slip.
    fn variable(&mut self, key: &str, span: crate::source::Span, properties: &serde_json::Map<String, Value>) {
        if let Some(known) = properties.keys().find(|known| suggest::is_slip(key, known)) {
            let message = format!("`{key}` is nearly the config key `{known}`");
            let hint =
                format!("Did you mean `{known}`? A variable of the prompt needs a name that cannot be taken for it.");
            self.report.hint(span, codes::UNKNOWN_CONFIG, (message, hint));
        }
    }

    fn literal(&mut self, name: &str, node: &Node, schema: &Value) {
        // Local references must find their definitions.
        let mut whole = schema.clone();
        if let (Value::Object(object), Some(definitions)) = (&mut whole, self.spec.config.get("$defs")) {
            object.insert("$defs".to_owned(), definitions.clone());
        }
        let Ok(validator) = json_schema::trusted(&whole) else { return };
        if let Some((_, reason)) = json_schema::first_problem(&validator, &node.to_json()) {
            let hint = choices(node, schema).unwrap_or_default();
            let message = format!("`{name}` does not fit `{}`: {reason}", self.spec.name);
            self.report.hint(node.span, codes::CONFIG_MISFIT, (message, hint));
        }
    }
}

fn choices(node: &Node, schema: &Value) -> Option<String> {
    let words: Vec<&str> = schema.get("enum")?.as_array()?.iter().filter_map(Value::as_str).collect();
    Some(suggest::did_you_mean(node.as_str()?, words))
}
