//! A simulation of whole runs: random flows, random outcomes in random order, crashes at any point. A seed tells all;
//! `WEIR_SIMULATION_SEEDS=20000` looks further than the gate does.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Failure, FailureKind, RunStatus, StepStatus};
use language::plan::{
    Expression, GroupPlan, Join, Need, NeedKind, OnError, OnSkip, OnUnknown, Phase, RetryPolicy, RunIf, Save, StepPlan,
    Target,
};
use language::{Effect, Plan};
use serde_json::{Map, Value, json};

use super::*;
use crate::event::{Entry, Event, Stored};
use crate::executor::Registry;

/// A small generator whose whole state is its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.roll() % limit.max(1) as u64).unwrap_or_default()
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.roll() % 100 < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

fn step_plan(name: String, line: u32) -> StepPlan {
    StepPlan {
        name,
        phase: Phase::Main,
        line,
        description: None,
        executor: "act".to_owned(),
        config: Map::new(),
        config_lines: BTreeMap::new(),
        main_input: None,
        needs: Vec::new(),
        condition: None,
        run_if: RunIf::AllSuccess,
        watches: Vec::new(),
        group: None,
        retry: RetryPolicy::default(),
        timeout_ms: None,
        total_timeout_ms: None,
        first_token_timeout_ms: None,
        effect: Some(Effect::Pure),
        on_error: OnError::Fail,
        fallbacks: Vec::new(),
        on_skip: OnSkip::Default,
        on_unknown: OnUnknown::Attention,
        for_each: None,
        repeat: None,
        compensation: None,
        cache: None,
        resources: None,
        concurrency: None,
    }
}

fn plan(steps: Vec<StepPlan>, groups: Vec<GroupPlan>, fail_fast: bool) -> Plan {
    Plan {
        name: None,
        description: None,
        labels: BTreeMap::new(),
        inputs: None,
        input_schema: json!({}),
        output_schema: json!({}),
        outputs: None,
        vars: Map::new(),
        macros: BTreeMap::new(),
        functions: BTreeMap::new(),
        files: BTreeMap::new(),
        steps,
        groups,
        fail_fast,
        max_cost: None,
        concurrency: None,
        save: Save::All,
        timeout_ms: None,
        model: None,
        search: Vec::new(),
        max_wait_ms: 60_000,
        cancel_on_disconnect: false,
    }
}

/// A random flow. Without `racy`, its end does not depend on the order in which attempts end.
fn random_plan(dice: &mut Dice, racy: bool) -> Plan {
    let count = 1 + dice.below(12);
    let mut steps = Vec::new();
    let mut groups: Vec<GroupPlan> = Vec::new();
    let mut open: Option<usize> = None;
    for index in 0..count {
        let mut step = step_plan(format!("s{index}"), u32::try_from(index).unwrap_or_default());
        open = match open {
            Some(group) if dice.chance(60) => Some(group),
            _ if dice.chance(30) => {
                let join = if racy {
                    dice.pick(&[Join::All, Join::Any, Join::AtLeast(2), Join::AllSettled])
                } else {
                    dice.pick(&[Join::All, Join::AllSettled])
                };
                groups.push(GroupPlan {
                    name: format!("g{}", groups.len()),
                    line: 1,
                    members: Vec::new(),
                    join,
                    cancel_rest_on_error: racy && dice.chance(30),
                    max_parallel: dice.chance(40).then(|| 1 + u32::try_from(dice.below(2)).unwrap_or_default()),
                    timeout_ms: None,
                    max_cost: None,
                });
                Some(groups.len() - 1)
            }
            _ => None,
        };
        if let Some(group) = open {
            step.group = Some(group);
            groups[group].members.push(index);
        }
        add_needs(dice, &mut step, index, &steps, &groups, open);
        step.condition = dice.chance(35).then(|| Expression { source: "true".to_owned(), line: 1 });
        if step.condition.is_some() {
            let needed: Vec<usize> = step
                .needs
                .iter()
                .filter_map(|need| match need.target {
                    Target::Step(step) => Some(step),
                    Target::Group(_) => None,
                })
                .collect();
            step.watches = needed.into_iter().filter(|_| dice.chance(50)).collect();
        }
        step.run_if = if dice.chance(75) {
            RunIf::AllSuccess
        } else {
            dice.pick(&[RunIf::AnySuccess, RunIf::AllSettled, RunIf::AnyFailed, RunIf::Always])
        };
        step.on_skip = if dice.chance(80) {
            OnSkip::Default
        } else {
            dice.pick(&[OnSkip::Continue, OnSkip::Cascade, OnSkip::Fail])
        };
        step.on_error = match dice.below(6) {
            0 => OnError::Continue,
            1 => OnError::Value(json!("instead")),
            _ => OnError::Fail,
        };
        step.effect = Some(if racy {
            dice.pick(&[Effect::Pure, Effect::Idempotent, Effect::Unsafe])
        } else {
            dice.pick(&[Effect::Pure, Effect::Idempotent])
        });
        step.on_unknown =
            if dice.chance(60) { OnUnknown::Attention } else { dice.pick(&[OnUnknown::Retry, OnUnknown::Fail]) };
        step.retry = RetryPolicy {
            max_attempts: 1 + u32::try_from(dice.below(3)).unwrap_or_default(),
            ..RetryPolicy::default()
        };
        steps.push(step);
    }
    plan(steps, groups, racy && dice.chance(25))
}

