//! Flows that call flows by a written name: who is meant, whether the calls go round, and whether the inputs fit.
//!
//! Invariant: names, versions and channels that templates compute are left to the run.

mod fit;
mod order;
mod pipeline;
mod places;
mod references;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use places::{At, Places};
pub use references::{Tenancy, check_references};

use crate::Folder;
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
    /// The fallback that calls, counted from 1; 0 is the step itself.
    pub entry: usize,
    /// The exact version that is written beside the name.
    pub version: Option<u64>,
    /// The channel that is written beside the name.
    pub channel: Option<&'p str>,
    given: Given<'p>,
}

/// What a call gives.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Given<'p> {
    Nothing,
    /// Inputs by written keys. Where the pointer says.
    Keys(&'p Map<String, Value>),
    /// A value that the run makes.
    Computed,
}

/// The flows that a plan calls by written names, in fallbacks too.
#[must_use]
pub fn calls(plan: &Plan) -> Vec<Call<'_>> {
    let mut found = Vec::new();
    for step in &plan.steps {
        let fallbacks = step.fallbacks.iter().map(|fallback| (&fallback.executor, &fallback.config));
        let ways = std::iter::once((&step.executor, &step.config)).chain(fallbacks);
        for (entry, (executor, config)) in ways.enumerate() {
            of_way(step, entry, (executor, config), &mut found);
        }
    }
    found
}

fn of_way<'p>(
    step: &'p StepPlan,
    entry: usize,
    (executor, config): (&str, &'p Map<String, Value>),
    found: &mut Vec<Call<'p>>,
) {
    let shared = given(config.get("inputs"));
    let one = |fields: &'p Map<String, Value>, pointer: &str, otherwise: Given<'p>| {
        let is_written = |name: &&str| crate::is_flow_name(name) && !templates::is_template(name);
        let name = fields.get("flow_name").and_then(Value::as_str).filter(is_written)?;
        let own = fields.get("inputs").map(|inputs| given(Some(inputs)));
        Some(Call {
            step,
            name,
            pointer: format!("{pointer}/flow_name"),
            entry,
            version: fields.get("version").and_then(Value::as_u64),
            channel: fields.get("channel").and_then(Value::as_str).filter(|name| !templates::is_template(name)),
            given: own.unwrap_or(otherwise),
        })
    };
    let list = |key: &str| config.get(key).and_then(Value::as_array).into_iter().flatten().enumerate();
    match executor {
        "flow_executor" => found.extend(one(config, "", Given::Nothing)),
        "flow_router" => {
            let route =
                |(index, route): (usize, &'p Value)| one(route.as_object()?, &format!("/routes/{index}"), shared);
            found.extend(list("routes").filter_map(route));
            let default = config.get("default").and_then(Value::as_object);
            found.extend(default.and_then(|default| one(default, "/default", shared)));
        }
        "flow_pipeline" => found.extend(list("flows").filter_map(|(index, stage)| {
            let pointer = format!("/flows/{index}");
            // Every flow but the first is given what the one before made.
            let otherwise = if index == 0 { shared } else { Given::Computed };
            match stage {
                Value::Object(stage) => one(stage, &pointer, otherwise),
                Value::String(name) if crate::is_flow_name(name) && !templates::is_template(name) => {
                    let (version, channel) = (None, None);
                    Some(Call { step, name, pointer, entry, version, channel, given: otherwise })
                }
                _ => None,
            }
        })),
        _ => {}
    }
}

fn given(inputs: Option<&Value>) -> Given<'_> {
    match inputs {
        None | Some(Value::Null) => Given::Nothing,
        Some(Value::Object(keys)) => Given::Keys(keys),
        Some(_) => Given::Computed,
    }
}

impl Call<'_> {
    /// The line of the name, or of the step.
    #[must_use]
    pub fn line(&self) -> u32 {
        let lines = match self.entry.checked_sub(1).and_then(|index| self.step.fallbacks.get(index)) {
            Some(fallback) => &fallback.config_lines,
            None => &self.step.config_lines,
        };
        lines.get(&self.pointer).copied().unwrap_or(self.step.line)
    }

    /// Whether the flow's present `stable` version is what is meant.
    const fn is_stable(&self) -> bool {
        self.version.is_none() && self.channel.is_none()
    }
}

