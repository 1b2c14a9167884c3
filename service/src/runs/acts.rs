//! What people do to runs that go on: kill, signal, resolve.
//!
//! Invariant: an act is a letter in the run's inbox, with its audit entry in the same unit; whoever executes the run, or
//! takes it up for this, hands it to the engine. Nothing here changes what a run has recorded.

use domain::{Failure, NanoUsd, Permission, RunId, RunStatus, StepStatus, TenantId, VersionId};
use engine::event::{Outside, Resolution};
use engine::money::Account;
use entities::{Scope as _, StoreError, Unit, run, step};
use sea_orm::ColumnTrait;
use serde_json::{Value, json};

use super::steps::items_needing_attention;
use super::{inbox, money, row as row_of_run};
use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir, authz};

const REASON: usize = 500;
const SIGNAL: usize = 64;
const PAYLOAD_BYTES: usize = 64 * 1024;
/// The most that a cap may be raised to.
const MOST_DOLLARS: f64 = 1_000_000.0;
/// Runs below one that are ended with it. More than a tree may have: each further worker may add some to a full one.
const TREE: usize = 2 * engine::limits::TREE_RUNS as usize;

/// What becomes of a step that needs attention.
#[derive(Debug, Clone, PartialEq)]
pub enum Resolve {
    /// It was done, with this output.
    Complete {
        output: Value,
    },
    Retry {
        /// For a step that stopped at a cap: the new cap, in US dollars.
        max_cost: Option<f64>,
    },
    Fail,
}

/// Ends a run and what it started at once, without handlers.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`] without a reason,
/// [`ServiceError::Conflict`] for a run that is over.
pub async fn kill(weir: &Weir, actor: &Actor, id: RunId, reason: &str) -> Result<RunStatus, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsKill)?;
    let row = row_of_run(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsKill, &row.flow_name)?;
    let reason = crate::text::column(reason.trim(), REASON);
    if reason.is_empty() {
        return Err(ServiceError::field("/reason", "Say why the run is killed: it is written into the audit log."));
    }
    let entry = entry(&row, "run.killed", json!({ "reason": reason }));
    let entry = audit::row(weir, actor, entry);
    let of_child = Outside::Kill { reason: format!("its parent {id} was killed: {reason}") };
    let known = below(weir, actor.tenant, id).await?;
    let status = kill_all(weir, actor, id, (&Outside::Kill { reason }, &of_child), &known, entry).await?;
    // What a step was just starting.
    for child in below(weir, actor.tenant, id).await?.into_iter().filter(|child| !known.contains(child)) {
        match deliver(weir, actor, child, of_child.clone(), None).await {
            Ok(_) | Err(ServiceError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(status)
}

/// A run and those below it, in one unit and the lowest first: a run that hears of its end cancels its children, and they
/// must know by then that they are killed.
async fn kill_all(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    (what, of_child): (&Outside, &Outside),
    children: &[RunId],
    audit: entities::audit::Model,
) -> Result<RunStatus, ServiceError> {
    let below = children.iter().rev().map(|child| (*child, of_child));
    let letters = below.chain([(id, what)]).map(|(run, what)| (run, what.clone(), inbox::row(weir, actor, run, what)));
    let letters: Vec<(RunId, Outside, entities::inbox::Model)> = letters.collect();
    let (rows, now) = (letters.clone(), weir.now());
    let kept = weir.store().write(actor.tenant, move |unit| async move {
        let mut status = RunStatus::Running;
        for (run, what, letter) in rows {
            match put(&unit, run, letter, &what, now).await {
                Ok(found) => status = found,
                Err(Refused::Over(_)) if run != id => {}
                Err(refused) => return Err(refused),
            }
        }
        unit.insert(audit).await?;
        // The last one is the run itself.
        Ok(status)
    });
    let status = kept.await.map_err(|refused: Refused| refused.of(id))?;
    for (run, _, letter) in &letters {
        hand_over(weir, actor.tenant, *run, letter);
    }
    Ok(status)
}

/// Runs that a run started, and those that they started, as far as they go on.
async fn below(weir: &Weir, tenant: TenantId, id: RunId) -> Result<Vec<RunId>, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let mut found = Vec::new();
    let mut open = vec![id.uuid()];
    while !open.is_empty() && found.len() < TREE {
        let children = reader.find::<run::Entity>().filter(run::Column::ParentRunId.is_in(std::mem::take(&mut open)));
        let going = ["queued", "running", "waiting", "needs_attention"];
        let rows = children.filter(run::Column::Status.is_in(going)).all().await?;
        for row in rows.into_iter().filter(|row| !is_detached(row)) {
            open.push(row.id);
            found.push(RunId::from_uuid(row.id));
        }
    }
    Ok(found)
}

/// A run that was started to go its own way has no step that waits for it.
fn is_detached(row: &run::Model) -> bool {
    row.parent_step.is_none()
}

/// Sends a signal to a run. A step that waits for it goes on; where none does yet, it is kept for the first that will.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`], [`ServiceError::Conflict`] for a
/// run that is over.
pub async fn signal(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    name: &str,
    payload: Value,
) -> Result<RunStatus, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsSignal)?;
    let row = row_of_run(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsSignal, &row.flow_name)?;
    if name.is_empty() || name.chars().count() > SIGNAL || !crate::text::can_be_stored(name) {
        return Err(ServiceError::field("/name", format!("A signal's name has 1 to {SIGNAL} characters.")));
    }
    if payload.to_string().len() > PAYLOAD_BYTES {
        return Err(ServiceError::TooLarge("A signal's payload may have at most 64 KiB of JSON.".to_owned()));
    }
    let entry = audit::row(weir, actor, entry(&row, "run.signalled", json!({ "signal": name })));
    deliver(weir, actor, id, Outside::Signal { name: name.to_owned(), payload }, Some(entry)).await
}

