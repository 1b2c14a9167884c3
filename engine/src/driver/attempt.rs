//! One attempt: the executor's call with its surroundings, contained.
//!
//! Invariant: whatever an executor does (panic, overrun, hand out a secret), exactly one result comes back, and it holds
//! no secret and no output over the limits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::wire::Usage;
use domain::{Failure, FailureKind, NanoUsd, RunId, RunStatus};
use futures_util::FutureExt as _;
use language::CostKind;
use language::plan::StepPlan;
use serde_json::Value;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::cache::Keep;
use super::children::{NotedChildren, Spent};
use super::masked::Masked;
use super::render::too_large;
use super::values::store;
use super::{DriveError, Driver, Note, until};
use crate::dispatcher::{AttemptResult, FailedAttempt, Line, Place, Signal, SucceededAttempt};
use crate::event::SecretUse;
use crate::executor::{Call, EarlierAttempt, Executor, Failed};
use crate::limits;
use crate::money::Purse;
use crate::ports::{Blobs, Children, Money, OverCap, PortError, Reserved, Secrets, StepCache};
use crate::template::{Masker, fill, made, names};

/// How deep an output may nest; what is deeper cannot be read back.
const OUTPUT_DEPTH: usize = 100;

/// An attempt under way.
pub(super) struct Running {
    pub(super) attempt: u32,
    pub(super) children: Vec<RunId>,
    /// It does nothing but wait for a child that gave its place back.
    pub(super) resting: Option<RunStatus>,
    cancel: CancellationToken,
    task: AbortHandle,
}

impl Driver {
    /// Begins an attempt. One that does `at_once` what it does comes back with its end: a task of its own would cost more than
    /// most such steps do.
    pub(super) fn start_attempt(
        &mut self,
        place: Place,
        attempt: u32,
        at_once: bool,
    ) -> Result<Option<Signal>, DriveError> {
        let unit = self.state.unit(place);
        let executor = self.prepared.entry(place.step, unit.entry).and_then(|entry| entry.executor.clone());
        let Some(executor) = executor else {
            // Its config could not have been rendered; a journal of another registry ends up here.
            let failure = super::internal("the step's executor is not there any more");
            let result = Ok(Err(FailedAttempt { failure, usage: None }));
            self.tasks.spawn(async move { Note::Attempt { place, attempt, result } });
            return Ok(None);
        };
        let cancel = CancellationToken::new();
        let children = unit.children.clone();
        let (noted, spent) =
            NotedChildren::new(self.surroundings.children.clone(), place, attempt, self.children.clone());
        let config = unit.config.clone().unwrap_or(Value::Null);
        let work = Attempt {
            keep: self.keep(place, &executor, &config),
            cache: self.surroundings.cache.clone(),
            money: self.surroundings.money.clone(),
            purse: Purse::of(self.prepared.plan(), &self.prepared.plan().steps[place.step]),
            executor,
            call: self.call(place, attempt, &cancel, noted),
            spent,
            config,
            uses: unit.secrets.clone(),
            secrets: self.surroundings.secrets.clone(),
            blobs: self.surroundings.blobs.clone(),
        };
        let mut work = Box::pin(work.run());
        // Executors that compute for long do so elsewhere, so that nothing else waits long for this.
        if at_once && self.at_once < limits::AT_ONCE {
            self.at_once += 1;
            if let Some(result) = work.as_mut().now_or_never() {
                return Ok(Some(Signal::AttemptEnded { place, attempt, result: result? }));
            }
        }
        let task = self.tasks.spawn(async move { Note::Attempt { place, attempt, result: work.await } });
        self.running.insert(place, Running { attempt, children, resting: None, cancel, task });
        Ok(None)
    }

