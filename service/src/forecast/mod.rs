//! What would run for given inputs, with expected time, tokens and money, and the limits it would meet.
//!
//! Invariant: pure: conditions over the inputs are the only thing that is evaluated, in process and on fuel; nothing
//! executes, nothing is written, nothing leaves.

mod absent;
mod figures;
mod history;
mod limits;
mod outlook;

use chrono::{DateTime, Utc};
use domain::wire::{Forecast, ForecastInput, LimitForecast, Outlook};
use domain::{Permission, TenantId};
use language::Plan;
use serde_json::Value;

pub use absent::unknown_flows;
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
    crate::runs::refuse_library(&resolved)?;
    let body = if input.inputs.is_null() { Value::Object(serde_json::Map::new()) } else { input.inputs };
    let inputs = crate::runs::parsed_inputs(weir, actor.tenant, &resolved, body).await?;
    let reader = weir.store().read(actor.tenant).await?;
    let history = history::of_flow(&reader, (resolved.flow_id, resolved.number), &resolved.plan).await?;
    drop(reader);
    let mut forecast = of_plan(&resolved.plan, &inputs, weir.now(), &history);
    forecast.flow.clone_from(&resolved.name);
    forecast.version = Some(resolved.number);
    forecast.limits.extend(absent::of(weir, actor, &resolved, &forecast.steps).await?);
    forecast.limits.extend(present_limits(weir, actor.tenant, &resolved, &inputs).await?);
    Ok(forecast)
}

/// Forecasts a run of a plan from what is known of earlier ones.
#[must_use]
pub fn of_plan(plan: &Plan, inputs: &Value, now: DateTime<Utc>, history: &History) -> Forecast {
    let outlooks = outlook::of_steps(plan, inputs, now);
    let steps = figures::of_steps(plan, &outlooks, history);
    let totals = figures::totals(plan, &steps);
    let unknown = steps
        .iter()
        .filter(|step| step.outlook != Outlook::Skipped && step.samples == 0 && step.duration_ms.is_none())
        .map(|step| step.name.clone())
        .collect();
    Forecast {
        flow: plan.name.clone().unwrap_or_default(),
        version: None,
        limits: limits::planned(plan, (&outlooks, &steps), &totals),
        steps,
        duration_ms: totals.duration_ms,
        tokens: totals.tokens,
        cost_nano_usd: totals.cost_nano_usd,
        unknown,
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
