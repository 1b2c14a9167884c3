//! The world around a run: everything that was commanded and has not happened yet, a disk that keeps what was made
//! durable, workers that die, and people who meddle.
//!
//! Invariant: what becomes of an attempt is decided by the seed, the place and the attempt alone, not by when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Failure, FailureKind, RunId, RunStatus, StepStatus};
use engine::dispatcher::{
    AttemptResult, Command, Configured, FailedAttempt, Graph, Input, Listed, Place, Signal, State, SucceededAttempt,
    Timer, step,
};
use engine::event::{LimitKind, Outside, Resolution, Stored};
use engine::ports::SlotAnswer;
use engine::{Entry, Event};
use language::Effect;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::kids::Kids;

/// How bad it gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Weather {
    /// Of a worker's death after each turn.
    crash_percent: u64,
    cancels: bool,
    /// People resolve, kill, restart, send signals twice.
    people: bool,
    /// The next worker comes long after the last one died.
    jumps: bool,
}

impl Weather {
    pub(crate) const CALM: Self = Self { crash_percent: 0, cancels: false, people: false, jumps: false };
    pub(crate) const ROUGH: Self = Self { crash_percent: 15, cancels: false, people: false, jumps: true };
    /// Nothing that has a limit of time goes over it.
    pub(crate) const BRIEF: Self = Self { crash_percent: 20, cancels: false, people: false, jumps: false };
    pub(crate) const CANCELLED: Self = Self { crash_percent: 8, cancels: true, people: false, jumps: true };
    pub(crate) const PEOPLE: Self = Self { crash_percent: 8, cancels: false, people: true, jumps: true };
}

pub(crate) struct Simulated {
    pub(crate) state: State,
    pub(crate) journal: Vec<Entry>,
    /// When each child was first started, by the journal.
    pub(crate) born: BTreeMap<RunId, u64>,
    /// Which ways its children went.
    pub(crate) seen: BTreeMap<&'static str, u64>,
}

/// What comes next.
enum Next {
    Signal(Box<Signal>),
    /// The run rested with its children, and was taken up again.
    Woken,
}

impl Next {
    fn signal(signal: Signal) -> Self {
        Self::Signal(Box::new(signal))
    }
}

struct World {
    seed: u64,
    due: Vec<Signal>,
    timers: BTreeSet<(DateTime<Utc>, Timer)>,
    now: DateTime<Utc>,
    deliveries: u32,
    /// How often slots were asked for.
    asked: u64,
    kids: Kids,
}

/// Runs a plan to its rest.
pub(crate) fn simulate(graph: &Graph, seed: u64, weather: Weather) -> Result<Simulated, String> {
    let mut dice = Dice::new(seed ^ 0xABCD);
    let mut world = World::new(seed);
    let mut state = State::new(graph);
    let (mut journal, mut unflushed): (Vec<Entry>, Vec<Entry>) = (Vec::new(), Vec::new());
    let mut cancelled = false;
    let mut restarts = if weather.people { 2 } else { 0 };
    for turn in 0.. {
        if turn > 40_000 {
            return Err("the run does not come to rest".to_owned());
        }
        let Some(next) = world.next(&mut dice, &state, weather) else {
            journal.append(&mut unflushed);
            if let Some(end) = &state.end {
                let left = world.kids.parent_ended(&state, end.status == RunStatus::Killed);
                left.map_err(|left| format!("{left}; {}", json!(journal)))?;
            }
            if let (Some(end), true) = (&state.end, restarts > 0)
                && end.status != RunStatus::Succeeded
                && dice.chance(70)
            {
                // A person starts it again: on another worker, from what is durable.
                restarts -= 1;
                state = world.taken_up(graph, &journal)?;
                world.due = vec![Signal::Restarted { by: "a person".to_owned() }];
                continue;
            }
            break;
        };
        let Next::Signal(signal) = next else {
            // Whoever rests has made everything durable.
            journal.append(&mut unflushed);
            state = world.taken_up(graph, &journal)?;
            continue;
        };
        let mut signal = *signal;
        world.now += TimeDelta::milliseconds(1);
        let picks_up = matches!(signal, Signal::Started) && state.started_at.is_some();
        if weather.cancels && turn >= 7 && !cancelled && !picks_up {
            cancelled = true;
            world.due.push(signal);
            signal = Signal::CancelRequested { by: "a person".to_owned() };
        }
        let from_outside = matches!(signal, Signal::Outside { .. });
        let decision = step(&mut state, graph, Input { at: world.now, jitter: 0.5, signal });
        unflushed.extend(decision.entries);
        for command in decision.commands {
            if let Command::StartAttempt { place, .. } = &command
                && begins(graph, &state, *place)? != Effect::Pure
            {
                journal.append(&mut unflushed);
            }
            world.obey(&command, graph, &state);
        }
        if dice.chance(20) || state.end.is_some() || from_outside {
            journal.append(&mut unflushed);
        }
        if state.end.is_none() && dice.chance(weather.crash_percent) {
            // All that is not durable is gone; the next worker comes some time later.
            unflushed.clear();
            state = world.taken_up(graph, &journal)?;
            if weather.jumps && dice.chance(10) {
                world.now += TimeDelta::seconds(dice.below(100_000) as i64);
            }
        }
    }
    Ok(Simulated { state, journal, born: world.kids.born(), seen: world.kids.seen })
}

