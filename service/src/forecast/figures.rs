//! Ranges per step and for the whole run.
//!
//! Invariant: a run's low figures are those of the steps that run for sure, its high ones those of all that may.

use domain::wire::{Outlook, Spread, StepForecast};
use language::Plan;

use super::history::{History, Sample};
use super::outlook::{Rest, StepOutlook, order, predecessors};

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
            let samples = match (&step.for_each, outlook.items) {
                (Some(each), Some(items)) => scaled(samples, items, each.max_parallel),
                _ => samples.to_vec(),
            };
            let skipped = outlook.outlook == Outlook::Skipped;
            let of = |figure: &dyn Fn(&Sample) -> Option<u64>| {
                if skipped { None } else { spread(samples.iter().filter_map(figure).collect()) }
            };
            // How long a step waits is written; what earlier versions said of it does not matter.
            let rest = match outlook.rest {
                Some(Rest::For(ms)) if !skipped => Some(Spread { p10: ms, p50: ms, p90: ms }),
                _ => None,
            };
            StepForecast {
                name: step.name.clone(),
                executor: step.executor.clone(),
                outlook: outlook.outlook,
                reason: outlook.reason.clone(),
                samples: samples.len() as u64,
                items: outlook.items.filter(|_| !skipped),
                duration_ms: rest.or_else(|| of(&|sample| Some(sample.duration_ms))),
                tokens: of(&|sample| Some(sample.tokens)),
                cost_nano_usd: of(&|sample| sample.cost_nano_usd),
            }
        })
        .collect()
}

/// What earlier lists took, for a list of so many items: tokens and money by the item, time by the rounds that its items make
/// beside each other.
fn scaled(samples: &[Sample], items: u64, max_parallel: Option<u32>) -> Vec<Sample> {
    if items == 0 {
        return vec![Sample { cost_nano_usd: Some(0), ..Sample::default() }];
    }
    let beside = max_parallel.map_or(engine::limits::ITEMS_IN_FLIGHT as u64, u64::from).max(1);
    let rounds = |items: u64| items.div_ceil(beside);
    let grown = |figure: u64, to: u64, from: u64| {
        u64::try_from(u128::from(figure) * u128::from(to) / u128::from(from)).unwrap_or(u64::MAX)
    };
    let known = samples.iter().filter_map(|sample| Some((sample, sample.items.filter(|items| *items > 0)?)));
    known
        .map(|(sample, of)| Sample {
            duration_ms: grown(sample.duration_ms, rounds(items), rounds(of)),
            tokens: grown(sample.tokens, items, of),
            cost_nano_usd: sample.cost_nano_usd.map(|cost| grown(cost, items, of)),
            items: Some(items),
        })
        .collect()
}

