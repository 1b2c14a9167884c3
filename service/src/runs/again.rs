//! Doing runs again: restart (the same run, its next epoch) and replay (a new run from a step on).
//!
//! Invariant: a restart repeats nothing that succeeded; a replay takes over only what lies before its first step, is
//! settled, and has the same executor in the chosen version; approvals and signals are asked for again unless chosen.

use std::collections::BTreeSet;

use domain::{BlobId, Permission, RunId, RunStatus, StepStatus, VersionId};
use engine::Stored;
use engine::dispatcher::Reused;
use entities::{JsonText, Scope as _, StoreError, Unit, run, step};
use language::plan::{Phase, Target};
use language::{Catalogue, Plan};
use sea_orm::ColumnTrait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::acts::Refused;
use super::{admission, inputs, row as row_of_run, start};
use crate::audit::{self, Entry};
use crate::flows::Wanted;
use crate::{Actor, ServiceError, Weir, authz};

/// How a run is replayed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Replay {
    /// The first step that runs again, with everything that is not before it; all of them unless said.
    pub from_step: Option<String>,
    /// The version of the flow; the run's own unless said.
    pub version: Option<u32>,
    /// Other inputs than the run's.
    pub inputs: Option<Value>,
    /// Whether outgoing calls carry the keys of the run that is replayed.
    pub reuse_keys: bool,
    /// Whether what people and signals said stands.
    pub reuse_decisions: bool,
}

/// What a replay's row remembers, so that a worker that takes it up again takes the same over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) reuse_keys: bool,
    reused: Vec<KeptStep>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeptStep {
    step: String,
    status: StepStatus,
    output: Option<Stored>,
}

impl Kept {
    pub(super) fn reused(self, from: RunId) -> Vec<Reused> {
        let one = |kept: KeptStep| Reused { step: kept.step, status: kept.status, output: kept.output, from };
        self.reused.into_iter().map(one).collect()
    }
}

/// Lets a run that ended badly go on: what succeeded stays, the rest begins again in the run's next epoch. A run that
/// was left to a person because it kept killing its workers is tried again.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Conflict`] for a run that goes on, that
/// succeeded, that belongs to another one, or that would call a flow which is not there.
pub async fn restart(weir: &Weir, actor: &Actor, id: RunId) -> Result<RunStatus, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsStart)?;
    let known = row_of_run(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsStart, &known.flow_name)?;
    // One that was left to a person is tried again by itself: its parent waits for it and can not be restarted meanwhile.
    let left = known.status == RunStatus::NeedsAttention.as_str();
    // So is one that goes its own way: the restart of whoever started it does not reach it.
    let attached = known.parent_step.is_some();
    if let Some(parent) = known.parent_run_id.filter(|_| attached && !left) {
        let parent = RunId::from_uuid(parent);
        return Err(ServiceError::Conflict(format!("The run belongs to {parent}. Restart that one.")));
    }
    refuse_missing_callee(weir, actor, &known).await?;
    let entry = Entry {
        action: "run.restarted",
        target_kind: "run",
        target_id: Some(id.to_string()),
        target_name: &known.flow_name,
        data: json!({ "epoch": known.epoch + 1 }),
    };
    let (entry, now, by) = (audit::row(weir, actor, entry), weir.now(), actor.name().to_owned());
    let kept = weir.store().write(actor.tenant, move |unit| async move {
        use run::Column as C;
        let row = unit.find::<run::Entity>().filter(C::Id.eq(id.uuid())).for_update().one().await?;
        let row = row.ok_or(Refused::Absent)?;
        let status = RunStatus::parse(&row.status).unwrap_or(RunStatus::Running);
        let by = match status {
            RunStatus::Failed | RunStatus::TimedOut | RunStatus::Cancelled | RunStatus::Killed => Some(by),
            // Parked with nothing for a person to resolve.
            RunStatus::NeedsAttention if row.error.is_some() => None,
            RunStatus::NeedsAttention => {
                let text = "The run has a step that needs attention. Resolve that.";
                return Err(Refused::Changed(text.to_owned()));
            }
            RunStatus::Succeeded => {
                return Err(Refused::Changed("The run succeeded. Replay it, or run the flow anew.".to_owned()));
            }
            RunStatus::Queued | RunStatus::Running | RunStatus::Waiting => {
                return Err(Refused::Changed(format!("The run goes on: it is `{status}`.")));
            }
        };
        reopen(&unit, &row, by, now).await?;
        unit.insert(entry).await?;
        Ok::<_, Refused>(())
    });
    kept.await.map_err(|refused| refused.of(id))?;
    weir.runs().wake();
    weir.runs().bus().tell_tenant(actor.tenant, id);
    Ok(RunStatus::Queued)
}