/// What an attempt that begins does at most.
fn begins(graph: &Graph, state: &State, place: Place) -> Result<Effect, String> {
    if is_limited(graph, state, place) && !state.wants_slots(place) {
        return Err(format!("an attempt of {place:?} begins without its slots"));
    }
    Ok(graph.effect(place.step, state.unit(place).entry, None))
}

fn is_limited(graph: &Graph, state: &State, place: Place) -> bool {
    let plan = &graph.plan().steps[place.step];
    let cached = state.may_cache(graph, place).is_some();
    plan.resources.is_some() || plan.concurrency.is_some() || cached || is(graph, state, place, "buy")
}

/// Whether the unit's present entry is done by this executor.
fn is(graph: &Graph, state: &State, place: Place, executor: &str) -> bool {
    let plan = &graph.plan().steps[place.step];
    let entry = state.unit(place).entry as usize;
    entry.checked_sub(1).map_or(&plan.executor, |fallback| &plan.fallbacks[fallback].executor) == executor
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            due: vec![Signal::Started],
            timers: BTreeSet::new(),
            now: DateTime::<Utc>::UNIX_EPOCH,
            deliveries: 0,
            asked: 0,
            kids: Kids::new(seed),
        }
    }

    /// Another worker has the run, and knows what is durable.
    fn taken_up(&mut self, graph: &Graph, journal: &[Entry]) -> Result<State, String> {
        self.due = vec![Signal::Started];
        self.timers.clear();
        self.kids.lose_tasks();
        State::replay(graph, journal).map_err(|misfit| misfit.to_string())
    }

    fn fate(&self, place: Place, what: u64) -> Dice {
        let item = place.item.map_or(0, |item| u64::from(item) + 1);
        let mixed = (place.step as u64 ^ item << 20).wrapping_mul(0x5851_F42D_4C95_7F2D)
            ^ what.wrapping_mul(0x1405_7B7E_F767_814F);
        Dice::new(self.seed ^ mixed)
    }

    fn obey(&mut self, command: &Command, graph: &Graph, state: &State) {
        match *command {
            Command::RenderVars => self.due.push(Signal::VarsRendered(Ok(json!({})))),
            Command::RenderCondition { step } => {
                let mut fate = self.fate(Place::of(step), 1_000);
                let result = if fate.chance(5) { Err(failure(FailureKind::Flow)) } else { Ok(fate.chance(65)) };
                self.due.push(Signal::ConditionRendered { step, result });
            }
            Command::RenderList { step } => {
                let mut fate = self.fate(Place::of(step), 3_000);
                let listed = Listed { count: fate.small(7), items: Stored::Inline(json!([])) };
                let result = if fate.chance(5) { Err(failure(FailureKind::Flow)) } else { Ok(listed) };
                self.due.push(Signal::ListRendered { step, result });
            }
            Command::RenderConfig { place } => {
                let entry = u64::from(state.unit(place).entry);
                let broken = self.fate(place, 2_000 + entry).chance(4);
                let config = json!({
                    "signal": format!("go{}", place.step), "for": "1h", "on_timeout": "continue", "expires_in": "2h",
                    "on_expiry": "continue", "on_reject": "continue",
                });
                let result = if broken {
                    Err(failure(FailureKind::Flow))
                } else {
                    Ok(Configured { config, secrets: Vec::new() })
                };
                self.due.push(Signal::ConfigRendered { place, result });
            }
            Command::TakeSlots { place } => self.take_slots(place, state),
            Command::LookUp { place } => self.due.push(Signal::CacheAnswered { place, hit: None }),
            Command::RenderFallback { step } => {
                self.due.push(Signal::FallbackRendered { step, result: Ok(Stored::Inline(json!("instead"))) });
            }
            Command::RenderUntil { place } => {
                let iteration = u64::from(state.unit(place).iteration);
                let holds = self.fate(place, 4_000 + iteration).chance(40);
                self.due.push(Signal::UntilRendered { place, result: Ok(holds) });
            }
            Command::GatherItems { step } => {
                self.due.push(Signal::ItemsGathered { step, result: Ok(Stored::Inline(json!([]))) });
            }
            Command::RenderOutputs => self.due.push(Signal::OutputsRendered(Ok(Stored::Inline(Value::Null)))),
            Command::StartAttempt { place, attempt } if is(graph, state, place, "nest") => {
                self.kids.begin(place, attempt, state.position);
            }
            Command::StartAttempt { place, attempt } => {
                let result = self.attempt(place, attempt);
                self.due.push(Signal::AttemptEnded { place, attempt, result });
            }
            Command::StartTimer { timer, at } => {
                self.timers.insert((at, timer));
            }
            Command::CancelAttempt { place, attempt, grace } => {
                self.kids.stop(place, attempt, grace, &state.unit(place).children);
                // Whoever is told to stop stops, or has already come to its end.
                for signal in &mut self.due {
                    if let Signal::AttemptEnded { place: other, attempt: of, result } = signal
                        && (*other, *of) == (place, attempt)
                        && result.is_err()
                    {
                        *result = Err(FailedAttempt { failure: failure(FailureKind::Cancelled), usage: None });
                    }
                }
            }
        }
    }

    fn attempt(&self, place: Place, attempt: u32) -> AttemptResult {
        let failed = |kind| -> AttemptResult { Err(FailedAttempt { failure: failure(kind), usage: None }) };
        match self.fate(place, u64::from(attempt)).below(10) {
            0..6 => Ok(SucceededAttempt { output: Stored::Inline(json!(attempt)), usage: None }),
            6 => failed(FailureKind::Rejected),
            7 => failed(FailureKind::Timeout),
            8 => failed(FailureKind::RateLimited),
            _ => failed(FailureKind::Connect),
        }
    }

    /// Other runs, which nobody sees here, hold the slots every now and then, and give them back.
    fn take_slots(&mut self, place: Place, state: &State) {
        self.asked += 1;
        let mut luck = Dice::new(self.seed ^ self.asked.wrapping_mul(0x2545_F491_4F6C_DD1D));
        let answer = if luck.chance(40) {
            if !self.due.iter().any(|signal| matches!(signal, Signal::SlotsOffered)) {
                self.due.push(Signal::SlotsOffered);
            }
            SlotAnswer::Full(luck.pick(&[LimitKind::Step, LimitKind::Pool, LimitKind::Connection]))
        } else if self.fate(place, 5_000 + u64::from(state.unit(place).entry)).chance(3) {
            SlotAnswer::Refused(failure(FailureKind::Flow))
        } else {
            SlotAnswer::Taken
        };
        // A driver hears one answer before it asks again, so an older one is not left behind.
        self.due.retain(|signal| !matches!(signal, Signal::SlotsAnswered { place: other, .. } if *other == place));
        self.due.push(Signal::SlotsAnswered { place, answer });
    }

    /// The next thing that happens, in any order; time moves only when nothing else is left.
    fn next(&mut self, dice: &mut Dice, state: &State, weather: Weather) -> Option<Next> {
        // A worker that takes a run up looks at its journal before it hears of anything else.
        let is_taken_up = !self.due.iter().any(|signal| matches!(signal, Signal::Started));
        if weather.people && is_taken_up && state.end.is_none() && state.started_at.is_some() && dice.chance(3) {
            let kills = dice.chance(10);
            if let Some(what) = person(dice, state, kills) {
                return Some(self.deliver(dice, what));
            }
        }
        if let Some(signal) = self.next_at_once(dice, state) {
            return Some(signal);
        }
        if self.kids.is_resting() {
            return Some(self.rest(dice, state, weather));
        }
        if let Some((at, timer)) = self.timers.pop_first() {
            self.now = self.now.max(at);
            return Some(Next::signal(Signal::TimerFired(timer)));
        }
        // Nothing would happen any more: now somebody has to look.
        if weather.people && state.end.is_none() && state.started_at.is_some() {
            let what = person(dice, state, true)?;
            return Some(self.deliver(dice, what));
        }
        None
    }

    /// What happens before time moves on.
    fn next_at_once(&mut self, dice: &mut Dice, state: &State) -> Option<Next> {
        loop {
            let ready = self.kids.ready();
            let index = dice.below(self.due.len() + ready.len());
            if index < self.due.len() {
                return Some(Next::signal(self.due.swap_remove(index)));
            }
            let task = *ready.get(index - self.due.len())?;
            if let Some(signal) = self.kids.advance(task, state) {
                return Some(Next::signal(signal));
            }
        }
    }

    /// The run rests with a child, until a time or until that one is over. Short rests are waited for in place.
    fn rest(&mut self, dice: &mut Dice, state: &State, weather: Weather) -> Next {
        let in_place = dice.chance(30);
        if let (true, Some((at, timer))) = (weather.jumps && dice.chance(50), self.timers.first().copied()) {
            self.now = self.now.max(at);
            if in_place {
                self.timers.pop_first();
                return Next::signal(Signal::TimerFired(timer));
            }
            return Next::Woken;
        }
        self.kids.wake(dice);
        if in_place && let Some(next) = self.next_at_once(dice, state) { next } else { Next::Woken }
    }

    /// Some deliveries come twice.
    fn deliver(&mut self, dice: &mut Dice, what: Outside) -> Next {
        if !(self.deliveries > 0 && dice.chance(10)) {
            self.deliveries += 1;
        }
        Next::signal(Signal::Outside { delivery: format!("d{}", self.deliveries), by: "a person".to_owned(), what })
    }
}

