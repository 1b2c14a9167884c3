//! All templates of a flow, each in its own scope, and what they make steps wait for.
//!
//! Invariant: every string of the flow that the engine will render is read here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::scope::{Scope, StepRead, Templates};
use super::{Names, StepFacts, Subject};
use crate::catalogue::ExecutorSpec;
use crate::codes;
use crate::flow::{Step, StepOnError};
use crate::node::{Kind, Node};
use crate::plan::{Expression, StepIndex, Target};
use crate::report::Report;
use crate::source::Anchor;
use crate::suggest;
use crate::templates;

/// Reads all templates; gives the schemas of the flow's outputs as far as their steps' are known.
pub(super) fn templates<'a>(
    subject: Subject<'a>,
    names: &Names<'a>,
    steps: &mut [StepFacts<'a>],
    report: &mut Report,
) -> BTreeMap<String, Value> {
    let flow = subject.flow;
    let schemas: Vec<Value> = steps.iter().map(|facts| facts.output.clone()).collect();
    let mut templates = Templates {
        subject,
        names,
        schemas: &schemas,
        report,
        shown: BTreeSet::new(),
        parsed: BTreeMap::new(),
        words: 0,
    };
    for (index, variable) in flow.vars.iter().enumerate() {
        node(&mut templates, &variable.value, &Scope { vars: index, ..Scope::default() });
    }
    for (index, step) in flow.steps.iter().enumerate() {
        for (read, from_condition) in step_reads(&mut templates, index, step, &mut steps[index]) {
            steps[index].need(read.target, read.kind);
            if from_condition {
                steps[index].watches.extend(read.watched);
            }
        }
    }
    let scope = Scope { steps: true, vars: flow.vars.len(), ..Scope::default() };
    let mut known = BTreeMap::new();
    for output in flow.outputs.iter().flatten() {
        node(&mut templates, &output.value, &scope);
        if let Some(schema) = read_schema(&templates, &output.value) {
            known.insert(output.name.clone(), schema);
        }
    }
    known
}

/// The reads of one step; true for those of its condition.
fn step_reads(
    templates: &mut Templates<'_, '_>,
    index: StepIndex,
    step: &Step,
    facts: &mut StepFacts<'_>,
) -> Vec<(StepRead, bool)> {
    let vars = templates.subject.flow.vars.len();
    let plain = Scope { steps: true, vars, own: Some(index), ..Scope::default() };
    let mut reads = Vec::new();
    if let Some(written) = &step.condition
        && let Some((expression, found)) = condition(templates, written, &plain)
    {
        reads.extend(found.into_iter().map(|read| (read, true)));
        facts.condition = Some(expression);
    }
    if let Some(config) = &step.config {
        let prompt_scope = Scope { secrets: true, ..plain.clone() };
        let found = config_reads(templates, config, facts, &prompt_scope);
        reads.extend(found.into_iter().map(|read| (read, false)));
    }
    if let Some(StepOnError::Value(value)) = &step.on_error {
        reads.extend(node(templates, value, &plain).into_iter().map(|read| (read, false)));
    }
    reads
}

fn config_reads(
    templates: &mut Templates<'_, '_>,
    config: &Node,
    facts: &mut StepFacts<'_>,
    scope: &Scope,
) -> Vec<StepRead> {
    let spec = facts.spec;
    let main = spec.and_then(|spec| spec.main_input.as_ref()).map(|main| main.field.as_str());
    let mut has_prompt = false;
    templates.shown.clear();
    let own = spec.and_then(|spec| spec.config.get("properties")?.as_object());
    let open = spec.is_some_and(|spec| spec.open_config);
    let prompt = Scope { extra: prompt_names(config, spec), ..scope.clone() };
    let mut reads = Vec::new();
    for entry in config.entries() {
        // Variables of a prompt are rendered first and do not see each other.
        let is_variable = open && own.is_none_or(|own| !own.contains_key(&entry.key));
        let scope = if open && !is_variable { &prompt } else { scope };
        if spec.is_some_and(|spec| spec.raw_fields.contains(&entry.key)) {
            continue;
        }
        has_prompt |= open && entry.key == "prompt";
        if spec.is_some_and(|spec| spec.file_fields.contains(&entry.key)) {
            has_prompt = true;
            reads.extend(prompt_file(templates, &entry.value, &prompt));
        } else {
            reads.extend(node(templates, &entry.value, scope));
        }
    }
    facts.ignores_main_input = has_prompt && main.is_some_and(|main| !templates.shown.contains(main));
    reads
}

