//! Who waits for whom: what is declared, what follows from the written order, cycles and ancestors.
//!
//! Invariant: ancestors are given only for a flow without cycles.

use super::{Names, StepFacts};
use crate::codes;
use crate::flow::{Located, Step};
use crate::plan::{NeedKind, Phase, StepIndex, Target};
use crate::report::Report;
use crate::source::Span;
use crate::suggest;

/// The dependencies that are written, and those that follow from the order of writing.
pub(super) fn declared(written: &[&Step], names: &Names<'_>, steps: &mut [StepFacts<'_>], report: &mut Report) {
    for (index, step) in written.iter().enumerate() {
        let group = names.group_of[index];
        if let Some(list) = &step.depends_on {
            for name in list {
                if let Some(target) = dependency(index, names, name, report) {
                    steps[index].need(target, NeedKind::Declared);
                }
            }
            continue;
        }
        // A member starts after what stands above the group's first member.
        let first = group.and_then(|group| names.groups[group].members.first().copied()).unwrap_or(index);
        let above = first.checked_sub(1).filter(|above| written[*above].phase == step.phase);
        if matches!(step.phase, Phase::Compensation { .. }) {
            continue;
        }
        if let Some(above) = above {
            let target = names.group_of[above].map_or(Target::Step(above), Target::Group);
            // Members that are not written together: reported already, and no reason for a second problem.
            if group.is_none() || target != Target::Group(group.unwrap_or_default()) {
                steps[index].need(target, NeedKind::Order);
            }
        }
    }
}

fn dependency(index: StepIndex, names: &Names<'_>, name: &Located<String>, report: &mut Report) -> Option<Target> {
    let Some(target) = names.get(&name.value) else {
        if report.is_full() {
            return None;
        }
        let message = format!("there is no step or group `{}` to depend on", crate::reader::shorten(&name.value));
        let hint = suggest::did_you_mean(&name.value, names.all());
        report.hint(name.span, codes::UNKNOWN_DEPENDENCY, (message, hint));
        return None;
    };
    if own(index, target, names, || name.span, report) {
        return None;
    }
    let phase = names.phases()[index];
    if names.phase(target) != phase {
        let message = format!("`{}` does not run beside this step", name.value);
        let hint = if phase == Phase::Main {
            "What `on_error` and `finally` hold runs after all other steps."
        } else {
            "A handler runs after the flow's own steps, whatever became of them: nothing needs to be named."
        };
        report.hint(name.span, codes::OTHER_PHASE, (message, hint));
        return None;
    }
    Some(target)
}

/// Reports a step that waits for itself or for its own group.
pub(super) fn own(
    index: StepIndex,
    target: Target,
    names: &Names<'_>,
    span: impl FnOnce() -> Span,
    report: &mut Report,
) -> bool {
    match target {
        Target::Step(step) if step == index => {
            report.add(span(), codes::CYCLE, "the step waits for itself");
            true
        }
        Target::Group(group) if names.group_of[index] == Some(group) => {
            let name = names.groups[group].name;
            report.add(span(), codes::OWN_GROUP, format!("a member of the group `{name}` waits for its own group"));
            true
        }
        _ => false,
    }
}

/// A set of steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepSet {
    words: Vec<u64>,
}

impl StepSet {
    fn new(steps: usize) -> Self {
        Self { words: vec![0; steps.div_ceil(64)] }
    }

    fn insert(&mut self, step: StepIndex) {
        self.words[step / 64] |= 1 << (step % 64);
    }

    fn extend(&mut self, other: &Self) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    fn is_within(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).all(|(word, other)| word & !other == 0)
    }

    pub(super) fn contains(&self, step: StepIndex) -> bool {
        self.words[step / 64] >> (step % 64) & 1 == 1
    }

    pub(super) fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    fn iter(&self) -> impl Iterator<Item = StepIndex> {
        (0..self.words.len() * 64).filter(|step| self.contains(*step))
    }
}

