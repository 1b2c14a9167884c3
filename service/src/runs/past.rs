//! Runs that are told to have happened: for seeding a demo's history.
//!
//! Invariant: the rows come out of the same journal as any run's; only the clock and the executors are the caller's.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use domain::{RunId, RunStatus};
use engine::ports::Clock;
use engine::{Outcome, Prepared, Registry};
use entities::JsonText;
use language::plan::Save;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::desk::LocalRun;
use super::execute;
use super::journal::RunJournal;
use super::{inputs, start, worker};
use crate::flows::Wanted;
use crate::{Actor, ServiceError, Weir};

/// A run of the past.
pub(crate) struct PastRun {
    pub(crate) flow: String,
    pub(crate) inputs: Value,
    /// Carries the time it was created at.
    pub(crate) id: RunId,
    pub(crate) trigger: &'static str,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) registry: Registry,
    pub(crate) clock: Arc<dyn Clock>,
    /// Moves the clock to where a suspended run goes on.
    pub(crate) wake: Box<dyn Fn(DateTime<Utc>) + Send + Sync>,
}

/// For how long nobody else may claim a run that is acted out.
const ALONE: std::time::Duration = std::time::Duration::from_secs(3_600);
/// How often a run of the past may be suspended.
const ACTS: usize = 100;

/// Acts a run out, from its start to its end.
///
/// # Errors
/// As [`super::start`]; faults of ours when the run does not come to an end.
pub(crate) async fn act_out(weir: &Weir, actor: &Actor, past: PastRun) -> Result<RunId, ServiceError> {
    let resolved = crate::flows::resolve(weir, actor.tenant, &past.flow, &Wanted::default()).await?;
    let body = past.inputs;
    let inputs = language::inputs::parse(&resolved.plan, body, &BTreeMap::new())
        .map_err(|fields| ServiceError::Invalid { detail: "The inputs do not fit.".to_owned(), fields })?;
    let crew = worker::crew(&worker::WorkerOptions::default());
    let mut row = start::new_row(weir, actor.tenant, &resolved);
    let created_at = past.clock.now();
    row.id = past.id.uuid();
    row.root_run_id = row.id;
    row.created_at = created_at;
    row.trigger_kind = past.trigger.to_owned();
    row.started_by = actor.name().to_owned();
    row.user_id = actor.user_id().map(domain::UserId::uuid);
    row.labels = JsonText::of(&past.labels);
    super::trace::keep(&mut row, None);
    inputs::keep(weir, actor.tenant, &mut row, &inputs).await?;
    // Nobody else may claim it while it is acted out.
    execute::lease(&mut row, &crew, weir.now() + chrono::Duration::hours(1));
    let prepared = Arc::new(Prepared::new(Arc::clone(&resolved.plan), &past.registry));
    let mut written = false;
    for _ in 0..ACTS {
        let history = execute::history(weir, actor.tenant, &row, written).await?;
        row.event_position = i64::try_from(history.len()).unwrap_or(i64::MAX);
        let local = Arc::new(LocalRun::new(actor.tenant, row.flow_name.clone(), &CancellationToken::new()));
        let journal = RunJournal::new(weir.clone(), Arc::clone(&local), &row, &resolved.plan, &history);
        let journal = Arc::new(if written { journal } else { journal.unwritten(Save::All, ALONE) });
        let mut surroundings = execute::surroundings(weir, &crew, &local, &journal, &Arc::new(row.clone()));
        surroundings.registry = past.registry.clone();
        surroundings.clock = Arc::clone(&past.clock);
        let run = execute::as_run(&row, &resolved.plan, inputs.clone(), resolved.default_model.clone());
        let control = local.control.clone();
        let outcome = engine::drive_prepared(run, Arc::clone(&prepared), history, surroundings, control).await;
        written = journal.is_written().await;
        match outcome.map_err(ServiceError::internal)? {
            Outcome::Settled(_) => return Ok(past.id),
            Outcome::Suspended { wake_at: Some(at), .. } => (past.wake)(at),
            Outcome::Suspended { wake_at: None, .. } => {
                super::leave::park_for_a_person(weir, &row, RunStatus::NeedsAttention).await;
                return Ok(past.id);
            }
            Outcome::Stopped => break,
        }
    }
    Err(ServiceError::internal("a run of the past did not come to an end"))
}