/// What a prompt sees besides the flow's scope: the step's config by key, its main input, and the instruction.
fn prompt_names(config: &Node, spec: Option<&ExecutorSpec>) -> BTreeSet<String> {
    let Some(spec) = spec.filter(|spec| spec.open_config || !spec.file_fields.is_empty()) else {
        return BTreeSet::new();
    };
    let keys = config.entries().iter().map(|entry| entry.key.clone());
    let main = spec.main_input.iter().map(|main| main.field.clone());
    keys.chain(main).chain(["instruction".to_owned()]).collect()
}

fn prompt_file(templates: &mut Templates<'_, '_>, value: &Node, scope: &Scope) -> Vec<StepRead> {
    let source = templates.subject.source;
    let Some(name) = value.as_str() else { return Vec::new() };
    if templates::is_template(name) {
        let message = "the name of a prompt file must be written out";
        let hint = "Steps that it reads could not be found otherwise.";
        templates.report.hint(&source.file, value.span, codes::TEMPLATE_FILE, (message, hint));
        return Vec::new();
    }
    if !templates.subject.files.contains_key(name) {
        let message = format!("there is no file `{}` in the flow's folder", crate::reader::shorten(name));
        let hint = suggest::did_you_mean(name, templates.subject.files.keys().map(String::as_str));
        templates.report.hint(&source.file, value.span, codes::MISSING_FILE, (message, hint));
        return Vec::new();
    }
    templates.file(name, scope)
}

/// All texts in a value.
fn node(templates: &mut Templates<'_, '_>, value: &Node, scope: &Scope) -> Vec<StepRead> {
    let source = templates.subject.source;
    let mut texts = Vec::new();
    value.each_text(&mut |node, text| texts.push((node.span, text)));
    let mut reads = Vec::new();
    for (span, text) in texts {
        reads.extend(templates.text(Anchor { source, text, scalar: Some(span) }, scope));
    }
    reads
}

fn condition(templates: &mut Templates<'_, '_>, written: &Node, scope: &Scope) -> Option<(Expression, Vec<StepRead>)> {
    let source = templates.subject.source;
    let line = written.span.start.line;
    let text = match &written.kind {
        Kind::Bool(value) => return Some((Expression { source: value.to_string(), line }, Vec::new())),
        _ => written.as_str()?,
    };
    let anchor = Anchor { source, text, scalar: Some(written.span) };
    let (offset, inner) = match templates::only_expression(text) {
        Some(found) => found,
        None if templates::is_template(text) => {
            let message = "a condition is one expression, not a text with templates in it";
            let hint = "Put all of it into one pair of braces, or leave the braces out.";
            templates.report.hint(&source.file, written.span, codes::NOT_AN_EXPRESSION, (message, hint));
            return None;
        }
        None => (0, text),
    };
    if inner.trim().is_empty() {
        templates.report.add(&source.file, written.span, codes::NOT_AN_EXPRESSION, "the condition is empty");
        return None;
    }
    let (reads, never_boolean) = templates.expression(anchor, (offset, inner), scope).ok()?;
    if never_boolean {
        let message = "this is never true or false";
        let hint = "A condition must be a boolean: compare something, or write `true` or `false`.";
        templates.report.hint(&source.file, written.span, codes::NOT_AN_EXPRESSION, (message, hint));
        return None;
    }
    Some((Expression { source: inner.trim().to_owned(), line: anchor.span(offset, offset).start.line }, reads))
}

/// The schema of an output that is exactly one read of a step.
fn read_schema(templates: &Templates<'_, '_>, value: &Node) -> Option<Value> {
    let (_, text) = templates::only_expression(value.as_str()?)?;
    let found = templates::scan_expression(text).ok()?;
    let [read] = found.reads.as_slice() else { return None };
    // Anything but the bare chain computes something else.
    if read.root != "steps" || read.computed || text.trim().len() != read.range.len() {
        return None;
    }
    let Some(Target::Step(step)) = templates.names.get(read.path.first()?) else { return None };
    let path = match read.path.get(1).map(String::as_str) {
        None => &[],
        Some("output") => &read.path[2..],
        Some(field) if crate::names::RECORD_FIELDS.contains(&field) => return None,
        Some(_) => &read.path[1..],
    };
    super::field_schema(&templates.schemas[step], path).ok().filter(|schema| *schema != Value::Bool(true))
}
