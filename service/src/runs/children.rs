//! Runs of other flows, started by a step.
//!
//! Invariant: a child is found again by its key, never started twice; a parent that waits for a child that executes holds
//! its place, and its children take none, so that parents cannot starve their own children. A parent whose children rest
//! rests too, and the end of a child wakes it: child and parent see each other's last word under the parent's lock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use engine::Settled;
use engine::effects::Effects;
use engine::ports::{Child, ChildRequest, Children, PortError};
use entities::{Scope, StoreError, Unit, run};
use language::{Callee, Effect, Plan};
use sea_orm::{ColumnTrait, QuerySelect as _, prelude::Expr};
use serde_json::Value;
use tokio::sync::broadcast::error::RecvError;

use super::bus::Live;
use super::child_epochs::uncounted;
use super::claimed;
use super::desk::{Crew, LocalRun};
use super::execute::{self, Job};
use super::journal::RunJournal;
use super::ports::port_error;
use super::{inputs, start};
use crate::flows::{Resolved, Wanted};
use crate::{ServiceError, Weir};

/// How often a parent looks whether its child needs somebody to execute it.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The children of one run.
pub(super) struct RunChildren {
    pub(super) weir: Weir,
    pub(super) crew: Arc<Crew>,
    /// The parent here.
    pub(super) local: Arc<LocalRun>,
    pub(super) parent: Arc<run::Model>,
    pub(super) journal: Arc<RunJournal>,
}

#[async_trait]
impl Children for RunChildren {
    async fn start(&self, request: ChildRequest) -> Result<Child, Failure> {
        let depth = u32::try_from(self.parent.depth).unwrap_or_default() + 1;
        if depth >= engine::limits::CHILD_DEPTH {
            return Err(engine::limits::too_deep());
        }
        if let Some(child) = self.go_on(&request).await? {
            return Ok(child);
        }
        let tenant = self.tenant();
        let version = match (request.version, &request.channel) {
            (None, None) => super::tree::variant_of(&self.weir, &self.parent, &request.flow).await.map_err(ours)?,
            (version, _) => version,
        };
        let wanted = Wanted { version, channel: request.channel.clone(), position: Some(self.parent.channel_position) };
        let resolved = crate::flows::resolve(&self.weir, tenant, &request.flow, &wanted).await.map_err(unresolved)?;
        let effect = self.strictest(resolved.plan.clone()).await.map_err(ours)?;
        let inputs = read_inputs(&self.weir, tenant, &resolved, &request).await?;
        let mut row = start::new_row(&self.weir, tenant, &resolved);
        let parent = &self.parent;
        row.parent_run_id = Some(parent.id);
        // A step that waits for it; by this a kill of the parent finds what it has to end.
        row.parent_step = (!request.detached).then(|| request.parent_step.clone());
        row.start_key = Some(request.key.clone());
        row.root_run_id = parent.root_run_id;
        row.depth = parent.depth + 1;
        row.started_by.clone_from(&parent.flow_name);
        row.user_id = parent.user_id;
        row.api_key_id = parent.api_key_id;
        row.test = parent.test;
        row.labels = parent.labels.clone();
        row.experiment_id = parent.experiment_id;
        row.experiment.clone_from(&parent.experiment);
        row.variant.clone_from(&parent.variant);
        row.priority = parent.priority;
        row.request_id.clone_from(&parent.request_id);
        super::trace::keep(&mut row, Some(&request.trace));
        inputs::keep(&self.weir, tenant, &mut row, &inputs).await.map_err(ours)?;
        let limit = super::slots::limit_of(&resolved.plan, resolved.flow_id, &inputs)?;
        if let Some((key, most)) = limit {
            row.slot_key = Some(key);
            row.slot_limit = Some(most);
        }
        execute::lease(&mut row, &self.crew, self.weir.now());
        // The child's row points at the parent's.
        self.journal.ensure_written().await.map_err(|error| unwritten(&error))?;
        let entered = claimed::enter(&self.weir, &self.crew, &row);
        let (key, keep) = (request.key, row.clone());
        let room = self.weir.runs().room(RunId::from_uuid(row.root_run_id)).await;
        let counts = !room.take();
        let entry = self.weir.store().write(tenant, move |unit| async move { join(&unit, &key, keep, counts).await });
        match entry.await.map_err(ours::<StoreError>)? {
            Entry::New(None) => {}
            Entry::New(Some(left)) => room.seen(left),
            Entry::Before(run) => return Ok(Child { run, effect }),
            Entry::Full => return Err(engine::limits::too_large_a_tree()),
        }
        let run_id = RunId::from_uuid(row.id);
        self.weir.runs().bus().tell_tenant(tenant, run_id);
        let job = Job::new(&self.weir, row, &resolved, inputs);
        execute::spawn(&self.weir, &self.crew, job, entered, true, None);
        Ok(Child { run: run_id, effect })
    }

