//! A step's config: rendered once, main input filled in, secrets as references, checked against the executor's schema.
//!
//! Invariant: what is journaled holds no secret; what does not fit its schema never reaches the executor.

use domain::{Failure, FailureKind};
use language::plan::StepIndex;
use serde_json::{Map, Value};

use super::Driver;
use super::attempt::instruction;
use super::render::Missed;
use crate::dispatcher::{Configured, Signal};
use crate::run::DriveError;
use crate::template::{Prepared, Ready};

impl Driver {
    pub(super) async fn render_config(&mut self, step: StepIndex) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        if prepared.steps[step].executor.is_none() {
            let result = Err(self.no_executor(step));
            return Ok(Some(Signal::ConfigRendered { step, result }));
        }
        let sources = self.main_input_steps(step);
        self.load_outputs(&sources).await?;
        let main = match self.main_input(step) {
            Ok(main) => main,
            Err(failure) => return Ok(Some(Signal::ConfigRendered { step, result: Err(failure) })),
        };
        let nonce = format!("{:032x}", rand::random::<u128>());
        let mut shapes: Vec<&Ready> = vec![&prepared.steps[step].config];
        shapes.extend(prepared.steps[step].prompts.iter().map(|(_, ready)| ready));
        let (mut render, outside) = self.prepare_render(&shapes, Some(&nonce)).await?;
        let plan = prepared.plan().clone();
        let work = async move {
            let result = configure(&prepared, step, &mut render, main, &nonce).await;
            let result = result.map_err(|(missed, pointer)| missed.failure(line_of(&plan.steps[step], &pointer)));
            Ok(Signal::ConfigRendered { step, result })
        };
        self.do_or_spawn(outside, work).await
    }

    fn no_executor(&self, step: StepIndex) -> Failure {
        let plan = &self.prepared.plan().steps[step];
        let message =
            format!("Step `{}` names the executor `{}`, which does not exist here.", plan.name, plan.executor);
        Failure::new(FailureKind::Flow, "unknown_executor", message).at_line(Some(plan.line))
    }
}

type Misses = (Missed, String);

async fn configure(
    prepared: &Prepared,
    step: StepIndex,
    render: &mut super::render::Render,
    main: Option<(String, Value)>,
    nonce: &str,
) -> Result<Configured, Misses> {
    let ready = &prepared.steps[step];
    let mut config = match render.render(&ready.config).await.map_err(located)? {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    name_listed_steps(prepared, step, &mut config);
    config.extend(ready.raw.clone());
    if let Some((field, value)) = main {
        config.entry(field).or_insert(value);
    }
    let texts = prompts(prepared, step, render, &config).await?;
    config.extend(texts);
    let mut config = Value::Object(config);
    let reads_secrets =
        ready.config.reads.reads("secrets") || ready.prompts.iter().any(|(_, prompt)| prompt.reads.reads("secrets"));
    let secrets = if reads_secrets {
        Prepared::take_secrets(&mut config, nonce).map_err(|fault| (Missed::Fault(fault), String::new()))?
    } else {
        Vec::new()
    };
    if let Some((message, pointer)) = prepared.misfit(step, &config) {
        let name = &prepared.plan().steps[step].name;
        let message = format!("The config of step `{name}` does not fit its executor. {message}.");
        return Err((Missed::Ours(Failure::new(FailureKind::Flow, "config_invalid", message)), pointer));
    }
    Ok(Configured { config, secrets })
}

/// The texts that see the rest of the step's config by name, and its instruction; `steps`, `inputs` ... stay what they
/// are.
async fn prompts(
    prepared: &Prepared,
    step: StepIndex,
    render: &mut super::render::Render,
    config: &Map<String, Value>,
) -> Result<Map<String, Value>, Misses> {
    let ready = &prepared.steps[step];
    let plan = &prepared.plan().steps[step];
    let mut texts = Map::new();
    if ready.prompts.is_empty() {
        return Ok(texts);
    }
    render.set("instruction", &Value::String(instruction(plan)));
    for (name, value) in config.iter().filter(|(name, _)| !RESERVED.contains(&name.as_str())) {
        render.set(name, value);
    }
    for (field, prompt) in &ready.prompts {
        let place = if plan.config.contains_key(field) { format!("/{field}") } else { format!("/{field}_file") };
        let text = render.render(prompt).await.map_err(|missed| (missed, place))?;
        texts.insert(field.clone(), text);
    }
    Ok(texts)
}

const RESERVED: &[&str] = &["inputs", "steps", "vars", "run", "flow", "secrets"];

/// A written list of whole steps arrives as a mapping by the steps' names.
fn name_listed_steps(prepared: &Prepared, step: StepIndex, config: &mut Map<String, Value>) {
    let ready = &prepared.steps[step];
    let Some(names) = &ready.listed_steps else { return };
    let spec = ready.executor.as_ref().and_then(|executor| executor.spec().main_input.as_ref());
    let Some(value) = spec.and_then(|main| config.get_mut(&main.field)) else { return };
    if let Value::Array(items) = value.take() {
        *value = Value::Object(names.iter().cloned().zip(items).collect());
    }
}

fn located(missed: Missed) -> Misses {
    let pointer = match &missed {
        Missed::Fault(fault) => fault.pointer.clone(),
        Missed::Ours(_) => String::new(),
    };
    (missed, pointer)
}

/// The line a pointer into the config stands for: the nearest value around it, else the step.
fn line_of(plan: &language::plan::StepPlan, pointer: &str) -> Option<u32> {
    let mut pointer = pointer;
    loop {
        if let Some(line) = plan.config_lines.get(pointer) {
            return Some(*line);
        }
        match pointer.rsplit_once('/') {
            Some((parent, _)) => pointer = parent,
            None => return Some(plan.line),
        }
    }
}
