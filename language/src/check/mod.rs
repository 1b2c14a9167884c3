//! Checks a flow as a whole: names, order, templates, configs, main inputs. All of it at once, each with a place.
//!
//! Invariant: what [`Analysis`] says is complete only if the report holds no errors; the plan is built from it then.

mod config;
mod defaults;
mod main_input;
mod names;
mod order;
mod outputs;
mod records;
mod scope;
mod steps;

use std::collections::BTreeMap;

use serde_json::Value;

use crate::catalogue::{Catalogue, ExecutorSpec};
use crate::flow::{Flow, Group};
use crate::plan::{Expression, MainInputPlan, Need, NeedKind, StepIndex, Target};
use crate::report::Report;
use crate::source::{Source, Span};

pub(crate) use defaults::{input_schema, input_value_schema, is_required};
pub(crate) use names::Names;
pub(crate) use outputs::{field_schema, output_schema};

/// What checking has found out about a flow.
#[derive(Debug)]
pub(crate) struct Analysis<'a> {
    pub(crate) flow: &'a Flow,
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

#[derive(Debug, Default)]
pub(crate) struct StepFacts<'a> {
    pub(crate) spec: Option<&'a ExecutorSpec>,
    pub(crate) needs: Vec<Need>,
    pub(crate) watches: Vec<StepIndex>,
    pub(crate) condition: Option<Expression>,
    pub(crate) main_input: Option<MainInputPlan>,
    /// The step has a prompt of its own that does not show the main input.
    pub(crate) ignores_main_input: bool,
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
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) source: &'a Source,
    pub(crate) files: &'a BTreeMap<String, Source>,
    pub(crate) texts: &'a BTreeMap<String, String>,
}

/// Checks everything that needs more than one value's shape.
pub(crate) fn analyse<'a>(subject: Subject<'a>, report: &mut Report) -> Analysis<'a> {
    let Subject { flow, catalogue, source, .. } = subject;
    let names = names::collect(flow, source, report);
    let mut schemas = defaults::Schemas::default();
    defaults::check(flow, source, &mut schemas, report);
    let mut steps: Vec<StepFacts<'a>> = flow
        .steps
        .iter()
        .map(|step| {
            let spec = config::executor(step, catalogue, source, report);
            StepFacts { spec, output: outputs::step_output(step, spec), ..StepFacts::default() }
        })
        .collect();
    for (facts, step) in steps.iter().zip(&flow.steps) {
        if let Some(spec) = facts.spec {
            config::check(step, spec, source, report);
            outputs::own_schema(step, spec, (source, &mut schemas), report);
        }
    }
    order::declared(flow, &names, source, &mut steps, report);
    let output_reads = steps::templates(subject, &names, &mut steps, report);
    if let Some(ancestors) = order::ancestors(flow, &names, source, &steps, report) {
        main_input::resolve(flow, &names, source, &ancestors, &mut steps, report);
    }
    for facts in &mut steps {
        facts.needs.sort_by_key(|need| names.rank(need.target));
        facts.watches.sort_unstable();
        facts.watches.dedup();
    }
    Analysis { flow, names, steps, output_reads }
}