fn add_needs(
    dice: &mut Dice,
    step: &mut StepPlan,
    index: usize,
    steps: &[StepPlan],
    groups: &[GroupPlan],
    own: Option<usize>,
) {
    for (earlier, other) in steps.iter().enumerate().take(index) {
        let same = own.is_some() && other.group == own;
        if !same && dice.chance(30) {
            let why = dice.pick(&[
                NeedKind::Declared,
                NeedKind::ReadOutput,
                NeedKind::ReadRecord,
                NeedKind::Order,
                NeedKind::MainInput,
            ]);
            step.needs.push(Need { target: Target::Step(earlier), why: vec![why] });
        }
    }
    for group in 0..groups.len() {
        if Some(group) != own && dice.chance(40) {
            let why = dice.pick(&[NeedKind::Declared, NeedKind::Order]);
            step.needs.push(Need { target: Target::Group(group), why: vec![why] });
        }
    }
}

/// The outside world: everything that was commanded and has not happened yet.
struct Outside {
    seed: u64,
    due: Vec<Signal>,
    timers: BTreeSet<(DateTime<Utc>, Timer)>,
    now: DateTime<Utc>,
}

impl Outside {
    /// What becomes of a step is decided by the seed, the step and the attempt alone, not by when it is asked.
    fn fate(&self, step: usize, what: u64) -> Dice {
        Dice(self.seed ^ (step as u64).wrapping_mul(0x5851_F42D_4C95_7F2D) ^ what.wrapping_mul(0x1405_7B7E_F767_814F))
    }

    fn obey(&mut self, command: &Command) {
        match *command {
            Command::RenderVars => self.due.push(Signal::VarsRendered(Ok(json!({})))),
            Command::RenderCondition { step } => {
                let mut fate = self.fate(step, 1000);
                let result = if fate.chance(5) { Err(failure(FailureKind::Flow)) } else { Ok(fate.chance(65)) };
                self.due.push(Signal::ConditionRendered { step, result });
            }
            Command::RenderConfig { step } => {
                let broken = self.fate(step, 2000).chance(4);
                let result = if broken {
                    Err(failure(FailureKind::Flow))
                } else {
                    Ok(Configured { config: json!({}), secrets: Vec::new() })
                };
                self.due.push(Signal::ConfigRendered { step, result });
            }
            Command::RenderFallback { step } => {
                self.due.push(Signal::FallbackRendered { step, result: Ok(Stored::Inline(json!("instead"))) });
            }
            Command::RenderOutputs => self.due.push(Signal::OutputsRendered(Ok(Stored::Inline(Value::Null)))),
            Command::StartAttempt { step, attempt } => {
                let mut fate = self.fate(step, u64::from(attempt));
                let result = match fate.below(10) {
                    0..6 => Ok(SucceededAttempt { output: Stored::Inline(json!(step)), usage: None }),
                    6 => Err(FailedAttempt { failure: failure(FailureKind::Rejected), usage: None }),
                    7 => Err(FailedAttempt { failure: failure(FailureKind::Timeout), usage: None }),
                    _ => Err(FailedAttempt { failure: failure(FailureKind::Connect), usage: None }),
                };
                self.due.push(Signal::AttemptEnded { step, attempt, result });
            }
            Command::StartTimer { timer, at } => {
                self.timers.insert((at, timer));
            }
            Command::CancelAttempt { step, attempt, .. } => {
                // Whoever is told to stop stops, or has already come to its end.
                for signal in &mut self.due {
                    if let Signal::AttemptEnded { step: other, attempt: of, result } = signal
                        && (*other, *of) == (step, attempt)
                        && result.is_err()
                    {
                        *result = Err(FailedAttempt { failure: failure(FailureKind::Cancelled), usage: None });
                    }
                }
            }
        }
    }

