//! The main input that a step leaves out, found among what came before (flow-language, section 4).
//!
//! Invariant: the first source with a value wins; only a step that succeeded is a source.

use domain::{Failure, FailureKind, FileRef};
use language::DataKind;
use language::plan::{MainInputPlan, Plan, Source, StepIndex, StepPlan};
use serde_json::{Map, Value};

use super::{Driver, has_output};
use crate::template::way;

impl Driver {
    pub(super) fn main_input_steps(&self, step: StepIndex, entry: u32) -> Vec<StepIndex> {
        let way = way(&self.prepared.plan().steps[step], entry);
        let sources = way.main_input.into_iter().flat_map(|main| &main.sources);
        sources
            .filter_map(|source| match source {
                Source::Step { step, .. } => Some(*step),
                Source::Input { .. } | Source::OnlyFile | Source::OnlyText => None,
            })
            .collect()
    }

    /// The field and its value; `None` where the step can do without. Outputs must have been loaded.
    pub(super) fn main_input(&self, step: StepIndex, entry: u32) -> Result<Option<(String, Value)>, Failure> {
        let plan = &self.prepared.plan().steps[step];
        let Some(main) = way(plan, entry).main_input else { return Ok(None) };
        let value = if main.list { self.all_of(main) } else { self.first_of(main) };
        match value {
            Some(value) => Ok(Some((main.field.clone(), value))),
            None if !main.required => Ok(None),
            None => Err(missing(&plan.name, main).at_line(Some(plan.line))),
        }
    }

    fn first_of(&self, main: &MainInputPlan) -> Option<Value> {
        main.sources.iter().find_map(|source| self.source(source).map(|(_, value)| value.clone()))
    }

    /// A list is filled as a mapping by the names of the steps.
    fn all_of(&self, main: &MainInputPlan) -> Option<Value> {
        let found: Map<String, Value> = main
            .sources
            .iter()
            .filter_map(|source| self.source(source))
            .map(|(name, value)| (name, value.clone()))
            .collect();
        (!found.is_empty()).then_some(Value::Object(found))
    }

    fn source(&self, source: &Source) -> Option<(String, &Value)> {
        let (name, value) = match source {
            Source::Step { step, field } => {
                if !has_output(self.state.steps[*step].unit.status) {
                    return None;
                }
                let output = self.output(*step);
                let value = match field {
                    Some(field) => output.get(field)?,
                    None => output,
                };
                (self.prepared.plan().steps[*step].name.clone(), value)
            }
            of_call @ (Source::Input { .. } | Source::OnlyFile | Source::OnlyText) => {
                self::of_call(of_call, &self.run.inputs)?
            }
        };
        (!value.is_null()).then_some((name, value))
    }
}

/// The steps whose main input is among the call's own inputs.
pub(super) fn fed(plan: &Plan, inputs: &Value) -> Vec<StepIndex> {
    let gives = |source: &Source| of_call(source, inputs).is_some_and(|(_, value)| !value.is_null());
    let is_fed = |step: &StepPlan| step.main_input.as_ref().is_some_and(|main| main.sources.iter().any(gives));
    (0..).zip(&plan.steps).filter(|(_, step)| is_fed(step)).map(|(step, _)| step).collect()
}

/// What the call gives to a source.
fn of_call<'a>(source: &Source, inputs: &'a Value) -> Option<(String, &'a Value)> {
    let all = || inputs.as_object().into_iter().flatten();
    match source {
        Source::Step { .. } => None,
        Source::Input { name } => Some((name.clone(), inputs.get(name)?)),
        Source::OnlyFile => only(all().filter(|(_, value)| FileRef::from_value(value).is_some())),
        Source::OnlyText => only(all().filter(|(_, value)| value.is_string())),
    }
}

fn only<'a>(mut found: impl Iterator<Item = (&'a String, &'a Value)>) -> Option<(String, &'a Value)> {
    let (name, value) = found.next()?;
    found.next().is_none().then(|| (name.clone(), value))
}

fn missing(step: &str, main: &MainInputPlan) -> Failure {
    let what = match main.kind {
        DataKind::File => "a file",
        DataKind::Text => "a text",
        DataKind::Data => "a value",
    };
    let message = format!(
        "Step `{step}` needs {what} as `{}`, and neither the steps before it nor the call's inputs give exactly one. \
         Give it as an input, or write `{}` in the step's config.",
        main.field, main.field
    );
    Failure::new(FailureKind::Input, "main_input_missing", message)
}
