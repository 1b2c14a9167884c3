//! Where a left-out main input comes from.
//!
//! Invariant: sources stand in the order in which they are tried: steps, nearest line first, then the inputs.

use std::collections::BTreeSet;

use super::order::StepSet;
use super::{Names, StepFacts, Subject, Way};
use crate::catalogue::{DataKind, ExecutorSpec, MainInput};
use crate::codes;
use crate::flow::{Flow, Step};
use crate::plan::{InputKind, MainInputPlan, NeedKind, Source as From, StepIndex, Target};
use crate::report::Report;

pub(super) fn resolve(
    subject: Subject<'_>,
    names: &Names<'_>,
    ancestors: &[StepSet],
    steps: &mut [StepFacts<'_>],
    report: &mut Report,
) {
    let finder = Finder { subject, names, ancestors, fits: Fits::of(steps) };
    for (index, facts) in steps.iter_mut().enumerate() {
        let own = finder.way(index, facts, &facts.own, report);
        let fallbacks = facts.fallbacks.iter();
        let fallbacks: Vec<_> = fallbacks.map(|way| finder.way(index, facts, way, report)).collect();
        for plan in own.iter().chain(fallbacks.iter().flatten()) {
            finder.wait_for(index, &plan.sources, facts);
        }
        facts.own.main_input = own;
        for (way, found) in facts.fallbacks.iter_mut().zip(fallbacks) {
            way.main_input = found;
        }
    }
}

struct Finder<'f, 'a> {
    subject: Subject<'f>,
    names: &'f Names<'a>,
    ancestors: &'f [StepSet],
    fits: Fits,
}

impl Finder<'_, '_> {
    /// Where the main input of one way to do a step comes from, if it is left out.
    fn way(
        &self,
        index: StepIndex,
        facts: &StepFacts<'_>,
        way: &Way<'_>,
        report: &mut Report,
    ) -> Option<MainInputPlan> {
        let spec = way.spec?;
        let main = spec.main_input.as_ref()?;
        let is_written = way.config.is_some_and(|config| config.get(&main.field).is_some());
        let is_required = main.required || is_needed(way, spec, main);
        if is_written || (!is_required && way.ignores_main_input) {
            return None;
        }
        let step = self.subject.steps[index];
        let mut sources = if main.list {
            list(facts, main, self.names, &self.fits)
        } else {
            match nearest(main, self.names, &self.ancestors[index], &self.fits) {
                Ok(found) => found,
                Err(members) => {
                    // Variables of a prompt say what is meant as well as the main input does.
                    if is_required || !has_variables(way, spec) {
                        ambiguous_members(self.subject.steps, step, main, &members, report);
                    }
                    return None;
                }
            }
        };
        let inputs = inputs(self.subject.flow, main.kind);
        if !main.list || sources.is_empty() {
            sources.extend(only(self.subject.flow, main.kind, &inputs));
        }
        if sources.is_empty() {
            if is_required {
                missing(self.subject.flow, (step, way), main, &inputs, report);
            }
            return None;
        }
        Some(MainInputPlan {
            field: main.field.clone(),
            kind: main.kind,
            list: main.list,
            required: is_required,
            sources,
        })
    }

    /// Steps that run beside this one are waited for; a handler comes after the flow's own anyway.
    fn wait_for(&self, index: StepIndex, sources: &[From], facts: &mut StepFacts<'_>) {
        let direct: Vec<Target> = facts.needs.iter().map(|need| need.target).collect();
        for candidate in sources.iter().filter_map(step_of) {
            if self.names.phases()[candidate] != self.names.phases()[index] {
                continue;
            }
            // A member that is waited for through its group stays a need on the group.
            let through = self.names.group_of[candidate].map(Target::Group).filter(|group| direct.contains(group));
            facts.need(through.unwrap_or(Target::Step(candidate)), NeedKind::MainInput);
        }
    }
}

/// Whether the step has nothing else to work on.
fn is_needed(way: &Way<'_>, spec: &ExecutorSpec, main: &MainInput) -> bool {
    let has = |key: &String| way.config.is_some_and(|config| config.get(key).is_some());
    !main.needed_unless.is_empty() && !main.needed_unless.iter().any(has) && !has_variables(way, spec)
}

fn has_variables(way: &Way<'_>, spec: &ExecutorSpec) -> bool {
    let own = spec.config.get("properties").and_then(serde_json::Value::as_object);
    let is_variable = |key: &String| own.is_none_or(|own| !own.contains_key(key));
    spec.open_config && way.config.iter().flat_map(|node| node.entries()).any(|entry| is_variable(&entry.key))
}

fn step_of(source: &From) -> Option<StepIndex> {
    match source {
        From::Step { step, .. } => Some(*step),
        _ => None,
    }
}

/// The field of each step's output that is a file or a text.
struct Fits {
    files: Vec<Option<String>>,
    texts: Vec<Option<String>>,
}

impl Fits {
    fn of(steps: &[StepFacts<'_>]) -> Self {
        let marked = |kind: DataKind| {
            let field = |facts: &StepFacts<'_>| {
                // A schema of the step's own replaces the executor's output, and may lack the marked field.
                let has = |field: &String| super::field_schema(&facts.output, std::slice::from_ref(field)).is_ok();
                let marked = facts.own.spec?.marked.iter().find(|marked| marked.kind == kind && has(&marked.field))?;
                Some(marked.field.clone())
            };
            steps.iter().map(field).collect()
        };
        Self { files: marked(DataKind::File), texts: marked(DataKind::Text) }
    }

    fn source(&self, step: StepIndex, kind: DataKind) -> Option<From> {
        let field = match kind {
            DataKind::Data => None,
            DataKind::File => Some(self.files[step].clone()?),
            DataKind::Text => Some(self.texts[step].clone()?),
        };
        Some(From::Step { step, field })
    }
}

/// All direct dependencies, a group as its members, in written order; not what is merely watched.
fn list(facts: &StepFacts<'_>, main: &MainInput, names: &Names<'_>, fits: &Fits) -> Vec<From> {
    let direct: BTreeSet<StepIndex> = facts
        .needs
        .iter()
        .filter(|need| need.why.iter().any(|why| *why != NeedKind::ReadRecord))
        .flat_map(|need| names.steps_of(need.target))
        .collect();
    direct.into_iter().filter_map(|step| fits.source(step, main.kind)).collect()
}

/// The candidates, nearest first; an error where members of one group are equally near.
fn nearest(main: &MainInput, names: &Names<'_>, ancestors: &StepSet, fits: &Fits) -> Result<Vec<From>, Vec<StepIndex>> {
    let is_candidate = |step: StepIndex| ancestors.contains(step) && fits.source(step, main.kind).is_some();
    let mut sources = Vec::new();
    for step in (0..names.group_of.len()).rev().filter(|step| is_candidate(*step)) {
        let group = names.group_of[step].map(|group| &names.groups[group].members);
        let peers: Vec<StepIndex> = group.into_iter().flatten().copied().filter(|peer| is_candidate(*peer)).collect();
        if peers.len() > 1 {
            // Nobody can say which member is meant; what lies nearer is enough, what lies further would be a surprise.
            return if sources.is_empty() { Err(peers) } else { Ok(sources) };
        }
        sources.extend(fits.source(step, main.kind));
    }
    Ok(sources)
}

/// Declared inputs of a kind.
fn inputs(flow: &Flow, kind: DataKind) -> Vec<&str> {
    let fits = |input: &&crate::flow::Input| match kind {
        DataKind::File => input.kind == InputKind::File,
        DataKind::Data => true,
        DataKind::Text => {
            let schema_type = input.schema.as_ref().and_then(|schema| schema.get("type")?.as_str());
            input.kind == InputKind::String || schema_type == Some("string")
        }
    };
    flow.inputs.iter().flatten().filter(fits).map(|input| input.name.value.as_str()).collect()
}

fn only(flow: &Flow, kind: DataKind, inputs: &[&str]) -> Option<From> {
    match (&flow.inputs, inputs, kind) {
        (Some(_), [name], _) => Some(From::Input { name: (*name).to_owned() }),
        (None, _, DataKind::File) => Some(From::OnlyFile),
        (None, _, DataKind::Text) => Some(From::OnlyText),
        _ => None,
    }
}

fn words(kind: DataKind) -> &'static str {
    match kind {
        DataKind::File => "a file",
        DataKind::Text => "text",
        DataKind::Data => "data",
    }
}