/// What calls of a written version or channel mean, by their places in [`calls`]; `None`: it is not there.
pub type Pinned = BTreeMap<usize, Option<Arc<Plan>>>;

/// What is wrong with a plan's calls, when the flows that it reaches are these.
#[must_use]
pub fn check_calls(
    folder: &Folder,
    (name, plan): (&str, &Plan),
    known: &BTreeMap<String, Arc<Plan>>,
    pinned: &Pinned,
) -> Vec<Problem> {
    let places = Places::of(folder);
    let mut problems = Vec::new();
    let calls = calls(plan);
    let fits = fit::Fits { stable: known, pinned };
    for (index, call) in calls.iter().enumerate() {
        let at = |pointer: &str, at: At| places.of_config(call, pointer, at);
        let mut add = |code: Code, message: String, hint: Option<String>| {
            problems.push(problem(call, code, (&message, hint), at(&call.pointer, At::Value)));
        };
        let callee = fits.callee(index, call).or_else(|| known.get(call.name).map(AsRef::as_ref));
        let Some(callee) = callee.filter(|_| call.name != name) else {
            if call.name == name {
                add(codes::NEIGHBOUR_CYCLE, format!("the flow calls itself: {name} calls {name}"), None);
            } else if pinned.contains_key(&index) {
                problems.push(absent(call, &places));
            } else {
                let hint = suggest::nearest(call.name, known.keys().map(String::as_str));
                let hint = hint.map(|name| format!("Did you mean `{name}`?"));
                add(codes::UNKNOWN_CALLEE, format!("there is no flow `{}` to call yet", call.name), hint);
            }
            continue;
        };
        let mut line = vec![name.to_owned(), call.name.to_owned()];
        match walk(callee, known, &mut line, &mut BTreeMap::new()) {
            Walk::Ends => {}
            Walk::Round => {
                let message = format!("flows that call each other in a circle: {}", line.join(" calls "));
                add(codes::NEIGHBOUR_CYCLE, message, None);
            }
            Walk::TooDeep => {
                let message =
                    format!("more than {} flows call each other in a line: {}", limits::DEPTH, line.join(" calls "));
                add(codes::NEIGHBOUR_CYCLE, message, None);
            }
        }
        if pinned.get(&index) == Some(&None) {
            problems.push(absent(call, &places));
        } else if let Some(callee) = fits.callee(index, call) {
            fit::inputs(call, callee, &places, &mut problems);
        }
    }
    fit::outputs(plan, &calls, &fits, &places, &mut problems);
    pipeline::check(&calls, &fits, &places, &mut problems);
    order::check(plan, &calls, known, &places, &mut problems);
    problems
}

/// A version or a channel that the flow does not have.
fn absent(call: &Call<'_>, places: &Places) -> Problem {
    let (key, what) = match call.version {
        Some(version) => ("version", format!("version {version}")),
        None => ("channel", format!("channel `{}`", call.channel.unwrap_or_default())),
    };
    let message = format!("`{}` has no {what} yet", call.name);
    let place = places.of_config(call, &call.pointer.replace("/flow_name", &format!("/{key}")), At::Value);
    problem(call, codes::UNKNOWN_CALLEE, (&message, None), place)
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

fn problem(
    call: &Call<'_>,
    code: Code,
    (message, hint): (&str, Option<String>),
    at: Option<crate::source::Span>,
) -> Problem {
    let line = call.line();
    let (from, to) = at.map_or(((line, 1), (line, 1)), |span| {
        ((span.start.line, span.start.column), (span.end.line, span.end.column))
    });
    Problem {
        code: code.code.to_owned(),
        severity: code.severity,
        message: format!("in `{}`: {message}", call.step.name),
        hint: hint.filter(|hint| !hint.is_empty()),
        file: crate::FLOW_FILE.to_owned(),
        line: from.0,
        column: from.1,
        end_line: to.0,
        end_column: to.1,
    }
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
