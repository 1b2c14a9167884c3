//! Experiments between versions of one flow on its one URL: who takes part, what they get, what came of it.
//!
//! Invariant: at most one experiment of a flow takes traffic at a time; while it does, its variants do not change, so no
//! subject changes sides; a run that names a version or a channel is no part of any.

mod assign;
mod choose;
mod feedback;
mod guard;
mod put;
mod readout;
mod statistics;

pub use assign::Split;
pub(crate) use choose::choose;
pub use feedback::{feedback, feedback_of};
pub(crate) use guard::{Watch, settled};
pub use put::{delete, put};
pub use readout::{get, list};

use std::sync::Arc;

use domain::wire::{ExperimentState, ExperimentView, Guards, Variant};
use domain::{ExperimentId, TenantId};
use entities::{Scope, experiment};
use sea_orm::ColumnTrait;

use crate::ServiceError;

/// An experiment that takes traffic, as far as starting a run needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) id: ExperimentId,
    pub(crate) name: String,
    pub(crate) split: Split,
}

/// The flow's experiment that takes traffic now.
pub(crate) async fn running(scope: &impl Scope, flow: domain::FlowId) -> Result<Option<Arc<Running>>, ServiceError> {
    let rows = scope
        .find::<experiment::Entity>()
        .filter(experiment::Column::FlowId.eq(flow.uuid()))
        .filter(experiment::Column::State.eq(word(ExperimentState::Running)));
    Ok(rows
        .one()
        .await?
        .map(|row| Arc::new(Running { id: ExperimentId::from_uuid(row.id), split: split(&row), name: row.name })))
}

fn split(row: &experiment::Model) -> Split {
    Split {
        tenant: TenantId::from_uuid(row.tenant_id).to_string(),
        experiment: ExperimentId::from_uuid(row.id).to_string(),
        entry_salt: row.entry_salt.clone(),
        variant_salt: row.variant_salt.clone(),
        share_ppm: u32::try_from(row.share_ppm).unwrap_or_default(),
        variants: variants(row),
    }
}

fn variants(row: &experiment::Model) -> Vec<Variant> {
    row.variants.read().unwrap_or_default()
}

fn guards(row: &experiment::Model) -> Guards {
    row.guards.read().unwrap_or_default()
}

const fn word(state: ExperimentState) -> &'static str {
    match state {
        ExperimentState::Running => "running",
        ExperimentState::Paused => "paused",
        ExperimentState::RolledBack => "rolled_back",
    }
}

fn state(row: &experiment::Model) -> ExperimentState {
    match row.state.as_str() {
        "running" => ExperimentState::Running,
        "rolled_back" => ExperimentState::RolledBack,
        _ => ExperimentState::Paused,
    }
}

fn view(row: &experiment::Model) -> ExperimentView {
    ExperimentView {
        id: ExperimentId::from_uuid(row.id),
        name: row.name.clone(),
        state: state(row),
        share: f64::from(row.share_ppm) / f64::from(assign::WHOLE_PPM),
        variants: variants(row),
        control: row.control.clone(),
        guards: guards(row),
        entry_salt: row.entry_salt.clone(),
        variant_salt: row.variant_salt.clone(),
        note: row.note.clone(),
        started_at: row.started_at,
        created_by: row.created_by.clone(),
        created_at: row.created_at,
        updated_at: row.updated_at,
        readout: None,
    }
}

async fn find(scope: &impl Scope, flow: uuid::Uuid, name: &str) -> Result<experiment::Model, ServiceError> {
    let name_here = crate::text::column(name, 64);
    let rows = scope.find::<experiment::Entity>().filter(experiment::Column::FlowId.eq(flow));
    let row = rows.filter(experiment::Column::Name.eq(name_here.as_str())).one().await?;
    row.ok_or_else(|| ServiceError::not_found("experiment", name_here))
}

async fn find_by_id(scope: &impl Scope, id: ExperimentId) -> Result<Option<experiment::Model>, ServiceError> {
    Ok(scope.find::<experiment::Entity>().filter(experiment::Column::Id.eq(id.uuid())).one().await?)
}
