//! The demo's built-in provider: answers without a model, by the classical methods, and says so in every answer.
//!
//! Invariant: deterministic, free, and never used unless the connection is of the simulated kind.

use domain::{Failure, FailureKind};
use engine::ports::ModelEndpoint;
use engine::{Call, Done};
use serde_json::{Map, Value, json};

use super::price::{self, Tokens};
use super::prompt::{Messages, shown};
use super::shape::Shape;
use super::{Config, usage_output};
use crate::text_analyzer::{self, Analysis, Entity, Label, Phrase};

const MARK: &str = "[simulated]";
/// Pieces an answer is streamed in, in words.
const WORDS_A_PIECE: usize = 6;
/// Nesting of a made-up value.
const DEEPEST: usize = 12;
/// What is read of the question: a demo's texts are short.
const LONGEST_SUBJECT: usize = 64 * 1024;

pub(super) fn answer(
    call: &Call,
    config: &Config,
    endpoint: &ModelEndpoint,
    messages: &Messages,
    shape: Option<&Shape>,
) -> Result<Done, Failure> {
    let subject = config.text.as_ref().map_or_else(|| messages.question.clone(), shown);
    let subject: String = subject.chars().take(LONGEST_SUBJECT).collect();
    let analysis = text_analyzer::analysis(&subject);
    let used = |text: &str| {
        let tokens =
            Tokens { input: messages.estimated_tokens(), output: price::estimate(text), cached: 0, estimated: true };
        price::usage(endpoint, tokens)
    };
    if let Some(shape) = shape {
        let value = sample(shape, &analysis)?;
        let text = value.to_string();
        stream(call, &text);
        return Ok(Done { output: value, usage: Some(used(&text)) });
    }
    let text = prose(&call.instruction, &analysis);
    stream(call, &text);
    let usage = used(&text);
    let output = json!({
        "text": text,
        "model": price::model_name(endpoint),
        "finish_reason": "stop",
        "usage": usage_output(&usage),
        "simulated": true,
    });
    Ok(Done { output, usage: Some(usage) })
}

fn stream(call: &Call, text: &str) {
    let words: Vec<&str> = text.split_inclusive(' ').collect();
    for piece in words.chunks(WORDS_A_PIECE) {
        call.progress.delta(&piece.concat());
    }
}

fn prose(instruction: &str, analysis: &Analysis) -> String {
    let mut lines =
        vec![format!("{MARK} No model was asked. What simple counting finds for “{}”:", instruction.trim())];
    if let Some(summary) = analysis.summary.as_deref().filter(|summary| !summary.is_empty()) {
        lines.push(format!("Summary: {summary}"));
    }
    if let Some(sentiment) = &analysis.sentiment {
        let score = sentiment.score.map_or_else(String::new, |score| format!(" ({score})"));
        lines.push(format!("Sentiment: {}{score}", label(sentiment.label)));
    }
    let phrases = phrases(analysis);
    if !phrases.is_empty() {
        lines.push(format!("Key phrases: {}", phrases.join(", ")));
    }
    let entities = entities(analysis);
    if !entities.is_empty() {
        lines.push(format!("Entities: {}", entities.join(", ")));
    }
    lines.join("\n\n")
}

const fn label(label: Label) -> &'static str {
    match label {
        Label::Positive => "positive",
        Label::Neutral => "neutral",
        Label::Negative => "negative",
        Label::Unknown => "unknown",
    }
}

fn phrases(analysis: &Analysis) -> Vec<&str> {
    analysis.key_phrases.iter().flatten().map(|Phrase { text, .. }| text.as_str()).collect()
}

fn entities(analysis: &Analysis) -> Vec<&str> {
    let mut found: Vec<&str> = analysis.entities.iter().flatten().map(|Entity { text, .. }| text.as_str()).collect();
    found.dedup();
    found.truncate(8);
    found
}

/// A value that matches the schema, with what is known about the text where a name asks for it.
fn sample(shape: &Shape, analysis: &Analysis) -> Result<Value, Failure> {
    let root = shape.schema();
    let value = Sampler { root, analysis }.value(root, "", 0);
    if let Value::Object(object) = &value {
        let mut marked = object.clone();
        marked.insert("simulated".into(), Value::Bool(true));
        let marked = Value::Object(marked);
        if shape.fits(&marked) {
            return Ok(marked);
        }
    }
    if shape.fits(&value) {
        return Ok(value);
    }
    let message = "The simulated provider cannot make up a value for this schema. Connect a real model.";
    Err(Failure::new(FailureKind::Schema, "simulated_schema", message))
}

struct Sampler<'a> {
    root: &'a Value,
    analysis: &'a Analysis,
}

