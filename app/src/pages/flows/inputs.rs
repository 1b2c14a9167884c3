//! A flow's inputs as form fields, read out of its JSON Schema.
//!
//! Invariant: whatever the schema says, there is a field for every declared input; what has no better one gets JSON.

use serde_json::Value;

/// What kind of control an input gets.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::pages) enum InputKind {
    Text {
        multiline: bool,
    },
    Integer,
    Number,
    Boolean,
    Choice(Vec<String>),
    /// With what it accepts, as in HTML's `accept`.
    File {
        accept: String,
    },
    Object,
    Array,
}

impl InputKind {
    /// The language's own word.
    pub(in crate::pages) const fn word(&self) -> &'static str {
        match self {
            Self::Text { .. } => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Choice(_) => "enum",
            Self::File { .. } => "file",
            Self::Object => "object",
            Self::Array => "array",
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(in crate::pages) struct InputField {
    pub(in crate::pages) name: String,
    pub(in crate::pages) kind: InputKind,
    pub(in crate::pages) required: bool,
    pub(in crate::pages) description: Option<String>,
    /// As it stands in the control: text as it is, everything else as JSON.
    pub(in crate::pages) default: Option<String>,
    pub(in crate::pages) example: Option<String>,
    /// HTML attributes that say the schema's bounds.
    pub(in crate::pages) bounds: Vec<(&'static str, String)>,
}

/// The declared inputs in their order; none where the flow takes anything.
pub(in crate::pages) fn fields(schema: &Value) -> Vec<InputField> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    properties
        .iter()
        .map(|(name, schema)| {
            let kind = kind(schema);
            InputField {
                name: name.clone(),
                required: required.contains(&name.as_str()),
                description: schema.get("description").and_then(Value::as_str).map(str::to_owned),
                default: schema.get("default").map(shown),
                example: schema.get("examples").and_then(|examples| examples.get(0)).map(shown),
                bounds: bounds(&kind, schema),
                kind,
            }
        })
        .collect()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn kind(schema: &Value) -> InputKind {
    if is_file(schema) {
        let accept: Vec<&str> = match schema.get("x-accept") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            Some(Value::String(kind)) => vec![kind],
            _ => Vec::new(),
        };
        return InputKind::File { accept: accept.join(",") };
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array) {
        return InputKind::Choice(choices.iter().map(shown).collect());
    }
    // `["string", "null"]` is a text that may be missing.
    let word = match schema.get("type") {
        Some(Value::String(word)) => word.as_str(),
        Some(Value::Array(words)) => words.iter().filter_map(Value::as_str).find(|word| *word != "null").unwrap_or(""),
        _ => "",
    };
    match word {
        "string" => InputKind::Text {
            multiline: schema.get("x-multiline").and_then(Value::as_bool).unwrap_or(false)
                || schema.get("maxLength").and_then(Value::as_u64).is_some_and(|most| most > 200)
                || schema.get("default").and_then(Value::as_str).is_some_and(|text| text.contains('\n')),
        },
        "integer" => InputKind::Integer,
        "number" => InputKind::Number,
        "boolean" => InputKind::Boolean,
        "array" => InputKind::Array,
        _ => InputKind::Object,
    }
}

fn is_file(schema: &Value) -> bool {
    let says = |key: &str, word: &str| schema.get(key).and_then(Value::as_str) == Some(word);
    says("format", "weir-file") || says("x-weir-type", "file") || schema.pointer("/properties/file_id").is_some()
}

fn bounds(kind: &InputKind, schema: &Value) -> Vec<(&'static str, String)> {
    let number = |key: &str| schema.get(key).filter(|value| value.is_number()).map(Value::to_string);
    let mut found: Vec<(&'static str, Option<String>)> = Vec::new();
    match kind {
        InputKind::Integer | InputKind::Number => {
            found.push(("min", number("minimum")));
            found.push(("max", number("maximum")));
            found.push(("step", Some(if *kind == InputKind::Integer { "1" } else { "any" }.to_owned())));
        }
        InputKind::Text { .. } => {
            found.push(("minlength", number("minLength")));
            found.push(("maxlength", number("maxLength")));
            // A JSON Schema pattern matches anywhere; HTML's matches the whole, so the server alone judges it.
        }
        _ => {}
    }
    found.into_iter().filter_map(|(key, value)| value.map(|value| (key, value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn only(schema: &Value) -> InputField {
        fields(&json!({"properties": {"x": schema}, "required": ["x"]})).remove(0)
    }

    #[test]
    fn every_type_of_the_language_has_its_control() {
        assert_eq!(
            only(&json!({"type": "object", "format": "weir-file", "x-accept": ["application/pdf", ".png"]})).kind,
            InputKind::File { accept: "application/pdf,.png".into() }
        );
        assert_eq!(only(&json!({"type": "string"})).kind, InputKind::Text { multiline: false });
        assert_eq!(only(&json!({"type": "string", "x-multiline": true})).kind, InputKind::Text { multiline: true });
        assert_eq!(only(&json!({"enum": ["a", 2]})).kind, InputKind::Choice(vec!["a".into(), "2".into()]));
        assert_eq!(only(&json!({"type": ["boolean", "null"]})).kind, InputKind::Boolean);
        assert_eq!(only(&json!({"type": "array"})).kind, InputKind::Array);
        assert_eq!(only(&json!({"oneOf": []})).kind, InputKind::Object);
    }

    #[test]
    fn bounds_defaults_and_order_are_kept() {
        let all = fields(&json!({"properties": {
            "b": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
            "a": {"type": "string", "examples": ["hi"]},
        }, "required": ["a"]}));
        assert_eq!(all[0].name, "b");
        assert_eq!(all[0].bounds, [("min", "1".into()), ("max", "9".into()), ("step", "1".into())]);
        assert_eq!(all[0].default.as_deref(), Some("3"));
        assert!(!all[0].required && all[1].required);
        assert_eq!(all[1].example.as_deref(), Some("hi"));
    }

    #[test]
    fn a_flow_that_takes_anything_has_no_fields() {
        assert!(fields(&json!({"type": "object"})).is_empty());
    }
}
