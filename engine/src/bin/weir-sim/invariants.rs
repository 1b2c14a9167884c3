//! What must hold of every run, whatever happened to it.
//!
//! Invariant: nothing here looks at how the dispatcher does it, only at the journal and the state it folds to.

use std::collections::{BTreeMap, BTreeSet};

use domain::{RunStatus, StepStatus};
use engine::Event;
use engine::dispatcher::{Graph, State};
use engine::event::{Outside, Resolution};
use language::plan::{Phase, Target};

use crate::lineage;
use crate::world::{Simulated, is_end};

/// Holds all invariants against a run.
pub(crate) fn check(graph: &Graph, run: &Simulated) -> Result<(), String> {
    folds_to_what_was_lived(graph, run)?;
    ends_once_an_epoch(run)?;
    runs_nothing_twice_and_in_order(graph, run)?;
    lineage::goes_on_with_its_children(graph, run)?;
    handlers_run_after_the_steps(graph, run)
}

/// The journal is the whole truth; `apply` refuses a second settling by itself.
fn folds_to_what_was_lived(graph: &Graph, run: &Simulated) -> Result<(), String> {
    let folded = State::replay(graph, &run.journal).map_err(|misfit| misfit.to_string())?;
    for (index, (lived, folded)) in run.state.steps.iter().zip(&folded.steps).enumerate() {
        let pair = (serde_json::to_value(lived), serde_json::to_value(folded));
        if lived.unit.status.is_settled() && pair.0.as_ref().ok() != pair.1.as_ref().ok() {
            return Err(format!("step {index} was lived as {lived:?} and reads as {folded:?}"));
        }
    }
    Ok(())
}

fn ends_once_an_epoch(run: &Simulated) -> Result<(), String> {
    let ends = run.journal.iter().filter(|entry| is_end(entry)).count();
    let epochs = run.state.epoch.max(1) as usize;
    match &run.state.end {
        Some(_) if ends != epochs => Err(format!("{ends} terminal entries in {epochs} epochs")),
        Some(_) if !run.journal.last().is_some_and(is_end) => Err("something follows the end".to_owned()),
        Some(_) if run.state.unsettled() > 0 => Err("a settled run has unsettled steps".to_owned()),
        Some(end) => {
            let open = run.state.steps.iter().position(|step| !step.unit.status.is_settled());
            match open {
                Some(step) => Err(format!("the run ended ({}) and step {step} did not", end.status)),
                None => Ok(()),
            }
        }
        None if run.state.needs_attention() => Ok(()),
        None => Err(format!("the run rests, and nobody is asked for anything: {:#?}", run.state)),
    }
}

