//! The driver: does what the dispatcher commands, tells it what came of it, and makes it durable in time.
//!
//! Invariant: entries are durable before an effect that is not pure, before the driver waits for longer than a moment,
//! and before it returns; they are appended in order and each exactly once. Everything else may share an append.

mod attempt;
mod buffer;
mod cache;
mod children;
mod config;
mod inputs;
mod masked;
mod render;
mod slots;
mod timers;
mod values;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::{Failure, RunStatus, StepStatus};
use futures_util::FutureExt as _;
use language::Effect;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::dispatcher::{AttemptResult, Command, Input, Place, Signal, State, step};
use crate::event::{Entry, Settled};
use crate::limits;
use crate::ports::{Delivery, Inbox, PortError, Slots};
use crate::run::{Control, DriveError, Outcome, Run, Surroundings};
use crate::template::Prepared;
use attempt::Running;
use buffer::Buffer;
use children::{ChildNews, ChildNote};
use timers::Timers;
use values::Values;

/// Runs until the run settles, suspends or is told to stop. `history` is the run's journal so far.
///
/// Compiles the plan's templates each time; whoever runs a plan often keeps a [`Prepared`] and calls
/// [`drive_prepared`].
pub async fn drive(
    run: Run,
    history: Vec<Entry>,
    surroundings: Surroundings,
    control: Control,
) -> Result<Outcome, DriveError> {
    let prepared = Arc::new(Prepared::new(run.plan.clone(), &surroundings.registry));
    drive_prepared(run, prepared, history, surroundings, control).await
}

/// [`drive`] with the plan made ready before. `prepared` must come from this run's plan and registry.
pub async fn drive_prepared(
    run: Run,
    prepared: Arc<Prepared>,
    history: Vec<Entry>,
    surroundings: Surroundings,
    control: Control,
) -> Result<Outcome, DriveError> {
    let mut state =
        State::replay(prepared.graph(), &history).map_err(|misfit| DriveError::History(misfit.to_string()))?;
    drop(history);
    state.feed(inputs::fed(prepared.plan(), &run.inputs));
    let mut driver = Driver::new(run, prepared, state, surroundings);
    driver.run(control).await
}

/// What a task of the driver comes back with.
enum Note {
    Attempt { place: Place, attempt: u32, result: Result<AttemptResult, PortError> },
    Rendered(Result<Signal, PortError>),
}

struct Driver {
    run: Run,
    prepared: Arc<Prepared>,
    surroundings: Surroundings,
    state: State,
    buffer: Buffer,
    values: Values,
    timers: Timers,
    tasks: JoinSet<Note>,
    running: HashMap<Place, Running>,
    /// Units that slots were asked for, and not given back yet.
    slots_of: BTreeSet<Place>,
    /// Attempts that were tried without a task of their own since the loop looked at what comes from outside.
    at_once: u32,
    children: mpsc::Sender<ChildNote>,
    children_inbox: mpsc::Receiver<ChildNote>,
}

impl Driver {
    fn new(run: Run, prepared: Arc<Prepared>, state: State, surroundings: Surroundings) -> Self {
        let (children, children_inbox) = mpsc::channel(16);
        let values = Values::new(prepared.plan().steps.len());
        Self {
            run,
            prepared,
            surroundings,
            state,
            buffer: Buffer::default(),
            values,
            timers: Timers::default(),
            tasks: JoinSet::new(),
            running: HashMap::new(),
            slots_of: BTreeSet::new(),
            at_once: 0,
            children,
            children_inbox,
        }
    }

