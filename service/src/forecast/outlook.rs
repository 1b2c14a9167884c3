//! Which steps would run: conditions that only the inputs decide are decided, the others "may".
//!
//! Invariant: `runs` and `skipped` are said only where no outcome of an earlier step could change it (a failure aside).

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::wire::Outlook;
use engine::template::{Expressions, Scope, Weight};
use language::Plan;
use language::plan::{NeedKind, OnSkip, Phase, StepPlan, Target};
use serde_json::{Map, Value};

/// What is expected of a step, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepOutlook {
    pub(super) outlook: Outlook,
    pub(super) reason: Option<String>,
    /// How many items a step with `for_each` has, where the inputs decide it.
    pub(super) items: Option<u64>,
    pub(super) rest: Option<Rest>,
}

/// How long a step waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rest {
    /// So many milliseconds.
    For(u64),
    /// Until something comes from outside.
    Open,
}

impl StepOutlook {
    const fn new(outlook: Outlook, reason: Option<String>) -> Self {
        Self { outlook, reason, items: None, rest: None }
    }
}

/// Names whose values only the run knows.
const LATE: &[&str] = &["steps", "run", "item", "secrets", "error", "failed_step", "now", "vars"];

pub(super) fn of_steps(plan: &Plan, inputs: &Value, now: DateTime<Utc>) -> Vec<StepOutlook> {
    let scope = scope(plan, inputs);
    let mut known: BTreeMap<usize, StepOutlook> = BTreeMap::new();
    for index in order(plan) {
        let step = &plan.steps[index];
        let mut outlook = of_step(plan, step, &known, &scope);
        outlook.items = step.for_each.as_ref().and_then(|each| count(&each.list, &scope));
        outlook.rest = if step.for_each.is_none() { rest(step, &scope, now) } else { None };
        known.insert(index, outlook);
    }
    let unreached = || StepOutlook::new(Outlook::May, None);
    (0..plan.steps.len()).map(|index| known.remove(&index).unwrap_or_else(unreached)).collect()
}

/// Steps in an order in which each comes behind what it needs.
pub(super) fn order(plan: &Plan) -> Vec<usize> {
    let mut order = Vec::with_capacity(plan.steps.len());
    let mut waiting: Vec<usize> = (0..plan.steps.len()).map(|index| predecessors(plan, index).len()).collect();
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); plan.steps.len()];
    for index in 0..plan.steps.len() {
        for before in predecessors(plan, index) {
            followers[before].push(index);
        }
    }
    let mut ready: Vec<usize> = (0..plan.steps.len()).rev().filter(|index| waiting[*index] == 0).collect();
    while let Some(index) = ready.pop() {
        order.push(index);
        for follower in &followers[index] {
            waiting[*follower] -= 1;
            if waiting[*follower] == 0 {
                ready.push(*follower);
            }
        }
    }
    order
}

/// The steps that one waits for, each once; a group stands for its members.
pub(super) fn predecessors(plan: &Plan, index: usize) -> Vec<usize> {
    let mut before: Vec<usize> = plan.steps[index].needs.iter().flat_map(|need| members(plan, need.target)).collect();
    before.sort_unstable();
    before.dedup();
    before
}

fn members(plan: &Plan, target: Target) -> Vec<usize> {
    match target {
        Target::Step(step) => vec![step],
        Target::Group(group) => plan.groups.get(group).map(|group| group.members.clone()).unwrap_or_default(),
    }
}

/// What conditions can be decided by: the inputs and the flow.
fn scope(plan: &Plan, inputs: &Value) -> Scope {
    let mut scope = Scope::default();
    scope.set_json("inputs", inputs);
    scope.set_json("flow", &serde_json::json!({ "name": plan.name }));
    scope.set_json("item", &Value::Object(Map::new()));
    scope
}

fn of_step(plan: &Plan, step: &StepPlan, known: &BTreeMap<usize, StepOutlook>, scope: &Scope) -> StepOutlook {
    match step.phase {
        Phase::Main => {}
        Phase::Finally => {
            return StepOutlook::new(Outlook::Runs, Some("It runs at the end, whatever happened.".to_owned()));
        }
        Phase::Compensation { .. } | Phase::OnError => {
            return StepOutlook::new(Outlook::May, Some("It runs only after a failure.".to_owned()));
        }
    }
    if let Some(outlook) = carried(plan, step, known) {
        return outlook;
    }
    let watches = !step.watches.is_empty();
    match &step.condition {
        None => StepOutlook::new(Outlook::Runs, None),
        Some(condition) => {
            let (outlook, words) = match decide(&condition.source, scope).filter(|_| !watches) {
                Some(true) => (Outlook::Runs, "Its condition holds for these inputs"),
                Some(false) => (Outlook::Skipped, "Its condition does not hold for these inputs"),
                None => (Outlook::May, "Only the run can decide its condition"),
            };
            StepOutlook::new(outlook, Some(format!("{words}: {}", condition.source)))
        }
    }
}