/// A restart that would only fail again is not begun: its steps so far would be undone and repeated for nothing.
async fn refuse_missing_callee(weir: &Weir, actor: &Actor, row: &run::Model) -> Result<(), ServiceError> {
    if row.event_position == 0 {
        // It looks for itself before it begins.
        return Ok(());
    }
    let plan = crate::flows::plan(weir, actor.tenant, VersionId::from_uuid(row.version_id)).await?;
    let reader = weir.store().read(actor.tenant).await?;
    let steps = reader.find::<step::Entity>().filter(step::Column::RunId.eq(row.id));
    let steps = steps.all().await?;
    drop(reader);
    let again = |step: &step::Model| match StepStatus::parse(&step.status) {
        Some(StepStatus::Skipped) => {
            matches!(step.skip_reason.as_deref(), Some("upstream_failed" | "fail_fast" | "cancelled"))
        }
        // A failure that somebody took on stays; the run's own does not.
        Some(StepStatus::Failed | StepStatus::TimedOut) => row.failed_step.as_ref() == Some(&step.name),
        Some(status) => !status.is_success(),
        None => true,
    };
    let done: BTreeSet<String> = steps.into_iter().filter(|step| !again(step)).map(|step| step.name).collect();
    match super::unbegun::missing_call(weir, row, &plan, &done).await? {
        None => Ok(()),
        Some(call) => Err(ServiceError::Conflict(format!(
            "Step `{}` calls the flow `{}`, which was not there when the run was started, and a run goes on with what was. \
             Publish it and run the flow anew; nothing was begun again.",
            call.step.name, call.name
        ))),
    }
}

/// Puts a run that had ended, or was parked, back into the queue. `by`: who wants the next epoch of one that had ended.
pub(super) async fn reopen(
    unit: &Unit,
    row: &run::Model,
    by: Option<String>,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), StoreError> {
    use run::Column as C;
    let mut update = unit.update::<run::Entity>();
    if by.is_some() {
        update = update.set(C::RestartBy, by);
    }
    update
        .set(C::Status, RunStatus::Queued.as_str())
        .set(C::AvailableAt, now)
        .set(C::Claims, 0)
        .set(C::Error, None::<JsonText>)
        .set(C::CancelRequestedAt, None::<chrono::DateTime<chrono::Utc>>)
        .set(C::CancelReason, None::<String>)
        .set(C::EndedAt, None::<chrono::DateTime<chrono::Utc>>)
        .set(C::DurationMs, None::<i64>)
        .filter(C::Id.eq(row.id))
        .exec()
        .await?;
    unit.announce(super::listen::QUEUED);
    Ok(())
}

/// Runs a flow again as an earlier run ran it, from a step on.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`] for a step or inputs that do not
/// fit, [`ServiceError::Conflict`] for a run that goes on.
pub async fn replay(weir: &Weir, actor: &Actor, id: RunId, wish: Replay) -> Result<RunId, ServiceError> {
    // Much is held across its waits: it goes to the heap, so that no caller needs the stack for it.
    Box::pin(begin_replay(weir, actor, id, wish)).await
}