pub(super) fn totals(plan: &Plan, steps: &[StepForecast]) -> Totals {
    let known = steps.iter().any(|step| step.duration_ms.is_some());
    Totals {
        duration_ms: known.then(|| longest(plan, steps)),
        tokens: sum(steps.iter(), |step| step.tokens),
        cost_nano_usd: sum(steps.iter(), |step| step.cost_nano_usd),
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

pub(super) fn sum<'s>(
    steps: impl Iterator<Item = &'s StepForecast>,
    of: impl Fn(&StepForecast) -> Option<Spread>,
) -> Option<Spread> {
    let spreads: Vec<Spread> = steps.filter_map(|step| of(step).map(|spread| counted(step, spread))).collect();
    (!spreads.is_empty()).then(|| {
        spreads.iter().fold(Spread::default(), |sum, spread| Spread {
            p10: sum.p10.saturating_add(spread.p10),
            p50: sum.p50.saturating_add(spread.p50),
            p90: sum.p90.saturating_add(spread.p90),
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
        ends[index] = Spread {
            p10: begin.p10.saturating_add(own.p10),
            p50: begin.p50.saturating_add(own.p50),
            p90: begin.p90.saturating_add(own.p90),
        };
    }
    ends.into_iter().fold(Spread::default(), larger)
}

/// The longest of steps that run beside each other.
pub(super) fn longest_of(steps: &[&StepForecast]) -> Option<Spread> {
    let known = steps.iter().filter_map(|step| step.duration_ms.map(|spread| counted(step, spread)));
    known.reduce(larger)
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
    use chrono::{DateTime, Utc};
    use serde_json::{Value, json};

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
        let plan = plan_of(yaml);
        let mut history = History::default();
        for (step, duration_ms) in [("read", 10), ("tax", 20), ("after_tax", 30), ("rare", 100), ("slow", 45)] {
            history.add(step, "t", Sample { duration_ms, tokens: 2, cost_nano_usd: Some(3), items: None });
        }
        let at_home = super::super::of_plan(&plan, &json!({"country": "NO"}), now(), &history);
        let outlooks: Vec<Outlook> = at_home.steps.iter().map(|step| step.outlook).collect();
        assert_eq!(outlooks, [Outlook::Runs, Outlook::Runs, Outlook::Runs, Outlook::May, Outlook::Runs]);
        assert_eq!(at_home.duration_ms, Some(Spread { p10: 60, p50: 60, p90: 110 }));
        assert_eq!(at_home.tokens, Some(Spread { p10: 8, p50: 9, p90: 10 }));
        let abroad = super::super::of_plan(&plan, &json!({"country": "SE"}), now(), &history);
        let outlooks: Vec<Outlook> = abroad.steps.iter().map(|step| step.outlook).collect();
        assert_eq!(outlooks, [Outlook::Runs, Outlook::Skipped, Outlook::Skipped, Outlook::May, Outlook::Runs]);
        assert_eq!(abroad.duration_ms, Some(Spread { p10: 45, p50: 60, p90: 110 }));
        assert!(abroad.unknown.is_empty());
        let nothing_known = super::super::of_plan(&plan, &json!({"country": "SE"}), now(), &History::default());
        assert_eq!((nothing_known.duration_ms, nothing_known.unknown.len()), (None, 3));
    }

    fn now() -> DateTime<Utc> {
        "2026-01-31T08:00:00Z".parse().unwrap()
    }

    fn plan_of(yaml: &str) -> Plan {
        let folder = language::Folder { yaml: yaml.to_owned(), ..language::Folder::default() };
        let compiled = language::compile(&folder, &catalogue());
        compiled.plan.unwrap_or_else(|| panic!("{:?}", compiled.problems))
    }

    fn hit(forecast: &domain::wire::Forecast) -> Vec<&str> {
        forecast.limits.iter().filter(|limit| limit.hit).map(|limit| limit.name.as_str()).collect()
    }

    #[test]
    fn items_that_the_inputs_decide_multiply_what_earlier_lists_took() {
        let plan = plan_of(
            "inputs: {pages: array, n: integer}
max_cost: 0.000001
groups: {all: {max_cost: 0.0000005, timeout: 1s}}
steps:
  - {name: each, executor: t, parallel_group: all, for_each: \"{{ inputs.pages }}\", max_parallel: 2, max_items: 6, config: {x: \"{{ item }}\"}}
  - {name: four, executor: t, parallel_group: all, for_each: [1, 2, \"{{ inputs.n }}\", 4], config: {x: \"{{ item }}\"}}
  - {name: late, executor: t, for_each: \"{{ steps.each.output }}\", config: {x: \"{{ item }}\"}}
",
        );
        let mut history = History::default();
        let sample = Sample { duration_ms: 300, tokens: 30, cost_nano_usd: Some(90), items: Some(3) };
        for step in ["each", "four", "late"] {
            history.add(step, "t", sample);
        }
        history.add("each", "t", Sample { items: None, ..sample });
        let of =
            |pages: usize| super::super::of_plan(&plan, &json!({"pages": vec![1; pages], "n": 3}), now(), &history);
        let seven = of(7);
        let figures = |forecast: &domain::wire::Forecast, step: usize| {
            let step = &forecast.steps[step];
            let p50 = |spread: Option<Spread>| spread.map(|spread| spread.p50);
            (step.items, step.samples, p50(step.duration_ms), p50(step.tokens), p50(step.cost_nano_usd))
        };
        // Three of two at once took two rounds of 150 ms; seven take four.
        assert_eq!(figures(&seven, 0), (Some(7), 1, Some(600), Some(70), Some(210)));
        // All four beside each other, as the three were.
        assert_eq!(figures(&seven, 1), (Some(4), 1, Some(300), Some(40), Some(120)));
        // What only the run can tell is as it was.
        assert_eq!(figures(&seven, 2), (None, 1, Some(300), Some(30), Some(90)));
        assert_eq!(hit(&seven), ["max_items"]);
        assert_eq!(figures(&of(0), 0), (Some(0), 1, Some(0), Some(0), Some(0)));
        assert!(hit(&of(6)).is_empty(), "{:?}", of(6).limits);
        // Money by the flow and by the group, and the group's time.
        let dear = Sample { cost_nano_usd: Some(900), duration_ms: 1_000, ..sample };
        let mut history = History::default();
        history.add("each", "t", dear);
        let dear =
            |pages: usize| super::super::of_plan(&plan, &json!({"pages": vec![1; pages], "n": 3}), now(), &history);
        assert_eq!(hit(&dear(1)), [""; 0]);
        assert_eq!(hit(&dear(2)), ["groups.all.max_cost"]);
        assert_eq!(hit(&dear(6)), ["max_cost", "groups.all.timeout", "groups.all.max_cost"]);
    }

    #[test]
    fn waits_that_are_written_are_known_without_history() {
        let hits = |head: &str, step: &str, inputs: Value| {
            let plan = plan_of(&format!(
                "inputs: {{span: {{type: string, default: 1s}}, go: {{type: boolean, default: true}}}}\n{head}steps:\n  - {{name: rest, {step}}}\n  - {{name: next, executor: t}}\n"
            ));
            let forecast = super::super::of_plan(&plan, &inputs, now(), &History::default());
            let found: Vec<String> = hit(&forecast).into_iter().map(str::to_owned).collect();
            (forecast.duration_ms.map(|spread| spread.p90), found.join(" "))
        };
        let days = Some(259_200_000);
        let wait = |config: &str| format!("executor: wait, config: {{{config}}}");
        assert_eq!(hits("", &wait("for: 3d"), json!({})), (days, "max_wait".to_owned()));
        assert_eq!(hits("timeout: 1h\n", &wait("for: 3d"), json!({})), (days, "timeout max_wait".to_owned()));
        let total = format!("total_timeout: 1h, {}", wait("for: 3d"));
        assert_eq!(hits("", &total, json!({})), (days, "total_timeout max_wait".to_owned()));
        assert_eq!(hits("", &wait("for: \"{{ inputs.span }}\""), json!({"span": "3d"})), (days, "max_wait".to_owned()));
        assert_eq!(hits("", &wait("for: \"{{ inputs.span }}\""), json!({"span": "1s"})), (Some(1_000), String::new()));
        assert_eq!(hits("", &wait("until: \"2026-02-03T08:00:00Z\""), json!({})), (days, "max_wait".to_owned()));
        assert_eq!(hits("", &wait("until: \"2026-01-03T08:00:00Z\""), json!({})), (Some(0), String::new()));
        assert_eq!(hits("", &wait("for: 1s"), json!({})), (Some(1_000), String::new()));
        assert_eq!(hits("endpoint: {max_wait: 500ms}\n", &wait("for: 1s"), json!({})).1, "max_wait");
        // A signal may come at once: how long that takes nobody knows, but the caller is answered.
        assert_eq!(hits("timeout: 1h\n", &wait("signal: go, for: 3d"), json!({})), (None, "max_wait".to_owned()));
        assert_eq!(hits("", "executor: approval", json!({})), (None, "max_wait".to_owned()));
        // What is skipped waits for nothing, and what only the run can tell is not said.
        let skipped = format!("condition: inputs.go, {}", wait("for: 3d"));
        assert_eq!(hits("timeout: 1h\n", &skipped, json!({"go": false})), (None, String::new()));
        assert_eq!(hits("timeout: 1h\n", &wait("for: \"{{ run.id }}\""), json!({})), (None, String::new()));
    }

    fn catalogue() -> language::Catalogue {
        let spec = |name: &str| {
            json!({
                "name": name, "version": 1, "summary": "For the test.", "config": {"type": "object"}, "output": {},
                "main_input": null, "marked": [], "effect": {"always": "pure"}, "cost": "free", "streams": false,
                "open_config": true, "default_attempts": 1, "file_fields": [], "raw_fields": [], "control": null,
            })
        };
        let specs = ["t", "wait", "approval"].map(|name| serde_json::from_value(spec(name)).unwrap());
        language::Catalogue::new(specs)
    }
}
