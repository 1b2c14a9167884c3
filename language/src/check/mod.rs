//! Checks a flow as a whole: names, order, templates, configs, main inputs. All of it at once, each with a place.
//!
//! Invariant: what [`Analysis`] says is complete only if the report holds no errors; the plan is built from it then.

mod circles;
mod conditions;
mod config;
mod defaults;
pub(crate) mod effects;
mod expressions;
mod functions;
mod gives;
mod main_input;
mod names;
mod order;
mod outputs;
mod pipelines;
mod records;
mod scope;
mod secrets;
mod settings;
mod skips;
mod steps;
mod types;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::catalogue::{Catalogue, ExecutorSpec};
use crate::compose::{Files, Library};
use crate::flow::{Flow, Group, Located, Step, StepOnError};
use crate::node::Node;
use crate::plan::{Expression, ForEachPlan, MainInputPlan, Need, NeedKind, StepIndex, Target};
use crate::report::Report;
use crate::source::{Sources, Span};

pub(crate) use conditions::in_braces;
pub(crate) use defaults::{input_schema, input_value_schema, is_required};
pub(crate) use names::Names;
pub(crate) use outputs::{ELEMENT, field_schema, item_field_schema, output_schema};
pub(crate) use types::misfit;

/// What checking has found out about a flow.
#[derive(Debug)]
pub(crate) struct Analysis<'a> {
    pub(crate) flow: &'a Flow,
    /// The flow's steps in the order of the plan.
    pub(crate) written: &'a [&'a Step],
    pub(crate) names: Names<'a>,
    pub(crate) steps: Vec<StepFacts<'a>>,
    /// Schemas of the flow's own outputs, where they are declared.
    pub(crate) output_reads: BTreeMap<String, Value>,
}

/// A group that at least one step names.
#[derive(Debug)]
pub(crate) struct GroupFacts<'a> {
    pub(crate) name: &'a str,
    /// Where the first member names it.
    pub(crate) span: Span,
    pub(crate) members: Vec<StepIndex>,
    pub(crate) settings: Option<&'a Group>,
}

/// One way to do a step: its own executor, or a fallback's.
#[derive(Debug)]
pub(crate) struct Way<'a> {
    pub(crate) executor: &'a Located<String>,
    pub(crate) config: Option<&'a Node>,
    pub(crate) spec: Option<&'a ExecutorSpec>,
    pub(crate) main_input: Option<MainInputPlan>,
    /// What its config says of its output.
    pub(crate) gives: Option<Value>,
    /// There is a prompt of its own that does not show the main input.
    pub(crate) ignores_main_input: bool,
}

#[derive(Debug)]
pub(crate) struct StepFacts<'a> {
    pub(crate) own: Way<'a>,
    pub(crate) fallbacks: Vec<Way<'a>>,
    pub(crate) needs: Vec<Need>,
    pub(crate) watches: Vec<StepIndex>,
    pub(crate) condition: Option<Expression>,
    /// Steps that the condition reads in any way.
    pub(crate) asks: Vec<StepIndex>,
    pub(crate) for_each: Option<ForEachPlan>,
    pub(crate) until: Option<Expression>,
    /// JSON Schema of the output as far as it is known.
    pub(crate) output: Value,
}

impl StepFacts<'_> {
    pub(crate) fn need(&mut self, target: Target, kind: NeedKind) {
        match self.needs.iter_mut().find(|need| need.target == target) {
            Some(need) if need.why.contains(&kind) => {}
            Some(need) => need.why.push(kind),
            None => self.needs.push(Need { target, why: vec![kind] }),
        }
    }
}

/// What the checker looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) flow: &'a Flow,
    /// The flow's steps in the order of the plan.
    pub(crate) steps: &'a [&'a Step],
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) sources: &'a Sources,
    pub(crate) files: &'a Files,
    pub(crate) libraries: &'a [Library],
}

/// Checks everything that needs more than one value's shape.
pub(crate) fn analyse<'a>(subject: Subject<'a>, report: &mut Report) -> Analysis<'a> {
    let Subject { flow, steps: written, .. } = subject;
    let names = names::collect(flow, written, report);
    let mut schemas = defaults::Schemas::default();
    defaults::check(flow, &mut schemas, report);
    let mut steps: Vec<StepFacts<'a>> = written.iter().map(|step| facts(subject, step, report)).collect();
    for (facts, step) in steps.iter().zip(written) {
        for way in std::iter::once(&facts.own).chain(&facts.fallbacks) {
            if let Some(spec) = way.spec {
                config::check(way, spec, report);
                outputs::own_schema(step, way, spec, &mut schemas, report);
            }
        }
    }
    let callables = functions::check(subject, report);
    order::declared(written, &names, &mut steps, report);
    let read = steps::templates(subject, &names, callables, &mut steps, report);
    settings::check(subject, &steps, report);
    if let Some(ancestors) = order::ancestors(written, &names, &steps, report) {
        main_input::resolve(subject, &names, &ancestors, &mut steps, report);
        order::undone(&read.by_compensations, written, &names, &ancestors, report);
        if !report.has_errors() {
            skips::check(subject, &names, &steps, &ancestors, &read.bare_reads, report);
        }
    }
    for facts in &mut steps {
        facts.needs.sort_by_key(|need| names.rank(need.target));
        facts.watches.sort_unstable();
        facts.watches.dedup();
    }
    Analysis { flow, written, names, steps, output_reads: read.outputs }
}

fn facts<'a>(subject: Subject<'a>, step: &'a Step, report: &mut Report) -> StepFacts<'a> {
    let mut way = |executor: &'a Located<String>, config: Option<&'a Node>| Way {
        executor,
        config,
        spec: config::executor(executor, subject.catalogue, report),
        main_input: None,
        gives: None,
        ignores_main_input: false,
    };
    let own = way(&step.executor, step.config.as_ref());
    let fallbacks: Vec<Way<'a>> = match &step.on_error {
        Some(StepOnError::Fallback { fallbacks, .. }) => {
            fallbacks.iter().map(|fallback| way(&fallback.executor, fallback.config.as_ref())).collect()
        }
        _ => Vec::new(),
    };
    let output = outputs::step_output(step, &own, &fallbacks);
    StepFacts {
        own,
        fallbacks,
        needs: Vec::new(),
        watches: Vec::new(),
        condition: None,
        asks: Vec::new(),
        for_each: None,
        until: None,
        output,
    }
}