/// All steps before each step; `None` if there is a cycle, which is reported.
pub(super) fn ancestors(
    written: &[&Step],
    names: &Names<'_>,
    steps: &[StepFacts<'_>],
    report: &mut Report,
) -> Option<Vec<StepSet>> {
    let mut before = vec![StepSet::new(steps.len()); steps.len()];
    for (own, facts) in before.iter_mut().zip(steps) {
        for need in &facts.needs {
            names.steps_of(need.target).into_iter().for_each(|step| own.insert(step));
        }
    }
    let mut ancestors = before.clone();
    let mut done = StepSet::new(steps.len());
    let mut remaining: Vec<StepIndex> = (0..steps.len()).collect();
    while !remaining.is_empty() {
        let (ready, blocked): (Vec<_>, Vec<_>) = remaining.iter().partition(|step| before[**step].is_within(&done));
        if ready.is_empty() {
            cycle(written, names, steps, &blocked, report);
            return None;
        }
        for step in ready {
            let mut all = before[step].clone();
            before[step].iter().for_each(|need| all.extend(&ancestors[need]));
            ancestors[step] = all;
            done.insert(step);
        }
        remaining = blocked;
    }
    beyond(names.phases(), &mut ancestors);
    Some(ancestors)
}

/// Handlers come after all steps of the flow, and what undoes a step after that step and all before it.
fn beyond(phases: &[Phase], ancestors: &mut [StepSet]) {
    for (index, phase) in phases.iter().enumerate() {
        match phase {
            Phase::Main => {}
            Phase::Compensation { of } => {
                let mut before = ancestors[*of].clone();
                before.insert(*of);
                ancestors[index] = before;
            }
            Phase::OnError | Phase::Finally => {
                let main = (0..phases.len()).filter(|step| phases[*step] == Phase::Main);
                main.for_each(|step| ancestors[index].insert(step));
            }
        }
    }
}

/// Every blocked step waits for a blocked step, so that following them must come round.
fn cycle(written: &[&Step], names: &Names<'_>, steps: &[StepFacts<'_>], blocked: &[StepIndex], report: &mut Report) {
    let mut seen: Vec<(StepIndex, String)> = Vec::new();
    let mut at = blocked[0];
    loop {
        if let Some(start) = seen.iter().position(|(step, _)| *step == at) {
            let circle = &seen[start..];
            let first = circle.iter().min_by_key(|(step, _)| *step).map_or(at, |(step, _)| *step);
            let turn = circle.iter().position(|(step, _)| *step == first).unwrap_or_default();
            let mut text = String::new();
            for offset in 0..circle.len() {
                let (step, via) = &circle[(turn + offset) % circle.len()];
                text.push_str(&format!("`{}`{via} waits for ", written[*step].name.value));
            }
            text.push_str(&format!("`{}`", written[first].name.value));
            let span = written[first].name.span;
            let hint = "Take one of these dependencies out; reading `steps.x` in a template is one too.";
            report.hint(span, codes::CYCLE, (format!("a circle: {text}"), hint));
            return;
        }
        let next = steps[at].needs.iter().find_map(|need| {
            let step = names.steps_of(need.target).into_iter().find(|step| blocked.contains(step))?;
            let via = match need.target {
                Target::Group(group) => format!(" (through the group `{}`)", names.groups[group].name),
                Target::Step(_) => String::new(),
            };
            Some((step, via))
        });
        let Some((step, via)) = next else { return };
        seen.push((at, via));
        at = step;
    }
}

/// What a compensation reads must have come before the step that it undoes.
pub(super) fn undone(
    reads: &[(StepIndex, Target, Span)],
    written: &[&Step],
    names: &Names<'_>,
    ancestors: &[StepSet],
    report: &mut Report,
) {
    for (reader, target, span) in reads {
        let Phase::Compensation { of } = written[*reader].phase else { continue };
        if let Some(step) = names.steps_of(*target).into_iter().find(|step| !ancestors[*reader].contains(*step)) {
            let (read, undone) = (&written[step].name.value, &written[of].name.value);
            let message = format!("`{read}` need not have run when `{undone}` is undone");
            let hint = format!("A compensation reads `{undone}` and the steps before it.");
            report.hint(*span, codes::OTHER_PHASE, (message, hint));
        }
    }
}