    async fn run(&mut self, control: Control) -> Result<Outcome, DriveError> {
        let mut cancelling = self.state.cancelled_by.is_some();
        if self.state.started_at.is_none() && control.cancel.is_cancelled() {
            // Cancelled while it was queued: nothing of it has begun, so nothing begins.
            cancelling = true;
            self.feed(Signal::CancelRequested { by: control.cancelled_by() }).await?;
        } else if let (Some(_), Some(by)) = (&self.state.end, self.run.restart_by.take()) {
            self.feed(Signal::Restarted { by }).await?;
        } else if self.state.end.is_none() {
            let first = self.first();
            self.feed(first).await?;
        }
        let inbox = self.surroundings.inbox.clone();
        let slots = self.surroundings.slots.clone();
        while self.state.end.is_none() {
            self.at_once = 0;
            // What lies in the inbox already is taken in before the run is given back.
            if let Some(delivery) = next_delivery(inbox.as_deref()).now_or_never() {
                self.delivered(delivery?).await?;
                continue;
            }
            // So is the wish for its end: a run that only waits would be given back with it.
            if !cancelling && control.cancel.is_cancelled() {
                cancelling = true;
                self.feed(Signal::CancelRequested { by: control.cancelled_by() }).await?;
                self.flush().await?;
                continue;
            }
            if self.tasks.len() == self.resting().count()
                && let Some(outcome) = self.suspend().await?
            {
                return Ok(outcome);
            }
            let now = self.now();
            let timer = self.timers.next();
            let until_timer = timer.map_or(Duration::MAX, |(at, _)| until(now, at));
            tokio::select! {
                biased;
                () = control.stop.cancelled() => return Ok(Outcome::Stopped),
                // Before a cancel: whoever kills a run cancels what it called, and a kill is the stronger word.
                delivery = next_delivery(inbox.as_deref()) => self.delivered(delivery?).await?,
                () = control.cancel.cancelled(), if !cancelling => {
                    cancelling = true;
                    self.feed(Signal::CancelRequested { by: control.cancelled_by() }).await?;
                    self.flush().await?;
                }
                () = offered(slots.as_deref()), if !self.slots_of.is_empty() => self.feed(Signal::SlotsOffered).await?,
                Some(note) = self.children_inbox.recv() => self.child_started(note).await?,
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    // A task without a note was aborted, because its attempt was over already; panics are caught inside.
                    if let Ok(note) = done {
                        self.heard(note).await?;
                    }
                }
                () = tokio::time::sleep(until_timer), if timer.is_some() => {
                    if let Some((_, timer)) = self.timers.take_due(self.now()) {
                        self.feed(Signal::TimerFired(timer)).await?;
                    }
                }
                () = self.buffer.due() => self.flush().await?,
            }
        }
        self.flush().await?;
        Ok(Outcome::Settled(Box::new(self.settled().await?)))
    }

    /// How a run begins, or goes on.
    fn first(&mut self) -> Signal {
        let reused = std::mem::take(&mut self.run.reused);
        match (self.state.started_at, self.run.refused.take()) {
            (None, Some(refusal)) => Signal::Refused(refusal),
            (None, None) if !reused.is_empty() => Signal::Reused(reused),
            _ => Signal::Started,
        }
    }

    /// Nothing executes here: wait in place for what comes soon, give the run back otherwise.
    async fn suspend(&mut self) -> Result<Option<Outcome>, DriveError> {
        let resting = self.resting().map(|(place, _)| place).collect();
        let next = self.timers.next_wake(&self.state, &resting);
        let patience = if self.surroundings.clock.runs_by_itself() { limits::IN_PLACE_WAIT_MS } else { 0 };
        if next.is_some_and(|at| until(self.now(), at) <= Duration::from_millis(patience)) {
            return Ok(None);
        }
        self.flush().await?;
        let asks = |(_, status): (Place, RunStatus)| status == RunStatus::NeedsAttention;
        let status = match self.state.needs_attention() || self.resting().any(asks) {
            true => RunStatus::NeedsAttention,
            // It is in line, and whoever waits for its answer goes on waiting.
            false if self.state.seekers().next().is_some() => RunStatus::Queued,
            false => RunStatus::Waiting,
        };
        Ok(Some(Outcome::Suspended { status, wake_at: next }))
    }

    /// Attempts that do nothing but wait for children that gave their places back.
    fn resting(&self) -> impl Iterator<Item = (Place, RunStatus)> + '_ {
        // One that was told to stop has its child to end first.
        let goes_on = |place: Place| self.state.unit(place).stop().is_none();
        let resting = self.running.iter().filter_map(|(place, running)| Some((*place, running.resting?)));
        resting.filter(move |(place, _)| goes_on(*place))
    }

    async fn heard(&mut self, note: Note) -> Result<(), DriveError> {
        match note {
            Note::Attempt { place, attempt, result } => {
                if self.running.get(&place).is_some_and(|running| running.attempt == attempt) {
                    self.running.remove(&place);
                }
                // What an executor said about its children comes before its end.
                while let Ok(child) = self.children_inbox.try_recv() {
                    self.child_started(child).await?;
                }
                self.feed(Signal::AttemptEnded { place, attempt, result: result? }).await
            }
            Note::Rendered(signal) => self.feed(signal?).await,
        }
    }

    async fn child_started(&mut self, note: ChildNote) -> Result<(), DriveError> {
        let ChildNote { place, attempt, what } = note;
        let running = self.running.get_mut(&place).filter(|running| running.attempt == attempt);
        match (what, running) {
            (ChildNews::Started(child), running) => {
                if let Some(running) = running {
                    running.children.push(child.run);
                }
                self.feed(Signal::ChildStarted { place, attempt, child }).await?;
                // A run that is taken up must know what it has to end or to go on with.
                if child.effect == Effect::Pure { Ok(()) } else { self.flush().await }
            }
            (ChildNews::Rests(status), Some(running)) => {
                running.resting = Some(status);
                Ok(())
            }
            (ChildNews::Goes, Some(running)) => {
                running.resting = None;
                Ok(())
            }
            (ChildNews::Rests(_) | ChildNews::Goes, None) => Ok(()),
        }
    }

    /// Something came from outside. It is durable before anything else happens, so that it is taken in once.
    async fn delivered(&mut self, delivery: Delivery) -> Result<(), DriveError> {
        let Delivery { id, by, what } = delivery;
        self.feed(Signal::Outside { delivery: id, by, what }).await?;
        self.flush().await
    }

    /// Tells the dispatcher, and does what it commands, until nothing more comes of it at once.
    async fn feed(&mut self, signal: Signal) -> Result<(), DriveError> {
        let mut signals = VecDeque::from([signal]);
        while let Some(signal) = signals.pop_front() {
            let input = Input { at: self.now(), jitter: rand::random::<f64>(), signal };
            let decision = step(&mut self.state, self.prepared.graph(), input);
            self.buffer.push(decision.entries);
            for command in decision.commands {
                if let Some(signal) = self.obey(command).await? {
                    signals.push_back(signal);
                }
            }
            self.give_slots_back().await?;
        }
        Ok(())
    }

    async fn obey(&mut self, command: Command) -> Result<Option<Signal>, DriveError> {
        match command {
            Command::RenderVars => self.render_vars().await,
            Command::RenderCondition { step } => self.render_condition(step).await,
            Command::RenderList { step } => self.render_list(step).await,
            Command::RenderConfig { place } => self.render_config(place).await,
            Command::LookUp { place } => self.look_up(place).await,
            Command::TakeSlots { place } => self.take_slots(place).await,
            Command::RenderUntil { place } => self.render_until(place).await,
            Command::GatherItems { step } => self.gather_items(step).await,
            Command::RenderFallback { step } => self.render_fallback(step).await,
            Command::RenderOutputs => self.render_outputs().await,
            Command::StartAttempt { place, attempt } => {
                let unit = self.state.unit(place);
                let effect = self.prepared.graph().effect(place.step, unit.entry, unit.config.as_ref());
                // Who watches a stream hears of the attempt before its first words.
                if effect != Effect::Pure || self.streams(place) {
                    self.flush().await?;
                }
                self.start_attempt(place, attempt, effect == Effect::Pure)
            }
            Command::CancelAttempt { place, attempt, grace } => {
                self.cancel_attempt(place, attempt, grace);
                Ok(None)
            }
            Command::StartTimer { timer, at } => {
                self.timers.add(timer, at);
                Ok(None)
            }
        }
    }

    fn streams(&self, place: Place) -> bool {
        let entry = self.state.unit(place).entry;
        let executor = self.prepared.entry(place.step, entry).and_then(|entry| entry.executor.as_ref());
        executor.is_some_and(|executor| executor.spec().streams)
    }

    async fn flush(&mut self) -> Result<(), DriveError> {
        self.buffer.flush(&*self.surroundings.journal).await.map_err(DriveError::Port)
    }

    fn now(&self) -> DateTime<Utc> {
        self.surroundings.clock.now()
    }

    async fn settled(&mut self) -> Result<Settled, DriveError> {
        let Some(end) = self.state.end.take() else {
            return Err(DriveError::History("the run is not settled".to_owned()));
        };
        let outputs = match end.outputs {
            Some(stored) => values::load(&*self.surroundings.blobs, stored).await?,
            None => serde_json::Value::Null,
        };
        let failed = end.failed_step.as_deref().and_then(|name| self.prepared.graph().step_named(name));
        Ok(Settled {
            status: end.status,
            outputs,
            error: end.error,
            failed_step: end.failed_step,
            handler_errors: end.handler_errors,
            // A step whose config could not be rendered has made none.
            failed_attempt: failed.map(|step| self.state.steps[step].unit.attempts).filter(|attempts| *attempts > 0),
            usage: std::mem::take(&mut self.state.usage),
            cost: self.state.cost,
        })
    }
}

/// The next delivery; never comes where there is no inbox.
async fn next_delivery(inbox: Option<&dyn Inbox>) -> Result<Delivery, PortError> {
    match inbox {
        Some(inbox) => inbox.next().await,
        None => std::future::pending().await,
    }
}

async fn offered(slots: Option<&dyn Slots>) {
    match slots {
        Some(slots) => slots.offered().await,
        None => std::future::pending().await,
    }
}

/// Whether a step has an output to give.
fn has_output(status: StepStatus) -> bool {
    status.is_success()
}

fn until(now: DateTime<Utc>, at: DateTime<Utc>) -> Duration {
    (at - now).to_std().unwrap_or_default()
}

/// A fault of ours in the middle of a run that the run itself has to show.
fn internal(message: impl Into<String>) -> Failure {
    Failure::new(domain::FailureKind::Internal, "internal", message)
}

#[cfg(test)]
mod tests;
