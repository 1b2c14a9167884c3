//! What the flow names and the tenant does not have: the run would fail at it.
//!
//! Invariant: nothing is opened towards the outside; who may not know of secrets or connections is told nothing of them.

use std::collections::BTreeSet;

use domain::Permission;
use domain::wire::{LimitForecast, Outlook, StepForecast};
use engine::ports::Models as _;
use language::{CostKind, Plan};
use serde_json::{Map, Value};

use crate::flows::{self, Resolved, Wanted};
use crate::ports::TenantModels;
use crate::prices::PriceVersion;
use crate::{Actor, ServiceError, Weir, authz};

/// Flows that are looked into, with the one that is called first.
const MOST_FLOWS: usize = 50;

/// In the flow itself, and in all that it calls by written names.
pub(super) async fn of(
    weir: &Weir,
    actor: &Actor,
    resolved: &Resolved,
    steps: &[StepForecast],
) -> Result<Vec<LimitForecast>, ServiceError> {
    let skipped = |step: &StepForecast| step.outlook == Outlook::Skipped;
    let skipped: BTreeSet<&str> = steps.iter().filter(|step| skipped(step)).map(|step| step.name.as_str()).collect();
    let mut limits = of_flow(weir, actor, resolved, &skipped).await?;
    let mut seen = BTreeSet::from([resolved.version_id]);
    let mut asked: BTreeSet<Called> = called(&resolved.plan, &skipped).collect();
    let mut open: Vec<Called> = asked.iter().cloned().collect();
    while let Some((name, version, channel)) = open.pop().filter(|_| seen.len() < MOST_FLOWS) {
        let wanted = Wanted { version, channel, position: None };
        let callee = match flows::resolve(weir, actor.tenant, &name, &wanted).await {
            Ok(callee) => callee,
            // Whoever calls it was told.
            Err(ServiceError::NotFound { .. } | ServiceError::InvalidFlow { .. }) => continue,
            Err(other) => return Err(other),
        };
        let may_look = authz::check_flow(actor, Permission::FlowsRead, &callee.name).is_ok();
        if !may_look || !seen.insert(callee.version_id) {
            continue;
        }
        open.extend(called(&callee.plan, &BTreeSet::new()).filter(|call| asked.insert(call.clone())));
        match of_flow(weir, actor, &callee, &BTreeSet::new()).await {
            Ok(found) => limits.extend(found.into_iter().map(|limit| of_callee(&callee.name, limit))),
            // Deleted this moment.
            Err(ServiceError::NotFound { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(limits)
}

fn of_callee(flow: &str, limit: LimitForecast) -> LimitForecast {
    LimitForecast { sentence: format!("In the flow `{flow}` that is called: {}", limit.sentence), ..limit }
}

/// A flow's name, and the version or channel that is asked for.
type Called = (String, Option<u32>, Option<String>);

/// What a plan calls, but for what may never be needed: fallbacks and the `skipped` steps.
fn called<'p>(plan: &'p Plan, skipped: &'p BTreeSet<&str>) -> impl Iterator<Item = Called> + 'p {
    let needed = language::calls(plan).into_iter().filter(|call| call.entry == 0);
    let needed = needed.filter(|call| !skipped.contains(call.step.name.as_str()));
    needed.map(|call| {
        let version = call.version.and_then(|version| u32::try_from(version).ok());
        (call.name.to_owned(), version, call.channel.map(str::to_owned))
    })
}

async fn of_flow(
    weir: &Weir,
    actor: &Actor,
    resolved: &Resolved,
    skipped: &BTreeSet<&str>,
) -> Result<Vec<LimitForecast>, ServiceError> {
    let (folder, _) = flows::source(weir, actor, &resolved.name, Some(resolved.number)).await?;
    let called = flows::check_calls(weir, actor, &folder, (&resolved.name, &resolved.plan)).await?;
    // Of flows that the actor may not know of, nobody looked whether they are there.
    let hidden: Vec<String> = language::calls(&resolved.plan)
        .iter()
        .filter(|call| authz::check_flow(actor, Permission::FlowsRead, call.name).is_err())
        .map(|call| format!("`{}`", call.name))
        .collect();
    let told = |problem: &language::Problem| !hidden.iter().any(|name| problem.message.contains(name));
    let called: Vec<language::Problem> = called.into_iter().filter(told).collect();
    let mut limits = unknown_flows(&resolved.plan, &called);
    let named = flows::check_references(weir, actor, &folder).await?;
    let mut seen = BTreeSet::new();
    for problem in named.into_iter().filter(|problem| seen.insert(problem.message.clone())) {
        let what =
            ["secret", "connection", "pool"].into_iter().find(|what| problem.message.contains(&format!("no {what} ")));
        let name = format!("unknown_{}", what.unwrap_or("reference"));
        let sentence = format!("In line {}: {}.", problem.line, problem.message);
        limits.push(LimitForecast { name, hit: true, sentence });
    }
    if authz::check(actor, Permission::ConnectionsRead).is_ok() {
        limits.extend(models(weir, actor, resolved, skipped, &limits).await);
    }
    Ok(limits)
}

/// Calls of a written flow, version or channel that is not there. A fallback may never be needed.
#[must_use]
pub fn unknown_flows(plan: &Plan, problems: &[language::Problem]) -> Vec<LimitForecast> {
    let calls: Vec<String> =
        language::calls(plan).iter().filter(|call| call.entry == 0).map(|call| format!("`{}`", call.name)).collect();
    let unknown = problems.iter().filter(|problem| problem.code == language::codes::UNKNOWN_CALLEE_CODE);
    unknown
        .map(|problem| LimitForecast {
            name: "unknown_flow".to_owned(),
            hit: calls.iter().any(|name| problem.message.contains(name.as_str())),
            sentence: format!("In line {}: {}.", problem.line, problem.message),
        })
        .collect()
}

/// Models that steps would ask, as a run resolves them.
async fn models(
    weir: &Weir,
    actor: &Actor,
    resolved: &Resolved,
    skipped: &BTreeSet<&str>,
    told: &[LimitForecast],
) -> Vec<LimitForecast> {
    let plan = &resolved.plan;
    let models = TenantModels::new(weir.clone(), actor.tenant, PriceVersion::now(resolved.price_revision));
    let mut limits: Vec<LimitForecast> = Vec::new();
    for step in plan.steps.iter().filter(|step| !skipped.contains(step.name.as_str())) {
        let asks = weir.catalogue().get(&step.executor).is_some_and(|spec| spec.cost == CostKind::Tokens);
        let Some(model) = asks.then(|| model_of(plan, &step.config)).flatten() else { continue };
        let (name, message) = match models.resolve(model.as_deref()).await {
            Err(failure) => (failure.code, failure.message),
            Ok(endpoint) if plan.max_cost.is_some() && endpoint.price.is_none() => {
                let message = "Nobody knows what its model costs, and under a `max_cost` it is not asked.";
                ("unknown_price".to_owned(), message.to_owned())
            }
            Ok(_) => continue,
        };
        let is_told = told.iter().any(|limit| limit.name == name && message.contains(quoted(&limit.sentence)));
        if !is_told {
            let sentence = format!("Step `{}`: {message}", step.name);
            limits.push(LimitForecast { name, hit: true, sentence });
        }
    }
    limits
}

/// The first name in backticks.
fn quoted(sentence: &str) -> &str {
    sentence.split('`').nth(1).unwrap_or("\0")
}

/// The model that a step would ask, where it is written out: `Some(None)` is the tenant's own.
fn model_of(plan: &Plan, config: &Map<String, Value>) -> Option<Option<String>> {
    let written = config.get("model").and_then(Value::as_str).map(str::to_owned);
    let model = written.or_else(|| plan.model.clone());
    let is_computed = model.as_ref().is_some_and(|model| model.contains("{{") || model.contains("{%"));
    (!is_computed).then_some(model)
}
