//! All templates of a flow, each in its own scope, and what they make steps wait for.
//!
//! Invariant: every string of the flow that the engine will render is read here.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::expressions::{condition, list};
use super::functions::Callables;
use super::scope::{Scope, StepRead, Templates};
use super::{Names, StepFacts, Subject, Way};
use crate::catalogue::ExecutorSpec;
use crate::codes;
use crate::flow::{Concurrency, Step};
use crate::limits;
use crate::node::Node;
use crate::plan::{ForEachPlan, Phase, StepIndex, Target};
use crate::report::Report;
use crate::source::{Anchor, Span};
use crate::suggest;
use crate::templates;

/// What reading the templates has shown besides the steps' facts.
pub(super) struct TemplateFacts {
    /// Schemas of the flow's outputs as far as they are known.
    pub(super) outputs: BTreeMap<String, Value>,
    /// What compensations read, and where.
    pub(super) by_compensations: Vec<(StepIndex, Target, Span)>,
    pub(super) bare_reads: Vec<BareRead>,
}

/// A read of a field of a step's output that nothing guards.
#[derive(Debug, Clone)]
pub(super) struct BareRead {
    /// `None`: the flow's outputs.
    pub(super) reader: Option<StepIndex>,
    pub(super) in_condition: bool,
    pub(super) step: StepIndex,
    /// Steps that the template asked about before.
    pub(super) asked: Vec<StepIndex>,
    pub(super) span: Span,
}

/// Reads all templates.
pub(super) fn templates<'a>(
    subject: Subject<'a>,
    names: &Names<'a>,
    callables: Callables,
    steps: &mut [StepFacts<'a>],
    report: &mut Report,
) -> TemplateFacts {
    let flow = subject.flow;
    let schemas: Vec<Value> = steps.iter().map(|facts| facts.output.clone()).collect();
    let mut templates = Templates {
        subject,
        names,
        schemas,
        report,
        shown: BTreeSet::new(),
        by_compensations: Vec::new(),
        bare_reads: Vec::new(),
        variables: Vec::new(),
        callables,
        home: None,
        parsed: BTreeMap::new(),
        words: 0,
    };
    super::functions::macro_bodies(&mut templates);
    for (index, variable) in flow.vars.iter().enumerate() {
        let scope = Scope { vars: index, ..Scope::default() };
        node(&mut templates, &variable.value, &scope);
        let known = templates.value_schema(&variable.value, &scope);
        templates.variables.push(known);
    }
    key(&mut templates, flow.concurrency.as_ref());
    super::gives::infer(&mut templates, subject, steps);
    for (index, step) in subject.steps.iter().enumerate() {
        for (read, from_condition) in step_reads(&mut templates, index, step, &mut steps[index]) {
            if names.phase(read.target) != step.phase {
                // It has settled long before, whatever became of it.
                continue;
            }
            steps[index].need(read.target, read.kind);
            if from_condition {
                steps[index].watches.extend(read.watched);
                steps[index].asks.push(read.step);
            }
        }
    }
    let scope = Scope { steps: true, vars: flow.vars.len(), ..Scope::default() };
    let mut outputs = BTreeMap::new();
    for output in flow.outputs.iter().flatten() {
        node(&mut templates, &output.value, &scope);
        let text = output.value.as_str();
        if let Some(schema) = text.and_then(|text| templates.text_schema(text, &scope)) {
            outputs.insert(output.name.clone(), schema);
        }
    }
    super::circles::check(&mut templates);
    TemplateFacts { outputs, by_compensations: templates.by_compensations, bare_reads: templates.bare_reads }
}

/// The key of a concurrency limit sees the inputs alone.
fn key(templates: &mut Templates<'_, '_>, concurrency: Option<&Concurrency>) {
    let Some(key) = concurrency.and_then(|concurrency| concurrency.key.as_ref()) else { return };
    let source = templates.subject.sources.get(key.span.file);
    templates.text(Anchor { source, text: &key.value, scalar: Some(key.span) }, &Scope::default());
}

