//! `weir-sim --seeds N [--from S]`: drives the pure engine through made-up flows in a made-up world (crashes, lost work,
//! any order of answers, clock jumps, people who cancel, decide, resolve, kill and restart) and holds invariants after
//! each. A printed seed reproduces its run. `weir-sim --golden FOLDER --seeds N` keeps the journals of N seeds instead.
//!
//! Invariant: nothing but the seed decides what happens.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a simulation prints what it found")]

mod dice;
mod golden;
mod invariants;
mod kids;
mod lineage;
mod plans;
mod world;

use std::process::ExitCode;

use dice::Dice;
use engine::dispatcher::Graph;
use world::Weather;

fn main() -> ExitCode {
    let mut seeds = 10_000_u64;
    let mut first = 0_u64;
    let mut folder = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().unwrap_or_default();
        match (word.as_str(), value.parse()) {
            ("--seeds", Ok(number)) => seeds = number,
            ("--from", Ok(number)) => first = number,
            ("--replay", _) if !value.is_empty() => return replay(std::path::Path::new(&value)),
            ("--golden", _) if !value.is_empty() => folder = Some(std::path::PathBuf::from(value)),
            _ => {
                eprintln!("usage: weir-sim [--seeds N] [--from FIRST] [--golden FOLDER | --replay FOLDER]");
                return ExitCode::from(2);
            }
        }
    }
    if let Some(folder) = folder {
        return match keep(&folder, first, seeds) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    let mut tally = invariants::Tally::default();
    for seed in first..first.saturating_add(seeds) {
        match one(seed, &mut tally) {
            Ok(()) => {}
            Err(broken) => {
                println!("seed {seed}: {broken}");
                println!("again with: weir-sim --from {seed} --seeds 1");
                return ExitCode::FAILURE;
            }
        }
    }
    println!("{seeds} seeds, no invariant broken");
    println!("{tally}");
    ExitCode::SUCCESS
}

