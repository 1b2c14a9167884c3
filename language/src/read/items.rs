//! One step, many times: `for_each` with its words, and `repeat`.
//!
//! Invariant: numbers that come back are within their bounds.

use super::step;
use crate::codes;
use crate::flow::{Located, Repeat};
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::plan::OnItemError;
use crate::reader::{Fields, Reader};
use crate::source::Span;

pub(crate) const REPEAT_KEYS: &[&str] = &["until", "max_iterations", "interval", "max_duration"];

/// Words that mean something only beside `for_each`.
const ITEM_KEYS: &[&str] = &["as", "max_parallel", "max_items", "on_item_error"];

pub(super) fn list(reader: &mut Reader<'_>, entry: &Entry) -> Option<Node> {
    if matches!(entry.value.kind, Kind::String(_) | Kind::List(_)) {
        return Some(entry.value.clone());
    }
    reader.wrong("for_each", &entry.value, "a list, or an expression that gives one");
    None
}

pub(super) fn name(reader: &mut Reader<'_>, entry: &Entry) -> Option<Located<String>> {
    let name = reader.located(entry)?;
    if !reader.name("an item", &name.value, name.span) {
        return None;
    }
    let is_taken = crate::names::SCOPE.contains(&name.value.as_str())
        || crate::names::BLOCK_NAMES.contains(&name.value.as_str())
        || matches!(name.value.as_str(), "output" | "iteration" | "error" | "failed_step");
    if is_taken {
        let message = format!("`{}` already means something in templates", name.value);
        reader.hint(name.span, codes::SHADOWED, (message, "Choose another name for the item."));
        return None;
    }
    Some(name)
}

pub(super) fn count(reader: &mut Reader<'_>, entry: &Entry) -> Option<u32> {
    reader.whole(entry, 1..=limits::MOST_ITEMS).map(|value| value as u32)
}

pub(super) fn on_item_error(reader: &mut Reader<'_>, entry: &Entry) -> Option<OnItemError> {
    reader.choice(entry, &[("fail", OnItemError::Fail), ("collect", OnItemError::Collect), ("drop", OnItemError::Drop)])
}

/// The first word about items, for a step that has no items.
pub(super) fn keys(fields: &Fields<'_>) -> Option<(String, Span)> {
    let entry = ITEM_KEYS.iter().find_map(|key| fields.get(key))?;
    Some((entry.key.clone(), entry.key_span))
}

pub(super) fn repeat(reader: &mut Reader<'_>, entry: &Entry) -> Option<Repeat> {
    let fields = reader.fields(&entry.value, "`repeat`", REPEAT_KEYS, &[])?;
    let until = match fields.get("until") {
        Some(until) => step::condition(reader, until),
        None => {
            let message = "`repeat` needs `until`, the condition that ends it";
            reader.error(entry.value.span.before(), codes::MISSING_KEY, message);
            None
        }
    };
    let max_iterations = fields.get("max_iterations").and_then(|entry| reader.whole(entry, 1..=limits::ITERATIONS));
    let interval = fields.get("interval").and_then(|entry| reader.duration(entry, true));
    let max_duration = fields.get("max_duration").and_then(|entry| reader.duration(entry, false));
    Some(Repeat { until: until?, max_iterations: max_iterations.map(|value| value as u32), interval, max_duration })
}