/// Says what becomes of a step that needs attention.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`] where it is not said which item of
/// several it is about, [`ServiceError::Conflict`] for a step or item that needs none.
pub async fn resolve(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    step_name: &str,
    item: Option<u32>,
    act: Resolve,
) -> Result<RunStatus, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsResolve)?;
    let row = row_of_run(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsResolve, &row.flow_name)?;
    if let Some(status) = RunStatus::parse(&row.status).filter(|status| status.is_terminal()) {
        return Err(Refused::Over(status).of(id));
    }
    let error = needs_attention(weir, actor, id, step_name, item).await?;
    let raised = match &act {
        Resolve::Retry { max_cost: Some(dollars) } => Some(raised(weir, &row, step_name, error, *dollars).await?),
        _ => None,
    };
    let (word, resolution) = match act {
        Resolve::Complete { output } => ("complete", Resolution::Complete { output }),
        Resolve::Retry { .. } => ("retry", Resolution::Retry),
        Resolve::Fail => ("fail", Resolution::Fail),
    };
    let mut data = json!({ "step": step_name, "item": item, "action": word });
    if let Some((_, to)) = &raised {
        data["max_cost_nano_usd"] = json!(to);
    }
    let entry = audit::row(weir, actor, entry(&row, "run.step_resolved", data));
    let what = Outside::Resolve { step: step_name.to_owned(), item, resolution };
    deliver_with(weir, actor, id, what, Some(entry), raised).await
}

/// The account that a parked step found empty, and its new cap.
async fn raised(
    weir: &Weir,
    row: &run::Model,
    step: &str,
    error: Option<Failure>,
    dollars: f64,
) -> Result<(Account, NanoUsd), ServiceError> {
    let tenant = TenantId::from_uuid(row.tenant_id);
    let plan = crate::flows::plan(weir, tenant, VersionId::from_uuid(row.version_id)).await?;
    let account = error.and_then(|error| money::exceeded(&plan, step, &error.code)).ok_or_else(|| {
        let text =
            "The step did not stop at a cap of its own flow, so there is none to raise here. Leave `max_cost` out.";
        ServiceError::field("/max_cost", text)
    })?;
    let wanted = (0.0..=MOST_DOLLARS).contains(&dollars).then(|| NanoUsd::from_dollars(dollars));
    let wanted = wanted.filter(|wanted| wanted.0 > account.cap.0).ok_or_else(|| {
        let text = format!("The new cap must be above {}, and at most {MOST_DOLLARS} US dollars.", account.cap);
        ServiceError::field("/max_cost", text)
    })?;
    Ok((account, wanted))
}

async fn needs_attention(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    name: &str,
    item: Option<u32>,
) -> Result<Option<Failure>, ServiceError> {
    let reader = weir.store().read(actor.tenant).await?;
    let shown = crate::text::column(name, 64);
    let steps = reader.find::<step::Entity>().filter(step::Column::RunId.eq(id.uuid()));
    let step = steps.filter(step::Column::Name.eq(shown.as_str())).one().await?;
    let step = step.ok_or_else(|| ServiceError::not_found("step", shown.clone()))?;
    let is_parked = |status: &str| status == StepStatus::NeedsAttention.as_str();
    let Some(number) = item else {
        if is_parked(&step.status) {
            return Ok(super::wait::failure(step.error.as_ref()));
        }
        let open = items_needing_attention(&reader, id, &shown).await?;
        if !open.is_empty() {
            let text = format!("Say with `item` which item of `{shown}` it is about. {}", which(&open));
            return Err(ServiceError::field("/item", text));
        }
        let text = format!("The step `{shown}` needs no attention: it is `{}`.", step.status);
        return Err(ServiceError::Conflict(text));
    };
    use entities::item;
    let items = reader.find::<item::Entity>().filter(item::Column::RunId.eq(id.uuid()));
    let items = items.filter(item::Column::Step.eq(shown.as_str()));
    let row = items.filter(item::Column::Item.eq(i32::try_from(number).unwrap_or(i32::MAX))).one().await?;
    if let Some(row) = row.as_ref().filter(|row| is_parked(&row.status)) {
        return Ok(super::wait::failure(row.error.as_ref()));
    }
    let open = items_needing_attention(&reader, id, &shown).await?;
    let others = if open.is_empty() { "No item of it does.".to_owned() } else { which(&open) };
    match row {
        Some(row) => Err(ServiceError::Conflict(format!(
            "Item {number} of `{shown}` needs no attention: it is `{}`. {others}",
            row.status
        ))),
        None if open.is_empty() && is_parked(&step.status) => {
            Err(ServiceError::field("/item", format!("The step `{shown}` has no items. Leave `item` out.")))
        }
        None => Err(ServiceError::field("/item", format!("`{shown}` has no item {number} that has begun. {others}"))),
    }
}