impl Sampler<'_> {
    fn value(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if depth > DEEPEST {
            return Value::Null;
        }
        if let Some(given) = ["const", "default"].iter().find_map(|key| schema.get(key)) {
            return given.clone();
        }
        if let Some(options) = schema.get("enum").and_then(Value::as_array) {
            return self.choice(options);
        }
        if let Some(example) = schema.pointer("/examples/0") {
            return example.clone();
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            let target = target.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
            return target.map_or(Value::Null, |target| self.value(target, name, depth + 1));
        }
        if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(key)?.get(0)) {
            return self.value(first, name, depth + 1);
        }
        let kind = match schema.get("type") {
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
            other => other.and_then(Value::as_str),
        };
        match kind {
            Some("string") => Value::String(self.text(schema, name)),
            Some("integer") => json!(number(schema, self.figure(name)).ceil() as i64),
            Some("number") => json!(number(schema, self.figure(name))),
            Some("boolean") => Value::Bool(false),
            Some("array") => self.list(schema, name, depth),
            Some("null") => Value::Null,
            _ => self.object(schema, depth),
        }
    }

    /// The option that the text's sentiment names, else the first.
    fn choice(&self, options: &[Value]) -> Value {
        let mood = self.analysis.sentiment.as_ref().map(|sentiment| label(sentiment.label));
        let fitting = options.iter().find(|option| option.as_str().map(str::to_lowercase).as_deref() == mood);
        fitting.or(options.first()).cloned().unwrap_or_default()
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let empty = Map::new();
        let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
        let part = |(name, schema): (&String, &Value)| (name.clone(), self.value(schema, name, depth + 1));
        Value::Object(properties.iter().map(part).collect())
    }

    fn list(&self, schema: &Value, name: &str, depth: usize) -> Value {
        let items = schema.get("items").cloned().unwrap_or_else(|| json!({"type": "string"}));
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1).clamp(1, 50);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(5).max(least);
        let words = if name.contains("entit") || name.contains("name") {
            entities(self.analysis)
        } else {
            phrases(self.analysis)
        };
        let plain = items.get("type").and_then(Value::as_str) == Some("string") && items.get("enum").is_none();
        if plain && words.len() as u64 >= least {
            return words
                .into_iter()
                .take(usize::try_from(most).unwrap_or(5))
                .map(|word| json!(format!("{MARK} {word}")))
                .collect();
        }
        (0..least).map(|_| self.value(&items, name, depth + 1)).collect()
    }

    fn text(&self, schema: &Value, name: &str) -> String {
        let dated = |kind| {
            self.analysis
                .entities
                .iter()
                .flatten()
                .filter_map(|e| e.value.as_deref())
                .find(|v| v.len() == 10)
                .map_or(kind, str::to_owned)
        };
        let text = match schema.get("format").and_then(Value::as_str) {
            Some("date") => return dated("2026-01-01".to_owned()),
            Some("date-time") => return "2026-01-01T00:00:00Z".to_owned(),
            Some("email") => return "simulated@example.com".to_owned(),
            Some("uri") => return "https://example.com/simulated".to_owned(),
            Some("uuid") => return "00000000-0000-4000-8000-000000000000".to_owned(),
            _ if name.contains("sentiment") => {
                self.analysis.sentiment.as_ref().map(|s| label(s.label)).unwrap_or_default().to_owned()
            }
            _ if name.contains("language") => {
                self.analysis.language.as_ref().and_then(|tongue| tongue.name.clone()).unwrap_or_default()
            }
            _ if name.contains("summar") || name.contains("description") || name.contains("text") => {
                self.analysis.summary.clone().unwrap_or_default()
            }
            _ => phrases(self.analysis).first().copied().unwrap_or("made up").to_owned(),
        };
        let text = format!("{MARK} {text}");
        let most = schema.get("maxLength").and_then(Value::as_u64).and_then(|most| usize::try_from(most).ok());
        let least = schema.get("minLength").and_then(Value::as_u64).and_then(|least| usize::try_from(least).ok());
        let cut: String = text.chars().take(most.unwrap_or(usize::MAX)).collect();
        let missing = least.unwrap_or(0).min(10_000).saturating_sub(cut.chars().count());
        cut + &"·".repeat(missing)
    }

    fn figure(&self, name: &str) -> f64 {
        let sentiment = self.analysis.sentiment.as_ref().and_then(|sentiment| sentiment.score);
        if name.contains("score") || name.contains("sentiment") { sentiment.unwrap_or(0.0) } else { 0.0 }
    }
}

/// The wanted number, moved into the schema's bounds.
fn number(schema: &Value, wanted: f64) -> f64 {
    let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
    let mut value = wanted;
    if let Some(least) = bound("minimum").or_else(|| bound("exclusiveMinimum").map(|least| least + 1.0)) {
        value = value.max(least);
    }
    if let Some(most) = bound("maximum").or_else(|| bound("exclusiveMaximum").map(|most| most - 1.0)) {
        value = value.min(most);
    }
    value
}
