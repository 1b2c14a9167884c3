//! `weir test`: runs the cases that lie beside a flow, in this process, with some of its steps mocked.
//!
//! Invariant: a case is a run by the real engine; what it does not mock is executed for real.

mod case;
mod compare;
mod mocks;
mod report;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{FileRef, RunStatus};
use engine::dispatcher::{Graph, State};
use engine::memory::{Finished, FixedModels, FixedSecrets, Start, Unobserved, World, WorldParts};
use engine::{Control, Outcome, Registry, Settled};
use language::Plan;
use serde_json::{Value, json};

use self::case::{Calls, Case, Expect, Source};
use self::compare::{at_least, exactly, shown};
use self::mocks::Seen;
use super::local::{self, LocalFlow, Siblings};
use super::run::inputs::media_type;
use crate::arguments::TestArguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// A case that takes longer hangs.
const LONGEST_CASE: Duration = Duration::from_secs(120);

pub(crate) async fn test(arguments: TestArguments, output: Output) -> Result<Exit, Failure> {
    let flows = local::read_flows(&arguments.path)?;
    let (registry, sandbox) = local::registry()?;
    let mut results = Vec::new();
    for flow in &flows {
        let cases = case::read(&flow.path)?;
        if cases.is_empty() {
            continue;
        }
        let bench = Bench { flow, plan: plan(flow, &registry, output)?, registry: &registry, sandbox: &sandbox };
        for (file, case) in cases {
            let began = Instant::now();
            let differences = match tokio::time::timeout(LONGEST_CASE, bench.run(&case)).await {
                Ok(Ok(differences)) => differences,
                Ok(Err(failure)) => std::iter::once(failure.message).chain(failure.hints).collect(),
                Err(_) => vec![format!("the run did not end within {} s", LONGEST_CASE.as_secs())],
            };
            let result =
                report::Result { flow: flow.name.clone(), name: case.name, file, took: began.elapsed(), differences };
            if !output.is_json() {
                output.line(&result.line());
            }
            results.push(result);
        }
    }
    finish(&arguments, &results, output)
}

fn finish(arguments: &TestArguments, results: &[report::Result], output: Output) -> Result<Exit, Failure> {
    if results.is_empty() {
        let message = format!("{} holds no tests: write them into tests/*.yaml", arguments.path.display());
        return Err(Failure::new(Exit::NotFound, message));
    }
    if let Some(path) = &arguments.junit {
        std::fs::write(path, report::junit(results))
            .map_err(|error| Failure::new(Exit::Failure, format!("{}: {error}", path.display())))?;
    }
    let failed = results.iter().filter(|result| !result.passed()).count();
    if output.is_json() {
        output.object(&report::json(results));
    } else {
        output.note(&format!("{} passed, {failed} failed", results.len() - failed));
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::RunFailed })
}

fn plan(flow: &LocalFlow, registry: &Registry, output: Output) -> Result<Arc<Plan>, Failure> {
    let compiled = local::compile(flow, registry);
    if let Some(plan) = compiled.plan {
        return Ok(Arc::new(plan));
    }
    if !output.is_json() {
        local::show_problems(flow, &compiled.problems, output);
    }
    let message = format!("{} has problems and was not tested", flow.name);
    let hints = compiled.problems.iter().map(|problem| problem.message.clone()).collect();
    Err(Failure { code: "invalid_flow".to_owned(), hints, ..Failure::new(Exit::Validation, message) })
}

/// One flow, ready for its cases.
struct Bench<'a> {
    flow: &'a LocalFlow,
    plan: Arc<Plan>,
    registry: &'a Registry,
    sandbox: &'a Arc<sandbox::Pool>,
}

