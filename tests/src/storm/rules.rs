//! What must hold of a store and of the outside world after a storm, over every run.
use crate::{
    effects::Effect,
    look::{Line, RunRow},
};
use domain::RunId;
use std::collections::{BTreeMap, BTreeSet};

/// What was broken, in sentences; empty when all is well.
pub(super) fn broken(
    runs: &[RunRow],
    journals: &[Line],
    effects: &[Effect],
    acknowledged: &BTreeMap<u64, String>,
) -> Vec<String> {
    let mut faults = Vec::new();
    let mut by_run: BTreeMap<_, Vec<&Line>> = BTreeMap::new();
    for line in journals {
        by_run.entry(line.run).or_default().push(line);
    }
    for run in runs {
        let lines = by_run.get(&run.id).map_or(&[][..], Vec::as_slice);
        faults.extend(journal_faults(run, lines).into_iter().map(|fault| format!("{} {}: {fault}", run.flow, run.id)));
    }
    faults.extend(lost(runs, acknowledged));
    faults.extend(effect_faults(effects, acknowledged));
    faults
}

/// The rules of one run's journal.
fn journal_faults(run: &RunRow, lines: &[&Line]) -> Vec<String> {
    let mut faults = Vec::new();
    let gapless = lines.iter().zip(1_i64..).all(|(line, position)| line.position == position);
    if !gapless || run.position != i64::try_from(lines.len()).unwrap_or(i64::MAX) {
        faults.push(format!("its row is at {} and its {} lines have gaps", run.position, lines.len()));
    }
    if run.status != "succeeded" {
        faults.push(format!("it is {} ({})", run.status, run.error));
    }
    let count = |kind: &str| lines.iter().filter(|line| line.kind == kind).count();
    let (ends, epochs) = (count("run_settled"), 1 + count("run_restarted"));
    if count("run_started") != 1 || ends == 0 || ends > epochs {
        faults.push(format!("{} starts and {ends} ends in {epochs} epochs", count("run_started")));
    }
    if lines.last().is_none_or(|line| line.kind != "run_settled" || line.data["status"] != run.status.as_str()) {
        faults.push(format!("it is {} and its last line is {:?}", run.status, lines.last()));
    }
    faults.extend(repeated_steps(lines));
    faults
}

/// Steps and items that were begun or settled again after they had succeeded.
fn repeated_steps(lines: &[&Line]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut over = BTreeSet::new();
    for line in lines {
        let place = (line.step.as_str(), line.data["item"].as_u64());
        match line.kind.as_str() {
            "attempt_started" | "step_configured" | "step_waiting" if over.contains(&place) => {
                faults.push(format!("{place:?} was settled, and at {} came {}", line.position, line.kind));
            }
            "step_settled" | "item_settled" if !over.insert(place) => {
                faults.push(format!("{place:?} was settled again at {}", line.position));
            }
            _ => {}
        }
    }
    faults
}

/// Orders that were acknowledged and are not there once.
fn lost(runs: &[RunRow], acknowledged: &BTreeMap<u64, String>) -> Vec<String> {
    let mut found: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.depth == 0) {
        let number = run.inputs["number"].as_u64().unwrap_or(u64::MAX);
        found.entry(number).or_default().push(RunId::from_uuid(run.id).to_string());
    }
    let none = Vec::new();
    let stored = |number: &u64| found.get(number).unwrap_or(&none);
    let lost = acknowledged.iter().filter(|(number, run)| stored(number) != std::slice::from_ref(*run));
    lost.map(|(number, run)| format!("order {number}, acknowledged as {run}, is {:?}", stored(number))).collect()
}

/// Effects that are missing, done under more than one key, or done for nobody.
fn effect_faults(effects: &[Effect], acknowledged: &BTreeMap<u64, String>) -> Vec<String> {
    let mut keys: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for effect in effects {
        keys.entry(&effect.name).or_default().push(&effect.key);
    }
    let done: BTreeSet<&str> = effects.iter().filter(|effect| effect.done).map(|effect| effect.name.as_str()).collect();
    let expected: BTreeSet<String> =
        acknowledged.keys().flat_map(|number| super::orders::effects_of(*number)).collect();
    let mut faults: Vec<String> = expected
        .iter()
        .filter(|name| !done.contains(name.as_str()))
        .map(|name| format!("{name} was never done"))
        .collect();
    faults.extend(
        done.iter().filter(|name| !expected.contains(**name)).map(|name| format!("{name} was done for no order")),
    );
    let several = keys.iter().filter(|(_, keys)| keys.len() > 1 || keys.contains(&""));
    faults
        .extend(several.map(|(name, keys)| format!("{name} came under {keys:?}, so it would be done more than once")));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use sea_orm::prelude::Uuid;
    use serde_json::{Value, json};

    fn line(position: i64, kind: &str, step: &str, data: Value) -> Line {
        Line { run: Uuid::from_u128(1), position, kind: kind.to_owned(), step: step.to_owned(), data }
    }

    fn run(position: i64) -> RunRow {
        RunRow {
            id: Uuid::from_u128(1),
            flow: "order".to_owned(),
            depth: 0,
            status: "succeeded".to_owned(),
            position,
            token: 1,
            inputs: json!({"number": 0}),
            error: Value::Null,
        }
    }

    fn whole() -> Vec<Line> {
        vec![
            line(1, "run_started", "", json!({})),
            line(2, "attempt_started", "lines", json!({"item": 0})),
            line(3, "item_settled", "lines", json!({"item": 0})),
            line(4, "step_settled", "lines", json!({})),
            line(5, "run_settled", "", json!({"status": "succeeded"})),
        ]
    }

    fn of(run: &RunRow, lines: &[Line]) -> Vec<String> {
        journal_faults(run, &lines.iter().collect::<Vec<_>>())
    }

    #[test]
    fn a_whole_journal_breaks_no_rule_and_each_damage_breaks_one() {
        assert_eq!(of(&run(5), &whole()), Vec::<String>::new());
        let mut gap = whole();
        gap.remove(1);
        assert_eq!(of(&run(5), &gap).len(), 1);
        let mut again = whole();
        again.insert(3, line(4, "attempt_started", "lines", json!({"item": 0})));
        again[4].position = 5;
        again[5].position = 6;
        assert_eq!(of(&run(6), &again).len(), 1);
        let mut endless = whole();
        endless.pop();
        assert_eq!(of(&run(4), &endless).len(), 2);
        let mut twice = whole();
        twice.push(line(6, "run_settled", "", json!({"status": "succeeded"})));
        assert_eq!(of(&run(6), &twice).len(), 1);
    }

    #[test]
    fn a_lost_order_and_each_wrong_effect_is_seen() {
        let acknowledged = BTreeMap::from([(0, RunId::from_uuid(Uuid::from_u128(1)).to_string())]);
        assert!(lost(&[run(5)], &acknowledged).is_empty());
        assert_eq!(lost(&[], &acknowledged).len(), 1);
        assert_eq!(lost(&[run(5), run(5)], &acknowledged).len(), 1);
        let effect = |name: String, key: &str| Effect { name, key: key.to_owned(), arrived: 2, done: true };
        let mut effects: Vec<Effect> =
            super::super::orders::effects_of(0).into_iter().map(|name| effect(name, "k")).collect();
        assert!(effect_faults(&effects, &acknowledged).is_empty());
        effects.push(effect("reserve-0".to_owned(), "other"));
        effects.push(effect("reserve-1".to_owned(), "k"));
        effects.remove(0);
        assert_eq!(effect_faults(&effects, &acknowledged).len(), 3);
    }
}
