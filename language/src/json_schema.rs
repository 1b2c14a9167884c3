//! JSON Schema: compiling tenants' schemas and saying in words what does not fit.
//!
//! Invariant: nothing is fetched (references stay inside the document), patterns cannot backtrack, and references cannot
//! multiply what is looked at.

use std::sync::OnceLock;

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;

use crate::schema_work;

/// What one pattern may take when it is compiled.
const PATTERN_BYTES: usize = 512 * 1024;

/// How many patterns a schema holds: each costs when it is compiled.
pub(crate) fn patterns(schema: &Value) -> usize {
    match schema {
        Value::Object(object) => {
            let own = usize::from(object.get("pattern").is_some_and(Value::is_string));
            let keyed = object.get("patternProperties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
            own + keyed + object.values().map(patterns).sum::<usize>()
        }
        Value::Array(items) => items.iter().map(patterns).sum(),
        _ => 0,
    }
}

/// Compiles a schema of draft 2020-12 that others wrote.
///
/// # Errors
/// Why it is none, or why it asks for too much.
pub fn compile(schema: &Value) -> Result<Validator, String> {
    if let Some(reason) = schema_work::objection(schema) {
        return Err(reason);
    }
    trusted(schema)
}

/// Compiles a schema of our own, whose references are known.
pub(crate) fn trusted(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES).dfa_size_limit(PATTERN_BYTES))
        .build(schema)
        .map_err(|error| crate::reader::shorten(&error.to_string()))
}

/// A schema's validator, made when it is first asked for: compiling one costs more than most calls. It is no part of a
/// plan's value, so copies begin without it and all are equal.
#[derive(Debug, Default)]
pub(crate) struct Compiled(OnceLock<Option<Validator>>);

impl Compiled {
    /// `None` for a schema that cannot be used.
    pub(crate) fn of(&self, schema: &Value) -> Option<&Validator> {
        self.0.get_or_init(|| compile(schema).ok()).as_ref()
    }
}

impl Clone for Compiled {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Compiled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// The first thing that does not fit: a JSON pointer and a sentence.
pub(crate) fn first_problem(validator: &Validator, value: &Value) -> Option<(String, String)> {
    problems(validator, value).into_iter().next()
}

/// What does not fit, at most twenty of it.
pub(crate) fn problems(validator: &Validator, value: &Value) -> Vec<(String, String)> {
    validator
        .iter_errors(value)
        .take(20)
        .map(|error| {
            // A large value is not repeated to its sender.
            let masked: String = error.to_string().chars().take(300).collect();
            (error.instance_path().to_string(), masked)
        })
        .collect()
}
