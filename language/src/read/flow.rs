//! The top level of a flow file, its defaults, groups and endpoint.
//!
//! Invariant: a flow that comes back has at least one step.

use std::collections::BTreeMap;

use super::{input, step};
use crate::codes;
use crate::flow::{Defaults, Endpoint, Flow, Group, GroupOnError, Input, Located, Named, OnDisconnect, Save, Step};
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::plan::Join;
use crate::reader::{Fields, Reader, shorten};

pub(crate) const FLOW_KEYS: &[&str] = &[
    "name",
    "description",
    "labels",
    "search",
    "inputs",
    "outputs",
    "vars",
    "defaults",
    "steps",
    "groups",
    "fail_fast",
    "timeout",
    "save",
    "endpoint",
];
const FLOW_LATER: &[&str] = &[
    "extends",
    "remove",
    "imports",
    "functions",
    "macros",
    "on_error",
    "finally",
    "max_cost",
    "concurrency",
    "triggers",
];
pub(crate) const DEFAULTS_KEYS: &[&str] = &["retry", "timeout", "model"];
pub(crate) const GROUP_KEYS: &[&str] = &["join", "on_error", "max_parallel", "timeout"];
pub(crate) const ENDPOINT_KEYS: &[&str] = &["max_wait", "on_disconnect"];

/// Reads a flow. `folder` is the name that its folder or URL gives it.
pub(crate) fn flow(reader: &mut Reader<'_>, root: &Node, folder: Option<&str>) -> Option<Flow> {
    let fields = reader.fields(root, "a flow", FLOW_KEYS, FLOW_LATER)?;
    let name = fields.get("name").and_then(|entry| flow_name(reader, entry, folder));
    let steps = steps(reader, &fields);
    Some(Flow {
        name,
        description: fields.get("description").and_then(|entry| reader.text(entry)),
        labels: fields.get("labels").map(|entry| labels(reader, entry)).unwrap_or_default(),
        search: fields.get("search").and_then(|entry| reader.texts(entry)).unwrap_or_default(),
        inputs: fields.get("inputs").map(|entry| inputs(reader, entry)),
        outputs: fields.get("outputs").map(|entry| named(reader, entry, "an output")),
        vars: fields.get("vars").map(|entry| named(reader, entry, "a variable")).unwrap_or_default(),
        defaults: fields.get("defaults").map(|entry| defaults(reader, entry)).unwrap_or_default(),
        groups: fields.get("groups").map(|entry| groups(reader, entry)).unwrap_or_default(),
        fail_fast: fields.get("fail_fast").and_then(|entry| reader.flag(entry)).unwrap_or(false),
        timeout: fields.get("timeout").and_then(|entry| reader.duration(entry, false)),
        save: fields.get("save").and_then(|entry| save(reader, entry)),
        endpoint: fields.get("endpoint").map(|entry| endpoint(reader, entry)).unwrap_or_default(),
        span: root.span,
        callables: callables(root),
        steps: steps?,
    })
}

fn flow_name(reader: &mut Reader<'_>, entry: &Entry, folder: Option<&str>) -> Option<Located<String>> {
    let name = reader.located(entry)?;
    if !is_flow_name(&name.value) {
        let message = format!("`{}` is no name for a flow", shorten(&name.value));
        let hint = "Small letters, digits, `_` and `-`, a letter or digit first, at most 64 characters.";
        reader.hint(name.span, codes::INVALID_NAME, (message, hint));
        return None;
    }
    if let Some(folder) = folder
        && folder != name.value
    {
        let message = format!("the flow calls itself `{}`, but it is `{}` here", name.value, shorten(folder));
        reader.hint(
            name.span,
            codes::NAME_DIFFERS,
            (message, "`name` is optional: leave it out, or make both the same."),
        );
    }
    Some(name)
}

/// Whether this can be a flow's name.
#[must_use]
pub fn is_flow_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-')
        && name.len() <= limits::NAME_CHARS
}

fn steps(reader: &mut Reader<'_>, fields: &Fields<'_>) -> Option<Vec<Step>> {
    let Some(entry) = fields.get("steps") else {
        let start = crate::source::Span { start: fields.node.span.start, end: fields.node.span.start };
        reader.hint(start, codes::MISSING_KEY, ("a flow needs `steps`", "steps:\n  - name: first\n    executor: ..."));
        return None;
    };
    let items = reader.list(entry)?;
    if items.is_empty() {
        reader.error(entry.value.span, codes::INVALID_VALUE, "a flow needs at least one step");
        return None;
    }
    if items.len() > limits::STEPS {
        let message = format!("the flow has {} steps; at most {} are allowed", items.len(), limits::STEPS);
        reader.error(items[limits::STEPS].span, codes::TOO_LARGE, message);
    }
    let steps: Vec<Step> = items.iter().take(limits::STEPS).filter_map(|item| step::step(reader, item)).collect();
    (!steps.is_empty()).then_some(steps)
}

