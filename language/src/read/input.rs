//! A declared input.
//!
//! Invariant: bounds that come back belong to the input's type.

use crate::codes;
use crate::flow::{Input, Located};
use crate::node::{Entry, Kind, Node};
use crate::plan::InputKind;
use crate::reader::{Fields, Reader};

pub(crate) const INPUT_KEYS: &[&str] = &[
    "type",
    "required",
    "default",
    "description",
    "examples",
    "values",
    "pattern",
    "minimum",
    "maximum",
    "min_length",
    "max_length",
    "min_items",
    "max_items",
    "items",
    "properties",
    "accept",
    "max_bytes",
    "schema",
];

const KINDS: &[(&str, InputKind)] = &[
    ("string", InputKind::String),
    ("integer", InputKind::Integer),
    ("number", InputKind::Number),
    ("boolean", InputKind::Boolean),
    ("object", InputKind::Object),
    ("array", InputKind::Array),
    ("file", InputKind::File),
    ("enum", InputKind::Enum),
];

/// Which bound belongs to which type, and its JSON Schema keyword.
const BOUNDS: &[(&str, &str, &[InputKind])] = &[
    ("pattern", "pattern", &[InputKind::String]),
    ("min_length", "minLength", &[InputKind::String]),
    ("max_length", "maxLength", &[InputKind::String]),
    ("minimum", "minimum", &[InputKind::Integer, InputKind::Number]),
    ("maximum", "maximum", &[InputKind::Integer, InputKind::Number]),
    ("min_items", "minItems", &[InputKind::Array]),
    ("max_items", "maxItems", &[InputKind::Array]),
    ("items", "items", &[InputKind::Array]),
    ("properties", "properties", &[InputKind::Object]),
];

pub(super) fn input(reader: &mut Reader<'_>, entry: &Entry) -> Option<Input> {
    let name = Located { value: entry.key.clone(), span: entry.key_span };
    if matches!(entry.value.kind, Kind::String(_)) {
        let kind = reader.choice(&Entry { key: "type".to_owned(), ..entry.clone() }, KINDS)?;
        if kind == InputKind::Enum {
            reader.error(entry.value.span, codes::MISSING_KEY, "an `enum` needs its `values`");
            return None;
        }
        return Some(empty(name, kind, entry.value.span));
    }
    let fields = reader.fields(&entry.value, "an input", INPUT_KEYS, &[])?;
    let kind = kind(reader, &fields, entry)?;
    let mut input = empty(name, kind, entry.value.span);
    input.required = fields.get("required").and_then(|entry| reader.flag(entry));
    input.default = fields.get("default").map(|entry| entry.value.clone());
    input.description = fields.get("description").and_then(|entry| reader.text(entry));
    input.examples = fields.get("examples").and_then(|entry| reader.list(entry)).unwrap_or_default().to_vec();
    input.schema = fields.get("schema").map(|entry| entry.value.clone());
    input.values = values(reader, &fields, kind);
    bounds(reader, &fields, &mut input);
    file(reader, &fields, &mut input);
    Some(input)
}

fn empty(name: Located<String>, kind: InputKind, span: crate::source::Span) -> Input {
    Input {
        name,
        kind,
        required: None,
        default: None,
        description: None,
        examples: Vec::new(),
        bounds: Vec::new(),
        values: Vec::new(),
        accept: Vec::new(),
        max_bytes: None,
        schema: None,
        span,
    }
}

fn kind(reader: &mut Reader<'_>, fields: &Fields<'_>, entry: &Entry) -> Option<InputKind> {
    match (fields.get("type"), fields.get("schema")) {
        (Some(kind), None) => reader.choice(kind, KINDS),
        (None, Some(schema)) => {
            if matches!(schema.value.kind, Kind::Map(_) | Kind::Bool(_)) {
                return Some(InputKind::Schema);
            }
            reader.wrong("schema", &schema.value, "a JSON Schema");
            None
        }
        (Some(_), Some(schema)) => {
            reader.error(schema.key_span, codes::INVALID_VALUE, "an input has a `type` or a `schema`, not both");
            None
        }
        (None, None) => {
            let words: Vec<&str> = KINDS.iter().map(|(word, _)| *word).collect();
            let message = format!("the input `{}` needs a `type`", entry.key);
            reader.hint(entry.key_span, codes::MISSING_KEY, (message, format!("One of {}.", words.join(", "))));
            None
        }
    }
}

fn values(reader: &mut Reader<'_>, fields: &Fields<'_>, kind: InputKind) -> Vec<Node> {
    let values = fields.get("values");
    match (kind, values) {
        (InputKind::Enum, Some(entry)) => {
            let values = reader.list(entry).unwrap_or_default().to_vec();
            if values.is_empty() && matches!(entry.value.kind, Kind::List(_)) {
                reader.error(entry.value.span, codes::INVALID_VALUE, "an `enum` needs at least one value");
            }
            values
        }
        (InputKind::Enum, None) => {
            let span = fields.node.span;
            reader.error(span, codes::MISSING_KEY, "an `enum` needs its `values`");
            Vec::new()
        }
        (_, Some(entry)) => {
            reader.error(entry.key_span, codes::INVALID_VALUE, "`values` belongs to the type `enum`");
            Vec::new()
        }
        (_, None) => Vec::new(),
    }
}

fn bounds(reader: &mut Reader<'_>, fields: &Fields<'_>, input: &mut Input) {
    for (key, keyword, kinds) in BOUNDS {
        let Some(entry) = fields.get(key) else { continue };
        if !kinds.contains(&input.kind) {
            let message = format!("`{key}` does not belong to this type");
            reader.error(entry.key_span, codes::INVALID_VALUE, message);
            continue;
        }
        let fits = match *key {
            "pattern" => reader.text(entry).is_some_and(|pattern| is_pattern(reader, entry, &pattern)),
            "minimum" | "maximum" => reader.number(entry, f64::MIN..=f64::MAX).is_some(),
            "items" | "properties" => {
                let shape = matches!(entry.value.kind, Kind::Map(_));
                if !shape {
                    reader.wrong(key, &entry.value, "a JSON Schema");
                }
                shape
            }
            _ => reader.whole(entry, 0..=u64::MAX).is_some(),
        };
        if fits {
            input.bounds.push(((*keyword).to_owned(), entry.value.clone()));
        }
    }
}

fn is_pattern(reader: &mut Reader<'_>, entry: &Entry, pattern: &str) -> bool {
    match regex::RegexBuilder::new(pattern).size_limit(1 << 20).build() {
        Ok(_) => true,
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            reader.error(entry.value.span, codes::INVALID_VALUE, format!("`pattern` cannot be used: {reason}"));
            false
        }
    }
}

fn file(reader: &mut Reader<'_>, fields: &Fields<'_>, input: &mut Input) {
    for key in ["accept", "max_bytes"] {
        let Some(entry) = fields.get(key) else { continue };
        if input.kind != InputKind::File {
            reader.error(entry.key_span, codes::INVALID_VALUE, format!("`{key}` belongs to the type `file`"));
        } else if key == "accept" {
            input.accept = reader.texts(entry).unwrap_or_default().into_iter().map(|text| text.value).collect();
        } else {
            input.max_bytes = reader.whole(entry, 1..=u64::MAX);
        }
    }
}
