//! What a step does about failures: retries and other ways.
//!
//! Invariant: a fallback that comes back names its executor.

use domain::FailureKind;

use super::step;
use crate::codes;
use crate::flow::{Fallback, Retry, StepOnError};
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::plan::{Backoff, FailureClass, Jitter};
use crate::reader::Reader;
use crate::suggest;

pub(crate) const RETRY_KEYS: &[&str] = &[
    "max_attempts",
    "backoff_strategy",
    "initial_delay",
    "factor",
    "max_delay",
    "jitter",
    "max_elapsed",
    "retry_on",
    "no_retry_on",
];
pub(crate) const ON_ERROR_KEYS: &[&str] = &["fallback", "value"];
pub(crate) const FALLBACK_KEYS: &[&str] = &["for", "executor", "config", "retry", "effect"];

const CLASSES: &[(&str, FailureClass)] = &[
    ("content_policy", FailureClass::ContentPolicy),
    ("context_window", FailureClass::ContextWindow),
    ("rate_limited", FailureClass::RateLimited),
    ("other", FailureClass::Other),
];

pub(super) fn on_error(reader: &mut Reader<'_>, entry: &Entry) -> Option<StepOnError> {
    if !matches!(entry.value.kind, Kind::Map(_)) {
        let words =
            [("fail", StepOnError::Fail), ("continue", StepOnError::Continue), ("attention", StepOnError::Attention)];
        return reader.choice(entry, &words);
    }
    let fields = reader.fields(&entry.value, "`on_error`", ON_ERROR_KEYS, &[])?;
    let value = fields.get("value").map(|entry| entry.value.clone());
    match fields.get("fallback") {
        Some(list) => Some(StepOnError::Fallback { fallbacks: fallbacks(reader, list)?, value }),
        None if value.is_some() => value.map(StepOnError::Value),
        None => {
            let message = "`on_error` needs `value: ...` or `fallback: [...]`";
            reader.error(entry.value.span, codes::MISSING_KEY, message);
            None
        }
    }
}

fn fallbacks(reader: &mut Reader<'_>, entry: &Entry) -> Option<Vec<Fallback>> {
    let items = reader.list(entry)?;
    if items.is_empty() {
        reader.error(entry.value.span, codes::INVALID_VALUE, "`fallback` needs at least one other way");
        return None;
    }
    if items.len() > limits::FALLBACKS {
        let message = format!("{} fallbacks; at most {} are allowed", items.len(), limits::FALLBACKS);
        reader.error(items[limits::FALLBACKS].span, codes::TOO_LARGE, message);
    }
    Some(items.iter().take(limits::FALLBACKS).filter_map(|item| fallback(reader, item)).collect())
}

fn fallback(reader: &mut Reader<'_>, node: &Node) -> Option<Fallback> {
    let fields = reader.fields(node, "a fallback", FALLBACK_KEYS, &[])?;
    let executor = step::required(reader, &fields, "a fallback", "executor");
    let fallback = Fallback {
        class: fields.get("for").and_then(|entry| reader.choice(entry, CLASSES)),
        config: fields.get("config").and_then(|entry| step::config(reader, entry)),
        retry: fields.get("retry").and_then(|entry| retry(reader, entry)),
        effect: fields.get("effect").and_then(|entry| reader.choice(entry, step::EFFECTS)),
        span: node.span,
        executor: executor?,
    };
    Some(fallback)
}

pub(super) fn retry(reader: &mut Reader<'_>, entry: &Entry) -> Option<Retry> {
    let fields = reader.fields(&entry.value, "`retry`", RETRY_KEYS, &[])?;
    let backoffs =
        [("constant", Backoff::Constant), ("linear", Backoff::Linear), ("exponential", Backoff::Exponential)];
    let jitters = [("full", Jitter::Full), ("equal", Jitter::Equal), ("none", Jitter::None)];
    let words = |reader: &mut Reader<'_>, key: &str| {
        let texts = fields.get(key).and_then(|entry| reader.texts(entry))?;
        texts.iter().for_each(|text| kind_or_code(reader, text));
        Some(texts.into_iter().map(|text| text.value).collect())
    };
    Some(Retry {
        max_attempts: fields
            .get("max_attempts")
            .and_then(|entry| reader.whole(entry, 1..=limits::ATTEMPTS))
            .map(|value| value as u32),
        backoff_strategy: fields.get("backoff_strategy").and_then(|entry| reader.choice(entry, &backoffs)),
        initial_delay: fields.get("initial_delay").and_then(|entry| reader.duration(entry, true)),
        factor: fields.get("factor").and_then(|entry| reader.number(entry, 1.0..=100.0)),
        max_delay: fields.get("max_delay").and_then(|entry| reader.duration(entry, true)),
        jitter: fields.get("jitter").and_then(|entry| reader.choice(entry, &jitters)),
        max_elapsed: fields.get("max_elapsed").and_then(|entry| reader.duration(entry, false)),
        retry_on: words(reader, "retry_on"),
        no_retry_on: words(reader, "no_retry_on"),
    })
}

/// A kind of failure, or a code: those are written like kinds, and anybody may make new ones (`fail`, a called flow).
fn kind_or_code(reader: &mut Reader<'_>, text: &crate::flow::Located<String>) {
    let kinds: Vec<&str> = FailureKind::ALL.iter().map(|kind| kind.as_str()).collect();
    if kinds.contains(&text.value.as_str()) {
        return;
    }
    let is_code = text.value.starts_with(|letter: char| letter.is_ascii_lowercase())
        && text.value.chars().all(|letter| matches!(letter, 'a'..='z' | '0'..='9' | '_'));
    let near = kinds.iter().find(|kind| suggest::is_slip(&text.value, kind));
    if is_code && near.is_none() {
        return;
    }
    let message = format!("`{}` is neither a kind nor a code of a failure", crate::reader::shorten(&text.value));
    reader.report.hint(text.span, codes::IDLE, (message, suggest::did_you_mean(&text.value, kinds)));
}
