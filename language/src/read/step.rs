//! One step, and what undoes it.
//!
//! Invariant: a step that comes back has a name and an executor's name, or the report has an error: what else is wrong
//! with the step is to be found all the same.

use super::{failure, items, settings};
use crate::catalogue::Effect;
use crate::codes;
use crate::flow::{Compensate, Located, Step};
use crate::node::{Entry, Kind, Node};
use crate::plan::{OnSkip, OnUnknown, Phase, RunIf};
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
    "for_each",
    "as",
    "max_parallel",
    "max_items",
    "on_item_error",
    "repeat",
    "compensate",
    "cache",
    "resources",
    "concurrency",
    "before",
    "after",
];
pub(crate) const COMPENSATE_KEYS: &[&str] = &["executor", "config", "retry"];

const RUN_IF: &[(&str, RunIf)] = &[
    ("all_success", RunIf::AllSuccess),
    ("any_success", RunIf::AnySuccess),
    ("all_settled", RunIf::AllSettled),
    ("any_failed", RunIf::AnyFailed),
    ("always", RunIf::Always),
];
pub(super) const EFFECTS: &[(&str, Effect)] =
    &[("pure", Effect::Pure), ("idempotent", Effect::Idempotent), ("unsafe", Effect::Unsafe)];
const ON_SKIP: &[(&str, OnSkip)] =
    &[("continue", OnSkip::Continue), ("cascade", OnSkip::Cascade), ("fail", OnSkip::Fail)];
const ON_UNKNOWN: &[(&str, OnUnknown)] =
    &[("attention", OnUnknown::Attention), ("retry", OnUnknown::Retry), ("fail", OnUnknown::Fail)];

pub(super) fn step(reader: &mut Reader<'_>, node: &Node, phase: Phase) -> Option<Step> {
    let fields = reader.fields(node, "a step", STEP_KEYS, &[])?;
    let unknown = || Located { value: String::new(), span: node.span.before() };
    let name = required(reader, &fields, "a step", "name");
    if let Some(name) = &name {
        reader.name("a step", &name.value, name.span);
    }
    let name = name.unwrap_or_else(unknown);
    let executor = required(reader, &fields, "a step", "executor").unwrap_or_else(unknown);
    let duration = |reader: &mut Reader<'_>, key: &str| fields.get(key).and_then(|entry| reader.duration(entry, false));
    misplaced(reader, &fields);
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
        retry: fields.get("retry").and_then(|entry| failure::retry(reader, entry)),
        timeout: duration(reader, "timeout"),
        total_timeout: duration(reader, "total_timeout"),
        first_token_timeout: duration(reader, "first_token_timeout"),
        effect: fields.get("effect").and_then(|entry| reader.choice(entry, EFFECTS)),
        on_unknown: fields.get("on_unknown").and_then(|entry| reader.choice(entry, ON_UNKNOWN)),
        on_error: fields.get("on_error").and_then(|entry| failure::on_error(reader, entry)),
        on_skip: fields.get("on_skip").and_then(|entry| reader.choice(entry, ON_SKIP)),
        for_each: fields.get("for_each").and_then(|entry| items::list(reader, entry)),
        item_name: fields.get("as").and_then(|entry| items::name(reader, entry)),
        max_parallel: fields.get("max_parallel").and_then(|entry| items::count(reader, entry)),
        max_items: fields.get("max_items").and_then(|entry| items::count(reader, entry)),
        on_item_error: fields.get("on_item_error").and_then(|entry| items::on_item_error(reader, entry)),
        repeat: fields.get("repeat").and_then(|entry| items::repeat(reader, entry)),
        compensate: fields.get("compensate").and_then(|entry| compensate(reader, entry)),
        cache: fields.get("cache").and_then(|entry| settings::cache(reader, entry)),
        resources: fields.get("resources").and_then(|entry| settings::resources(reader, entry)),
        concurrency: fields.get("concurrency").and_then(|entry| settings::concurrency(reader, entry)),
        before: None,
        after: None,
        phase,
        item_keys: items::keys(&fields),
        special_keys: ["first_token_timeout", "on_unknown"].map(|key| fields.get(key).map(|entry| entry.key_span)),
        span: node.span,
        name,
        executor,
    };
    Some(step)
}

/// Where a new step goes was settled when the flows were merged; what is left of it has nothing to go by.
fn misplaced(reader: &mut Reader<'_>, fields: &Fields<'_>) {
    for key in ["before", "after"] {
        if let Some(entry) = fields.get(key) {
            let message = format!("`{key}` belongs to a flow with `extends`");
            let hint = "In a flow of its own a step stands where it is written.";
            reader.hint(entry.key_span, codes::INVALID_VALUE, (message, hint));
        }
    }
}

pub(super) fn required(reader: &mut Reader<'_>, fields: &Fields<'_>, what: &str, key: &str) -> Option<Located<String>> {
    match fields.get(key) {
        Some(entry) => reader.located(entry),
        None => {
            reader.error(fields.node.span.before(), codes::MISSING_KEY, format!("{what} needs `{key}`"));
            None
        }
    }
}

pub(super) fn config(reader: &mut Reader<'_>, entry: &Entry) -> Option<Node> {
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

pub(super) fn condition(reader: &mut Reader<'_>, entry: &Entry) -> Option<Node> {
    if matches!(entry.value.kind, Kind::String(_) | Kind::Bool(_)) {
        return Some(entry.value.clone());
    }
    reader.wrong(&entry.key, &entry.value, "an expression");
    None
}

fn compensate(reader: &mut Reader<'_>, entry: &Entry) -> Option<Compensate> {
    let fields = reader.fields(&entry.value, "`compensate`", COMPENSATE_KEYS, &[])?;
    Some(Compensate {
        executor: required(reader, &fields, "`compensate`", "executor")?,
        config: fields.get("config").and_then(|entry| config(reader, entry)),
        retry: fields.get("retry").and_then(|entry| failure::retry(reader, entry)),
        span: entry.value.span,
    })
}

/// What undoes a step, as a step: nobody can write its name.
pub(super) fn compensation(of: &Step, index: usize) -> Option<Step> {
    let compensate = of.compensate.as_ref()?;
    Some(Step {
        name: Located { value: format!("{}:compensate", of.name.value), span: compensate.span },
        description: None,
        executor: compensate.executor.clone(),
        config: compensate.config.clone(),
        depends_on: None,
        parallel_group: None,
        condition: None,
        run_if: None,
        retry: compensate.retry.clone(),
        timeout: None,
        total_timeout: None,
        first_token_timeout: None,
        effect: None,
        on_unknown: None,
        on_error: None,
        on_skip: None,
        for_each: of.for_each.clone(),
        item_name: None,
        // In reverse order of their completion.
        max_parallel: Some(1),
        max_items: of.max_items,
        on_item_error: None,
        repeat: None,
        compensate: None,
        cache: None,
        resources: None,
        concurrency: None,
        before: None,
        after: None,
        phase: Phase::Compensation { of: index },
        item_keys: None,
        special_keys: [None, None],
        span: compensate.span,
    })
}
