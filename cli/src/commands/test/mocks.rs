//! Steps that do as their test says.
//!
//! Invariant: only the named steps of the tested run are replaced, every other step is executed for real; nothing waits
//! for time to pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::{Failure, FailureKind, RunId};
use engine::{Call, Done, Executor, Failed, Registry};
use language::{Control, ExecutorSpec, Plan};
use serde_json::{Value, json};

use super::case::Mock;

/// The executor that stands in for a step that the engine would wait at.
const STAND_IN: &str = "test_stand_in";

/// What every step of the tested run was executed with, in order.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<String, Vec<Value>>>);

impl Seen {
    pub(super) fn configs(&self, step: &str) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(step).cloned().unwrap_or_default()
    }

    /// Notes a call; says how many came before it.
    fn note(&self, step: &str, config: &Value) -> usize {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = seen.entry(step.to_owned()).or_default();
        calls.push(config.clone());
        calls.len() - 1
    }
}

/// The program's executors behind the mocks of one run.
pub(super) fn registry(real: &Registry, run: RunId, mocks: &BTreeMap<String, Mock>, seen: &Arc<Seen>) -> Registry {
    let names: Vec<String> = real.catalogue().iter().map(|spec| spec.name.clone()).collect();
    let behind = |inner: Arc<dyn Executor>| -> Arc<dyn Executor> {
        Arc::new(Behind { inner, run, mocks: mocks.clone(), seen: Arc::clone(seen) })
    };
    let executors = names.iter().filter_map(|name| real.get(name)).cloned();
    let stand_in: Arc<dyn Executor> = Arc::new(StandIn(stand_in_spec()));
    Registry::new(executors.chain([stand_in]).map(behind).collect::<Vec<_>>())
}

/// The plan as it is run by a test: nothing waits, and what would wait for a person or a signal is mocked or stays.
pub(super) fn hurried(plan: &Plan, real: &Registry, mocks: &BTreeMap<String, Mock>) -> Plan {
    let mut plan = plan.clone();
    for step in &mut plan.steps {
        step.retry.initial_delay_ms = 0;
        step.retry.max_delay_ms = 0;
        for fallback in &mut step.fallbacks {
            fallback.retry.initial_delay_ms = 0;
            fallback.retry.max_delay_ms = 0;
        }
        if let Some(repeat) = &mut step.repeat {
            repeat.interval_ms = 0;
        }
        let control = real.get(&step.executor).and_then(|executor| executor.spec().control);
        // Nobody will come: the run stays as it is instead of waiting for the end of its patience.
        for patience in ["expires_in", "for", "until"] {
            if control == Some(Control::Approval) || step.config.contains_key("signal") {
                step.config.shift_remove(patience);
            }
        }
        let passes = control == Some(Control::Wait) && !step.config.contains_key("signal");
        if control.is_some() && (mocks.contains_key(&step.name) || passes) {
            STAND_IN.clone_into(&mut step.executor);
        }
    }
    plan
}

/// One executor, and what stands before it in the tested run.
struct Behind {
    inner: Arc<dyn Executor>,
    run: RunId,
    mocks: BTreeMap<String, Mock>,
    seen: Arc<Seen>,
}

#[async_trait]
impl Executor for Behind {
    fn spec(&self) -> &ExecutorSpec {
        self.inner.spec()
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        if call.run != self.run {
            return self.inner.run(call, config).await;
        }
        let before = self.seen.note(&call.step, &config);
        match self.mocks.get(&call.step) {
            Some(mock) => answer(mock, call, before),
            None => self.inner.run(call, config).await,
        }
    }
}

fn answer(mock: &Mock, call: &Call, before: usize) -> Result<Done, Failed> {
    let failures = mock.error.as_ref().map_or(0, super::case::MockError::times);
    if let Some(error) = mock.error.as_ref().filter(|_| before < failures) {
        return Err(error.failure().into());
    }
    if let Some(outputs) = &mock.outputs {
        let place = call.item.map_or(before - failures, |item| item as usize);
        let output = outputs.get(place).or_else(|| outputs.last().filter(|_| call.item.is_none()));
        return output.cloned().map(Done::free).ok_or_else(|| {
            let message = format!("The test's mock of `{}` has no output for call {}.", call.step, place + 1);
            Failure::new(FailureKind::Flow, "mock_outputs", message).into()
        });
    }
    Ok(Done::free(mock.output.clone().unwrap_or(Value::Null)))
}

/// Passes at once, as a wait whose time is over.
struct StandIn(ExecutorSpec);

#[async_trait]
impl Executor for StandIn {
    fn spec(&self) -> &ExecutorSpec {
        &self.0
    }

    async fn run(&self, _: &Call, _: Value) -> Result<Done, Failed> {
        Ok(Done::free(json!({"reason": "time", "payload": null, "by": null, "at": null})))
    }
}

fn stand_in_spec() -> ExecutorSpec {
    ExecutorSpec {
        name: STAND_IN.to_owned(),
        version: 1,
        summary: "Passes at once, in a test.".to_owned(),
        config: json!({"type": "object"}),
        output: json!({}),
        main_input: None,
        marked: Vec::new(),
        effect: language::EffectRule::Always(language::Effect::Pure),
        cost: language::CostKind::Free,
        streams: false,
        open_config: false,
        default_attempts: 1,
        file_fields: Vec::new(),
        raw_fields: Vec::new(),
        secret_fields: Vec::new(),
        control: None,
    }
}