fn runs_nothing_twice_and_in_order(graph: &Graph, run: &Simulated) -> Result<(), String> {
    let mut settled: BTreeSet<(&str, Option<u32>)> = BTreeSet::new();
    let mut attempts: BTreeMap<(&str, Option<u32>), u32> = BTreeMap::new();
    let mut deliveries = BTreeSet::new();
    // Failed items, which a person may have tried again.
    let mut open_to_retry: BTreeSet<(&str, Option<u32>)> = BTreeSet::new();
    for entry in &run.journal {
        let step = entry.event.step().unwrap_or_default();
        let place = (step, entry.event.item());
        match &entry.event {
            Event::RunRestarted { .. } => settled.clear(),
            Event::StepSettled { .. } => {
                settled.insert(place);
            }
            Event::ItemSettled { status, .. } => {
                settled.insert(place);
                if !status.is_success() {
                    open_to_retry.insert(place);
                }
            }
            Event::OutsideReceived { delivery, what, .. } => {
                if let Outside::Resolve { step, item: None, resolution: Resolution::Retry } = what {
                    settled.retain(|place| place.0 != step.as_str() || !open_to_retry.contains(place));
                }
                if !deliveries.insert(delivery.clone()) {
                    return Err(format!("delivery {delivery} was taken in twice"));
                }
            }
            Event::AttemptStarted { attempt, .. } => {
                if settled.contains(&place) || settled.contains(&(step, None)) {
                    return Err(format!("{step} was settled and runs again"));
                }
                let last = attempts.insert(place, *attempt).unwrap_or_default();
                if *attempt != last + 1 {
                    return Err(format!("attempt {attempt} of {place:?} follows attempt {last}"));
                }
                if run.state.epoch <= 1 {
                    needs_are_settled(graph, step, &settled)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn needs_are_settled(graph: &Graph, step: &str, settled: &BTreeSet<(&str, Option<u32>)>) -> Result<(), String> {
    let Some(index) = graph.step_named(step) else { return Err(format!("{step} is not in the plan")) };
    for need in &graph.plan().steps[index].needs {
        let members = match need.target {
            Target::Step(step) => vec![step],
            Target::Group(group) => graph.plan().groups[group].members.clone(),
        };
        for member in members {
            if !settled.contains(&(graph.name(member), None)) {
                return Err(format!("{step} starts before {} is settled", graph.name(member)));
            }
        }
    }
    Ok(())
}

/// Compensations in reverse order of completion, one at a time; nothing of the steps after the handlers began.
fn handlers_run_after_the_steps(graph: &Graph, run: &Simulated) -> Result<(), String> {
    let mut handling = false;
    let mut completed: Vec<usize> = Vec::new();
    let mut undone: Vec<usize> = Vec::new();
    let mut partly = std::collections::BTreeSet::new();
    let mut failed = false;
    for entry in &run.journal {
        let step = entry.event.step().and_then(|name| graph.step_named(name));
        match (&entry.event, step) {
            (Event::HandlersStarted { status, .. }, _) => {
                handling = true;
                failed = *status == RunStatus::Failed;
            }
            (Event::RunRestarted { .. }, _) => {
                (handling, failed) = (false, false);
                undone.clear();
                completed.clear();
            }
            (Event::ItemSettled { status, .. }, Some(step)) if status.is_success() => {
                partly.insert(step);
            }
            (Event::StepSettled { status, .. }, Some(step)) => {
                let phase = graph.plan().steps[step].phase;
                // Of a list that failed half-way, what succeeded is undone.
                if (status.is_success() || partly.contains(&step)) && phase == Phase::Main {
                    completed.push(step);
                }
            }
            (Event::AttemptStarted { attempt, .. }, Some(step)) => match graph.plan().steps[step].phase {
                Phase::Main if handling => return Err("a step starts among the handlers".to_owned()),
                Phase::Compensation { of } if *attempt == 1 => undone.push(of),
                Phase::OnError if !failed => return Err("`on_error` runs, and nothing failed".to_owned()),
                Phase::Compensation { .. } | Phase::OnError | Phase::Finally if !handling => {
                    return Err("a handler starts among the steps".to_owned());
                }
                _ => {}
            },
            _ => {}
        }
    }
    if run.state.epoch <= 1 {
        let order = |step: &usize| completed.iter().position(|done| done == step);
        let places: Vec<Option<usize>> = undone.iter().map(order).collect();
        if places.contains(&None) || places.windows(2).any(|pair| pair[0] <= pair[1]) {
            return Err(format!("compensations of {undone:?} after completions {completed:?}"));
        }
    }
    Ok(())
}

/// Two runs of the same flow came to the same.
pub(crate) fn same(one: &Simulated, other: &Simulated) -> Result<(), String> {
    let outcome = |run: &Simulated| {
        let steps: Vec<(StepStatus, u32)> =
            run.state.steps.iter().map(|step| (step.unit.status, step.unit.entry)).collect();
        (run.state.end.as_ref().map(|end| end.status), steps)
    };
    let (one, other) = (outcome(one), outcome(other));
    if one == other { Ok(()) } else { Err(format!("crashes changed the outcome: {one:?} became {other:?}")) }
}

/// What the dice reached.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    seen: BTreeMap<String, u64>,
}

impl Tally {
    pub(crate) fn count(&mut self, run: &Simulated) {
        let end = run.state.end.as_ref().map_or("resting", |end| end.status.as_str());
        *self.seen.entry(format!("run {end}")).or_default() += 1;
        for step in &run.state.steps {
            let reason = step.unit.reason.map_or("", engine::event::SkipReason::as_str);
            *self.seen.entry(format!("step {} {reason}", step.unit.status)).or_default() += 1;
        }
        for entry in &run.journal {
            *self.seen.entry(format!("event {}", entry.event.name())).or_default() += 1;
        }
        for (way, count) in &run.seen {
            *self.seen.entry((*way).to_owned()).or_default() += count;
        }
    }

    /// Corners that have to be reached.
    #[cfg(test)]
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        const CORNERS: &[&str] = &[
            "run succeeded",
            "run failed",
            "run cancelled",
            "run timed_out",
            "run killed",
            "run resting",
            "step succeeded ",
            "step failed ",
            "step timed_out ",
            "step needs_attention ",
            "step skipped condition",
            "step skipped upstream_failed",
            "step skipped upstream_skipped",
            "step skipped run_if",
            "step skipped fail_fast",
            "step skipped group_joined",
            "step skipped not_needed",
            "step skipped cancelled",
            "step cancelled fail_fast",
            "step cancelled group_joined",
            "step cancelled cancelled",
            "event run_restarted",
            "event items_listed",
            "event item_settled",
            "event fallback_started",
            "event iteration_ended",
            "event iteration_due",
            "event step_waiting",
            "event outside_received",
            "event handlers_started",
            "event step_queued",
            "event attempt_interrupted",
            "event child_started",
            "child rests",
            "child goes on",
            "child stays",
        ];
        CORNERS.iter().filter(|corner| !self.seen.contains_key(**corner)).copied().collect()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (what, count) in &self.seen {
            writeln!(f, "{count:>12}  {what}")?;
        }
        Ok(())
    }
}
