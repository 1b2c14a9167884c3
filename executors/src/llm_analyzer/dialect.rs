//! How a server wants to be asked. "OpenAI-compatible" covers many: some know no stream options, some no schemas, some
//! another name for the output limit.
//!
//! Invariant: each concession is made at most once, and only to a refusal that names what it is about; the output limit is
//! sent in every form.

use serde_json::{Map, Value, json};

use super::completion::Asking;
use super::prompt::Messages;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    JsonSchema,
    JsonObject,
    Free,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dialect {
    pub(super) streams: bool,
    reports_usage: bool,
    limit_field: &'static str,
    form: Form,
}

impl Dialect {
    pub(super) const fn first(has_schema: bool) -> Self {
        let form = if has_schema { Form::JsonSchema } else { Form::Free };
        Self { streams: true, reports_usage: true, limit_field: "max_tokens", form }
    }

    /// What to leave out after a refusal with these words; `None` if it is about something else.
    pub(super) fn concede(self, refusal: &str) -> Option<Self> {
        let says = |word: &str| refusal.contains(word);
        if self.limit_field == "max_tokens" && says("max_completion_tokens") {
            return Some(Self { limit_field: "max_completion_tokens", ..self });
        }
        if self.streams && self.reports_usage && (says("stream_options") || says("include_usage")) {
            return Some(Self { reports_usage: false, ..self });
        }
        if self.form != Form::Free && (says("response_format") || says("json_schema") || says("json_object")) {
            let form = if self.form == Form::JsonSchema { Form::JsonObject } else { Form::Free };
            return Some(Self { form, ..self });
        }
        if self.streams && says("stream") {
            return Some(Self { streams: false, ..self });
        }
        None
    }

    pub(super) fn body(self, asking: &Asking<'_>, messages: &Messages) -> Value {
        let mut body = Map::new();
        body.insert("model".into(), json!(asking.endpoint.model));
        body.insert("messages".into(), Value::Array(messages.list.clone()));
        body.insert(self.limit_field.into(), json!(asking.max_tokens));
        if let Some(temperature) = asking.temperature {
            body.insert("temperature".into(), json!(temperature));
        }
        if self.streams {
            body.insert("stream".into(), json!(true));
            if self.reports_usage {
                body.insert("stream_options".into(), json!({"include_usage": true}));
            }
        }
        match (self.form, asking.schema) {
            (Form::JsonSchema, Some(schema)) => {
                let format = json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}});
                body.insert("response_format".into(), format);
            }
            (Form::JsonObject, Some(_)) => {
                body.insert("response_format".into(), json!({"type": "json_object"}));
            }
            _ => {}
        }
        Value::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_costs_only_what_it_names_and_each_thing_once() {
        let first = Dialect::first(true);
        let plain = first.concede("unknown field stream_options").unwrap();
        assert!(plain.streams && !plain.reports_usage);
        assert_eq!(first.concede("messages: too short"), None);
        let mut current = first;
        let mut steps = 0;
        while let Some(next) = current.concede("max_completion_tokens stream_options response_format stream") {
            current = next;
            steps += 1;
        }
        assert_eq!((steps, current.streams, current.form), (5, false, Form::Free));
    }
}