    /// The next thing that happens, in any order; time moves only when nothing else is left.
    fn next(&mut self, dice: &mut Dice) -> Option<Signal> {
        if !self.due.is_empty() {
            let index = dice.below(self.due.len());
            return Some(self.due.swap_remove(index));
        }
        let (at, timer) = self.timers.pop_first()?;
        self.now = self.now.max(at);
        Some(Signal::TimerFired(timer))
    }
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, kind.as_str(), "as the dice fell")
}

struct Simulated {
    state: State,
    journal: Vec<Entry>,
}

/// Runs a plan to its rest, crashing after each turn with the given chance.
fn simulate(graph: &Graph, seed: u64, crash_percent: u64, cancel: bool) -> Simulated {
    let mut dice = Dice(seed ^ 0xABCD);
    let start = DateTime::<Utc>::UNIX_EPOCH;
    let mut outside = Outside { seed, due: vec![Signal::Started], timers: BTreeSet::new(), now: start };
    let mut state = State::new(graph);
    let (mut journal, mut unflushed): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
    let mut turns = 0;
    loop {
        turns += 1;
        assert!(turns < 20_000, "the run does not come to rest");
        let Some(signal) = outside.next(&mut dice) else { break };
        outside.now += TimeDelta::milliseconds(1);
        let signal = if cancel && turns == 7 {
            outside.due.push(signal);
            Signal::CancelRequested { by: "a test".to_owned() }
        } else {
            signal
        };
        let decision = step(&mut state, graph, Input { at: outside.now, jitter: 0.5, signal });
        unflushed.extend(decision.entries);
        for command in decision.commands {
            if let Command::StartAttempt { step, .. } = &command
                && graph.effect(*step, None) != Effect::Pure
            {
                journal.append(&mut unflushed);
            }
            outside.obey(&command);
        }
        if dice.chance(20) || state.end.is_some() {
            journal.append(&mut unflushed);
        }
        if state.end.is_none() && dice.chance(crash_percent) {
            // All that is not durable is gone, the world outside keeps nothing of ours.
            unflushed.clear();
            state = State::replay(graph, &journal).unwrap();
            outside.due = vec![Signal::Started];
            outside.timers.clear();
        }
    }
    journal.append(&mut unflushed);
    Simulated { state, journal }
}

fn check(graph: &Graph, run: &Simulated) {
    // The journal folds to the state that was lived, step by step; `apply` refuses a second settling by itself.
    let folded = State::replay(graph, &run.journal).unwrap();
    for (lived, folded) in run.state.steps.iter().zip(&folded.steps) {
        if lived.status.is_settled() {
            assert_eq!(
                (lived.status, lived.reason, &lived.carries, &lived.sees),
                (folded.status, folded.reason, &folded.carries, &folded.sees)
            );
        }
    }
    let ends = run.journal.iter().filter(|entry| matches!(entry.event, Event::RunSettled { .. })).count();
    match &run.state.end {
        Some(_) => {
            assert_eq!(ends, 1, "one terminal entry");
            assert!(
                matches!(run.journal.last().map(|entry| &entry.event), Some(Event::RunSettled { .. })),
                "and it is the last"
            );
            assert_eq!(run.state.unsettled(), 0, "a settled run has only settled steps");
        }
        None => assert!(run.state.needs_attention(), "a run rests only for a person: {:#?}", run.state),
    }
    let mut settled = BTreeSet::new();
    let mut attempts: BTreeMap<&str, u32> = BTreeMap::new();
    for entry in &run.journal {
        match &entry.event {
            Event::StepSettled { step, .. } => {
                settled.insert(step.as_str());
            }
            Event::AttemptStarted { step, attempt } => {
                assert!(!settled.contains(step.as_str()), "a settled step runs again");
                let last = attempts.insert(step, *attempt).unwrap_or_default();
                assert_eq!(*attempt, last + 1, "attempts count up by one");
                let index = graph.step_named(step).unwrap();
                for need in &graph.plan().steps[index].needs {
                    let members = match need.target {
                        Target::Step(step) => vec![step],
                        Target::Group(group) => graph.plan().groups[group].members.clone(),
                    };
                    for member in members {
                        assert!(
                            settled.contains(graph.name(member)),
                            "{step} starts before {} is settled",
                            graph.name(member)
                        );
                    }
                }
            }
            _ => {}
        }
    }
}

