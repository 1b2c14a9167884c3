//! `weir plan`: which steps of a flow would run for given inputs, from its folder, without a server.
//!
//! Invariant: nothing executes and nothing leaves; a folder has no history, so nothing is said of time and money.

use std::sync::Arc;

use domain::wire::Outlook;
use engine::memory::{FixedModels, FixedSecrets, World, WorldParts};
use service::forecast::{History, of_plan, unknown_flows};

use super::{local, run};
use crate::arguments::PlanArguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) async fn plan(arguments: PlanArguments, output: Output) -> Result<Exit, Failure> {
    let flow = local::read_flow(&arguments.path)?;
    let (registry, sandbox) = local::registry()?;
    let compiled = local::compile(&flow, &registry);
    let Some(plan) = compiled.plan else {
        local::show_problems(&flow, &compiled.problems, output);
        let message = format!("{} has problems; there is nothing to plan", flow.name);
        return Err(Failure { code: "invalid_flow".to_owned(), ..Failure::new(Exit::Validation, message) });
    };
    // Only holds the call's files, so that they are checked as a run would check them.
    let world = World::new(WorldParts {
        registry: registry.clone(),
        secrets: FixedSecrets::default(),
        models: FixedModels::default(),
        loader: Arc::new(local::Siblings::of(&flow, registry.clone())),
        observer: run::progress::observer(output),
        sandbox: Some(sandbox),
    });
    let inputs = run::inputs::read(&arguments.given, &plan, &world).await?;
    let mut forecast = of_plan(&plan, &inputs, chrono::Utc::now(), &History::default());
    forecast.limits.extend(unknown_flows(&plan, &local::check(&flow, &registry)));
    forecast.flow.clone_from(&flow.name);
    let lines = forecast.steps.iter().map(|step| {
        let word = match step.outlook {
            Outlook::Runs => "runs",
            Outlook::May => "may run",
            Outlook::Skipped => "skipped",
        };
        let reason = step.reason.as_ref().map_or_else(String::new, |reason| format!("  {reason}"));
        format!("{word:8} {} ({}){reason}", step.name, step.executor)
    });
    let hit = forecast.limits.iter().filter(|limit| limit.hit);
    let lines = lines.chain(hit.map(|limit| format!("hits     {}  {}", limit.name, limit.sentence)));
    output.answer(&forecast, &lines.collect::<Vec<_>>().join("\n"));
    Ok(Exit::Ok)
}
