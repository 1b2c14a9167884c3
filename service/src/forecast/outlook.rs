//! Which steps would run: conditions that only the inputs decide are decided, the others "may".
//!
//! Invariant: `runs` and `skipped` are said only where no outcome of an earlier step could change it (a failure aside).

use std::collections::BTreeMap;

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
}

/// Names whose values only the run knows.
const LATE: &[&str] = &["steps", "run", "item", "secrets", "error", "failed_step", "now", "vars"];

pub(super) fn of_steps(plan: &Plan, inputs: &Value) -> Vec<StepOutlook> {
    let scope = scope(plan, inputs);
    let mut known: BTreeMap<usize, StepOutlook> = BTreeMap::new();
    for index in order(plan) {
        let outlook = of_step(plan, &plan.steps[index], &known, &scope);
        known.insert(index, outlook);
    }
    let unreached = || StepOutlook { outlook: Outlook::May, reason: None };
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
            return StepOutlook {
                outlook: Outlook::Runs,
                reason: Some("It runs at the end, whatever happened.".to_owned()),
            };
        }
        Phase::Compensation { .. } | Phase::OnError => {
            let reason = Some("It runs only after a failure.".to_owned());
            return StepOutlook { outlook: Outlook::May, reason };
        }
    }
    if let Some(outlook) = carried(plan, step, known) {
        return outlook;
    }
    let watches = !step.watches.is_empty();
    match &step.condition {
        None => StepOutlook { outlook: Outlook::Runs, reason: None },
        Some(condition) => match decide(&condition.source, scope).filter(|_| !watches) {
            Some(true) => StepOutlook {
                outlook: Outlook::Runs,
                reason: Some(format!("Its condition holds for these inputs: {}", condition.source)),
            },
            Some(false) => StepOutlook {
                outlook: Outlook::Skipped,
                reason: Some(format!("Its condition does not hold for these inputs: {}", condition.source)),
            },
            None => StepOutlook {
                outlook: Outlook::May,
                reason: Some(format!("Only the run can decide its condition: {}", condition.source)),
            },
        },
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
        return Some(StepOutlook { outlook: Outlook::Skipped, reason });
    }
    let cascading = |before: &usize| matches!(plan.steps[*before].on_skip, OnSkip::Cascade | OnSkip::Fail);
    if carriers.iter().any(|before| cascading(before) && outlook(before) == Outlook::Skipped) {
        let reason = Some(format!("A skip of {} is handed on.", names(Outlook::Skipped)));
        return Some(StepOutlook { outlook: Outlook::Skipped, reason });
    }
    let none_runs = carriers.iter().all(|before| outlook(before) != Outlook::Runs);
    let some_cascades = carriers.iter().any(|before| cascading(before) && outlook(before) == Outlook::May);
    (none_runs || some_cascades).then(|| StepOutlook {
        outlook: Outlook::May,
        reason: Some(format!("What it needs may be skipped: {}.", names(Outlook::May))),
    })
}

/// A condition's value, if nothing but the inputs decides it.
fn decide(source: &str, scope: &Scope) -> Option<bool> {
    let mut words = source.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    if words.any(|word| LATE.contains(&word)) {
        return None;
    }
    let mut expressions = Expressions::default();
    let handle = expressions.add_expression(source);
    if expressions.weight() != Weight::Cheap {
        return None;
    }
    expressions.render(handle, scope).ok().and_then(|value| value.as_bool())
}