/// What a person would do now.
fn person(dice: &mut Dice, state: &State, may_kill: bool) -> Option<Outside> {
    let places: Vec<(Place, StepStatus)> = state
        .places()
        .map(|place| (place, state.unit(place).status))
        .filter(|(_, status)| matches!(status, StepStatus::Waiting | StepStatus::NeedsAttention))
        .collect();
    if places.is_empty() || (may_kill && dice.chance(5)) {
        return may_kill.then(|| Outside::Kill { reason: "enough".to_owned() });
    }
    let (place, status) = places[dice.below(places.len())];
    let step = format!("s{}", place.step);
    Some(match status {
        StepStatus::Waiting if dice.chance(50) => {
            Outside::Signal { name: format!("go{}", place.step), payload: json!({"n": 1}) }
        }
        StepStatus::Waiting => {
            let approved = dice.chance(50);
            Outside::Decision { step, item: place.item, approved, comment: None, form: Value::Null }
        }
        _ => {
            let resolution = match dice.below(3) {
                0 => Resolution::Complete { output: json!("done by hand") },
                1 => Resolution::Retry,
                _ => Resolution::Fail,
            };
            Outside::Resolve { step, item: place.item, resolution }
        }
    })
}

fn failure(kind: FailureKind) -> Failure {
    Failure::new(kind, kind.as_str(), "as the dice fell")
}

/// Whether an entry ends an epoch.
pub(crate) const fn is_end(entry: &Entry) -> bool {
    matches!(entry.event, Event::RunSettled { .. })
}