impl Bench<'_> {
    /// Runs a case; gives what was not as expected.
    async fn run(&self, case: &Case) -> Result<Vec<String>, Failure> {
        self.check_names(case)?;
        let mut start = Start::new(&self.flow.name, Value::Null);
        let seen = Arc::<Seen>::default();
        let registry = mocks::registry(self.registry, start.run, &case.mocks, &seen);
        let plan = Arc::new(mocks::hurried(&self.plan, self.registry, &case.mocks));
        let world = World::new(WorldParts {
            registry: registry.clone(),
            secrets: FixedSecrets(case.secrets.clone()),
            models: FixedModels::default(),
            loader: Arc::new(Siblings::of(self.flow, registry.clone())),
            observer: Arc::new(Unobserved),
            sandbox: Some(Arc::clone(self.sandbox)),
        });
        start.inputs = self.inputs(case, &world).await?;
        let broke = |error: engine::DriveError| Failure::new(Exit::Failure, format!("the run broke off: {error}"));
        let finished = world.run(Arc::clone(&plan), start, Control::default()).await.map_err(broke)?;
        let state = State::replay(&Graph::new(Arc::clone(&plan), &registry), &finished.entries)
            .map_err(|error| Failure::new(Exit::Failure, format!("the run's journal cannot be read: {error}")))?;
        let mut differences = ending(&case.expect, &finished);
        for (step, status) in &case.expect.steps {
            let found = self.plan.steps.iter().position(|plan| plan.name == *step);
            let actual = found.map(|index| state.steps[index].unit.status);
            if actual.is_some_and(|actual| actual != *status) {
                differences.push(format!("step `{step}` is {}; expected {}", json!(actual), json!(status)));
            }
        }
        differences.extend(case.expect.calls.iter().flat_map(|(step, calls)| called(step, calls, &seen)));
        Ok(differences)
    }

    /// A name that is no step's would make an expectation that nothing can break.
    fn check_names(&self, case: &Case) -> Result<(), Failure> {
        let expect = &case.expect;
        let named = case.mocks.keys().chain(expect.steps.keys()).chain(expect.calls.keys());
        for name in named.chain(&expect.failed_step) {
            if !self.plan.steps.iter().any(|step| step.name == *name) {
                return Err(Failure::new(Exit::Validation, format!("the flow has no step `{name}`")));
            }
        }
        Ok(())
    }

    async fn inputs(&self, case: &Case, world: &World) -> Result<Value, Failure> {
        let mut files: BTreeMap<String, FileRef> = BTreeMap::new();
        for (input, source) in &case.files {
            let (name, bytes) = match source {
                Source::Written(written) => (written.name.clone(), written.text.clone().into_bytes()),
                Source::Path(path) => {
                    let whole = self.flow.path.join(path);
                    let bytes = std::fs::read(&whole)
                        .map_err(|error| Failure::new(Exit::NotFound, format!("{}: {error}", whole.display())))?;
                    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
                    (name.unwrap_or_default(), bytes)
                }
            };
            let stored = world.put_file(&name, media_type(Path::new(&name)), bytes.into()).await;
            let stored = stored.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
            files.insert(input.clone(), stored);
        }
        language::inputs::parse(&self.plan, Value::Object(case.inputs.clone()), &files).map_err(|problems| {
            let hints = problems.into_iter().map(|problem| format!("{}: {}", problem.pointer, problem.message));
            Failure { hints: hints.collect(), ..Failure::new(Exit::Validation, "the inputs do not fit the flow") }
        })
    }
}

fn ending(expect: &Expect, finished: &Finished) -> Vec<String> {
    let (status, settled) = match &finished.outcome {
        Outcome::Settled(settled) => (settled.status, Some(settled)),
        Outcome::Suspended { status, .. } => (*status, None),
        Outcome::Stopped => (RunStatus::Cancelled, None),
    };
    let mut differences = Vec::new();
    if status != expect.status {
        let why = settled.and_then(|settled| why(settled)).unwrap_or_default();
        differences.push(format!("the run is {}; expected {}{why}", json!(status), json!(expect.status)));
    }
    let outputs = settled.map_or(&Value::Null, |settled| &settled.outputs);
    if let Some(expected) = &expect.outputs {
        differences.extend(at_least(expected, outputs, "outputs"));
    }
    if let Some(expected) = &expect.outputs_exactly {
        differences.extend(exactly(expected, outputs, "outputs"));
    }
    for (pointer, expected) in &expect.at {
        match outputs.pointer(pointer) {
            Some(actual) => differences.extend(at_least(expected, actual, &format!("outputs{pointer}"))),
            None => differences.push(format!("outputs{pointer} is missing; expected {}", shown(expected))),
        }
    }
    if let Some(expected) = &expect.error {
        let error = json!(settled.and_then(|settled| settled.error.as_ref()));
        differences.extend(at_least(expected, &error, "error"));
    }
    let failed_step = settled.and_then(|settled| settled.failed_step.as_ref());
    if expect.failed_step.is_some() && failed_step != expect.failed_step.as_ref() {
        differences.push(format!("the failed step is {}; expected {}", json!(failed_step), json!(expect.failed_step)));
    }
    differences
}

fn why(settled: &Settled) -> Option<String> {
    let error = settled.error.as_ref()?;
    let place = settled.failed_step.as_ref().map_or_else(String::new, |step| format!(" at `{step}`"));
    Some(format!(" ({}{place}: {})", error.code, error.message))
}

fn called(step: &str, calls: &Calls, seen: &Seen) -> Vec<String> {
    let configs = seen.configs(step);
    let count = |wanted: usize| {
        let actual = configs.len();
        (actual != wanted).then(|| format!("step `{step}` was executed {actual} times; expected {wanted}"))
    };
    match calls {
        Calls::Count(wanted) => count(*wanted).into_iter().collect(),
        Calls::Configs(wanted) => {
            let pairs = wanted.iter().zip(&configs).enumerate();
            let each = pairs.flat_map(|(index, (wanted, config))| {
                at_least(wanted, config, &format!("call {} of `{step}`", index + 1))
            });
            count(wanted.len()).into_iter().chain(each).collect()
        }
    }
}