async fn begin_replay(weir: &Weir, actor: &Actor, id: RunId, wish: Replay) -> Result<RunId, ServiceError> {
    authz::check_somewhere(actor, Permission::RunsStart)?;
    let old = row_of_run(weir, actor.tenant, id).await?;
    authz::check_flow(actor, Permission::RunsStart, &old.flow_name)?;
    if !RunStatus::parse(&old.status).is_some_and(RunStatus::is_terminal) {
        return Err(ServiceError::Conflict("The run goes on. Wait for its end, or cancel it first.".to_owned()));
    }
    let number = wish.version.unwrap_or_else(|| u32::try_from(old.version_number).unwrap_or_default());
    let wanted = Wanted {
        version: Some(number),
        channel: None,
        position: wish.version.is_none().then_some(old.channel_position),
    };
    let resolved = crate::flows::resolve(weir, actor.tenant, &old.flow_name, &wanted).await?;
    let before = crate::flows::plan(weir, actor.tenant, VersionId::from_uuid(old.version_id)).await?;
    let body = match &wish.inputs {
        Some(inputs) => inputs.clone(),
        None => super::wait::value(weir, actor.tenant, old.inputs.clone(), old.inputs_blob).await?.unwrap_or_default(),
    };
    let inputs = inputs::parsed_inputs(weir, actor.tenant, &resolved, body).await?;
    let reader = weir.store().read(actor.tenant).await?;
    let steps = reader.find::<step::Entity>().filter(step::Column::RunId.eq(old.id)).all().await?;
    drop(reader);
    let reused = reused(weir.catalogue(), (&resolved.plan, &before), &steps, &wish)?;
    let taken: Vec<String> = reused.iter().map(|step| step.step.clone()).collect();
    let mut row = start::new_row(weir, actor.tenant, &resolved);
    row.trigger_kind = "replay".to_owned();
    row.started_by = actor.name().to_owned();
    row.user_id = actor.user_id().map(domain::UserId::uuid);
    row.api_key_id = actor.api_key_id().map(domain::ApiKeyId::uuid);
    row.address.clone_from(&actor.address);
    row.request_id.clone_from(&actor.request_id);
    super::trace::keep(&mut row, actor.trace.as_ref());
    row.test = actor.test || old.test;
    row.labels = old.labels.clone();
    row.priority = old.priority;
    row.replay_of = Some(old.id);
    row.replay = Some(JsonText::of(&Kept { reuse_keys: wish.reuse_keys, reused }));
    let entry = Entry {
        action: "run.replayed",
        target_kind: "run",
        target_id: Some(id.to_string()),
        target_name: &old.flow_name,
        data: json!({
            "new_run": RunId::from_uuid(row.id).to_string(), "from_step": wish.from_step, "version": number,
            "reuse_keys": wish.reuse_keys, "reused": taken,
        }),
    };
    let entry = audit::row(weir, actor, entry);
    admission::queue(weir, actor.tenant, row, &resolved, inputs, entry).await
}

/// The steps whose outcome stands: those before the first one to run again, all of whose own predecessors stand too.
fn reused(
    catalogue: &Catalogue,
    (plan, before): (&Plan, &Plan),
    steps: &[step::Model],
    wish: &Replay,
) -> Result<Vec<KeptStep>, ServiceError> {
    let Some(from) = &wish.from_step else { return Ok(Vec::new()) };
    let Some(first) = plan.steps.iter().position(|step| step.name == *from && step.phase == Phase::Main) else {
        let known: Vec<&str> =
            plan.steps.iter().filter(|step| step.phase == Phase::Main).map(|step| step.name.as_str()).collect();
        let text = format!("The version has no step `{from}`. It has: {}.", known.join(", "));
        return Err(ServiceError::field("/from_step", text));
    };
    let mut upstream = BTreeSet::new();
    let mut open = vec![first];
    while let Some(index) = open.pop() {
        for step in predecessors(plan, index) {
            if upstream.insert(step) {
                open.push(step);
            }
        }
    }
    let mut kept: BTreeSet<usize> = BTreeSet::new();
    let mut out = Vec::new();
    // Upstream steps in an order in which each comes behind its own predecessors.
    let mut waiting: Vec<usize> = upstream.iter().copied().collect();
    while let Some(place) =
        waiting.iter().position(|index| predecessors(plan, *index).iter().all(|step| !waiting.contains(step)))
    {
        let index = waiting.remove(place);
        if !predecessors(plan, index).iter().all(|step| kept.contains(step)) {
            continue;
        }
        let planned = &plan.steps[index];
        let same = before.steps.iter().any(|old| old.name == planned.name && old.executor == planned.executor);
        let asks = catalogue.get(&planned.executor).is_some_and(|spec| spec.control.is_some());
        let row = steps.iter().find(|row| row.name == planned.name);
        let status = row.and_then(|row| StepStatus::parse(&row.status));
        let stands = matches!(status, Some(StepStatus::Succeeded | StepStatus::Cached | StepStatus::Skipped));
        if let (true, true, Some(row), Some(status)) = (same && stands, !asks || wish.reuse_decisions, row, status) {
            kept.insert(index);
            out.push(KeptStep { step: planned.name.clone(), status, output: stored(row) });
        }
    }
    Ok(out)
}

fn predecessors(plan: &Plan, index: usize) -> Vec<usize> {
    let members = |target: Target| match target {
        Target::Step(step) => vec![step],
        Target::Group(group) => plan.groups.get(group).map(|group| group.members.clone()).unwrap_or_default(),
    };
    plan.steps[index].needs.iter().flat_map(|need| members(need.target)).collect()
}

fn stored(row: &step::Model) -> Option<Stored> {
    match (&row.output, row.output_blob) {
        (Some(output), _) => Some(Stored::Inline(output.0.clone())),
        // Its size is only told to watchers.
        (None, Some(blob)) => Some(Stored::Blob { blob: BlobId::from_uuid(blob).to_string(), size_bytes: 0 }),
        (None, None) => None,
    }
}