    /// Asks an attempt to stop; without grace it is gone at once, and its children are told.
    pub(super) fn cancel_attempt(&mut self, place: Place, attempt: u32, grace: bool) {
        let Some(running) = self.running.get(&place).filter(|running| running.attempt == attempt) else {
            if !grace {
                self.cancel_children(self.state.unit(place).children.clone());
            }
            return;
        };
        running.cancel.cancel();
        if grace {
            return;
        }
        // The executor hears of it first, so that it can tidy up; what it says then is not heard any more.
        let task = running.task.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(limits::ABORT_GRACE_MS)).await;
            task.abort();
        });
        self.cancel_children(running.children.clone());
        self.running.remove(&place);
    }

    fn cancel_children(&self, runs: Vec<RunId>) {
        for child in runs {
            let children = self.surroundings.children.clone();
            // Whether the child heard it or not, this attempt is over; the child's own limits still hold.
            tokio::spawn(async move { children.cancel(child, "its parent: the step was out of time").await });
        }
    }

    fn call(&self, place: Place, attempt: u32, cancel: &CancellationToken, children: Arc<dyn Children>) -> Call {
        let plan = &self.prepared.plan().steps[place.step];
        Call {
            tenant: self.run.tenant,
            run: self.run.id,
            step: plan.name.clone(),
            item: place.item,
            instruction: instruction(plan),
            attempt,
            may_be_retried: self.may_be_retried(place),
            key: self.key(place),
            trace: self.run.trace.clone(),
            earlier: self.earlier(place),
            deadline: self.deadline(place),
            cancel: cancel.clone(),
            test: self.run.test,
            default_model: self.run.default_model.clone(),
            first_token_timeout: plan.first_token_timeout_ms.map(Duration::from_millis),
            blobs: self.surroundings.blobs.clone(),
            models: self.surroundings.models.clone(),
            values: self.surroundings.values.clone(),
            children,
            progress: self.surroundings.watcher.progress(&plan.name, place.item, attempt),
        }
    }

    fn may_be_retried(&self, place: Place) -> bool {
        let unit = self.state.unit(place);
        let made = unit.attempts.saturating_sub(unit.attempts_before);
        made < self.prepared.graph().retry(place.step, unit.entry).max_attempts
    }

    /// The same for all attempts of one entry: run, step, item, iteration, entry, and the epoch after a known failure.
    fn key(&self, place: Place) -> String {
        let unit = self.state.unit(place);
        self.key_of(place, unit.iteration, unit.key_epoch)
    }

    /// Whose children the attempt goes on with.
    fn earlier(&self, place: Place) -> Vec<EarlierAttempt> {
        let of = |line: &Line| EarlierAttempt {
            key: self.key_of(place, line.iteration, line.key_epoch),
            attempt: line.attempt,
        };
        self.state.unit(place).earlier().iter().map(of).collect()
    }

    fn key_of(&self, place: Place, iteration: u32, epoch: u32) -> String {
        let mut key =
            format!("{}/{}", self.run.keys_of.unwrap_or(self.run.id), self.prepared.plan().steps[place.step].name);
        if let Some(item) = place.item {
            key.push_str(&format!("/i{item}"));
        }
        if self.prepared.plan().steps[place.step].repeat.is_some() {
            key.push_str(&format!("/n{iteration}"));
        }
        match self.state.unit(place).entry {
            0 => key.push_str("/main"),
            entry => key.push_str(&format!("/f{entry}")),
        }
        if epoch > 1 {
            key.push_str(&format!("/e{epoch}"));
        }
        key
    }

    /// The nearest of the limits of time around this attempt.
    fn deadline(&self, place: Place) -> Option<Instant> {
        let plan = self.prepared.plan();
        let step = place.step;
        let now = self.now();
        let group = plan.steps[step].group;
        let handling = self.state.handling.as_ref().map(|handling| handling.turn_since);
        // These are the engine's to notice: what an executor says of its own accord would pass for the attempt's own failure,
        // which is retried and taken on.
        let outer = |limit: Option<u64>| limit.map(|ms| ms.saturating_add(limits::OUTER_MARGIN_MS));
        let limits: [(Option<u64>, Option<DateTime<Utc>>); 5] = [
            (plan.steps[step].timeout_ms, Some(now)),
            (outer(plan.steps[step].total_timeout_ms), self.state.steps[step].unit.started_at),
            (outer(Some(limits::HANDLERS_MS)), handling),
            (
                outer(group.and_then(|group| plan.groups[group].timeout_ms)),
                group.and_then(|group| self.state.groups[group].started_at),
            ),
            (outer(plan.timeout_ms).filter(|_| handling.is_none()), self.state.started_at),
        ];
        let left = |(limit, start): (Option<u64>, Option<DateTime<Utc>>)| {
            let end = start? + chrono::TimeDelta::try_milliseconds(i64::try_from(limit?).ok()?)?;
            Some(until(now, end))
        };
        limits.into_iter().filter_map(left).min().and_then(|left| Instant::now().checked_add(left))
    }
}

