//! Ranges per step and for the whole run.
//!
//! Invariant: a run's low figures are those of the steps that run for sure, its high ones those of all that may.

use domain::wire::{Outlook, Spread, StepForecast};
use language::Plan;

use super::history::{History, Sample};
use super::outlook::{StepOutlook, order, predecessors};

pub(super) struct Totals {
    pub(super) duration_ms: Option<Spread>,
    pub(super) tokens: Option<Spread>,
    pub(super) cost_nano_usd: Option<Spread>,
}

pub(super) fn of_steps(plan: &Plan, outlooks: &[StepOutlook], history: &History) -> Vec<StepForecast> {
    plan.steps
        .iter()
        .zip(outlooks)
        .map(|(step, outlook)| {
            let samples = history.of(&step.name, &step.executor);
            let skipped = outlook.outlook == Outlook::Skipped;
            let of = |figure: &dyn Fn(&Sample) -> Option<u64>| {
                if skipped { None } else { spread(samples.iter().filter_map(figure).collect()) }
            };
            StepForecast {
                name: step.name.clone(),
                executor: step.executor.clone(),
                outlook: outlook.outlook,
                reason: outlook.reason.clone(),
                samples: samples.len() as u64,
                duration_ms: of(&|sample| Some(sample.duration_ms)),
                tokens: of(&|sample| Some(sample.tokens)),
                cost_nano_usd: of(&|sample| sample.cost_nano_usd),
            }
        })
        .collect()
}

pub(super) fn totals(plan: &Plan, steps: &[StepForecast]) -> Totals {
    let known = steps.iter().any(|step| step.duration_ms.is_some());
    Totals {
        duration_ms: known.then(|| longest(plan, steps)),
        tokens: sum(steps, |step| step.tokens),
        cost_nano_usd: sum(steps, |step| step.cost_nano_usd),
    }
}

/// A step that may be skipped adds nothing to the low figure, and half of the cases to the middle one.
fn counted(step: &StepForecast, spread: Spread) -> Spread {
    match step.outlook {
        Outlook::Runs => spread,
        Outlook::May => Spread { p10: 0, p50: spread.p50 / 2, p90: spread.p90 },
        Outlook::Skipped => Spread::default(),
    }
}

fn sum(steps: &[StepForecast], of: impl Fn(&StepForecast) -> Option<Spread>) -> Option<Spread> {
    let spreads: Vec<Spread> = steps.iter().filter_map(|step| of(step).map(|spread| counted(step, spread))).collect();
    (!spreads.is_empty()).then(|| {
        spreads.iter().fold(Spread::default(), |sum, spread| Spread {
            p10: sum.p10 + spread.p10,
            p50: sum.p50 + spread.p50,
            p90: sum.p90 + spread.p90,
        })
    })
}

/// Along the longest way through what follows what, for each figure.
fn longest(plan: &Plan, steps: &[StepForecast]) -> Spread {
    let mut ends = vec![Spread::default(); steps.len()];
    for index in order(plan) {
        let begin =
            predecessors(plan, index).into_iter().fold(Spread::default(), |begin, before| larger(begin, ends[before]));
        let own = steps[index].duration_ms.map(|spread| counted(&steps[index], spread)).unwrap_or_default();
        ends[index] = Spread { p10: begin.p10 + own.p10, p50: begin.p50 + own.p50, p90: begin.p90 + own.p90 };
    }
    ends.into_iter().fold(Spread::default(), larger)
}

fn larger(one: Spread, other: Spread) -> Spread {
    Spread { p10: one.p10.max(other.p10), p50: one.p50.max(other.p50), p90: one.p90.max(other.p90) }
}

fn spread(mut values: Vec<u64>) -> Option<Spread> {
    values.sort_unstable();
    let at = |percent: usize| {
        let rank = (values.len() * percent).div_ceil(100).max(1);
        values.get(rank - 1).copied()
    };
    Some(Spread { p10: at(10)?, p50: at(50)?, p90: at(90)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_spread_is_made_of_values_that_occurred() {
        assert_eq!(spread((1..=10).collect()), Some(Spread { p10: 1, p50: 5, p90: 9 }));
        assert_eq!(spread(vec![7]), Some(Spread { p10: 7, p50: 7, p90: 7 }));
        assert_eq!(spread(Vec::new()), None);
    }

    #[test]
    fn conditions_over_inputs_are_decided_and_the_longest_way_counts() {
        let yaml = "
inputs: {country: {type: string, required: true}}
steps:
  - {name: read, executor: t, depends_on: []}
  - {name: tax, executor: t, depends_on: [read], condition: \"inputs.country == 'NO'\"}
  - {name: after_tax, executor: t, depends_on: [tax]}
  - {name: rare, executor: t, depends_on: [read], condition: \"steps.read.success and inputs.country == 'NO'\"}
  - {name: slow, executor: t, depends_on: []}
";
        let catalogue = catalogue();
        let folder = language::Folder { yaml: yaml.to_owned(), ..language::Folder::default() };
        let compiled = language::compile(&folder, &catalogue);
        let plan = compiled.plan.unwrap_or_else(|| panic!("{:?}", compiled.problems));
        let mut history = History::default();
        for (step, duration_ms) in [("read", 10), ("tax", 20), ("after_tax", 30), ("rare", 100), ("slow", 45)] {
            history.add(step, "t", Sample { duration_ms, tokens: 2, cost_nano_usd: Some(3) });
        }
        let at_home = super::super::of_plan(&plan, &json!({"country": "NO"}), &history);
        let outlooks: Vec<Outlook> = at_home.steps.iter().map(|step| step.outlook).collect();
        assert_eq!(outlooks, [Outlook::Runs, Outlook::Runs, Outlook::Runs, Outlook::May, Outlook::Runs]);
        assert_eq!(at_home.duration_ms, Some(Spread { p10: 60, p50: 60, p90: 110 }));
        assert_eq!(at_home.tokens, Some(Spread { p10: 8, p50: 9, p90: 10 }));
        let abroad = super::super::of_plan(&plan, &json!({"country": "SE"}), &history);
        let outlooks: Vec<Outlook> = abroad.steps.iter().map(|step| step.outlook).collect();
        assert_eq!(outlooks, [Outlook::Runs, Outlook::Skipped, Outlook::Skipped, Outlook::May, Outlook::Runs]);
        assert_eq!(abroad.duration_ms, Some(Spread { p10: 45, p50: 60, p90: 110 }));
        assert!(abroad.unknown.is_empty());
        let nothing_known = super::super::of_plan(&plan, &json!({"country": "SE"}), &History::default());
        assert_eq!((nothing_known.duration_ms, nothing_known.unknown.len()), (None, 3));
    }

    fn catalogue() -> language::Catalogue {
        let spec = json!({
            "name": "t", "version": 1, "summary": "For the test.", "config": {"type": "object"}, "output": {},
            "main_input": null, "marked": [], "effect": {"always": "pure"}, "cost": "free", "streams": false,
            "open_config": true, "default_attempts": 1, "file_fields": [], "raw_fields": [], "control": null,
        });
        let spec: language::ExecutorSpec = serde_json::from_value(spec).unwrap();
        language::Catalogue::new([spec])
    }
}
