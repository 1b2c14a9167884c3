//! Runs that are over before anything of them began: skipped or killed in the queue, overdue, or calling flows that are
//! not there.
//!
//! Invariant: nothing of such a run was executed, so nothing is undone and no handler runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use engine::ports::{Delivery, Journal};
use engine::{Entry, Event, Settled};
use entities::{Scope as _, flow, run};
use language::Plan;
use sea_orm::{ColumnTrait, QuerySelect};
use serde_json::Value;

use super::desk::LocalRun;
use super::execute::announce;
use super::journal::RunJournal;
use crate::{ServiceError, Weir};

/// How a run ends that did not begin.
pub(super) struct End {
    pub(super) status: RunStatus,
    pub(super) failure: Failure,
    /// The step that cannot be run.
    pub(super) step: Option<String>,
    /// What came from outside and made it so.
    pub(super) heard: Option<Delivery>,
}

impl End {
    pub(super) const fn new(status: RunStatus, failure: Failure) -> Self {
        Self { status, failure, step: None, heard: None }
    }
}

/// Settles a run whose row is in the store.
pub(super) async fn settle(weir: &Weir, row: &run::Model, plan: &Arc<Plan>, end: End) {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let local = Arc::new(LocalRun::new(tenant, row.flow_name.clone(), &tokio_util::sync::CancellationToken::new()));
    let journal = RunJournal::new(weir.clone(), local, row.clone(), plan, &[]);
    settle_by(weir, row, &journal, end).await;
}

/// Settles a run by the journal that it has already.
pub(super) async fn settle_by(weir: &Weir, row: &run::Model, journal: &RunJournal, end: End) {
    let End { status, failure, step, heard } = end;
    let heard = heard.map(|letter| Event::OutsideReceived { delivery: letter.id, by: letter.by, what: letter.what });
    let settled = Event::RunSettled {
        status,
        outputs: None,
        error: Some(failure.clone()),
        failed_step: step.clone(),
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
        failed_step: step,
        failed_attempt: None,
        handler_errors: Vec::new(),
        usage: domain::wire::UsageTotals::default(),
        cost: Some(domain::NanoUsd::ZERO),
    };
    announce(weir, row, journal, settled).await;
}

/// The end of a run that would call a flow by a written name which is not there, if it would. Names that templates compute
/// are left to their steps.
///
/// # Errors
/// Only a store that does not answer.
pub(super) async fn missing_callee(weir: &Weir, row: &run::Model, plan: &Plan) -> Result<Option<End>, ServiceError> {
    let mut calls = language::calls(plan);
    // What a fallback calls may never be needed.
    calls.retain(|call| call.entry == 0);
    let wanted: BTreeSet<&str> = calls.iter().map(|call| call.name).collect();
    if wanted.is_empty() {
        return Ok(None);
    }
    let reader = weir.store().read(TenantId::from_uuid(row.tenant_id)).await?;
    let mut flows = reader.find::<flow::Entity>().filter(flow::Column::Name.is_in(wanted.iter().copied()));
    flows = flows.filter(flow::Column::LastNumber.gt(0));
    // A tree goes on with what was there when its root started, even if it was deleted since.
    if row.parent_run_id.is_none() {
        flows = flows.filter(flow::Column::DeletedAt.is_null());
    }
    let found: Vec<(String,)> = flows.with(|select| select.select_only().column(flow::Column::Name)).tuples().await?;
    drop(reader);
    let is_there = |name: &str| found.iter().any(|(found,)| found == name);
    let missing = calls.into_iter().find(|call| !is_there(call.name));
    Ok(missing.map(|call| {
        let message = format!(
            "Step `{}` calls the flow `{}`, which is not there. Publish it, or correct the name; nothing was run.",
            call.step.name, call.name
        );
        let line = call.line();
        let failure = Failure::new(FailureKind::Flow, "unknown_flow", message).at_line(Some(line));
        End { step: Some(call.step.name.clone()), ..End::new(RunStatus::Failed, failure) }
    }))
}
