//! `weir run`: runs a flow from its folder, in this process, without a server.
//!
//! Invariant: the answer on stdout is the run's outputs (or one JSON object); what happens on the way is told on stderr.

pub(super) mod inputs;
pub(super) mod progress;

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{RunStatus, StepStatus, TraceContext};
use engine::dispatcher::{Graph, State, StepState};
use engine::memory::{Connection, FixedModels, FixedSecrets, Start, World, WorldParts};
use engine::ports::{Blobs as _, ModelKind, ServiceEndpoint};
use engine::{Control, Outcome, Settled, Stored};
use serde_json::{Value, json};

use super::local::{self, Siblings};
use crate::arguments::RunArguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// Secrets come from the environment: `{{ secrets.TOKEN }}` is `WEIR_SECRET_TOKEN`.
const SECRET_PREFIX: &str = "WEIR_SECRET_";

pub(crate) async fn run(arguments: RunArguments, output: Output) -> Result<Exit, Failure> {
    let flow = local::read_flow(&arguments.path)?;
    let (registry, sandbox) = local::registry()?;
    let compiled = local::compile(&flow, &registry);
    if !output.is_json() {
        local::show_problems(&flow, &compiled.problems, output);
    }
    let Some(plan) = compiled.plan.map(Arc::new) else {
        if output.is_json() {
            let problems: Vec<Value> = compiled.problems.iter().map(|problem| local::as_json(&flow, problem)).collect();
            output.object(&json!({ "problems": problems }));
        }
        let message = format!("{} has problems and was not run", flow.name);
        return Err(Failure { code: "invalid_flow".to_owned(), ..Failure::new(Exit::Validation, message) });
    };
    let models = match &arguments.connections {
        Some(file) => models(file)?,
        None => FixedModels::default(),
    };
    let default_model = models.default_model.clone();
    let world = World::new(WorldParts {
        registry: registry.clone(),
        secrets: secrets(),
        models,
        loader: Arc::new(Siblings::of(&flow, registry.clone())),
        observer: progress::observer(output),
        sandbox: Some(sandbox),
    });
    let inputs = inputs::read(&arguments.given, &plan, &world).await?;
    let mut start = Start::new(&flow.name, inputs);
    start.default_model = default_model;
    start.trace = trace().unwrap_or(start.trace);
    let control = Control::default();
    let interrupted = cancel_on_interrupt(&control, output);
    let finished = world.run(Arc::clone(&plan), start, control).await;
    interrupted.abort();
    let finished = finished.map_err(|error| Failure::new(Exit::Failure, format!("the run broke off: {error}")))?;
    let state = State::replay(&Graph::new(Arc::clone(&plan), &registry), &finished.entries)
        .map_err(|error| Failure::new(Exit::Failure, format!("the run's journal cannot be read: {error}")))?;
    answer(&world, &plan, &state, &finished, output).await
}

/// The trace of whoever calls the program, where that says so in the environment as OpenTelemetry's tools do.
fn trace() -> Option<TraceContext> {
    let state = std::env::var("TRACESTATE").unwrap_or_default();
    TraceContext::read(&std::env::var("TRACEPARENT").ok()?, [state.as_str()])
}

/// The first Ctrl-C cancels the run, the second leaves it where it is.
fn cancel_on_interrupt(control: &Control, output: Output) -> tokio::task::JoinHandle<()> {
    let Control { cancel, stop, .. } = control.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            output.note("cancelling the run (Ctrl-C again ends it at once)");
            cancel.cancel();
        }
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    })
}

async fn answer(
    world: &World,
    plan: &language::Plan,
    state: &State,
    finished: &engine::memory::Finished,
    output: Output,
) -> Result<Exit, Failure> {
    let (usage, cost) = world.spent();
    let (status, settled) = match &finished.outcome {
        Outcome::Settled(settled) => (settled.status, Some(settled)),
        Outcome::Suspended { status, .. } => (*status, None),
        Outcome::Stopped => (RunStatus::Cancelled, None),
    };
    if output.is_json() {
        let mut steps = Vec::new();
        for (step, state) in plan.steps.iter().zip(&state.steps) {
            steps.push(step_json(world, &step.name, state).await);
        }
        output.object(&json!({
            "run_id": finished.run, "trace_id": finished.trace_id, "status": status, "outputs": settled.map(|settled| &settled.outputs), "steps": steps,
            "usage": usage, "cost_nano_usd": cost, "error": settled.and_then(|settled| settled.error.as_ref()),
            "failed_step": settled.and_then(|settled| settled.failed_step.as_deref()),
        }));
    } else if let Some(settled) = settled {
        tell(settled, output);
    } else {
        tell_attention(state, output);
    }
    Ok(match status {
        RunStatus::Succeeded => Exit::Ok,
        RunStatus::Cancelled => Exit::Interrupted,
        _ => Exit::RunFailed,
    })
}

