//! An answer as data: what the model is told about the schema, and how its answer is held to it.
//!
//! Invariant: a schema is compiled before a token is spent, and never fetches anything.

use domain::{Failure, FailureKind};
use serde_json::Value;

use crate::config::flow_fault;

/// Problems told to the model and to people; more would not help either.
const MOST_PROBLEMS: usize = 10;

pub(super) struct Shape {
    schema: Value,
    validator: jsonschema::Validator,
}

impl Shape {
    pub(super) fn parse(schema: &Value) -> Result<Self, Failure> {
        let invalid = |reason: String| flow_fault("schema_invalid", format!("`schema` is no JSON Schema: {reason}."));
        if !schema.is_object() {
            return Err(invalid("it must be an object".to_owned()));
        }
        let validator = language::json_schema::compile(schema).map_err(invalid)?;
        Ok(Self { schema: schema.clone(), validator })
    }

    pub(super) const fn schema(&self) -> &Value {
        &self.schema
    }

    pub(super) fn fits(&self, value: &Value) -> bool {
        self.validator.is_valid(value)
    }

    /// Told to every model: not all servers know how to force an answer into a schema.
    pub(super) fn instruction(&self) -> String {
        format!("Answer with one JSON value that matches this JSON Schema, and with nothing else:\n{}", self.schema)
    }

    /// Reads the answer, or says what is wrong with it.
    pub(super) fn read(&self, answer: &str) -> Result<Value, Vec<String>> {
        let value: Value =
            serde_json::from_str(bare_json(answer)).map_err(|error| vec![format!("It is no JSON: {error}")])?;
        let problem = |error: jsonschema::ValidationError<'_>| {
            let place = error.instance_path().to_string();
            let text: String = error.to_string().chars().take(300).collect();
            if place.is_empty() { text } else { format!("At {place}: {text}") }
        };
        let problems: Vec<String> = self.validator.iter_errors(&value).take(MOST_PROBLEMS).map(problem).collect();
        if problems.is_empty() { Ok(value) } else { Err(problems) }
    }
}

/// The JSON in an answer: models like to put it into a code fence, or a sentence before it.
fn bare_json(answer: &str) -> &str {
    let text = answer.trim();
    let text = match text.split_once("```") {
        Some((before, fenced)) if !before.contains(['{', '[']) => {
            let fenced = fenced.strip_prefix("json").unwrap_or(fenced);
            fenced.split_once("```").map_or(fenced, |(inside, _)| inside).trim()
        }
        _ => text,
    };
    let first = text.find(['{', '[']);
    let last = text.rfind(['}', ']']);
    match (first, last) {
        (Some(first), Some(last)) if first < last => &text[first..=last],
        _ => text,
    }
}

pub(super) fn mismatch(problems: &[String]) -> Failure {
    let first = problems.first().map_or("", String::as_str);
    let message = format!("The model's answer does not match `schema`, and neither did its second try. {first}");
    Failure::new(FailureKind::Schema, "answer_schema", message)
}

pub(super) fn truncated() -> Failure {
    let message = "The answer ended at `max_tokens` before it was complete. Allow more, or ask for less.";
    Failure::new(FailureKind::Schema, "answer_truncated", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_is_found_where_models_put_it() {
        let shape = Shape::parse(&json!({"type": "object", "required": ["a"]})).unwrap();
        let answers = [
            "{\"a\": 1}",
            "```json\n{\"a\": 1}\n```",
            "Here you are:\n```\n{\"a\": 1}\n```\nAnything else?",
            "Sure! {\"a\": 1} Done.",
        ];
        for answer in answers {
            assert_eq!(shape.read(answer), Ok(json!({"a": 1})), "{answer}");
        }
        assert_eq!(shape.read("{\"b\": 1}").unwrap_err(), ["\"a\" is a required property"]);
        assert!(shape.read("I cannot.").unwrap_err()[0].starts_with("It is no JSON"));
    }

    #[test]
    fn a_schema_never_reaches_out() {
        let remote = json!({"$ref": "http://127.0.0.1:9/schema.json"});
        assert_eq!(Shape::parse(&remote).err().map(|failure| failure.code), Some("schema_invalid".into()));
        let local = json!({"$ref": "file:///etc/passwd"});
        assert_eq!(Shape::parse(&local).err().map(|failure| failure.code), Some("schema_invalid".into()));
    }
}