#[test]
fn the_dice_reach_every_corner() {
    let (mut runs, mut steps) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..1_500 {
        let graph = Graph::new(Arc::new(random_plan(&mut Dice(seed), true)), &Registry::default());
        let run = simulate(&graph, seed, 10, seed % 5 == 0);
        runs.insert(run.state.end.as_ref().map(|end| end.status));
        steps.extend(
            run.state
                .steps
                .iter()
                .map(|step| format!("{} {}", step.status, step.reason.map_or("", crate::event::SkipReason::as_str))),
        );
    }
    let ends = [None, Some(RunStatus::Succeeded), Some(RunStatus::Failed), Some(RunStatus::Cancelled)];
    assert_eq!(runs, BTreeSet::from(ends));
    for corner in [
        "succeeded ",
        "failed ",
        "needs_attention ",
        "skipped condition",
        "skipped upstream_failed",
        "skipped upstream_skipped",
        "skipped run_if",
        "skipped fail_fast",
        "skipped group_joined",
        "skipped cancelled",
        "cancelled fail_fast",
        "cancelled group_joined",
        "cancelled cancelled",
    ] {
        assert!(steps.contains(corner), "{corner} was never reached: {steps:?}");
    }
}

fn result(run: &Simulated) -> (Option<RunStatus>, Vec<(StepStatus, u32)>) {
    let steps = run.state.steps.iter().map(|step| (step.status, step.attempts)).collect();
    (run.state.end.as_ref().map(|end| end.status), steps)
}

fn seeds() -> u64 {
    std::env::var("WEIR_SIMULATION_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_500)
}

/// Runs a check for each seed and names the one that broke it.
fn for_each_seed(run: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in 0..seeds() {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("broken by seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn any_run_keeps_the_rules_through_any_crash() {
    for_each_seed(|seed| {
        let graph = Graph::new(Arc::new(random_plan(&mut Dice(seed), true)), &Registry::default());
        for crash_percent in [0, 15] {
            check(&graph, &simulate(&graph, seed, crash_percent, false));
        }
    });
}

#[test]
fn a_cancel_at_any_time_ends_the_run() {
    for_each_seed(|seed| {
        let graph = Graph::new(Arc::new(random_plan(&mut Dice(seed), true)), &Registry::default());
        for crash_percent in [0, 15] {
            let run = simulate(&graph, seed, crash_percent, true);
            check(&graph, &run);
            assert!(run.state.end.is_some() || run.state.cancelled_by.is_none());
        }
    });
}

#[test]
fn crashes_and_order_do_not_change_what_a_run_comes_to() {
    for_each_seed(|seed| {
        let graph = Graph::new(Arc::new(random_plan(&mut Dice(seed), false)), &Registry::default());
        let calm = simulate(&graph, seed, 0, false);
        check(&graph, &calm);
        let rough = simulate(&graph, seed, 20, false);
        check(&graph, &rough);
        assert_eq!(result(&calm), result(&rough));
    });
}

#[test]
fn a_chain_costs_in_proportion_to_its_length() {
    let chain = |length: usize| {
        let steps = (0..length).map(|index| {
            let mut step = step_plan(format!("s{index}"), 1);
            if index > 0 {
                step.needs.push(Need { target: Target::Step(index - 1), why: vec![NeedKind::Order] });
            }
            step
        });
        Graph::new(Arc::new(plan(steps.collect(), Vec::new(), false)), &Registry::default())
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
                    Command::RenderConfig { step } => Signal::ConfigRendered {
                        step,
                        result: Ok(Configured { config: Value::Null, secrets: Vec::new() }),
                    },
                    Command::StartAttempt { step, attempt } => Signal::AttemptEnded {
                        step,
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
