//! A step's config: rendered once, main input filled in, secrets as references, checked against the executor's schema.
//!
//! Invariant: what is journaled holds no secret; what does not fit its schema never reaches the executor.

use domain::{Failure, FailureKind};
use language::plan::{StepIndex, StepPlan};
use serde_json::{Map, Value, json};

use super::Driver;
use super::attempt::instruction;
use super::render::Missed;
use crate::dispatcher::{Configured, Place, Signal};
use crate::run::DriveError;
use crate::template::{ITEM, Prepared, PreparedEntry, Ready, way};

impl Driver {
    pub(super) async fn render_config(&mut self, place: Place) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        let number = self.state.unit(place).entry;
        let refused = |failure| Ok(Some(Signal::ConfigRendered { place, result: Err(failure) }));
        let Some(entry) = prepared.entry(place.step, number).filter(|entry| entry.executor.is_some()) else {
            return refused(self.no_executor(place.step, number));
        };
        let sources = self.main_input_steps(place.step, number);
        self.load_outputs(&sources).await?;
        let main = match self.main_input(place.step, number) {
            Ok(main) => main,
            Err(failure) => return refused(failure),
        };
        let nonce = format!("{:032x}", rand::random::<u128>());
        let mut shapes: Vec<&Ready> = vec![&entry.config];
        shapes.extend(entry.prompts.iter().map(|(_, ready)| ready));
        let locals = self.locals(place).await?;
        let (mut render, outside) = self.prepare_render(&shapes, Some(&nonce), &locals).await?;
        let plan = prepared.plan().clone();
        let work = async move {
            let subject = Subject { prepared: &prepared, step: place.step, entry: number };
            let result = configure(subject, &mut render, main, &nonce).await;
            let result =
                result.map_err(|(missed, pointer)| missed.failure(line_of(&plan.steps[place.step], number, &pointer)));
            Ok(Signal::ConfigRendered { place, result })
        };
        self.do_or_spawn(outside, work).await
    }

    fn no_executor(&self, step: StepIndex, entry: u32) -> Failure {
        let plan = &self.prepared.plan().steps[step];
        let way = way(plan, entry);
        let message = format!("Step `{}` names the executor `{}`, which does not exist here.", plan.name, way.executor);
        Failure::new(FailureKind::Flow, "unknown_executor", message).at_line(Some(way.line))
    }
}

/// One way to do one step.
#[derive(Clone, Copy)]
struct Subject<'a> {
    prepared: &'a Prepared,
    step: StepIndex,
    entry: u32,
}

type Misses = (Missed, String);

async fn configure(
    subject: Subject<'_>,
    render: &mut super::render::Render,
    main: Option<(String, Value)>,
    nonce: &str,
) -> Result<Configured, Misses> {
    let Subject { prepared, step, entry } = subject;
    let Some(ready) = prepared.entry(step, entry) else {
        return Err((Missed::Ours(super::internal("the step's entry is not there any more")), String::new()));
    };
    let mut config = match render.render(&ready.config).await.map_err(located)? {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    name_listed_steps(ready, &mut config);
    config.extend(ready.raw.clone());
    if let Some((field, value)) = main {
        config.entry(field).or_insert(value);
    }
    let texts = prompts(subject, ready, render, &config).await?;
    config.extend(texts);
    let mut config = Value::Object(config);
    let reads_secrets =
        ready.config.reads.reads("secrets") || ready.prompts.iter().any(|(_, prompt)| prompt.reads.reads("secrets"));
    let secrets = if reads_secrets {
        Prepared::take_secrets(&mut config, nonce).map_err(|fault| located(Missed::Fault(fault)))?
    } else {
        Vec::new()
    };
    if let Some(place) = secrets.iter().find(|place| !is_for_secrets(ready, &place.pointer)) {
        let name = &prepared.plan().steps[step].name;
        let message = format!(
            "The config of step `{name}` has a secret where its executor takes none. Only what goes to a service that \
             the step calls may hold one; a flow that is called reads `secrets.NAME` itself."
        );
        let failure = Failure::new(FailureKind::Flow, "secret_not_allowed", message);
        return Err((Missed::Ours(failure), place.pointer.clone()));
    }
    if let Some((message, pointer)) = prepared.misfit(step, entry, &config) {
        let name = &prepared.plan().steps[step].name;
        let message = format!("The config of step `{name}` does not fit its executor. {message}.");
        return Err((Missed::Ours(Failure::new(FailureKind::Flow, "config_invalid", message)), pointer));
    }
    Ok(Configured { config, secrets })
}

/// Whether a field takes secrets. The check says so at save; flows that were saved before it knew come here.
fn is_for_secrets(ready: &PreparedEntry, pointer: &str) -> bool {
    let field = pointer.trim_start_matches('/').split('/').next().unwrap_or_default();
    let spec = ready.executor.as_ref().map(|executor| executor.spec());
    spec.is_some_and(|spec| spec.secret_fields.iter().any(|known| known == field))
}

/// The texts that see the rest of the step's config by name, and its instruction; `steps`, `inputs` ... stay what they
/// are.
async fn prompts(
    subject: Subject<'_>,
    ready: &PreparedEntry,
    render: &mut super::render::Render,
    config: &Map<String, Value>,
) -> Result<Map<String, Value>, Misses> {
    let plan = &subject.prepared.plan().steps[subject.step];
    let written = way(plan, subject.entry).config;
    let mut texts = Map::new();
    if ready.prompts.is_empty() {
        return Ok(texts);
    }
    render.set("instruction", &Value::String(instruction(plan)));
    let item = plan.for_each.as_ref().map(|each| each.name.as_deref().unwrap_or(ITEM));
    for (name, value) in config {
        if RESERVED.contains(&name.as_str()) || item == Some(name) {
            continue;
        }
        // Templates read every `item` as the record of one.
        let record = (name == ITEM).then(|| json!({ "value": value }));
        render.set(name, record.as_ref().unwrap_or(value));
    }
    for (field, prompt) in &ready.prompts {
        let place = if written.contains_key(field) { format!("/{field}") } else { format!("/{field}_file") };
        let text = render.render(prompt).await.map_err(|missed| (missed, place))?;
        texts.insert(field.clone(), text);
    }
    Ok(texts)
}

const RESERVED: &[&str] = &["inputs", "steps", "vars", "run", "flow", "secrets", "error", "failed_step"];

/// A written list of whole steps arrives as a mapping by the steps' names.
fn name_listed_steps(ready: &PreparedEntry, config: &mut Map<String, Value>) {
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
fn line_of(plan: &StepPlan, entry: u32, pointer: &str) -> Option<u32> {
    let way = way(plan, entry);
    let mut pointer = pointer;
    loop {
        if let Some(line) = way.config_lines.get(pointer) {
            return Some(*line);
        }
        match pointer.rsplit_once('/') {
            Some((parent, _)) => pointer = parent,
            None => return Some(way.line),
        }
    }
}