    async fn wait(&self, run: RunId) -> Result<Settled, PortError> {
        let mut live = self.weir.runs().bus().of_run(run);
        loop {
            let row = super::row(&self.weir, self.tenant(), run).await.map_err(port_error)?;
            if RunStatus::parse(&row.status).is_some_and(RunStatus::is_terminal) {
                let counted = row.counted.clone();
                let over = super::wait::of_row(&self.weir, row).await.map_err(port_error)?;
                return Ok(uncounted(over.settled, counted.as_ref()));
            }
            if row.available_at <= self.weir.now() && self.weir.runs().find(run).is_none() {
                self.take(run).await?;
            }
            let deadline = tokio::time::Instant::now() + LOOK_EVERY;
            loop {
                match tokio::time::timeout_at(deadline, live.recv()).await {
                    Ok(Ok(Live::Settled(over))) => return Ok(uncounted(over.settled.clone(), row.counted.as_ref())),
                    Ok(Ok(Live::Changed | Live::Abandoned) | Err(RecvError::Lagged(_) | RecvError::Closed))
                    | Err(_) => break,
                    Ok(Ok(Live::Events(_) | Live::Delta { .. } | Live::Progress { .. })) => {}
                }
            }
        }
    }

    async fn rests(&self, run: RunId) -> Result<RunStatus, PortError> {
        let mut live = self.weir.runs().bus().of_run(run);
        loop {
            let row = super::row(&self.weir, self.tenant(), run).await.map_err(port_error)?;
            if let Some(status) = rest_of(&row, self.weir.now()) {
                self.local.rests_behind(run);
                return Ok(status);
            }
            let deadline = tokio::time::Instant::now() + LOOK_EVERY;
            while let Ok(heard) = tokio::time::timeout_at(deadline, live.recv()).await {
                if matches!(heard, Ok(Live::Changed | Live::Abandoned) | Err(_)) {
                    break;
                }
            }
        }
    }

    async fn cancel(&self, run: RunId, reason: &str) -> Result<(), PortError> {
        match super::cancel::request(&self.weir, self.tenant(), run, reason.to_owned(), None).await {
            Ok(_) | Err(ServiceError::Conflict(_)) => Ok(()),
            Err(other) => Err(port_error(other)),
        }
    }

    async fn tree(&self, callees: &[language::Callee]) -> Result<Option<Value>, PortError> {
        super::tree::of(&self.weir, &self.parent, callees).await.map_err(port_error)
    }
}

impl RunChildren {
    pub(super) fn tenant(&self) -> TenantId {
        TenantId::from_uuid(self.parent.tenant_id)
    }

