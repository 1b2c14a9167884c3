//! Steps and groups by name: one namespace.
//!
//! Invariant: every step and every group has its index, duplicates keep the first.

use std::collections::BTreeMap;

use super::GroupFacts;
use crate::codes;
use crate::flow::Flow;
use crate::plan::{StepIndex, Target};
use crate::report::Report;
use crate::source::Source;
use crate::suggest;

#[derive(Debug)]
pub(crate) struct Names<'a> {
    targets: BTreeMap<&'a str, Target>,
    pub(crate) groups: Vec<GroupFacts<'a>>,
    /// The group of each step.
    pub(crate) group_of: Vec<Option<usize>>,
}

impl Names<'_> {
    pub(crate) fn get(&self, name: &str) -> Option<Target> {
        self.targets.get(name).copied()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &str> + Clone {
        self.targets.keys().copied()
    }

    /// The steps behind a target, in written order.
    pub(crate) fn steps_of(&self, target: Target) -> Vec<StepIndex> {
        match target {
            Target::Step(step) => vec![step],
            Target::Group(group) => self.groups[group].members.clone(),
        }
    }

    /// Orders targets as they are written.
    pub(crate) fn rank(&self, target: Target) -> (StepIndex, bool) {
        match target {
            Target::Step(step) => (step, true),
            Target::Group(group) => (self.groups[group].members.first().copied().unwrap_or_default(), false),
        }
    }
}

pub(super) fn collect<'a>(flow: &'a Flow, source: &Source, report: &mut Report) -> Names<'a> {
    let mut names = Names { targets: BTreeMap::new(), groups: Vec::new(), group_of: Vec::new() };
    for (index, step) in flow.steps.iter().enumerate() {
        let name = step.name.value.as_str();
        if let Some(Target::Step(first)) = names.targets.get(name) {
            let line = flow.steps[*first].name.span.start.line;
            let message = format!("there are two steps named `{name}`; the first is on line {line}");
            report.add(&source.file, step.name.span, codes::DUPLICATE_NAME, message);
        } else {
            names.targets.insert(name, Target::Step(index));
        }
    }
    for (index, step) in flow.steps.iter().enumerate() {
        let group = step.parallel_group.as_ref().map(|group| member(&mut names, group, index, flow, source, report));
        names.group_of.push(group.flatten());
    }
    settings(&mut names, flow, source, report);
    names
}

fn member<'a>(
    names: &mut Names<'a>,
    group: &'a crate::flow::Located<String>,
    index: StepIndex,
    flow: &'a Flow,
    source: &Source,
    report: &mut Report,
) -> Option<usize> {
    let name = group.value.as_str();
    match names.targets.get(name) {
        Some(Target::Group(found)) => {
            let facts = &mut names.groups[*found];
            let last = facts.members.last().copied().unwrap_or_default();
            if index != last + 1 {
                let between = &flow.steps[last + 1].name.value;
                let message = format!(
                    "the members of the group `{name}` are not written together: `{between}` stands between them"
                );
                let hint = format!(
                    "Move this step up to line {}, below `{}`.",
                    flow.steps[last].span.end.line, flow.steps[last].name.value
                );
                report.hint(&source.file, group.span, codes::GROUP_APART, (message, hint));
            }
            facts.members.push(index);
            Some(*found)
        }
        Some(Target::Step(step)) => {
            let line = flow.steps[*step].name.span.start.line;
            let message = format!("the group `{name}` has the name of the step on line {line}");
            let hint = "Groups and steps share their names; call one of them something else.";
            report.hint(&source.file, group.span, codes::DUPLICATE_NAME, (message, hint));
            None
        }
        None => {
            names.targets.insert(name, Target::Group(names.groups.len()));
            names.groups.push(GroupFacts { name, span: group.span, members: vec![index], settings: None });
            Some(names.groups.len() - 1)
        }
    }
}

fn settings<'a>(names: &mut Names<'a>, flow: &'a Flow, source: &Source, report: &mut Report) {
    for group in &flow.groups {
        let known: Vec<&str> = names.groups.iter().map(|facts| facts.name).collect();
        let Some(facts) = names.groups.iter_mut().find(|facts| facts.name == group.name.value) else {
            let message = format!("no step is in the group `{}`", group.name.value);
            let hint = suggest::did_you_mean(&group.name.value, known);
            report.hint(&source.file, group.name.span, codes::UNKNOWN_GROUP, (message, hint));
            continue;
        };
        facts.settings = Some(group);
        if let Some(crate::plan::Join::AtLeast(count)) = group.join
            && count as usize > facts.members.len()
        {
            let message =
                format!("the group `{}` has {} members; {count} can never succeed", facts.name, facts.members.len());
            report.add(&source.file, group.join_span, codes::JOIN_IMPOSSIBLE, message);
        }
    }
}
