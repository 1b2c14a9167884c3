//! Renders: cheap ones here and now, the others in a sandbox child.
//!
//! Invariant: a render that may cost much never runs on the driver's own thread while a sandbox is there.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind};
use language::plan::{Phase, StepIndex};
use sandbox::{Limits, SandboxError, Share};
use serde_json::{Map, Value, json};

use super::values::{Locals, load, store};
use super::{Driver, Note, internal};
use crate::dispatcher::{Listed, Place, Signal};
use crate::event::Stored;
use crate::limits;
use crate::run::DriveError;
use crate::template::{self, Fault, Prepared, Reads, Ready, RenderJob, Scope, ScopeParts, Weight};

/// A busy sandbox is asked this often before the step fails.
const SANDBOX_TRIES: u32 = 20;
const SANDBOX_PAUSE: Duration = Duration::from_millis(250);

/// One render with all that it needs, free of the driver.
pub(super) struct Render {
    pub(super) prepared: Arc<Prepared>,
    pub(super) sandbox: Option<Share>,
    pub(super) scope: Scope,
    /// Only where a shape is costly.
    pub(super) parts: Option<ScopeParts>,
}

/// Why a render gave nothing.
pub(super) enum Missed {
    Fault(Fault),
    /// The sandbox is not there: ours, and worth another try.
    Ours(Failure),
}

impl Missed {
    pub(super) fn failure(self, line: Option<u32>) -> Failure {
        match self {
            Self::Fault(fault) => fault.failure(line),
            Self::Ours(failure) if failure.line.is_none() => failure.at_line(line),
            Self::Ours(failure) => failure,
        }
    }
}

impl Render {
    /// Puts a name into the scope.
    pub(super) fn set(&mut self, name: &str, value: &Value) {
        self.scope.set_json(name, value);
        if let Some(parts) = &mut self.parts {
            parts.roots.insert(name.to_owned(), value.clone());
        }
    }

    pub(super) async fn render(&self, ready: &Ready) -> Result<Value, Missed> {
        match (&self.sandbox, &self.parts) {
            (Some(share), Some(parts)) if ready.weight == Weight::Costly => {
                // On the heap: most renders are none, and every future above would have room for it.
                Box::pin(in_sandbox(share, self.prepared.job(ready, parts.clone()))).await
            }
            _ => self.prepared.render(&ready.shape, &self.scope).map_err(Missed::Fault),
        }
    }
}

async fn in_sandbox(share: &Share, job: RenderJob) -> Result<Value, Missed> {
    let input = serde_json::to_value(job).map_err(|error| Missed::Ours(internal(error.to_string())))?;
    let wall = Duration::from_millis(limits::TEMPLATE_WALL_MS);
    let limits = Limits { wall, cpu: wall, memory_bytes: limits::TEMPLATE_MEMORY_BYTES, ..Limits::default() };
    let mut tries = 1;
    let answer = loop {
        match share.run(template::JOB, input.clone(), Bytes::new(), limits).await {
            Ok(answer) => break answer,
            Err(SandboxError::Busy | SandboxError::Start(_)) if tries < SANDBOX_TRIES => {
                tries += 1;
                tokio::time::sleep(SANDBOX_PAUSE).await;
            }
            Err(error) => return Err(refused(&error)),
        }
    };
    let result: Result<Value, Fault> =
        serde_json::from_value(answer.output).map_err(|error| Missed::Ours(internal(error.to_string())))?;
    result.map_err(Missed::Fault)
}

fn refused(error: &SandboxError) -> Missed {
    let limit = |what: &str| {
        let message = format!("The template needs more {what} than a template may use.");
        Missed::Ours(Failure::new(FailureKind::Limit, "template_limit", message))
    };
    match error {
        SandboxError::Memory | SandboxError::TooLarge { .. } => limit("memory"),
        SandboxError::Time => limit("time"),
        SandboxError::Crashed(_) => limit("depth or memory"),
        SandboxError::Refused(_) | SandboxError::UnknownJob(_) => {
            Missed::Ours(internal(format!("the render failed: {error}")))
        }
        SandboxError::Busy | SandboxError::Start(_) => Missed::Ours(
            Failure::new(FailureKind::Overloaded, "sandbox_busy", "Templates cannot be rendered at the moment.")
                .retryable(true),
        ),
    }
}

impl Driver {
    /// Makes a render of these shapes, with the outputs it reads loaded. The second is whether it may take long.
    pub(super) async fn prepare_render(
        &mut self,
        shapes: &[&Ready],
        nonce: Option<&str>,
        locals: &Locals,
    ) -> Result<(Render, bool), DriveError> {
        let merged;
        let reads = match shapes {
            [one] => &one.reads,
            many => {
                merged = many.iter().fold(Reads::default(), |mut reads, ready| {
                    reads.merge(&ready.reads);
                    reads
                });
                &merged
            }
        };
        let steps = self.steps_read(reads);
        self.load_outputs(&steps).await?;
        let costly = shapes.iter().any(|ready| ready.weight == Weight::Costly);
        let outside = costly && self.surroundings.sandbox.is_some();
        let parts = outside.then(|| self.scope_parts(reads, nonce, locals));
        let scope = self.scope(reads, nonce, locals);
        let sandbox = self.surroundings.sandbox.as_ref().map(|pool| pool.share(self.run.tenant.uuid().as_u128()));
        Ok((Render { prepared: self.prepared.clone(), sandbox, scope, parts }, outside))
    }