    /// What a flow does, with all that it calls by written names as they stand for this tree.
    pub(super) async fn strictest(&self, plan: Arc<Plan>) -> Result<Effect, ServiceError> {
        let (mut strictest, mut seen, mut open) = (Effect::Pure, BTreeSet::new(), vec![plan]);
        while let Some(plan) = open.pop() {
            let Effects { own, calls } = Effects::of(&plan, self.weir.registry());
            strictest = strictest.max(own);
            for callee in calls {
                if strictest == Effect::Unsafe || !seen.insert(callee.clone()) {
                    continue;
                }
                let Callee { flow, version, channel } = callee;
                let wanted = Wanted { version, channel, position: Some(self.parent.channel_position) };
                match crate::flows::resolve(&self.weir, self.tenant(), &flow, &wanted).await {
                    Ok(resolved) => open.push(resolved.plan),
                    // Whoever calls it finds that out.
                    Err(ServiceError::NotFound { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
        }
        Ok(strictest)
    }

    /// Claims a child that nobody executes, so that it does not wait for a place behind its own parent.
    async fn take(&self, run: RunId) -> Result<(), PortError> {
        let (owner, now) = (self.crew.owner.clone(), self.weir.now());
        let until = now + chrono::Duration::from_std(self.crew.lease).unwrap_or(chrono::Duration::seconds(15));
        let claimed = self.weir.store().write(self.tenant(), move |unit| async move {
            use run::Column as C;
            let claimable = sea_orm::Condition::all()
                .add(C::Id.eq(run.uuid()))
                .add(C::Status.is_in(["queued", "running", "waiting", "needs_attention"]))
                .add(C::AvailableAt.lte(now));
            let Some(row) = unit.find::<run::Entity>().filter(claimable.clone()).for_update().one().await? else {
                return Ok::<_, StoreError>(None);
            };
            let changed = unit
                .update::<run::Entity>()
                .set(C::Status, RunStatus::Running.as_str())
                .set(C::LeaseOwner, Some(owner.clone()))
                .set(C::LeaseUntil, Some(until))
                .set(C::AvailableAt, until)
                .set(C::FencingToken, row.fencing_token + 1)
                .set(C::Claims, row.claims + 1)
                .filter(claimable)
                .filter(C::FencingToken.eq(row.fencing_token))
                .exec()
                .await?;
            Ok((changed == 1).then(|| run::Model {
                status: RunStatus::Running.as_str().to_owned(),
                lease_owner: Some(owner),
                lease_until: Some(until),
                available_at: until,
                fencing_token: row.fencing_token + 1,
                claims: row.claims + 1,
                ..row
            }))
        });
        let claimed = claimed.await.map_err(|error| PortError::Unavailable(error.to_string()))?;
        if let Some(row) = claimed {
            let entered = claimed::enter_claimed(&self.weir, &self.crew, vec![row]);
            claimed::fetch_letters(&self.weir, &entered).await;
            for (row, entered) in entered {
                let (weir, crew) = (self.weir.clone(), Arc::clone(&self.crew));
                self.crew.tasks.spawn(claimed::execute_claimed(weir, crew, row, entered));
            }
        }
        Ok(())
    }
}

/// What became of a child that was to be written.
enum Entry {
    /// With the room that the tree has for others, where it was counted.
    New(Option<u64>),
    /// It was started under its key before.
    Before(RunId),
    /// The tree has as many runs as it may.
    Full,
}

async fn join(unit: &Unit, key: &str, row: run::Model, counts: bool) -> Result<Entry, StoreError> {
    use run::Column as C;
    if let Some(before) = unit.find::<run::Entity>().filter(C::StartKey.eq(key)).one().await? {
        return Ok(Entry::Before(RunId::from_uuid(before.id)));
    }
    let mut left = None;
    if counts {
        // By an index of children alone: nothing is written that all of a tree would wait for. Of several that count at
        // once each may be the last one.
        let others =
            unit.find::<run::Entity>().filter(C::RootRunId.eq(row.root_run_id)).filter(C::ParentRunId.is_not_null());
        let counted = others.with(|select| select.select_only().column_as(Expr::cust("COUNT(*)"), "runs"));
        let others = counted.tuples::<(i64,)>().await?.first().map_or(0, |(count,)| count.unsigned_abs());
        let room = engine::limits::TREE_RUNS.checked_sub(others + 1);
        if room.is_none() {
            return Ok(Entry::Full);
        }
        left = room;
    }
    unit.insert(row).await?;
    Ok(Entry::New(left))
}

/// What a run rests in that nobody executes and nothing wakes soon.
fn rest_of(row: &run::Model, now: chrono::DateTime<chrono::Utc>) -> Option<RunStatus> {
    if row.lease_owner.is_some() || row.available_at <= now {
        return None;
    }
    match RunStatus::parse(&row.status) {
        Some(status @ (RunStatus::Waiting | RunStatus::NeedsAttention)) => Some(status),
        // It waits behind a limit.
        Some(RunStatus::Queued) if row.parked_for.is_some() => Some(RunStatus::Waiting),
        _ => None,
    }
}

/// Whether one of these runs is over.
pub(super) async fn any_is_over(unit: &Unit, children: &[RunId]) -> Result<bool, StoreError> {
    if children.is_empty() {
        return Ok(false);
    }
    let ids = children.iter().map(|child| child.uuid());
    let over = unit.find::<run::Entity>().filter(run::Column::Id.is_in(ids)).filter(run::Column::EndedAt.is_not_null());
    Ok(over.one().await?.is_some())
}

/// The run that waits for this one, locked: before the child's own row, so that two of a tree never wait for each other.
pub(super) async fn lock_parent(unit: &Unit, child: &run::Model) -> Result<Option<run::Model>, StoreError> {
    let Some((parent, _)) = child.parent_run_id.zip(child.parent_step.as_ref()) else { return Ok(None) };
    unit.find::<run::Entity>().filter(run::Column::Id.eq(parent)).for_update().one().await
}

/// Lets a parent that rests go on, in the unit that ends its child.
pub(super) async fn wake_parent(
    unit: &Unit,
    parent: &run::Model,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(), StoreError> {
    use run::Column as C;
    let rests = matches!(parent.status.as_str(), "waiting" | "needs_attention") && parent.lease_owner.is_none();
    if !rests {
        return Ok(());
    }
    let wake = unit.update::<run::Entity>().set(C::Status, RunStatus::Queued.as_str()).set(C::AvailableAt, now);
    wake.filter(C::Id.eq(parent.id)).exec().await?;
    unit.announce(super::listen::QUEUED);
    Ok(())
}

async fn read_inputs(
    weir: &Weir,
    tenant: TenantId,
    resolved: &Resolved,
    request: &ChildRequest,
) -> Result<Value, Failure> {
    let mut body = request.inputs.clone();
    if let (true, Some(declared), Value::Object(fields)) = (request.narrow, &resolved.plan.inputs, &mut body) {
        fields.retain(|name, _| declared.iter().any(|input| input.name == *name));
    }
    inputs::known_files(weir, tenant, &mut body).await.map_err(|error| match error {
        ServiceError::Invalid { detail, .. } => Failure::new(FailureKind::Flow, "child_inputs", detail),
        other => ours(other),
    })?;
    language::inputs::parse(&resolved.plan, body, &std::collections::BTreeMap::new()).map_err(|problems| {
        let said: Vec<String> =
            problems.iter().map(|problem| format!("{}: {}", problem.pointer, problem.message)).collect();
        let message = format!("The inputs do not fit the flow `{}`: {}.", resolved.name, said.join("; "));
        Failure::new(FailureKind::Flow, "child_inputs", message)
    })
}

fn unresolved(error: ServiceError) -> Failure {
    match error {
        ServiceError::NotFound { .. } => Failure::new(FailureKind::Flow, "unknown_flow", error.to_string()),
        ServiceError::InvalidFlow { detail, .. } => Failure::new(FailureKind::Flow, "invalid_flow", detail),
        other => ours(other),
    }
}

/// A fault of ours while a child was started. Where the store was away, nobody knows whether the child is there: another
/// attempt would be another child, so this one is made again under its key.
pub(super) fn ours<E: Into<ServiceError>>(error: E) -> Failure {
    const MESSAGE: &str = "The child run could not be started.";
    match error.into() {
        ServiceError::Unavailable(_) => Failure::new(FailureKind::Internal, engine::STORAGE, MESSAGE),
        error => {
            tracing::error!(error = ?error, "a child run could not be started");
            Failure::new(FailureKind::Internal, "internal", MESSAGE).retryable(true)
        }
    }
}

fn unwritten(error: &PortError) -> Failure {
    ours(ServiceError::Unavailable(error.to_string()))
}
