//! Calls of flows that act on the outside world, in no order.
//!
//! Invariant: a flow acts where one of its steps is sure to, or one that it calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::places::{At, Places};
use super::{Call, calls, problem};
use crate::catalogue::Effect;
use crate::codes;
use crate::limits;
use crate::plan::{Phase, Plan, StepIndex, Target};
use crate::problem::Problem;

pub(super) fn check(
    plan: &Plan,
    own: &[Call<'_>],
    known: &BTreeMap<String, Arc<Plan>>,
    places: &Places,
    problems: &mut Vec<Problem>,
) {
    let mut seen = BTreeMap::new();
    let index_of = |call: &Call<'_>| plan.steps.iter().position(|step| std::ptr::eq(step, call.step));
    let mut calling: BTreeMap<StepIndex, &Call<'_>> = BTreeMap::new();
    for call in own.iter().filter(|call| call.entry == 0 && call.is_stable()) {
        let says = call.step.effect.is_some_and(|effect| effect != Effect::Unsafe);
        let Some(callee) = known.get(call.name).filter(|_| !says) else { continue };
        if acts(call.name, callee, known, limits::DEPTH, &mut seen) {
            calling.extend(index_of(call).map(|index| (index, call)));
        }
    }
    if calling.is_empty() {
        return;
    }
    let before = ancestors(plan);
    let acting: Vec<StepIndex> = (0..plan.steps.len())
        .filter(|index| calling.contains_key(index) || plan.steps[*index].effect == Some(Effect::Unsafe))
        .filter(|index| !matches!(plan.steps[*index].phase, Phase::Compensation { .. }))
        .collect();
    for (at, later) in acting.iter().enumerate() {
        let is_apart = |earlier: &&StepIndex| {
            (calling.contains_key(*earlier) || calling.contains_key(later))
                && plan.steps[**earlier].phase == plan.steps[*later].phase
                && !before[*later].contains(*earlier)
                && !before[**earlier].contains(later)
        };
        let Some(earlier) = acting[..at].iter().find(is_apart) else { continue };
        let Some(call) = calling.get(later).or_else(|| calling.get(earlier)) else { continue };
        let (first, second) = (&plan.steps[*earlier].name, &plan.steps[*later].name);
        let message = format!("`{first}` and `{second}` both act on the outside world, in no order");
        let hint = format!("If the order matters, write `depends_on: [{first}]` in `{second}`.");
        let place = places.of_config(call, &call.pointer, At::Value);
        problems.push(problem(call, codes::UNORDERED, (&message, Some(hint)), place));
    }
}

fn acts<'p>(
    name: &'p str,
    plan: &'p Plan,
    known: &'p BTreeMap<String, Arc<Plan>>,
    depth: usize,
    seen: &mut BTreeMap<&'p str, bool>,
) -> bool {
    if let Some(acts) = seen.get(name) {
        return *acts;
    }
    // A circle is told of elsewhere.
    seen.insert(name, false);
    let below = |call: &Call<'p>| call.entry == 0 && call.is_stable() && depth > 0;
    let found = plan.steps.iter().any(|step| step.effect == Some(Effect::Unsafe))
        || calls(plan)
            .iter()
            .filter(|call| below(call))
            .any(|call| known.get(call.name).is_some_and(|callee| acts(call.name, callee, known, depth - 1, seen)));
    seen.insert(name, found);
    found
}

/// All steps before each step. A plan has no circles.
fn ancestors(plan: &Plan) -> Vec<BTreeSet<StepIndex>> {
    let needs = |index: StepIndex| -> Vec<StepIndex> {
        let of = |target: Target| match target {
            Target::Step(step) => vec![step],
            Target::Group(group) => plan.groups[group].members.clone(),
        };
        plan.steps[index].needs.iter().flat_map(|need| of(need.target)).collect()
    };
    let mut all = vec![BTreeSet::new(); plan.steps.len()];
    for (index, before) in all.iter_mut().enumerate() {
        let mut left = needs(index);
        while let Some(step) = left.pop() {
            if before.insert(step) {
                left.extend(needs(step));
            }
        }
    }
    all
}
