//! What a call gives and takes, against what the called flow declares.
//!
//! Invariant: only what is sure to be refused by the callee as it is published now; it may be published anew before the
//! next run, so these are warnings.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::places::{At, Places};
use super::{Call, Given, Pinned, problem};
use crate::check::field_schema;
use crate::codes;
use crate::json_schema;
use crate::node::Node;
use crate::plan::{InputKind, OnError, Plan};
use crate::problem::Problem;
use crate::source::Anchor;
use crate::suggest;
use crate::templates::{self, Found};

/// What the flows that are called are: those on `stable` by name, those of a written version or channel by their calls.
pub(super) struct Fits<'c> {
    pub(super) stable: &'c BTreeMap<String, Arc<Plan>>,
    pub(super) pinned: &'c Pinned,
}

impl<'c> Fits<'c> {
    /// What a call, by its place in [`super::calls`], would run.
    pub(super) fn callee(&self, index: usize, call: &Call<'_>) -> Option<&'c Plan> {
        if call.is_stable() {
            return self.stable.get(call.name).map(AsRef::as_ref);
        }
        self.pinned.get(&index).and_then(Option::as_deref)
    }
}

/// The inputs that a call gives by written keys.
pub(super) fn inputs(call: &Call<'_>, callee: &Plan, places: &Places, problems: &mut Vec<Problem>) {
    let Some(declared) = &callee.inputs else { return };
    let empty = serde_json::Map::new();
    let given = match call.given {
        Given::Keys(given) => given,
        Given::Nothing => &empty,
        Given::Computed => return,
    };
    let own = call.pointer.strip_suffix("/flow_name").unwrap_or(&call.pointer);
    // Those of a router or a pipeline stand on top, where the flow has none of its own.
    let pointer = [format!("{own}/inputs"), "/inputs".to_owned()];
    let at = |key: &str, at: At| {
        pointer.iter().find_map(|inputs| places.of_config(call, &format!("{inputs}/{}", escaped(key)), at))
    };
    for (key, value) in given {
        let Some(input) = declared.iter().find(|input| input.name == *key) else {
            let message = format!("`{}` has no input `{key}`", call.name);
            let hint = suggest::did_you_mean(key, declared.iter().map(|input| input.name.as_str()));
            problems.push(problem(call, codes::CALLEE_INPUT, (&message, Some(hint)), at(key, At::Key)));
            continue;
        };
        if input.kind == InputKind::File || holds_template(value) {
            continue;
        }
        let Ok(validator) = json_schema::trusted(&input.schema) else { continue };
        if let Some((_, reason)) = json_schema::first_problem(&validator, value) {
            let message = format!("the input `{key}` of `{}` does not take this: {reason}", call.name);
            problems.push(problem(call, codes::CALLEE_INPUT, (&message, None), at(key, At::Value)));
        }
    }
    let missing = declared.iter().filter(|input| input.required && !given.contains_key(&input.name));
    let missing: Vec<String> = missing.map(|input| format!("`{}`", input.name)).collect();
    if !missing.is_empty() {
        let message = format!("`{}` needs {}", call.name, missing.join(", "));
        let hint = "Write it under `inputs`.".to_owned();
        let place = places.of_config(call, &call.pointer, At::Value);
        problems.push(problem(call, codes::CALLEE_INPUT, (&message, Some(hint)), place));
    }
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn holds_template(value: &Value) -> bool {
    match value {
        Value::String(text) => templates::is_template(text),
        Value::Array(items) => items.iter().any(holds_template),
        Value::Object(fields) => fields.values().any(holds_template),
        _ => false,
    }
}

/// Reads of outputs that a called flow does not give.
pub(super) fn outputs(plan: &Plan, calls: &[Call<'_>], fits: &Fits<'_>, places: &Places, problems: &mut Vec<Problem>) {
    // What a step gives is known where it makes one call, once, and nothing can stand in for it.
    let single = calls.iter().enumerate().filter(|(_, call)| {
        let step = call.step;
        let is_plain =
            step.for_each.is_none() && step.fallbacks.is_empty() && !matches!(step.on_error, OnError::Value(_));
        step.executor == "flow_executor" && call.entry == 0 && is_plain && !is_detached(step.config.get("detached"))
    });
    let callees: BTreeMap<&str, (&Call<'_>, &Plan)> =
        single.filter_map(|(index, call)| Some((call.step.name.as_str(), (call, fits.callee(index, call)?)))).collect();
    let Some(root) = places.root().filter(|_| !callees.is_empty()) else { return };
    let mut texts = Vec::new();
    for key in ["steps", "on_error", "finally", "outputs"] {
        collect(root.get(key), false, &mut texts);
    }
    for (node, text, is_expression) in texts {
        let found = if is_expression && !templates::is_template(text) {
            templates::scan_expression(text)
        } else {
            templates::scan(text)
        };
        let anchor = Anchor { source: places.source(), text, scalar: Some(node.span) };
        read(&found.unwrap_or_default(), anchor, (plan, &callees), problems);
    }
}

fn is_detached(detached: Option<&Value>) -> bool {
    detached.is_some_and(|detached| *detached != Value::Bool(false))
}

/// All texts below a node, and whether each is an expression also without braces.
pub(super) fn collect<'n>(node: Option<&'n Node>, is_expression: bool, texts: &mut Vec<(&'n Node, &'n str, bool)>) {
    let Some(node) = node else { return };
    if let Some(text) = node.as_str()
        && (is_expression || templates::is_template(text))
    {
        texts.push((node, text, is_expression));
    }
    node.items().iter().for_each(|item| collect(Some(item), false, texts));
    for entry in node.entries() {
        let is_expression = matches!(entry.key.as_str(), "condition" | "for_each" | "until");
        collect(Some(&entry.value), is_expression, texts);
    }
}

fn read(
    found: &Found,
    anchor: Anchor<'_>,
    (plan, callees): (&Plan, &BTreeMap<&str, (&Call<'_>, &Plan)>),
    problems: &mut Vec<Problem>,
) {
    for read in found.reads.iter().filter(|read| read.root == "steps") {
        // A member of a group is read through its group.
        let is_group = |name: &String| plan.groups.iter().any(|group| group.name == *name);
        let path = if read.path.first().is_some_and(is_group) { &read.path[1..] } else { &read.path[..] };
        let Some((name, rest)) = path.split_first() else { continue };
        let Some((call, callee)) = callees.get(name.as_str()) else { continue };
        let fields = match rest.first().map(String::as_str) {
            Some("output") => &rest[1..],
            Some(field) if crate::names::RECORD_FIELDS.contains(&field) => continue,
            _ => rest,
        };
        if let Err((field, known)) = field_schema(&callee.output_schema, fields) {
            let message = format!("`{}` gives no `{}`", call.name, crate::reader::shorten(&field));
            let hint = suggest::did_you_mean(&field, known.iter().map(String::as_str));
            let span = anchor.span(read.range.start, read.range.end);
            let mut found = problem(call, codes::UNKNOWN_OUTPUT, (&message, Some(hint)), Some(span));
            found.message = format!("the output of `{name}`: {message}");
            problems.push(found);
        }
    }
}
