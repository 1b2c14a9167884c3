//! The top level of a flow file, its defaults, groups and endpoint.
//!
//! Invariant: a flow that comes back has at least one step.

use std::collections::BTreeMap;

use super::{failure, functions, input, settings, step};
use crate::codes;
use crate::flow::{
    Defaults, Endpoint, Flow, Function, Group, GroupOnError, Input, Located, Macro, Named, OnDisconnect, Step,
};
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::plan::{Join, Phase, Save};
use crate::reader::{Fields, Reader, shorten};

pub(crate) const FLOW_KEYS: &[&str] = &[
    "name",
    "description",
    "labels",
    "search",
    "extends",
    "remove",
    "imports",
    "functions",
    "macros",
    "inputs",
    "outputs",
    "vars",
    "defaults",
    "steps",
    "groups",
    "on_error",
    "finally",
    "fail_fast",
    "timeout",
    "max_cost",
    "concurrency",
    "save",
    "endpoint",
];
const FLOW_LATER: &[&str] = &["triggers"];
pub(crate) const DEFAULTS_KEYS: &[&str] = &["retry", "timeout", "cache", "model"];
pub(crate) const GROUP_KEYS: &[&str] = &["join", "on_error", "max_parallel", "timeout", "max_cost"];
pub(crate) const ENDPOINT_KEYS: &[&str] = &["max_wait", "on_disconnect"];

/// Reads a flow. `folder` is the name that its folder or URL gives it.
pub(crate) fn flow(reader: &mut Reader<'_>, root: &Node, folder: Option<&str>) -> Option<Flow> {
    let fields = reader.fields(root, "a flow", FLOW_KEYS, FLOW_LATER)?;
    let name = fields.get("name").and_then(|entry| flow_name(reader, entry, folder));
    let mut room = limits::STEPS;
    let steps = fields.get("steps").map(|entry| self::steps(reader, entry, Phase::Main, &mut room));
    let on_error = fields.get("on_error").map(|entry| self::steps(reader, entry, Phase::OnError, &mut room));
    let finally = fields.get("finally").map(|entry| self::steps(reader, entry, Phase::Finally, &mut room));
    let functions = fields.get("functions").map(|entry| functions::functions(reader, entry)).unwrap_or_default();
    let macros = fields.get("macros").map(|entry| functions::macros(reader, entry)).unwrap_or_default();
    if steps.is_none() && functions.is_empty() && macros.is_empty() {
        let start = fields.node.span.before();
        reader.hint(start, codes::MISSING_KEY, ("a flow needs `steps`", "steps:\n  - name: first\n    executor: ..."));
        return None;
    }
    let steps = steps.unwrap_or(Some(Vec::new()));
    let compensations = steps.iter().flatten().enumerate().filter_map(|(index, of)| step::compensation(of, index));
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
        max_cost: fields.get("max_cost").and_then(|entry| settings::max_cost(reader, entry)),
        concurrency: fields.get("concurrency").and_then(|entry| settings::concurrency(reader, entry)),
        save: fields.get("save").and_then(|entry| save(reader, entry)),
        endpoint: fields.get("endpoint").map(|entry| endpoint(reader, entry)).unwrap_or_default(),
        extends: fields.get("extends").and_then(|entry| reader.located(entry)),
        remove: fields.get("remove").and_then(|entry| reader.texts(entry)).unwrap_or_default(),
        imports: fields.get("imports").and_then(|entry| reader.texts(entry)).unwrap_or_default(),
        functions,
        macros,
        compensations: compensations.collect(),
        on_error: on_error.flatten().unwrap_or_default(),
        finally: finally.flatten().unwrap_or_default(),
        span: root.span,
        steps: steps?,
    })
}

/// The functions and macros of a flow that is only imported.
pub(crate) fn callables(reader: &mut Reader<'_>, root: &Node) -> (Vec<Function>, Vec<Macro>) {
    let fields = Fields { node: root };
    let functions = fields.get("functions").map(|entry| functions::functions(reader, entry));
    let macros = fields.get("macros").map(|entry| functions::macros(reader, entry));
    (functions.unwrap_or_default(), macros.unwrap_or_default())
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

/// A list of steps; all lists of a flow share the room.
fn steps(reader: &mut Reader<'_>, entry: &Entry, phase: Phase, room: &mut usize) -> Option<Vec<Step>> {
    let items = reader.list(entry)?;
    if items.is_empty() && phase == Phase::Main {
        reader.error(entry.value.span, codes::INVALID_VALUE, "a flow needs at least one step");
        return None;
    }
    if items.len() > *room {
        let message = format!("the flow has more than {} steps", limits::STEPS);
        reader.error(items[*room].span, codes::TOO_LARGE, message);
    }
    let steps: Vec<Step> = items.iter().take(*room).filter_map(|item| step::step(reader, item, phase)).collect();
    *room -= items.len().min(*room);
    (!steps.is_empty() || phase != Phase::Main).then_some(steps)
}

fn labels(reader: &mut Reader<'_>, entry: &Entry) -> BTreeMap<String, String> {
    let Kind::Map(entries) = &entry.value.kind else {
        reader.wrong("labels", &entry.value, "a mapping");
        return BTreeMap::new();
    };
    entries.iter().filter_map(|entry| reader.text(entry).map(|text| (entry.key.clone(), text))).collect()
}

/// The entries of a mapping of names; too many or badly named ones are reported.
pub(super) fn entries<'n>(reader: &mut Reader<'_>, entry: &'n Entry, what: &str) -> Vec<&'n Entry> {
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
    let Some(fields) = reader.fields(&entry.value, "`defaults`", DEFAULTS_KEYS, &[]) else {
        return Defaults::default();
    };
    Defaults {
        retry: fields.get("retry").and_then(|entry| failure::retry(reader, entry)),
        timeout: fields.get("timeout").and_then(|entry| reader.duration(entry, false)),
        cache: fields.get("cache").and_then(|entry| settings::cache(reader, entry)),
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
    let fields = reader.fields(&entry.value, "a group", GROUP_KEYS, &[])?;
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
        max_cost: fields.get("max_cost").and_then(|entry| settings::max_cost(reader, entry)),
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

fn save(reader: &mut Reader<'_>, entry: &Entry) -> Option<Located<Save>> {
    let value = reader.choice(entry, &[("all", Save::All), ("failed", Save::Failed), ("none", Save::None)])?;
    Some(Located { value, span: entry.value.span })
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