/// The reads of one step; true for those of its condition.
fn step_reads(
    templates: &mut Templates<'_, '_>,
    index: StepIndex,
    step: &Step,
    facts: &mut StepFacts<'_>,
) -> Vec<(StepRead, bool)> {
    let plain = plain(templates, index, step);
    let mut reads = Vec::new();
    if let Some(written) = &step.condition
        && let Some((expression, found)) =
            condition(templates, written, "a condition", &Scope { in_condition: true, ..plain.clone() })
    {
        reads.extend(found.into_iter().map(|read| (read, true)));
        facts.condition = Some(expression);
    }
    let mut more = Vec::new();
    let items = items(templates, step, facts, &plain, &mut more);
    let item_scope = plain.with(items.clone());
    let before = templates.report.is_full();
    let mut item_is_used = false;
    for way in std::iter::once(&mut facts.own).chain(&mut facts.fallbacks) {
        templates.shown.clear();
        let scope = Scope { secrets: super::secrets::elsewhere(way.spec), ..item_scope.clone() };
        more.extend(config_reads(templates, way, &scope));
        item_is_used |= items.keys().any(|name| templates.shown.contains(name));
    }
    if let Some(repeat) = &step.repeat {
        let sees = [
            ("output".to_owned(), super::outputs::way_output(&facts.own)),
            ("iteration".to_owned(), json!({ "type": "integer" })),
        ];
        let scope = item_scope.with(sees);
        templates.shown.clear();
        if let Some((expression, found)) = condition(templates, &repeat.until, "`until`", &scope) {
            more.extend(found);
            facts.until = Some(expression);
        }
        item_is_used |= items.keys().any(|name| templates.shown.contains(name));
    }
    if let (Some(list), false, false) = (&step.for_each, item_is_used, before)
        && step.phase == Phase::Main
    {
        unused_item(templates, list, &items);
    }
    if let Some(value) = step.on_error.as_ref().and_then(|on_error| on_error.value()) {
        more.extend(node(templates, value, &plain));
    }
    key(templates, step.concurrency.as_ref());
    reads.extend(more.into_iter().map(|read| (read, false)));
    reads
}

fn plain(templates: &Templates<'_, '_>, index: StepIndex, step: &Step) -> Scope {
    let undoes = matches!(step.phase, Phase::Compensation { .. });
    let extra = match step.phase {
        Phase::OnError | Phase::Finally => {
            BTreeMap::from([("error".to_owned(), Value::Bool(true)), ("failed_step".to_owned(), Value::Bool(true))])
        }
        Phase::Main | Phase::Compensation { .. } => BTreeMap::new(),
    };
    Scope {
        steps: true,
        vars: templates.subject.flow.vars.len(),
        own: (!undoes).then_some(index),
        undoes: undoes.then_some(index),
        reader: Some(index),
        phase: step.phase,
        extra,
        ..Scope::default()
    }
}

/// The list of a `for_each`, and the item's name with what is known of it.
fn items(
    templates: &mut Templates<'_, '_>,
    step: &Step,
    facts: &mut StepFacts<'_>,
    plain: &Scope,
    reads: &mut Vec<StepRead>,
) -> BTreeMap<String, Value> {
    let Some(written) = &step.for_each else { return BTreeMap::new() };
    let undone = match step.phase {
        Phase::Compensation { of } => Some(of),
        _ => None,
    };
    let found = match undone {
        Some(of) => super::expressions::undone(templates, written, templates.subject.steps[of]),
        None => list(templates, written, plain),
    };
    if let Some((value, found)) = found {
        reads.extend(found);
        facts.for_each = Some(ForEachPlan {
            list: value,
            line: written.span.start.line,
            name: step.item_name.as_ref().map(|name| name.value.clone()),
            max_parallel: step.max_parallel,
            max_items: step.max_items.unwrap_or(limits::ITEMS),
            on_item_error: step.on_item_error.unwrap_or_default(),
        });
    }
    let element = templates.item_schema(written, plain);
    let index = json!({ "type": "integer" });
    let mut record = match undone {
        Some(of) => {
            let output = super::types::item_of_output(&templates.schemas[of]);
            closed([("value", element.clone()), ("index", index), ("output", output)])
        }
        None => closed([("value", element.clone()), ("index", index)]),
    };
    record[super::ELEMENT] = element;
    let name = step.item_name.as_ref().map_or("item", |name| &name.value);
    BTreeMap::from([(name.to_owned(), record)])
}

fn closed<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let properties: Map<String, Value> = fields.into_iter().map(|(name, schema)| (name.to_owned(), schema)).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn unused_item(templates: &mut Templates<'_, '_>, list: &Node, items: &BTreeMap<String, Value>) {
    let Some(name) = items.keys().next() else { return };
    let message = format!("nothing in the step reads `{name}`: every item does the same");
    let hint = format!(
        "Say where the item goes, as in `file: \"{{{{ {name} }}}}\"`; the main input does not take it by itself."
    );
    templates.report.hint(list.span, codes::IDLE, (message, hint));
}

