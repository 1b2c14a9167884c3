//! What would run for given inputs, with expected time, tokens and money, and the limits it would meet.
//!
//! Invariant: pure: conditions over the inputs are the only thing that is evaluated, in process and on fuel; nothing
//! executes, nothing is written, nothing leaves.

mod figures;
mod history;
mod outlook;

use domain::wire::{Forecast, ForecastInput, LimitForecast, Outlook, Spread};
use domain::{Permission, TenantId};
use language::Plan;
use serde_json::Value;

pub use history::History;

use crate::flows::Wanted;
use crate::{Actor, ServiceError, Weir, authz};

/// Forecasts a call of a flow.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`] for inputs that a call would be
/// refused for.
pub async fn forecast(weir: &Weir, actor: &Actor, flow: &str, input: ForecastInput) -> Result<Forecast, ServiceError> {
    authz::check_flow(actor, Permission::FlowsRead, flow)?;
    if input.version.is_some() && input.channel.is_some() {
        return Err(ServiceError::BadRequest("A plan is for a `version` or for a `channel`, not for both.".to_owned()));
    }
    let wanted = Wanted { version: input.version, channel: input.channel, position: None };
    let resolved = crate::flows::resolve(weir, actor.tenant, flow, &wanted).await?;
    let body = if input.inputs.is_null() { Value::Object(serde_json::Map::new()) } else { input.inputs };
    let inputs = crate::runs::parsed_inputs(weir, actor.tenant, &resolved, body).await?;
    let reader = weir.store().read(actor.tenant).await?;
    let history = history::of_flow(&reader, resolved.flow_id, resolved.number).await?;
    drop(reader);
    let mut forecast = of_plan(&resolved.plan, &inputs, &history);
    forecast.flow.clone_from(&resolved.name);
    forecast.version = Some(resolved.number);
    forecast.limits.extend(present_limits(weir, actor.tenant, &resolved, &inputs).await?);
    Ok(forecast)
}

/// Forecasts a run of a plan from what is known of earlier ones.
#[must_use]
pub fn of_plan(plan: &Plan, inputs: &Value, history: &History) -> Forecast {
    let outlooks = outlook::of_steps(plan, inputs);
    let steps = figures::of_steps(plan, &outlooks, history);
    let totals = figures::totals(plan, &steps);
    let unknown = steps
        .iter()
        .filter(|step| step.outlook != Outlook::Skipped && step.samples == 0)
        .map(|step| step.name.clone())
        .collect();
    Forecast {
        flow: plan.name.clone().unwrap_or_default(),
        version: None,
        limits: planned_limits(plan, totals.duration_ms, totals.cost_nano_usd),
        steps,
        duration_ms: totals.duration_ms,
        tokens: totals.tokens,
        cost_nano_usd: totals.cost_nano_usd,
        unknown,
    }
}

/// The limits that stand in the flow itself.
fn planned_limits(plan: &Plan, duration_ms: Option<Spread>, cost: Option<Spread>) -> Vec<LimitForecast> {
    let mut limits = Vec::new();
    if let Some(timeout) = plan.timeout_ms {
        limits.push(against("timeout", "The flow's `timeout` is", timeout, "ms", duration_ms));
    }
    if let Some(cap) = plan.max_cost {
        let most = u64::try_from(cap.nano_usd).unwrap_or_default();
        limits.push(against("max_cost", "The flow's `max_cost` is", most, "nano-dollars", cost));
    }
    let mut wait = against("max_wait", "A caller who waits is answered 202 after", plan.max_wait_ms, "ms", duration_ms);
    wait.hit = duration_ms.is_some_and(|spread| spread.p50 > plan.max_wait_ms);
    limits.push(wait);
    limits
}

fn against(name: &str, words: &str, limit: u64, unit: &str, expected: Option<Spread>) -> LimitForecast {
    let usual = expected.map_or_else(
        || "nothing is known of earlier runs".to_owned(),
        |spread| format!("8 of 10 runs take {} to {} {unit}", spread.p10, spread.p90),
    );
    LimitForecast {
        name: name.to_owned(),
        hit: expected.is_some_and(|spread| spread.p90 > limit),
        sentence: format!("{words} {limit} {unit}; {usual}."),
    }
}

/// The limits that depend on what executes now.
async fn present_limits(
    weir: &Weir,
    tenant: TenantId,
    resolved: &crate::flows::Resolved,
    inputs: &Value,
) -> Result<Vec<LimitForecast>, ServiceError> {
    let mut limits = Vec::new();
    if let Some(now) = crate::runs::at_limit(weir, tenant, resolved, inputs).await? {
        let (held, most) = (now.held, now.most);
        limits.push(LimitForecast {
            name: "concurrency".to_owned(),
            hit: held >= i64::from(most),
            sentence: format!("At most {most} runs of this flow and key execute at once; {held} hold a place now."),
        });
    }
    if let Some(most) = resolved.max_running {
        let executing = crate::runs::executing(weir, tenant).await?;
        limits.push(LimitForecast {
            name: "max_concurrent_runs".to_owned(),
            hit: executing >= u64::try_from(most).unwrap_or_default(),
            sentence: format!("At most {most} runs of this tenant execute at once; {executing} do now."),
        });
    }
    Ok(limits)
}