fn labels(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<String, String> {
    let Kind::Map(entries) = &entry.value.kind else {
        reader.wrong("labels", &entry.value, "a mapping");
        return BTreeMap::new();
    };
    entries.iter().filter_map(|entry| reader.text(entry).map(|text| (entry.key.clone(), text))).collect()
}

/// The entries of a mapping of names; too many or badly named ones are reported.
fn entries<'n>(reader: &mut Reader<'_>, entry: &'n Entry, what: &str) -> Vec<&'n Entry> {
    let Kind::Map(entries) = &entry.value.kind else {
        reader.wrong(&entry.key, &entry.value, "a mapping");
        return Vec::new();
    };
    if entries.len() > limits::FIELDS {
        let message = format!("`{}` has {} entries; at most {} are allowed", entry.key, entries.len(), limits::FIELDS);
        reader.error(entry.key_span, codes::TOO_LARGE, message);
    }
    entries.iter().take(limits::FIELDS).filter(|entry| reader.name(what, &entry.key, entry.key_span)).collect()
}

fn named(reader: &mut Reader<'_>, entry: &Entry, what: &str) -> Vec<Named> {
    entries(reader, entry, what)
        .into_iter()
        .map(|entry| Named { name: entry.key.clone(), name_span: entry.key_span, value: entry.value.clone() })
        .collect()
}

fn inputs(reader: &mut Reader<'_>, entry: &Entry) -> Vec<Input> {
    entries(reader, entry, "an input").into_iter().filter_map(|entry| input::input(reader, entry)).collect()
}

fn defaults(reader: &mut Reader<'_>, entry: &Entry) -> Defaults {
    let Some(fields) = reader.fields(&entry.value, "`defaults`", DEFAULTS_KEYS, &["cache"]) else {
        return Defaults::default();
    };
    Defaults {
        retry: fields.get("retry").and_then(|entry| step::retry(reader, entry)),
        timeout: fields.get("timeout").and_then(|entry| reader.duration(entry, false)),
        model: fields.get("model").and_then(|entry| reader.text(entry)),
    }
}

fn groups(reader: &mut Reader<'_>, entry: &Entry) -> Vec<Group> {
    let entries = entries(reader, entry, "a group");
    if entries.len() > limits::GROUPS {
        reader.error(entry.key_span, codes::TOO_LARGE, format!("more than {} groups", limits::GROUPS));
    }
    entries.into_iter().take(limits::GROUPS).filter_map(|entry| group(reader, entry)).collect()
}

fn group(reader: &mut Reader<'_>, entry: &Entry) -> Option<Group> {
    let fields = reader.fields(&entry.value, "a group", GROUP_KEYS, &["max_cost"])?;
    let choices = [("continue", GroupOnError::Continue), ("cancel_rest", GroupOnError::CancelRest)];
    let join = fields.get("join");
    Some(Group {
        name: Located { value: entry.key.clone(), span: entry.key_span },
        join: join.and_then(|entry| self::join(reader, entry)),
        on_error: fields.get("on_error").and_then(|entry| reader.choice(entry, &choices)),
        max_parallel: fields
            .get("max_parallel")
            .and_then(|entry| reader.whole(entry, 1..=limits::STEPS as u64))
            .map(|value| value as u32),
        timeout: fields.get("timeout").and_then(|entry| reader.duration(entry, false)),
        join_span: join.map_or(entry.key_span, |entry| entry.value.span),
    })
}

fn join(reader: &mut Reader<'_>, entry: &Entry) -> Option<Join> {
    if matches!(entry.value.kind, Kind::Map(_)) {
        let fields = reader.fields(&entry.value, "`join`", &["at_least"], &[])?;
        let Some(entry) = fields.get("at_least") else {
            reader.error(entry.value.span, codes::MISSING_KEY, "`join` needs `at_least: <number>`");
            return None;
        };
        return reader.whole(entry, 1..=limits::STEPS as u64).map(|count| Join::AtLeast(count as u32));
    }
    reader.choice(entry, &[("all", Join::All), ("any", Join::Any), ("all_settled", Join::AllSettled)])
}

fn save(reader: &mut Reader<'_>, entry: &Entry) -> Option<Save> {
    match entry.value.as_str() {
        Some(word @ ("failed" | "none")) => {
            reader.not_yet(entry.value.span, &format!("save: {word}"));
            None
        }
        _ => reader.choice(entry, &[("all", Save::All)]),
    }
}

fn endpoint(reader: &mut Reader<'_>, entry: &Entry) -> Endpoint {
    let Some(fields) = reader.fields(&entry.value, "`endpoint`", ENDPOINT_KEYS, &["early_answer"]) else {
        return Endpoint::default();
    };
    let choices = [("continue", OnDisconnect::Continue), ("cancel", OnDisconnect::Cancel)];
    Endpoint {
        max_wait: fields.get("max_wait").and_then(|entry| reader.duration(entry, false)),
        on_disconnect: fields.get("on_disconnect").and_then(|entry| reader.choice(entry, &choices)),
    }
}

/// Names that templates may call, although what they do comes later: one clear problem is enough.
fn callables(root: &Node) -> Vec<String> {
    ["functions", "macros", "imports"]
        .iter()
        .filter_map(|key| root.get(key))
        .flat_map(|node| {
            let named = node.entries().iter().map(|entry| entry.key.clone());
            named.chain(node.items().iter().filter_map(|item| item.as_str().map(str::to_owned))).collect::<Vec<_>>()
        })
        .collect()
}