fn config_reads(templates: &mut Templates<'_, '_>, way: &mut Way<'_>, scope: &Scope) -> Vec<StepRead> {
    let (Some(config), spec) = (way.config, way.spec) else { return Vec::new() };
    let main = spec.and_then(|spec| spec.main_input.as_ref()).map(|main| main.field.as_str());
    let mut has_prompt = false;
    let own = spec.and_then(|spec| spec.config.get("properties")?.as_object());
    let open = spec.is_some_and(|spec| spec.open_config);
    let prompt = scope.with(prompt_names(config, spec));
    let with_secrets = super::secrets::scope_of(spec, scope);
    let conditions = spec.map(|spec| super::conditions::of(config, spec)).unwrap_or_default();
    let mut reads = Vec::new();
    for written in &conditions {
        reads.extend(condition(templates, written, "a condition", scope).into_iter().flat_map(|(_, reads)| reads));
    }
    for entry in config.entries() {
        // Variables of a prompt are rendered first and do not see each other.
        let is_variable = open && own.is_none_or(|own| !own.contains_key(&entry.key));
        let takes_secrets = spec.is_some_and(|spec| spec.secret_fields.contains(&entry.key));
        let scope = match &with_secrets {
            Some(scope) if takes_secrets => scope,
            _ if open && !is_variable => &prompt,
            _ => scope,
        };
        if spec.is_some_and(|spec| spec.raw_fields.contains(&entry.key)) {
            continue;
        }
        has_prompt |= open && entry.key == "prompt";
        if spec.is_some_and(|spec| spec.file_fields.contains(&entry.key)) {
            has_prompt = true;
            reads.extend(prompt_file(templates, &entry.value, &prompt));
        } else {
            reads.extend(node_without(templates, &entry.value, &conditions, scope));
        }
        if let (Some(spec), Some(wanted)) = (spec, own.and_then(|own| own.get(&entry.key))) {
            templates.fits(&entry.key, &entry.value, (spec, wanted), scope);
        }
    }
    super::secrets::check(templates, config);
    super::pipelines::check(templates, way, scope);
    way.ignores_main_input = has_prompt && main.is_some_and(|main| !templates.shown.contains(main));
    reads
}

/// What a prompt sees besides the flow's scope: the step's config by key, its main input, and the instruction.
fn prompt_names(config: &Node, spec: Option<&ExecutorSpec>) -> Vec<(String, Value)> {
    let Some(spec) = spec.filter(|spec| spec.open_config || !spec.file_fields.is_empty()) else {
        return Vec::new();
    };
    let keys = config.entries().iter().map(|entry| entry.key.clone());
    let main = spec.main_input.iter().map(|main| main.field.clone());
    keys.chain(main).chain(["instruction".to_owned()]).map(|name| (name, Value::Bool(true))).collect()
}

fn prompt_file(templates: &mut Templates<'_, '_>, value: &Node, scope: &Scope) -> Vec<StepRead> {
    let Some(name) = value.as_str() else { return Vec::new() };
    if templates::is_template(name) {
        let message = "the name of a prompt file must be written out";
        let hint = "Steps that it reads could not be found otherwise.";
        templates.report.hint(value.span, codes::TEMPLATE_FILE, (message, hint));
        return Vec::new();
    }
    if !templates.subject.files.contains_key(name) {
        let message = format!("there is no file `{}` in the flow's folder", crate::reader::shorten(name));
        let hint = suggest::did_you_mean(name, templates.subject.files.keys().map(String::as_str));
        templates.report.hint(value.span, codes::MISSING_FILE, (message, hint));
        return Vec::new();
    }
    templates.file(name, scope)
}

/// All texts in a value.
pub(super) fn node(templates: &mut Templates<'_, '_>, value: &Node, scope: &Scope) -> Vec<StepRead> {
    node_without(templates, value, &[], scope)
}

fn node_without(templates: &mut Templates<'_, '_>, value: &Node, besides: &[&Node], scope: &Scope) -> Vec<StepRead> {
    let sources = templates.subject.sources;
    let mut texts = Vec::new();
    value.each_text(&mut |node, text| {
        if !besides.iter().any(|other| std::ptr::eq(*other, node)) {
            texts.push((node.span, text));
        }
    });
    let mut reads = Vec::new();
    for (span, text) in texts {
        let anchor = Anchor { source: sources.get(span.file), text, scalar: Some(span) };
        reads.extend(templates.text(anchor, scope));
    }
    reads
}
