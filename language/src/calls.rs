//! Flows that call flows by a written name: who is meant, whether the calls go round, and whether the inputs fit.
//!
//! Invariant: names that templates compute are left to the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::codes::{self, Code};
use crate::limits;
use crate::plan::{Plan, StepPlan};
use crate::problem::Problem;
use crate::suggest;
use crate::templates;

/// One written name of a flow in a step's config.
#[derive(Debug, Clone, PartialEq)]
pub struct Call<'p> {
    pub step: &'p StepPlan,
    pub name: &'p str,
    /// JSON pointer of the name within the config.
    pub pointer: String,
    /// The keys of `inputs` beside the name, where they are written out.
    pub inputs: Vec<&'p str>,
}

/// The flows that a plan calls by written names.
#[must_use]
pub fn calls(plan: &Plan) -> Vec<Call<'_>> {
    let mut found = Vec::new();
    for step in plan.steps.iter().filter(|step| step.executor.starts_with("flow_")) {
        for (key, value) in &step.config {
            below(step, value, &format!("/{key}"), (key, None), &mut found);
        }
        if let Some(call) = found.iter_mut().find(|call| std::ptr::eq(call.step, step) && call.pointer == "/flow_name")
        {
            call.inputs = keys(step.config.get("inputs"));
        }
    }
    found
}

/// A flow that a config says to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Callee {
    pub flow: String,
    pub version: Option<u32>,
    pub channel: Option<String>,
}

/// The flows that a config says to run; `None` where a template computes one of them.
#[must_use]
pub fn callees(config: &Map<String, Value>) -> Option<Vec<Callee>> {
    let mut found = Vec::new();
    config.iter().all(|(key, value)| callees_below(value, key, config, &mut found)).then_some(found)
}

fn callees_below(value: &Value, key: &str, beside: &Map<String, Value>, found: &mut Vec<Callee>) -> bool {
    match value {
        Value::String(name) if matches!(key, "flow_name" | "flows" | "default") => {
            let at = |key: &str| beside.get(key).filter(|value| key != "flows" && !value.is_null());
            let version = at("version").map(Value::as_u64);
            let channel = at("channel").map(Value::as_str);
            let is_written = version != Some(None)
                && channel != Some(None)
                && ![Some(name.as_str()), channel.flatten()].into_iter().flatten().any(templates::is_template);
            let version = version.flatten().map(|number| u32::try_from(number).unwrap_or(u32::MAX));
            found.push(Callee { flow: name.clone(), version, channel: channel.flatten().map(str::to_owned) });
            is_written
        }
        Value::Array(items) => items.iter().all(|item| callees_below(item, key, beside, found)),
        Value::Object(fields) if key != "inputs" => {
            fields.iter().all(|(name, field)| callees_below(field, name, fields, found))
        }
        _ => true,
    }
}

fn keys(inputs: Option<&Value>) -> Vec<&str> {
    inputs.and_then(Value::as_object).map(|inputs| inputs.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn below<'p>(
    step: &'p StepPlan,
    value: &'p Value,
    pointer: &str,
    (key, beside): (&str, Option<&'p Value>),
    found: &mut Vec<Call<'p>>,
) {
    match value {
        Value::String(name) if matches!(key, "flow_name" | "flows" | "default") => {
            if crate::is_flow_name(name) && !templates::is_template(name) {
                found.push(Call { step, name, pointer: pointer.to_owned(), inputs: keys(beside) });
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                below(step, item, &format!("{pointer}/{index}"), (key, None), found);
            }
        }
        Value::Object(fields) if key != "inputs" => {
            for (name, field) in fields {
                below(step, field, &format!("{pointer}/{name}"), (name, fields.get("inputs")), found);
            }
        }
        _ => {}
    }
}

/// What is wrong with a plan's calls, when the flows that it reaches are these.
#[must_use]
pub fn check_calls(name: &str, plan: &Plan, known: &BTreeMap<String, Arc<Plan>>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for call in calls(plan) {
        let Some(callee) = known.get(call.name).filter(|_| call.name != name) else {
            if call.name == name {
                let message = format!("the flow calls itself: {name} calls {name}");
                problems.push(problem(&call, codes::NEIGHBOUR_CYCLE, &message, None));
            } else {
                let hint = suggest::nearest(call.name, known.keys().map(String::as_str));
                let hint = hint.map(|name| format!("Did you mean `{name}`?"));
                let message = format!("there is no flow `{}` to call yet", call.name);
                problems.push(problem(&call, codes::UNKNOWN_CALLEE, &message, hint));
            }
            continue;
        };
        let mut line = vec![name.to_owned(), call.name.to_owned()];
        match walk(callee, known, &mut line, &mut BTreeMap::new()) {
            Walk::Ends => {}
            Walk::Round => {
                let message = format!("flows that call each other in a circle: {}", line.join(" calls "));
                problems.push(problem(&call, codes::NEIGHBOUR_CYCLE, &message, None));
            }
            Walk::TooDeep => {
                let message =
                    format!("more than {} flows call each other in a line: {}", limits::DEPTH, line.join(" calls "));
                problems.push(problem(&call, codes::NEIGHBOUR_CYCLE, &message, None));
            }
        }
        let declared: Vec<&str> = callee.inputs.iter().flatten().map(|input| input.name.as_str()).collect();
        for given in call.inputs.iter().filter(|given| callee.inputs.is_some() && !declared.contains(given)) {
            let message = format!("`{}` has no input `{given}`", call.name);
            let hint = suggest::did_you_mean(given, declared.iter().copied());
            problems.push(problem(&call, codes::CALLEE_INPUT, &message, Some(hint).filter(|hint| !hint.is_empty())));
        }
    }
    problems
}

enum Walk {
    Ends,
    Round,
    TooDeep,
}

/// Follows calls; where they go round or too deep, `line` holds the way there. `ended` holds how deep a flow stood when
/// its calls were found to end: what stands no deeper need not be followed again.
fn walk<'p>(
    plan: &'p Plan,
    known: &'p BTreeMap<String, Arc<Plan>>,
    line: &mut Vec<String>,
    ended: &mut BTreeMap<&'p str, usize>,
) -> Walk {
    if line.len() > limits::DEPTH {
        return Walk::TooDeep;
    }
    let mut seen = Vec::new();
    for call in calls(plan) {
        if seen.contains(&call.name) {
            continue;
        }
        seen.push(call.name);
        let is_round = line.iter().any(|name| name == call.name);
        line.push(call.name.to_owned());
        if is_round {
            return Walk::Round;
        }
        let is_known = ended.get(call.name).is_some_and(|depth| line.len() <= *depth);
        if let Some(callee) = known.get(call.name).filter(|_| !is_known) {
            match walk(callee, known, line, ended) {
                Walk::Ends => {}
                found => return found,
            }
            ended.insert(call.name, line.len());
        }
        line.pop();
    }
    Walk::Ends
}

fn problem(call: &Call<'_>, code: Code, message: &str, hint: Option<String>) -> Problem {
    let line = call.step.config_lines.get(&call.pointer).copied().unwrap_or(call.step.line);
    Problem {
        code: code.code.to_owned(),
        severity: code.severity,
        message: format!("in `{}`: {message}", call.step.name),
        hint,
        file: crate::FLOW_FILE.to_owned(),
        line,
        column: 1,
        end_line: line,
        end_column: 1,
    }
}