fn tell(settled: &Settled, output: Output) {
    if settled.status == RunStatus::Succeeded {
        let text = match &settled.outputs {
            Value::String(text) => text.clone(),
            other => serde_json::to_string_pretty(other).unwrap_or_else(|_| other.to_string()),
        };
        output.line(&text);
        return;
    }
    let place = settled.failed_step.as_deref().map_or_else(String::new, |step| format!(" at step `{step}`"));
    output.note(&format!("the run {}{place}", words(settled.status)));
    if let Some(error) = &settled.error {
        let line = error.line.map_or_else(String::new, |line| format!(" (flow.yaml:{line})"));
        output.note(&format!("  {}: {}{line}", error.code, error.message));
    }
}

fn words(status: RunStatus) -> &'static str {
    match status {
        RunStatus::TimedOut => "took too long",
        RunStatus::Cancelled | RunStatus::Killed => "was cancelled",
        _ => "failed",
    }
}

fn tell_attention(state: &State, output: Output) {
    output.note("the run needs a person's attention, which only a server can wait for");
    for step in &state.steps {
        if let (StepStatus::NeedsAttention, Some(error)) = (step.unit.status, &step.unit.error) {
            output.note(&format!("  {}: {}", error.code, error.message));
        }
    }
}

async fn step_json(world: &World, name: &str, step: &StepState) -> Value {
    let step = &step.unit;
    let value = match &step.output {
        Some(Stored::Inline(value)) => value.clone(),
        Some(Stored::Blob { blob, .. }) => world.blobs().get_value(blob).await.unwrap_or(Value::Null),
        None => Value::Null,
    };
    let duration = step.started_at.zip(step.ended_at).map(|(start, end)| (end - start).num_milliseconds());
    json!({
        "name": name, "status": step.status, "success": step.success(),
        "skipped": step.status == StepStatus::Skipped, "cached": step.status == StepStatus::Cached,
        "skip_reason": step.reason, "attempts": step.attempts, "error": step.error, "output": value,
        "started_at": step.started_at, "ended_at": step.ended_at, "duration_ms": duration, "cost_nano_usd": step.cost,
    })
}

fn secrets() -> FixedSecrets {
    let named =
        std::env::vars().filter_map(|(name, value)| Some((name.strip_prefix(SECRET_PREFIX)?.to_owned(), value)));
    FixedSecrets(named.collect())
}

fn models(file: &std::path::Path) -> Result<FixedModels, Failure> {
    let written = super::bootstrap::read_connections(file)?;
    let (mut connections, mut services) = (BTreeMap::new(), BTreeMap::new());
    for (name, input) in written.connections {
        let wrong =
            |what: &str| Failure::new(Exit::Validation, format!("{}: connection `{name}` {what}", file.display()));
        let base_url = input.base_url.unwrap_or_default();
        let kind = match input.kind.as_str() {
            "openai" => ModelKind::OpenAi,
            "simulated" => ModelKind::Simulated,
            "http" | "postgres" if base_url.is_empty() => return Err(wrong("needs a `base_url`")),
            "http" | "postgres" => {
                let (connection, kind) = (name.clone(), input.kind);
                services.insert(name, ServiceEndpoint { connection, kind, base_url, credential: input.api_key });
                continue;
            }
            other => {
                let known = "openai, http, postgres and simulated";
                return Err(wrong(&format!("has the unknown kind `{other}`; known are {known}")));
            }
        };
        if kind == ModelKind::OpenAi && base_url.is_empty() {
            return Err(wrong("needs a `base_url` (up to and including /v1)"));
        }
        // One process runs here, so that a limit over all runs has nothing to hold back.
        let base_urls = std::iter::once(base_url).chain(input.more_base_urls).filter(|url| !url.is_empty()).collect();
        connections.insert(name, Connection { kind, base_urls, api_key: input.api_key, prices: input.prices });
    }
    Ok(FixedModels { connections, services, default_model: written.default_model })
}