    /// Does the work at once if it cannot take long, else beside the loop.
    pub(super) async fn do_or_spawn(
        &mut self,
        outside: bool,
        work: impl Future<Output = Result<Signal, crate::ports::PortError>> + Send + 'static,
    ) -> Result<Option<Signal>, DriveError> {
        if !outside {
            return Ok(Some(work.await?));
        }
        self.tasks.spawn(async move { Note::Rendered(work.await) });
        Ok(None)
    }

    pub(super) async fn render_vars(&mut self) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        let shapes: Vec<&Ready> = prepared.vars.iter().map(|(_, shape)| shape).collect();
        let (mut render, outside) = self.prepare_render(&shapes, None, &Locals::new()).await?;
        let work = async move {
            let mut vars = Map::new();
            for (name, shape) in &prepared.vars {
                // Each sees those above it.
                let so_far = Value::Object(vars.clone());
                render.set("vars", &so_far);
                match render.render(shape).await {
                    Ok(value) => vars.insert(name.clone(), value),
                    Err(missed) => return Ok(Signal::VarsRendered(Err(missed.failure(None)))),
                };
            }
            Ok(Signal::VarsRendered(Ok(Value::Object(vars))))
        };
        self.do_or_spawn(outside, work).await
    }

    pub(super) async fn render_condition(&mut self, step: StepIndex) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        let Some(shape) = &prepared.steps[step].condition else { return Ok(None) };
        let locals = self.handler_locals(step);
        let (render, outside) = self.prepare_render(&[shape], None, &locals).await?;
        let plan = &prepared.plan().steps[step];
        let (name, line) = (plan.name.clone(), plan.condition.as_ref().map(|condition| condition.line));
        let shape = shape.clone();
        let work = async move {
            let result = match render.render(&shape).await {
                Ok(Value::Bool(holds)) => Ok(holds),
                Ok(other) => Err(not_boolean("condition", &name, &other).at_line(line)),
                Err(missed) => Err(missed.failure(line)),
            };
            Ok(Signal::ConditionRendered { step, result })
        };
        self.do_or_spawn(outside, work).await
    }

    /// The list of a `for_each` step.
    pub(super) async fn render_list(&mut self, step: StepIndex) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        let plan = &prepared.plan().steps[step];
        let (Some(shape), Some(each)) = (prepared.steps[step].list.clone(), plan.for_each.clone()) else {
            return Ok(None);
        };
        if let Phase::Compensation { of } = plan.phase {
            return Ok(Some(self.list_undone(step, of).await?));
        }
        let locals = self.handler_locals(step);
        let (render, outside) = self.prepare_render(&[&shape], None, &locals).await?;
        let name = plan.name.clone();
        let blobs = self.surroundings.blobs.clone();
        let work = async move {
            let line = Some(each.line);
            let list = match render.render(&shape).await {
                Ok(value) => listed(&name, value, each.max_items).map_err(|failure| failure.at_line(line)),
                Err(missed) => Err(missed.failure(line)),
            };
            let result = match list {
                Ok((count, list)) => {
                    let items = store(&*blobs, list).await?.ok_or_else(too_large);
                    items.map(|items| Listed { count, items })
                }
                Err(failure) => Err(failure),
            };
            Ok(Signal::ListRendered { step, result })
        };
        self.do_or_spawn(outside, work).await
    }

    /// `{value, output}` of each item that succeeded, the last that was done first.
    async fn list_undone(&mut self, step: StepIndex, of: StepIndex) -> Result<Signal, DriveError> {
        let units = self.state.steps[of].items.iter().flat_map(|items| (0..).zip(&items.units));
        let mut done: Vec<(u32, Option<DateTime<Utc>>, Stored)> = units
            .filter(|(_, unit)| unit.status.is_success())
            .map(|(item, unit)| (item, unit.ended_at, unit.output.clone().unwrap_or(Stored::Inline(Value::Null))))
            .collect();
        done.sort_by_key(|(item, ended_at, _)| std::cmp::Reverse((*ended_at, *item)));
        let mut list = Vec::with_capacity(done.len());
        for (item, _, output) in done {
            let output = load(&*self.surroundings.blobs, output).await?;
            list.push(json!({"value": self.list_item(of, item).await?, "output": output}));
        }
        let count = u32::try_from(list.len()).unwrap_or(u32::MAX);
        let items = store(&*self.surroundings.blobs, Value::Array(list)).await?.ok_or_else(too_large);
        let result = items.map(|items| Listed { count, items });
        Ok(Signal::ListRendered { step, result })
    }

    /// Whether an iteration was the last.
    pub(super) async fn render_until(&mut self, place: Place) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        let plan = &prepared.plan().steps[place.step];
        let (Some(shape), Some(repeat)) = (prepared.steps[place.step].until.clone(), &plan.repeat) else {
            return Ok(None);
        };
        let mut locals = self.locals(place).await?;
        let unit = self.state.unit(place);
        let iteration = unit.iteration;
        let output = match unit.output.clone() {
            Some(stored) => load(&*self.surroundings.blobs, stored).await?,
            None => Value::Null,
        };
        locals.push(("output".to_owned(), output));
        locals.push(("iteration".to_owned(), Value::from(iteration)));
        let (render, outside) = self.prepare_render(&[&shape], None, &locals).await?;
        let (name, line) = (plan.name.clone(), Some(repeat.until.line));
        let work = async move {
            let result = match render.render(&shape).await {
                Ok(Value::Bool(holds)) => Ok(holds),
                Ok(other) => Err(not_boolean("`until`", &name, &other).at_line(line)),
                Err(missed) => Err(missed.failure(line)),
            };
            Ok(Signal::UntilRendered { place, result })
        };
        self.do_or_spawn(outside, work).await
    }

    /// The results of all items, in the list's order.
    pub(super) async fn gather_items(&mut self, step: StepIndex) -> Result<Option<Signal>, DriveError> {
        let value = self.gathered(step).await?;
        let result = store(&*self.surroundings.blobs, value).await?.ok_or_else(too_large);
        Ok(Some(Signal::ItemsGathered { step, result }))
    }

    pub(super) async fn render_fallback(&mut self, step: StepIndex) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        let Some(shape) = prepared.steps[step].fallback.clone() else { return Ok(None) };
        let locals = self.handler_locals(step);
        let (render, outside) = self.prepare_render(&[&shape], None, &locals).await?;
        let line = Some(prepared.plan().steps[step].line);
        let blobs = self.surroundings.blobs.clone();
        let work = async move {
            let result = match render.render(&shape).await {
                Ok(value) => store(&*blobs, value).await?.ok_or_else(too_large),
                Err(missed) => Err(missed.failure(line)),
            };
            Ok(Signal::FallbackRendered { step, result })
        };
        self.do_or_spawn(outside, work).await
    }

    pub(super) async fn render_outputs(&mut self) -> Result<Option<Signal>, DriveError> {
        let prepared = self.prepared.clone();
        let blobs = self.surroundings.blobs.clone();
        let Some(shape) = prepared.outputs.clone() else {
            let value = self.last_group_outputs().await?;
            let stored = store(&*blobs, value).await?.ok_or_else(too_large);
            return Ok(Some(Signal::OutputsRendered(stored)));
        };
        let (render, outside) = self.prepare_render(&[&shape], None, &Locals::new()).await?;
        let work = async move {
            let result = match render.render(&shape).await {
                Ok(value) => store(&*blobs, value).await?.ok_or_else(too_large),
                Err(missed) => Err(missed.failure(None)),
            };
            Ok(Signal::OutputsRendered(result))
        };
        self.do_or_spawn(outside, work).await
    }

    /// Without `outputs`, and with a group written last: a map of its members' outputs.
    async fn last_group_outputs(&mut self) -> Result<Value, DriveError> {
        let plan = self.prepared.plan().clone();
        let group = self.state.last_unskipped(self.prepared.graph()).and_then(|step| plan.steps[step].group);
        let Some(group) = group else { return Ok(Value::Null) };
        let members = &plan.groups[group].members;
        self.load_outputs(members).await?;
        let output = |step: &StepIndex| (plan.steps[*step].name.clone(), self.output(*step).clone());
        Ok(Value::Object(members.iter().map(output).collect()))
    }
}

