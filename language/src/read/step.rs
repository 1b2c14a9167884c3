//! One step and its retry policy.
//!
//! Invariant: a step that comes back has a valid name and an executor's name.

use crate::catalogue::Effect;
use crate::codes;
use crate::flow::{Located, Retry, Step, StepOnError};
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::plan::{Backoff, Jitter, OnSkip, OnUnknown, RunIf};
use crate::reader::{Fields, Reader};

pub(crate) const STEP_KEYS: &[&str] = &[
    "name",
    "description",
    "executor",
    "config",
    "depends_on",
    "parallel_group",
    "condition",
    "run_if",
    "retry",
    "timeout",
    "total_timeout",
    "first_token_timeout",
    "effect",
    "on_unknown",
    "on_error",
    "on_skip",
];
const STEP_LATER: &[&str] = &[
    "for_each",
    "as",
    "max_parallel",
    "max_items",
    "on_item_error",
    "repeat",
    "compensate",
    "cache",
    "concurrency",
    "fallback",
    "max_cost",
    "before",
    "after",
];
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

const RUN_IF: &[(&str, RunIf)] = &[
    ("all_success", RunIf::AllSuccess),
    ("any_success", RunIf::AnySuccess),
    ("all_settled", RunIf::AllSettled),
    ("any_failed", RunIf::AnyFailed),
    ("always", RunIf::Always),
];
const EFFECTS: &[(&str, Effect)] =
    &[("pure", Effect::Pure), ("idempotent", Effect::Idempotent), ("unsafe", Effect::Unsafe)];
const ON_SKIP: &[(&str, OnSkip)] =
    &[("continue", OnSkip::Continue), ("cascade", OnSkip::Cascade), ("fail", OnSkip::Fail)];
const ON_UNKNOWN: &[(&str, OnUnknown)] =
    &[("attention", OnUnknown::Attention), ("retry", OnUnknown::Retry), ("fail", OnUnknown::Fail)];

pub(super) fn step(reader: &mut Reader<'_>, node: &Node) -> Option<Step> {
    let fields = reader.fields(node, "a step", STEP_KEYS, STEP_LATER)?;
    let name = required(reader, &fields, "name").filter(|name| reader.name("a step", &name.value, name.span));
    let executor = required(reader, &fields, "executor");
    let duration = |reader: &mut Reader<'_>, key: &str| fields.get(key).and_then(|entry| reader.duration(entry, false));
    let step = Step {
        description: fields.get("description").and_then(|entry| reader.text(entry)),
        config: fields.get("config").and_then(|entry| config(reader, entry)),
        depends_on: fields.get("depends_on").and_then(|entry| depends_on(reader, entry)),
        parallel_group: fields
            .get("parallel_group")
            .and_then(|entry| reader.located(entry))
            .filter(|name| reader.name("a group", &name.value, name.span)),
        condition: fields.get("condition").and_then(|entry| condition(reader, entry)),
        run_if: fields.get("run_if").and_then(|entry| reader.choice(entry, RUN_IF)),
        retry: fields.get("retry").and_then(|entry| retry(reader, entry)),
        timeout: duration(reader, "timeout"),
        total_timeout: duration(reader, "total_timeout"),
        first_token_timeout: duration(reader, "first_token_timeout"),
        effect: fields.get("effect").and_then(|entry| reader.choice(entry, EFFECTS)),
        on_unknown: fields.get("on_unknown").and_then(|entry| reader.choice(entry, ON_UNKNOWN)),
        on_error: fields.get("on_error").and_then(|entry| on_error(reader, entry)),
        on_skip: fields.get("on_skip").and_then(|entry| reader.choice(entry, ON_SKIP)),
        span: node.span,
        name: name?,
        executor: executor?,
    };
    Some(step)
}

fn required(reader: &mut Reader<'_>, fields: &Fields<'_>, key: &str) -> Option<Located<String>> {
    match fields.get(key) {
        Some(entry) => reader.located(entry),
        None => {
            let span = crate::source::Span { start: fields.node.span.start, end: fields.node.span.start };
            reader.error(span, codes::MISSING_KEY, format!("a step needs `{key}`"));
            None
        }
    }
}

fn config(reader: &mut Reader<'_>, entry: &Entry) -> Option<Node> {
    if matches!(entry.value.kind, Kind::Map(_)) {
        return Some(entry.value.clone());
    }
    reader.wrong("config", &entry.value, "a mapping");
    None
}

fn depends_on(reader: &mut Reader<'_>, entry: &Entry) -> Option<Vec<Located<String>>> {
    match &entry.value.kind {
        Kind::String(name) => Some(vec![Located { value: name.clone(), span: entry.value.span }]),
        Kind::List(_) => reader.texts(entry),
        _ => {
            reader.wrong("depends_on", &entry.value, "a name or a list of names");
            None
        }
    }
}

fn condition(reader: &mut Reader<'_>, entry: &Entry) -> Option<Node> {
    if matches!(entry.value.kind, Kind::String(_) | Kind::Bool(_)) {
        return Some(entry.value.clone());
    }
    reader.wrong("condition", &entry.value, "an expression");
    None
}

fn on_error(reader: &mut Reader<'_>, entry: &Entry) -> Option<StepOnError> {
    if matches!(entry.value.kind, Kind::Map(_)) {
        let fields = reader.fields(&entry.value, "`on_error`", &["value"], &["fallback"])?;
        if let Some(value) = fields.get("value") {
            return Some(StepOnError::Value(value.value.clone()));
        }
        if fields.get("fallback").is_none() {
            reader.error(entry.value.span, codes::MISSING_KEY, "`on_error` needs `value: ...`");
        }
        return None;
    }
    if entry.value.as_str() == Some("attention") {
        reader.not_yet(entry.value.span, "on_error: attention");
        return None;
    }
    reader.choice(entry, &[("fail", StepOnError::Fail), ("continue", StepOnError::Continue)])
}

pub(super) fn retry(reader: &mut Reader<'_>, entry: &Entry) -> Option<Retry> {
    let fields = reader.fields(&entry.value, "`retry`", RETRY_KEYS, &[])?;
    let backoffs =
        [("constant", Backoff::Constant), ("linear", Backoff::Linear), ("exponential", Backoff::Exponential)];
    let jitters = [("full", Jitter::Full), ("equal", Jitter::Equal), ("none", Jitter::None)];
    let words = |reader: &mut Reader<'_>, key: &str| {
        let texts = fields.get(key).and_then(|entry| reader.texts(entry))?;
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