/// A skip that comes from what the step needs, where there is one.
fn carried(plan: &Plan, step: &StepPlan, known: &BTreeMap<usize, StepOutlook>) -> Option<StepOutlook> {
    let carriers: Vec<usize> = step
        .needs
        .iter()
        .filter(|need| {
            need.why.iter().any(|why| matches!(why, NeedKind::Declared | NeedKind::ReadOutput | NeedKind::MainInput))
        })
        .flat_map(|need| members(plan, need.target))
        .filter(|before| !matches!(plan.steps[*before].on_skip, OnSkip::Continue))
        .collect();
    if carriers.is_empty() {
        return None;
    }
    let outlook = |before: &usize| known.get(before).map_or(Outlook::May, |step| step.outlook);
    let names = |wanted: Outlook| -> String {
        let names: Vec<String> = carriers
            .iter()
            .filter(|before| outlook(before) == wanted)
            .map(|before| format!("`{}`", plan.steps[*before].name))
            .collect();
        names.join(", ")
    };
    if carriers.iter().all(|before| outlook(before) == Outlook::Skipped) {
        let reason = Some(format!("What it needs is skipped: {}.", names(Outlook::Skipped)));
        return Some(StepOutlook::new(Outlook::Skipped, reason));
    }
    let cascading = |before: &usize| matches!(plan.steps[*before].on_skip, OnSkip::Cascade | OnSkip::Fail);
    if carriers.iter().any(|before| cascading(before) && outlook(before) == Outlook::Skipped) {
        let reason = Some(format!("A skip of {} is handed on.", names(Outlook::Skipped)));
        return Some(StepOutlook::new(Outlook::Skipped, reason));
    }
    let none_runs = carriers.iter().all(|before| outlook(before) != Outlook::Runs);
    let some_cascades = carriers.iter().any(|before| cascading(before) && outlook(before) == Outlook::May);
    (none_runs || some_cascades).then(|| {
        let reason = format!("What it needs may be skipped: {}.", names(Outlook::May));
        StepOutlook::new(Outlook::May, Some(reason))
    })
}

/// How many items a list has, if nothing but the inputs decides it.
fn count(list: &Value, scope: &Scope) -> Option<u64> {
    match list {
        Value::Array(items) => Some(items.len() as u64),
        computed => value(computed, scope)?.as_array().map(|items| items.len() as u64),
    }
}

/// How long a step waits by what its config says, if it is one that waits.
fn rest(step: &StepPlan, scope: &Scope, now: DateTime<Utc>) -> Option<Rest> {
    match step.executor.as_str() {
        "approval" => return Some(Rest::Open),
        "wait" => {}
        _ => return None,
    }
    let config = |key: &str| step.config.get(key).filter(|value| !value.is_null());
    if config("signal").is_some() {
        return Some(Rest::Open);
    }
    let span = match config("for") {
        None => None,
        Some(written) => Some(match value(written, scope)? {
            Value::String(text) => language::duration::parse(&text)?,
            Value::Number(seconds) => language::duration::seconds(seconds.as_f64()?)?,
            _ => return None,
        }),
    };
    let moment = match config("until") {
        None => None,
        Some(written) => {
            let moment = DateTime::parse_from_rfc3339(value(written, scope)?.as_str()?).ok()?;
            Some(u64::try_from((moment.with_timezone(&Utc) - now).num_milliseconds()).unwrap_or_default())
        }
    };
    span.into_iter().chain(moment).min().map(Rest::For)
}

/// A condition's value, if nothing but the inputs decides it.
fn decide(source: &str, scope: &Scope) -> Option<bool> {
    if !is_early(source) {
        return None;
    }
    let mut expressions = Expressions::default();
    let handle = expressions.add_expression(source);
    if expressions.weight() != Weight::Cheap {
        return None;
    }
    expressions.render(handle, scope).ok().and_then(|value| value.as_bool())
}

/// The value of what may be a template, if nothing but the inputs decides it.
fn value(written: &Value, scope: &Scope) -> Option<Value> {
    let Value::String(text) = written else { return Some(written.clone()) };
    let is_template = text.contains("{{") || text.contains("{%");
    if is_template && !is_early(text) {
        return None;
    }
    let mut expressions = Expressions::default();
    let handle = expressions.add(written);
    if expressions.weight() != Weight::Cheap {
        return None;
    }
    expressions.render(handle, scope).ok()
}

fn is_early(source: &str) -> bool {
    let mut words = source.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    !words.any(|word| LATE.contains(&word))
}