/// The items that wait, in words.
fn which(open: &[u32]) -> String {
    const SAID: usize = 20;
    let said: Vec<String> = open.iter().take(SAID).map(ToString::to_string).collect();
    let more = if open.len() > SAID { " and more" } else { "" };
    format!("Items that need a decision: {}{more}.", said.join(", "))
}

fn entry<'a>(row: &'a run::Model, action: &'static str, data: Value) -> Entry<'a> {
    Entry {
        action,
        target_kind: "run",
        target_id: Some(RunId::from_uuid(row.id).to_string()),
        target_name: &row.flow_name,
        data,
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("absent")]
    Absent,
    #[error("over")]
    Over(RunStatus),
    /// What the act is about changed meanwhile.
    #[error("{0}")]
    Changed(String),
}

impl Refused {
    pub(super) fn of(self, id: RunId) -> ServiceError {
        match self {
            Self::Store(error) => error.into(),
            Self::Absent => ServiceError::not_found("run", id),
            Self::Over(status) => ServiceError::Conflict(format!("The run is over already: it is `{status}`.")),
            Self::Changed(text) => ServiceError::Conflict(text),
        }
    }
}

/// Puts a letter into a run's inbox and sees to it that somebody reads it. Gives the status that the run had.
pub(super) async fn deliver(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    what: Outside,
    audit: Option<entities::audit::Model>,
) -> Result<RunStatus, ServiceError> {
    deliver_with(weir, actor, id, what, audit, None).await
}

/// The same, with a cap that is raised in the same unit.
async fn deliver_with(
    weir: &Weir,
    actor: &Actor,
    id: RunId,
    what: Outside,
    audit: Option<entities::audit::Model>,
    raised: Option<(Account, NanoUsd)>,
) -> Result<RunStatus, ServiceError> {
    let letter = inbox::row(weir, actor, id, &what);
    let (row, now) = (letter.clone(), weir.now());
    let kept = weir.store().write(actor.tenant, move |unit| async move {
        let status = put(&unit, id, row, &what, now).await?;
        if let Some((account, to)) = raised {
            money::raise(&unit, id.uuid(), account, to).await?;
        }
        if let Some(audit) = audit {
            unit.insert(audit).await?;
        }
        Ok(status)
    });
    let status = kept.await.map_err(|refused: Refused| refused.of(id))?;
    hand_over(weir, actor.tenant, id, &letter);
    Ok(status)
}

/// Within a unit: the letter, and the run made claimable where nobody executes it.
pub(super) async fn put(
    unit: &Unit,
    id: RunId,
    letter: entities::inbox::Model,
    what: &Outside,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<RunStatus, Refused> {
    use run::Column as C;
    let row = unit.find::<run::Entity>().filter(C::Id.eq(id.uuid())).for_update().one().await?;
    let row = row.ok_or(Refused::Absent)?;
    let status = RunStatus::parse(&row.status).unwrap_or(RunStatus::Running);
    if status.is_terminal() {
        return Err(Refused::Over(status));
    }
    unit.insert(letter).await?;
    let begun = row.event_position > 0;
    let kill = matches!(what, Outside::Kill { .. });
    // A run that has not begun has no use for a letter before its turn, except for its end.
    if row.lease_owner.is_none() && (begun || kill) {
        let mut update =
            unit.update::<run::Entity>().set(C::AvailableAt, now).set(C::Status, RunStatus::Queued.as_str());
        if kill {
            update = update.set(C::ParkedFor, None::<String>).set(C::Claims, 0);
        }
        update.filter(C::Id.eq(id.uuid())).exec().await?;
    }
    unit.announce(&super::listen::letter(row.tenant_id, row.id));
    Ok(status)
}

/// Tells whoever executes the run here, or wakes the worker.
pub(super) fn hand_over(weir: &Weir, tenant: TenantId, id: RunId, row: &entities::inbox::Model) {
    match weir.runs().find(id) {
        Some(local) => {
            if let Some(letter) = inbox::letter(row) {
                local.letters.put(letter);
            }
        }
        None => weir.runs().wake(),
    }
    weir.runs().bus().tell_tenant(tenant, id);
}
