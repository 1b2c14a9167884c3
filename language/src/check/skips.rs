//! What may be skipped, what can never run, and what acts without an order.
//!
//! Invariant: warnings only; where two conditions together settle the matter, nobody is warned for nothing.

use std::collections::BTreeSet;

use super::order::StepSet;
use super::steps::BareRead;
use super::{Names, StepFacts, Subject, effects};
use crate::catalogue::Effect;
use crate::codes;
use crate::plan::{NeedKind, OnSkip, Phase, RunIf, StepIndex};
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
    unreachable(subject, names, steps, &order, report);
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
    let Some(reader) = read.reader else { return true };
    let (own, other) = (subject.steps[reader], subject.steps[read.step]);
    if other.on_skip == Some(OnSkip::Cascade) || other.on_skip == Some(OnSkip::Fail) || other.phase != own.phase {
        return other.phase != own.phase;
    }
    if !read.in_condition && steps[reader].asks.contains(&read.step) {
        return false;
    }
    let same_condition = steps[reader].condition.as_ref().map(|condition| &condition.source)
        == steps[read.step].condition.as_ref().map(|condition| &condition.source);
    if steps[reader].condition.is_some() && same_condition {
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
    order: &[StepIndex],
    report: &mut Report,
) {
    let mut never = vec![false; steps.len()];
    let mut fails = vec![false; steps.len()];
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
        let all = facts.needs.iter().flat_map(|need| names.steps_of(need.target));
        let failed = all.into_iter().find(|before| fails[*before]);
        let settles_itself = step.run_if.is_some_and(|run_if| run_if != RunIf::AllSuccess) || !facts.watches.is_empty();
        if let Some(failed) = failed.filter(|_| !settles_itself) {
            never[*index] = true;
            fails[*index] = true;
            let name = &subject.steps[failed].name.value;
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
        fails[*index] |= is_plain_fail;
    }
}

/// Pairs of steps that act on the outside world, in no order: who comes first differs from run to run.
fn unordered(subject: Subject<'_>, steps: &[StepFacts<'_>], ancestors: &[StepSet], report: &mut Report) {
    let acting: Vec<StepIndex> = (0..steps.len())
        .filter(|index| !matches!(subject.steps[*index].phase, Phase::Compensation { .. }))
        .filter(|index| effects::of_step(subject.steps[*index], &steps[*index]) == Some(Effect::Unsafe))
        .collect();
    for (at, later) in acting.iter().enumerate() {
        let is_apart = |earlier: &&StepIndex| {
            !ancestors[*later].contains(**earlier)
                && !ancestors[**earlier].contains(*later)
                && subject.steps[**earlier].phase == subject.steps[*later].phase
        };
        if let Some(earlier) = acting[..at].iter().find(is_apart) {
            let (first, second) = (&subject.steps[*earlier].name.value, &subject.steps[*later].name);
            let message = format!("`{first}` and `{}` both act on the outside world, in no order", second.value);
            let hint = format!(
                "If the order matters, write `depends_on: [{first}]`; if running one twice does no harm, say so with `effect`."
            );
            report.hint(second.span, codes::UNORDERED, (message, hint));
        }
    }
}
