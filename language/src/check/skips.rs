//! What may be skipped, what can never run, and what acts without an order.
//!
//! Invariant: warnings only; where two conditions together settle the matter, nobody is warned for nothing.

use std::collections::BTreeSet;

use super::order::StepSet;
use super::steps::BareRead;
use super::{Names, StepFacts, Subject, effects};
use crate::catalogue::{Effect, EffectRule};
use crate::codes;
use crate::plan::{Join, NeedKind, OnSkip, Phase, RunIf, StepIndex, Target};
use crate::report::Report;

/// The steps by whose own conditions a step may be skipped; `None`: it runs if nothing fails.
type Causes = Option<BTreeSet<StepIndex>>;

pub(super) fn check(
    subject: Subject<'_>,
    names: &Names<'_>,
    steps: &[StepFacts<'_>],
    ancestors: &[StepSet],
    bare_reads: &[BareRead],
    report: &mut Report,
) {
    let order = topological(steps.len(), ancestors);
    unreachable(subject, names, steps, (&order, ancestors), report);
    let causes = causes(subject, names, steps, &order);
    for read in bare_reads {
        if causes[read.step].is_some() && is_risky(subject, names, steps, &causes, read) {
            let name = &subject.steps[read.step].name.value;
            let message = format!("`{name}` may have been skipped; then there is nothing to read");
            let hint = format!(
                "Say what stands in for it (`| default('')`), or let the condition ask `steps.{name}.success`."
            );
            report.hint(read.span, codes::MAYBE_SKIPPED, (message, hint));
        }
    }
    unordered(subject, steps, ancestors, report);
    same_target(subject, steps, ancestors, report);
}

/// Steps in an order in which each comes after those that it waits for.
fn topological(count: usize, ancestors: &[StepSet]) -> Vec<StepIndex> {
    let mut order: Vec<StepIndex> = (0..count).collect();
    order.sort_by_key(|step| ancestors[*step].len());
    order
}

/// The steps over which a skip travels to this one.
fn carriers(names: &Names<'_>, facts: &StepFacts<'_>) -> Vec<Vec<StepIndex>> {
    let carries = |kind: &NeedKind| matches!(kind, NeedKind::Declared | NeedKind::ReadOutput | NeedKind::MainInput);
    let needs = facts.needs.iter().filter(|need| need.why.iter().any(carries));
    needs.map(|need| names.steps_of(need.target)).collect()
}

fn causes(subject: Subject<'_>, names: &Names<'_>, steps: &[StepFacts<'_>], order: &[StepIndex]) -> Vec<Causes> {
    let mut causes: Vec<Causes> = vec![None; steps.len()];
    for index in order {
        let step = subject.steps[*index];
        let is_conditional = step.condition.is_some() || step.run_if == Some(RunIf::AnyFailed);
        if is_conditional {
            causes[*index] = Some(BTreeSet::from([*index]));
            continue;
        }
        let takes_inputs =
            steps[*index].own.main_input.as_ref().is_some_and(|plan| {
                plan.sources.iter().any(|source| !matches!(source, crate::plan::Source::Step { .. }))
            });
        let from = carriers(names, &steps[*index]);
        if from.is_empty() || takes_inputs {
            continue;
        }
        let all: Option<Vec<BTreeSet<StepIndex>>> = from.iter().flatten().map(|step| causes[*step].clone()).collect();
        causes[*index] = all.map(|all| all.into_iter().flatten().collect());
    }
    causes
}

fn is_risky(
    subject: Subject<'_>,
    names: &Names<'_>,
    steps: &[StepFacts<'_>],
    causes: &[Causes],
    read: &BareRead,
) -> bool {
    // Who asks about the step, or about what decides whether it runs, knows what he does.
    let is_about = |asked: &StepIndex| *asked == read.step || steps[read.step].asks.contains(asked);
    if read.asked.iter().any(is_about) {
        return false;
    }
    let Some(reader) = read.reader else { return true };
    let (own, other) = (subject.steps[reader], subject.steps[read.step]);
    if other.on_skip == Some(OnSkip::Cascade) || other.on_skip == Some(OnSkip::Fail) || other.phase != own.phase {
        return other.phase != own.phase;
    }
    if !read.in_condition && steps[reader].asks.iter().any(is_about) {
        return false;
    }
    // Where everything that the reader waits for is skipped together, the reader is skipped with it.
    let together = carriers(names, &steps[reader]).iter().flatten().all(|step| causes[*step] == causes[read.step]);
    !together
}

/// Steps whose condition is never true, that come after a plain `fail`, or that wait only for such steps.
fn unreachable(
    subject: Subject<'_>,
    names: &Names<'_>,
    steps: &[StepFacts<'_>],
    (order, ancestors): (&[StepIndex], &[StepSet]),
    report: &mut Report,
) {
    let mut never = vec![false; steps.len()];
    let mut doom = Doom { from: vec![BTreeSet::new(); steps.len()], taken: vec![BTreeSet::new(); steps.len()] };
    for index in order {
        let (step, facts) = (subject.steps[*index], &steps[*index]);
        if facts.condition.as_ref().is_some_and(|condition| condition.source == "false") {
            never[*index] = true;
            report.add(
                step.name.span,
                codes::UNREACHABLE,
                format!("`{}` never runs: its condition is false", step.name.value),
            );
            continue;
        }
        let settles_itself = step.run_if.is_some_and(|run_if| run_if != RunIf::AllSuccess) || !facts.watches.is_empty();
        if settles_itself {
            doom.take_on(*index, names, facts);
        } else if let Some((need, roots)) = doom.over(*index, names, facts, ancestors) {
            never[*index] = true;
            doom.from[*index] = roots;
            let name = &subject.steps[need].name.value;
            let message = format!("`{}` never runs: it comes after `{name}`, which always fails", step.name.value);
            report.add(step.name.span, codes::UNREACHABLE, message);
            continue;
        }
        let from = carriers(names, facts);
        if !from.is_empty() && from.iter().flatten().all(|before| never[*before]) && !settles_itself {
            never[*index] = true;
            let message = format!("`{}` never runs: nothing that it waits for does", step.name.value);
            report.add(step.name.span, codes::UNREACHABLE, message);
            continue;
        }
        let is_plain_fail = facts.own.spec.is_some_and(|spec| spec.name == "fail")
            && step.condition.is_none()
            && step.run_if.is_none()
            && step.on_error.is_none();
        if is_plain_fail {
            doom.from[*index].insert(*index);
        }
    }
}

/// Failures that are certain, and how far they travel.
struct Doom {
    /// The steps by whose failure each step is sure to fail, or to be skipped.
    from: Vec<BTreeSet<StepIndex>>,
    /// Those whose failure a step may take on, so that what comes after it does not see it.
    taken: Vec<BTreeSet<StepIndex>>,
}

impl Doom {
    fn take_on(&mut self, index: StepIndex, names: &Names<'_>, facts: &StepFacts<'_>) {
        let needs = facts.needs.iter().flat_map(|need| names.steps_of(need.target));
        let watched = needs.chain(facts.watches.iter().copied());
        self.taken[index] = watched.flat_map(|step| self.from[step].iter().copied()).collect();
    }

    /// A failure that the step cannot but see, with those that it comes from.
    fn over(
        &self,
        index: StepIndex,
        names: &Names<'_>,
        facts: &StepFacts<'_>,
        ancestors: &[StepSet],
    ) -> Option<(StepIndex, BTreeSet<StepIndex>)> {
        let takers = (0..self.taken.len()).filter(|step| ancestors[index].contains(*step));
        let taken: BTreeSet<StepIndex> = takers.flat_map(|step| self.taken[step].iter().copied()).collect();
        facts.needs.iter().find_map(|need| {
            let steps = names.steps_of(need.target);
            let doomed = |step: &&StepIndex| self.from[**step].iter().any(|root| !taken.contains(root));
            let failing: Vec<StepIndex> = steps.iter().filter(doomed).copied().collect();
            let join = match need.target {
                Target::Group(group) => names.groups[group].settings.and_then(|settings| settings.join),
                Target::Step(_) => None,
            };
            let fails = match join.unwrap_or(Join::All) {
                Join::All => !failing.is_empty(),
                Join::Any => failing.len() == steps.len(),
                Join::AtLeast(count) => steps.len() - failing.len() < count as usize,
                Join::AllSettled => false,
            };
            let roots = || failing.iter().flat_map(|step| self.from[*step].iter().copied()).collect();
            failing.first().filter(|_| fails).map(|first| (*first, roots()))
        })
    }
}

/// Pairs of steps that act on the outside world, in no order: who comes first differs from run to run.
fn unordered(subject: Subject<'_>, steps: &[StepFacts<'_>], ancestors: &[StepSet], report: &mut Report) {
    let acting: Vec<StepIndex> = (0..steps.len())
        .filter(|index| !matches!(subject.steps[*index].phase, Phase::Compensation { .. }))
        .filter(|index| effects::of_step(subject.steps[*index], &steps[*index]) == Some(Effect::Unsafe))
        .collect();
    for (at, later) in acting.iter().enumerate() {
        if let Some(earlier) = acting[..at].iter().find(|earlier| is_apart(subject, ancestors, **earlier, *later)) {
            let (first, second) = (&subject.steps[*earlier].name.value, &subject.steps[*later].name);
            let message = format!("`{first}` and `{}` both act on the outside world, in no order", second.value);
            let hint = format!(
                "If the order matters, write `depends_on: [{first}]`; if running one twice does no harm, say so with `effect`."
            );
            report.hint(second.span, codes::UNORDERED, (message, hint));
        }
    }
}

fn is_apart(subject: Subject<'_>, ancestors: &[StepSet], one: StepIndex, other: StepIndex) -> bool {
    !ancestors[one].contains(other)
        && !ancestors[other].contains(one)
        && subject.steps[one].phase == subject.steps[other].phase
}

/// Pairs of steps that each may run twice, but write to one address in no order: what stands there in the end differs.
fn same_target(subject: Subject<'_>, steps: &[StepFacts<'_>], ancestors: &[StepSet], report: &mut Report) {
    let target = |index: StepIndex| {
        let (step, way) = (subject.steps[index], &steps[index].own);
        let is_written = matches!(way.spec?.effect, EffectRule::ByMethod { .. })
            && !matches!(step.phase, Phase::Compensation { .. })
            && step.effect.is_none()
            && effects::of_way(way) == Some(Effect::Idempotent);
        let url = way.config?.get("url")?.as_str()?;
        (is_written && !crate::templates::is_template(url)).then_some(url)
    };
    let writing: Vec<(StepIndex, &str)> =
        (0..steps.len()).filter_map(|index| target(index).map(|url| (index, url))).collect();
    for (at, (later, url)) in writing.iter().enumerate() {
        let same =
            |(earlier, other): &&(StepIndex, &str)| other == url && is_apart(subject, ancestors, *earlier, *later);
        if let Some((earlier, _)) = writing[..at].iter().find(same) {
            let (first, second) = (&subject.steps[*earlier].name.value, &subject.steps[*later].name);
            let message = format!("`{first}` and `{}` both write to the same address, in no order", second.value);
            let hint = format!("If the order matters, write `depends_on: [{first}]`.");
            report.hint(second.span, codes::UNORDERED, (message, hint));
        }
    }
}
