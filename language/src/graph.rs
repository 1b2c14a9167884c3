//! The plan as the console draws it.
//!
//! Invariant: nodes in written order; one arrow for each dependency, a group's as arrows of its members.

use domain::wire::{GraphEdge, GraphNode};

use crate::plan::{NeedKind, Plan, Target};

/// Nodes and arrows of a plan.
#[must_use]
pub fn graph(plan: &Plan) -> (Vec<GraphNode>, Vec<GraphEdge>) {
    let nodes = plan
        .steps
        .iter()
        .map(|step| GraphNode {
            name: step.name.clone(),
            executor: step.executor.clone(),
            group: step.group.map(|group| plan.groups[group].name.clone()),
            condition: step.condition.as_ref().map(|condition| condition.source.clone()),
            line: step.line,
        })
        .collect();
    let mut edges: Vec<GraphEdge> = Vec::new();
    for step in &plan.steps {
        for need in &step.needs {
            let sources = match need.target {
                Target::Step(source) => vec![source],
                Target::Group(group) => plan.groups[group].members.clone(),
            };
            let kind = word(&need.why);
            edges.extend(sources.into_iter().map(|source| GraphEdge {
                from: plan.steps[source].name.clone(),
                to: step.name.clone(),
                kind: kind.to_owned(),
            }));
        }
    }
    (nodes, edges)
}

/// What the author would say first about the dependency.
fn word(why: &[NeedKind]) -> &'static str {
    if why.contains(&NeedKind::Declared) {
        "declared"
    } else if why.contains(&NeedKind::ReadOutput) || why.contains(&NeedKind::ReadRecord) {
        "read"
    } else if why.contains(&NeedKind::MainInput) {
        "main_input"
    } else {
        "order"
    }
}