fn listed(step: &str, value: Value, max_items: u32) -> Result<(u32, Value), Failure> {
    let Value::Array(items) = value else {
        let kind = kind_of(&value);
        let message = format!("The `for_each` of step `{step}` gives {kind}; it must give a list.");
        return Err(Failure::new(FailureKind::Flow, "for_each_type", message));
    };
    match u32::try_from(items.len()) {
        Ok(count) if count <= max_items => Ok((count, Value::Array(items))),
        _ => {
            let message = format!(
                "The `for_each` of step `{step}` gives {} items, and at most {max_items} are allowed. Raise \
                 `max_items`, or give the step a shorter list.",
                items.len()
            );
            Err(Failure::new(FailureKind::Limit, "too_many_items", message))
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn not_boolean(what: &str, step: &str, value: &Value) -> Failure {
    let kind = kind_of(value);
    let message =
        format!("The {what} of step `{step}` gives {kind}; it must be true or false. Compare it with something.");
    Failure::new(FailureKind::Flow, "condition_type", message)
}

pub(super) fn too_large() -> Failure {
    let limit = limits::OUTPUT_BYTES / (1024 * 1024);
    Failure::new(
        FailureKind::Limit,
        "output_too_large",
        format!("The value is larger than {limit} MiB. Pass large data as a file."),
    )
}
