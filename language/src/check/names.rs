//! Steps and groups by name: one namespace for the flow's own steps and its handlers'.
//!
//! Invariant: every step and every group has its index, duplicates keep the first; what undoes a step has no name that
//! anybody can write.

use std::collections::BTreeMap;

use super::GroupFacts;
use crate::codes;
use crate::flow::{Flow, Located, Step};
use crate::plan::{Phase, StepIndex, Target};
use crate::report::Report;
use crate::suggest;

#[derive(Debug)]
pub(crate) struct Names<'a> {
    targets: BTreeMap<&'a str, Target>,
    pub(crate) groups: Vec<GroupFacts<'a>>,
    /// The group of each step.
    pub(crate) group_of: Vec<Option<usize>>,
    phases: Vec<Phase>,
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

    /// When a step or group has its turn.
    pub(crate) fn phase(&self, target: Target) -> Phase {
        self.phases[self.rank(target).0]
    }

    pub(crate) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Orders targets as they are written.
    pub(crate) fn rank(&self, target: Target) -> (StepIndex, bool) {
        match target {
            Target::Step(step) => (step, true),
            Target::Group(group) => (self.groups[group].members.first().copied().unwrap_or_default(), false),
        }
    }
}

pub(super) fn collect<'a>(flow: &'a Flow, steps: &[&'a Step], report: &mut Report) -> Names<'a> {
    let phases = steps.iter().map(|step| step.phase).collect();
    let mut names = Names { targets: BTreeMap::new(), groups: Vec::new(), group_of: Vec::new(), phases };
    for (index, step) in steps.iter().enumerate() {
        let name = step.name.value.as_str();
        if matches!(step.phase, Phase::Compensation { .. }) || name.is_empty() {
            continue;
        }
        if let Some(Target::Step(first)) = names.targets.get(name) {
            let line = steps[*first].name.span.start.line;
            let message = format!("there are two steps named `{name}`; the first is on line {line}");
            report.add(step.name.span, codes::DUPLICATE_NAME, message);
        } else {
            names.targets.insert(name, Target::Step(index));
        }
    }
    for (index, step) in steps.iter().enumerate() {
        let group = step.parallel_group.as_ref().map(|group| member(&mut names, group, index, steps, report));
        names.group_of.push(group.flatten());
    }
    settings(&mut names, flow, report);
    names
}

fn member<'a>(
    names: &mut Names<'a>,
    group: &'a Located<String>,
    index: StepIndex,
    steps: &[&'a Step],
    report: &mut Report,
) -> Option<usize> {
    let name = group.value.as_str();
    match names.targets.get(name) {
        Some(Target::Group(found)) => {
            let facts = &mut names.groups[*found];
            let last = facts.members.last().copied().unwrap_or_default();
            if index != last + 1 || steps[index].phase != steps[last].phase {
                let between = &steps[last + 1].name.value;
                let message = format!(
                    "the members of the group `{name}` are not written together: `{between}` stands between them"
                );
                let hint = format!(
                    "Move this step up to line {}, below `{}`.",
                    steps[last].span.end.line, steps[last].name.value
                );
                report.hint(group.span, codes::GROUP_APART, (message, hint));
            }
            facts.members.push(index);
            Some(*found)
        }
        Some(Target::Step(step)) => {
            let line = steps[*step].name.span.start.line;
            let message = format!("the group `{name}` has the name of the step on line {line}");
            let hint = "Groups and steps share their names; call one of them something else.";
            report.hint(group.span, codes::DUPLICATE_NAME, (message, hint));
            None
        }
        None => {
            names.targets.insert(name, Target::Group(names.groups.len()));
            names.groups.push(GroupFacts { name, span: group.span, members: vec![index], settings: None });
            Some(names.groups.len() - 1)
        }
    }
}

fn settings<'a>(names: &mut Names<'a>, flow: &'a Flow, report: &mut Report) {
    for group in &flow.groups {
        let known: Vec<&str> = names.groups.iter().map(|facts| facts.name).collect();
        let Some(facts) = names.groups.iter_mut().find(|facts| facts.name == group.name.value) else {
            let message = format!("no step is in the group `{}`", group.name.value);
            let hint = suggest::did_you_mean(&group.name.value, known);
            report.hint(group.name.span, codes::UNKNOWN_GROUP, (message, hint));
            continue;
        };
        facts.settings = Some(group);
        if let Some(crate::plan::Join::AtLeast(count)) = group.join
            && count as usize > facts.members.len()
        {
            let message =
                format!("the group `{}` has {} members; {count} can never succeed", facts.name, facts.members.len());
            report.add(group.join_span, codes::JOIN_IMPOSSIBLE, message);
        }
    }
}