fn missing(flow: &Flow, (step, way): (&Step, &Way<'_>), main: &MainInput, inputs: &[&str], report: &mut Report) {
    let field = &main.field;
    let (name, executor) = (&step.name.value, &way.executor.value);
    if inputs.len() > 1 {
        let message = format!("`{name}` needs `{field}`, and several inputs could be it: {}", inputs.join(", "));
        let hint = format!("Write `{field}: \"{{{{ inputs.{} }}}}\"` under its `config`.", inputs[0]);
        report.hint(step.name.span, codes::MAIN_INPUT_AMBIGUOUS, (message, hint));
        return;
    }
    let kind = words(main.kind);
    let message = format!("`{executor}` needs `{field}`, but no step before `{name}` and no input gives {kind}");
    let hint = match (&flow.inputs, main.kind) {
        (Some(_), DataKind::File) => "Declare an input of the type `file`, or write it under `config`.".to_owned(),
        (Some(_), DataKind::Text) => "Declare an input of the type `string`, or write it under `config`.".to_owned(),
        _ => format!("Write `{field}: \"{{{{ inputs }}}}\"` or what else is meant under `config`."),
    };
    report.hint(step.name.span, codes::MAIN_INPUT_MISSING, (message, hint));
}

fn ambiguous_members(steps: &[&Step], step: &Step, main: &MainInput, members: &[StepIndex], report: &mut Report) {
    let names: Vec<&str> = members.iter().map(|member| steps[*member].name.value.as_str()).collect();
    let field = &main.field;
    let message = format!(
        "`{}` takes one `{field}`, and several members of a group could be it: {}",
        step.name.value,
        names.join(", ")
    );
    let hint =
        format!("Write `{field}: \"{{{{ steps.{}.output }}}}\"` or what else is meant under its `config`.", names[0]);
    report.hint(step.name.span, codes::MAIN_INPUT_AMBIGUOUS, (message, hint));
}
