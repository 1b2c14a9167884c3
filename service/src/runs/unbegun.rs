//! Runs that are over before anything of them began: skipped or killed in the queue, or overdue. And what is found out about
//! a run before its first step: that it calls flows which are not there.
//!
//! Invariant: nothing of a run that never began was executed, so nothing is undone and no handler runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use engine::ports::{Delivery, Journal};
use engine::{Entry, Event, Refusal, Settled};
use entities::{Scope as _, flow, run};
use language::Plan;
use sea_orm::{ColumnTrait, QuerySelect};
use serde_json::Value;

use super::desk::LocalRun;
use super::execute::announce;
use super::journal::RunJournal;
use crate::flows::Wanted;
use crate::{ServiceError, Weir};

/// How a run ends that did not begin.
pub(super) struct End {
    pub(super) status: RunStatus,
    pub(super) failure: Failure,
    /// What came from outside and made it so.
    pub(super) heard: Option<Delivery>,
}

impl End {
    pub(super) const fn new(status: RunStatus, failure: Failure) -> Self {
        Self { status, failure, heard: None }
    }
}

/// Settles a run whose row is in the store.
pub(super) async fn settle(weir: &Weir, row: &run::Model, plan: &Arc<Plan>, end: End) {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let local = Arc::new(LocalRun::new(tenant, row.flow_name.clone(), &tokio_util::sync::CancellationToken::new()));
    let journal = RunJournal::new(weir.clone(), local, row, plan, &[]);
    let End { status, failure, heard } = end;
    let heard = heard.map(|letter| Event::OutsideReceived { delivery: letter.id, by: letter.by, what: letter.what });
    let settled = Event::RunSettled {
        status,
        outputs: None,
        error: Some(failure.clone()),
        failed_step: None,
        handler_errors: Vec::new(),
    };
    let first = u64::try_from(row.event_position).unwrap_or_default() + 1;
    let at = weir.now();
    let entries: Vec<Entry> = heard
        .into_iter()
        .chain([settled])
        .zip(first..)
        .map(|(event, position)| Entry { position, at, event })
        .collect();
    if let Err(error) = journal.append(&entries).await {
        let run = RunId::from_uuid(row.id);
        tracing::error!(%error, %run, "a run that was not begun could not be settled");
        return;
    }
    let settled = Settled {
        status,
        outputs: Value::Null,
        error: Some(failure),
        failed_step: None,
        failed_attempt: None,
        handler_errors: Vec::new(),
        usage: domain::wire::UsageTotals::default(),
        cost: Some(domain::NanoUsd::ZERO),
    };
    announce(weir, row, &journal, settled).await;
}

/// Whether a flow had what a call means when the root of this tree started.
async fn was_there(weir: &Weir, row: &run::Model, call: &language::Call<'_>) -> Result<bool, ServiceError> {
    if call.version.is_some() {
        return Ok(true);
    }
    let channel = call.channel.map(str::to_owned);
    let wanted = Wanted { version: None, channel, position: Some(row.channel_position) };
    match crate::flows::resolve(weir, TenantId::from_uuid(row.tenant_id), call.name, &wanted).await {
        Ok(_) | Err(ServiceError::InvalidFlow { .. }) => Ok(true),
        Err(ServiceError::NotFound { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Why a run must fail that would call a flow by a written name which is not there. Names that templates compute are left to
/// their steps.
///
/// # Errors
/// Only a store that does not answer.
pub(super) async fn missing_callee(
    weir: &Weir,
    row: &run::Model,
    plan: &Plan,
) -> Result<Option<Refusal>, ServiceError> {
    let missing = missing_call(weir, row, plan, &BTreeSet::new()).await?;
    Ok(missing.map(|call| {
        let message = format!(
            "Step `{}` calls the flow `{}`, which is not there. Publish it, or correct the name; no step was run.",
            call.step.name, call.name
        );
        let line = call.line();
        let failure = Failure::new(FailureKind::Flow, "unknown_flow", message).at_line(Some(line));
        Refusal { failure, step: Some(call.step.name.clone()) }
    }))
}

/// The first call by a written name that goes nowhere, of the steps that are not `done`.
pub(super) async fn missing_call<'p>(
    weir: &Weir,
    row: &run::Model,
    plan: &'p Plan,
    done: &BTreeSet<String>,
) -> Result<Option<language::Call<'p>>, ServiceError> {
    let mut calls = language::calls(plan);
    // What a fallback calls may never be needed.
    calls.retain(|call| call.entry == 0 && !done.contains(&call.step.name));
    let wanted: BTreeSet<&str> = calls.iter().map(|call| call.name).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let tenant = TenantId::from_uuid(row.tenant_id);
    let reader = weir.store().read(tenant).await?;
    let mut flows = reader.find::<flow::Entity>().filter(flow::Column::Name.is_in(wanted.iter().copied()));
    flows = flows.filter(flow::Column::LastNumber.gt(0));
    // A tree goes on with what was there when its root started, even if it was deleted since, and with nothing else.
    let goes_on = row.parent_run_id.is_some() || row.event_position > 0;
    if !goes_on {
        flows = flows.filter(flow::Column::DeletedAt.is_null());
    }
    let columns = [flow::Column::Name, flow::Column::DeletedAt];
    let found: Vec<(String, Option<DateTime<Utc>>)> =
        flows.with(|select| select.select_only().columns(columns)).tuples().await?;
    drop(reader);
    for call in calls {
        let is_there = match found.iter().find(|(name, _)| name == call.name) {
            None => false,
            Some((_, None)) if !goes_on => true,
            Some(_) => was_there(weir, row, &call).await?,
        };
        if !is_there {
            return Ok(Some(call));
        }
    }
    Ok(None)
}