/// What the step is to do, for people and models.
pub(super) fn instruction(plan: &StepPlan) -> String {
    plan.description.clone().unwrap_or_else(|| in_words(&plan.name))
}

/// `analyze_sentiment` as `Analyze sentiment`.
fn in_words(name: &str) -> String {
    let text = name.replace('_', " ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

struct Attempt {
    /// Where the output is kept for the next one who asks the same.
    keep: Option<Keep>,
    cache: Option<Arc<dyn StepCache>>,
    money: Option<Arc<dyn Money>>,
    purse: Purse,
    executor: Arc<dyn Executor>,
    call: Call,
    /// What the call's children used.
    spent: Arc<Spent>,
    config: Value,
    uses: Vec<SecretUse>,
    secrets: Arc<dyn Secrets>,
    blobs: Arc<dyn Blobs>,
}

impl Attempt {
    async fn run(mut self) -> Result<AttemptResult, PortError> {
        let key = match &self.keep {
            Some(keep) => keep.key().await?,
            None => None,
        };
        let revealed = match self.reveal().await? {
            Ok(revealed) => revealed,
            Err(failure) => return Ok(Err(FailedAttempt { failure, usage: None })),
        };
        if !revealed.is_empty() {
            self.call.progress = Arc::new(Masked::new(self.call.progress.clone(), revealed.clone()));
        }
        let reserved = match self.reserve().await? {
            Ok(reserved) => reserved,
            Err(failure) => return Ok(Err(FailedAttempt { failure, usage: None })),
        };
        let result = self.execute(&revealed, key.as_deref()).await;
        if let (Some(reserved), Some(money)) = (reserved, &self.money) {
            let usage = match &result {
                Ok(Ok(done)) => done.usage.as_ref(),
                Ok(Err(failed)) => failed.usage.as_ref(),
                Err(_) => None,
            };
            money.settle(reserved, usage.map_or(Some(NanoUsd::ZERO), |usage| usage.cost_nano_usd)).await?;
        }
        result
    }

    /// Sets aside what the attempt may cost at most, where the run has a cap.
    async fn reserve(&self) -> Result<Result<Option<Reserved>, Failure>, PortError> {
        let Some(money) = &self.money else { return Ok(Ok(None)) };
        if self.executor.spec().cost != CostKind::Tokens {
            return Ok(Ok(None));
        }
        let Some(most) = self.executor.most_it_costs(&self.call, &self.config).await else {
            let message = "The run has a cap (`max_cost`), and the price of this step's model is not known. Set its \
                           price, or take a model that has one.";
            return Ok(Err(Failure::new(FailureKind::Budget, "price_unknown", message)));
        };
        Ok(match money.reserve(&self.purse, most).await? {
            Ok(reserved) => Ok(Some(reserved)),
            Err(OverCap { whose, cap, left }) => {
                let message = format!(
                    "This step may cost up to {most}, and of {whose}, {cap}, only {left} is left. Raise `max_cost`, or \
                     lower the step's `max_tokens`."
                );
                Err(Failure::new(FailureKind::Budget, whose.code(), message))
            }
        })
    }

    async fn execute(&mut self, revealed: &Masker, key: Option<&str>) -> Result<AttemptResult, PortError> {
        let cancel = self.call.cancel.clone();
        let config = std::mem::take(&mut self.config);
        let run = AssertUnwindSafe(self.executor.run(&self.call, config)).catch_unwind();
        let unseen = (self.executor.spec().cost == CostKind::Tokens).then(Usage::unseen);
        let result = tokio::select! {
            result = run => match result {
                Ok(result) => result,
                Err(panic) => Err(Failed { failure: panicked(panic.as_ref()), usage: unseen }),
            },
            () = grace(&cancel) => Err(Failed { failure: stopped(), usage: unseen }),
        };
        match result {
            Ok(done) => {
                let mut output = done.output;
                mask_value(&mut output, revealed);
                let usage = self.spent.with(done.usage);
                if !shallow(&output, OUTPUT_DEPTH) {
                    let message = format!("The output nests deeper than {OUTPUT_DEPTH} levels.");
                    let failure = Failure::new(FailureKind::Limit, "output_too_deep", message);
                    return Ok(Err(FailedAttempt { failure, usage }));
                }
                if let (Some(keep), Some(key), Some(cache)) = (&self.keep, key, &self.cache) {
                    let cost = usage.as_ref().and_then(|usage| usage.cost_nano_usd);
                    cache.put(keep.entry(key, output.clone(), cost)).await?;
                }
                Ok(match store(&*self.blobs, output).await? {
                    Some(output) => Ok(SucceededAttempt { output, usage }),
                    None => Err(FailedAttempt { failure: too_large(), usage }),
                })
            }
            // Retried as a failure, it would be another attempt: a step that waits for a child would start a second one.
            Err(failed) if failed.is_of_surroundings() => Err(PortError::Unavailable(failed.failure.message)),
            Err(Failed { mut failure, usage }) => {
                if let Some(message) = revealed.mask(&failure.message) {
                    failure.message = message;
                }
                let usage = self.spent.with(usage);
                Ok(Err(FailedAttempt { failure, usage }))
            }
        }
    }

    /// Puts the secrets' values into the config; gives what finds them in what comes out.
    async fn reveal(&mut self) -> Result<Result<Masker, Failure>, PortError> {
        let mut wanted = std::collections::BTreeSet::new();
        for secret in &self.uses {
            names(&secret.parts, &mut |name| {
                wanted.insert(name);
            });
        }
        let mut values = std::collections::BTreeMap::new();
        for name in wanted {
            let Some(value) = self.secrets.reveal(name).await? else {
                let message = format!("The secret `{name}` does not exist. Create it, or correct the name.");
                return Ok(Err(Failure::new(FailureKind::Flow, "secret_missing", message)));
            };
            values.insert(name, value);
        }
        let reveal = |name: &str| values.get(name).cloned().unwrap_or_default();
        fill(&mut self.config, &self.uses, reveal);
        let mut found = made(&self.uses, reveal);
        found.extend(values.into_values());
        Ok(Ok(Masker::new(&found)))
    }
}

async fn grace(cancel: &CancellationToken) {
    cancel.cancelled().await;
    tokio::time::sleep(Duration::from_millis(limits::CANCEL_GRACE_MS)).await;
}

fn stopped() -> Failure {
    let seconds = limits::CANCEL_GRACE_MS / 1_000;
    Failure::new(
        FailureKind::Cancelled,
        "cancelled",
        format!("The step did not stop within {seconds} s and was ended."),
    )
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Failure {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("without a message"), "an executor panicked");
    Failure::new(FailureKind::Internal, "executor_panicked", "The step's executor broke down. This is a fault of Weir.")
}

fn mask_value(value: &mut Value, secrets: &Masker) {
    if secrets.is_empty() {
        return;
    }
    match value {
        Value::String(text) => {
            if let Some(masked) = secrets.mask(text) {
                *text = masked;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask_value(item, secrets)),
        Value::Object(map) => {
            if map.keys().any(|key| secrets.mask(key).is_some()) {
                let entries = std::mem::take(map);
                map.extend(entries.into_iter().map(|(key, value)| (secrets.mask(&key).unwrap_or(key), value)));
            }
            map.values_mut().for_each(|item| mask_value(item, secrets));
        }
        _ => {}
    }
}

fn shallow(value: &Value, left: usize) -> bool {
    match value {
        Value::Array(items) => left > 0 && items.iter().all(|item| shallow(item, left - 1)),
        Value::Object(map) => left > 0 && map.values().all(|item| shallow(item, left - 1)),
        _ => true,
    }
}