/// Reads journals that were kept.
fn replay(folder: &std::path::Path) -> ExitCode {
    match golden::replay_all(folder) {
        Ok(count) => {
            println!("{count} journals read to the outcome they had");
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Keeps the journals of some seeds for good.
fn keep(folder: &std::path::Path, first: u64, seeds: u64) -> Result<(), String> {
    let registry = plans::registry();
    for seed in first..first.saturating_add(seeds) {
        let graph = Graph::new(std::sync::Arc::new(plans::random(&mut Dice::new(seed), true)), &registry);
        for (name, weather) in
            [("rough", Weather::ROUGH), ("cancelled", Weather::CANCELLED), ("people", Weather::PEOPLE)]
        {
            let run = world::simulate(&graph, seed, weather)?;
            golden::write(folder, &format!("{seed:05}-{name}"), &graph, &run)?;
        }
    }
    Ok(())
}

/// All that one seed stands for.
fn one(seed: u64, tally: &mut invariants::Tally) -> Result<(), String> {
    let registry = plans::registry();
    let racy = Graph::new(std::sync::Arc::new(plans::random(&mut Dice::new(seed), true)), &registry);
    for weather in [Weather::CALM, Weather::ROUGH, Weather::CANCELLED, Weather::PEOPLE] {
        let run = world::simulate(&racy, seed, weather)?;
        invariants::check(&racy, &run).inspect_err(|_| tell("racy", &run))?;
        tally.count(&run);
    }
    // What does not depend on the order of answers comes to the same, whatever happens to the worker.
    let steady = Graph::new(std::sync::Arc::new(plans::random(&mut Dice::new(seed), false)), &registry);
    let calm = world::simulate(&steady, seed, Weather::CALM)?;
    let rough = world::simulate(&steady, seed, Weather::BRIEF)?;
    invariants::check(&steady, &calm).inspect_err(|_| tell("calm", &calm))?;
    invariants::check(&steady, &rough).inspect_err(|_| tell("rough", &rough))?;
    invariants::same(&calm, &rough).inspect_err(|_| {
        tell("calm", &calm);
        tell("rough", &rough);
    })
}

fn tell(name: &str, run: &world::Simulated) {
    for entry in &run.journal {
        eprintln!("{name} {} {}", entry.at.timestamp_millis(), serde_json::json!(entry.event));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use chrono::{DateTime, Utc};
    use domain::RunStatus;
    use engine::Stored;
    use engine::dispatcher::{Command, Configured, Input, Signal, State, SucceededAttempt, step};
    use language::plan::{Need, NeedKind, Phase, Target};
    use serde_json::Value;

    use super::*;

    /// More with `WEIR_SIMULATION_SEEDS`.
    fn seeds() -> u64 {
        std::env::var("WEIR_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000)
    }

    #[test]
    fn journals_that_earlier_versions_wrote_read_to_the_same_outcome() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        assert!(golden::replay_all(&folder).unwrap() >= 60);
    }

    #[test]
    fn the_kept_journals_hold_every_event_there_is() {
        const NAMES: &[&str] = &[
            "run_started",
            "run_restarted",
            "condition_settled",
            "items_listed",
            "step_configured",
            "step_queued",
            "attempt_started",
            "attempt_interrupted",
            "child_started",
            "attempt_failed",
            "fallback_started",
            "iteration_ended",
            "iteration_due",
            "step_waiting",
            "item_settled",
            "step_settled",
            "step_needs_attention",
            "outside_received",
            "cancel_requested",
            "handlers_started",
            "run_settled",
        ];
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
        let events = golden::events(&folder).unwrap();
        let missing: Vec<&str> =
            NAMES.iter().copied().filter(|name| !events.iter().any(|event| event.name() == *name)).collect();
        assert!(missing.is_empty(), "in no journal: {missing:?}");
        assert!(events.iter().any(|event| matches!(event, engine::Event::RunRestarted { kept: Some(_), .. })));
        assert!(events.iter().any(|event| matches!(event, engine::Event::RunRestarted { kept: None, .. })));
    }

    #[test]
    fn no_seed_breaks_an_invariant_and_the_dice_reach_every_corner() {
        let mut tally = invariants::Tally::default();
        for seed in 0..seeds() {
            if let Err(broken) = one(seed, &mut tally) {
                panic!("seed {seed}: {broken}");
            }
        }
        let missing = tally.missing();
        assert!(missing.is_empty(), "never reached: {missing:?}");
    }

    #[test]
    fn a_chain_costs_in_proportion_to_its_length() {
        let chain = |length: usize| {
            let steps = (0..length).map(|index| {
                let mut step = plans::step_plan(format!("s{index}"), Phase::Main);
                if index > 0 {
                    step.needs.push(Need { target: Target::Step(index - 1), why: vec![NeedKind::Order] });
                }
                step
            });
            Graph::new(Arc::new(plans::plan(steps.collect(), Vec::new(), false, None)), &plans::registry())
        };
        // Counted, not timed: commands and entries a step are the same for a long chain.
        let work = |length: usize| {
            let graph = chain(length);
            let mut state = State::new(&graph);
            let mut signals = VecDeque::from([Signal::Started]);
            let mut done = 0;
            while let Some(signal) = signals.pop_front() {
                let decision = step(&mut state, &graph, Input { at: DateTime::<Utc>::UNIX_EPOCH, jitter: 0.0, signal });
                done += decision.commands.len() + decision.entries.len();
                for command in decision.commands {
                    signals.push_back(match command {
                        Command::RenderVars => Signal::VarsRendered(Ok(Value::Null)),
                        Command::RenderConfig { place } => Signal::ConfigRendered {
                            place,
                            result: Ok(Configured { config: Value::Null, secrets: Vec::new() }),
                        },
                        Command::StartAttempt { place, attempt } => Signal::AttemptEnded {
                            place,
                            attempt,
                            result: Ok(SucceededAttempt { output: Stored::Inline(Value::Null), usage: None }),
                        },
                        other => panic!("unexpected {other:?}"),
                    });
                }
            }
            assert_eq!(state.end.as_ref().map(|end| end.status), Some(RunStatus::Succeeded));
            done
        };
        assert_eq!(work(400) - work(200), 2 * (work(200) - work(100)));
    }
}
