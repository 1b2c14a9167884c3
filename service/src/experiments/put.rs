//! Making, changing, pausing and removing an experiment.
//!
//! Invariant: what decides over a subject's variant never changes while the experiment takes traffic; a change of it
//! begins anew, with new salts and a new start.

use domain::wire::{ExperimentInput, ExperimentState, ExperimentView};
use domain::{ExperimentId, FlowId, Permission};
use entities::{JsonText, Scope as _, Unit, experiment, flow, version};
use sea_orm::ColumnTrait;
use serde_json::json;

use super::assign::WHOLE_PPM;
use super::{find, view, word};
use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir, authz};

const VARIANTS: usize = 10;
const WEIGHT: u32 = 10_000;

/// Makes or changes an experiment. The flag says whether it was made.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`], [`ServiceError::Conflict`] while
/// another one takes the flow's traffic, or when the variants of a running one would change.
pub async fn put(
    weir: &Weir,
    actor: &Actor,
    flow: &str,
    name: &str,
    input: ExperimentInput,
) -> Result<(ExperimentView, bool), ServiceError> {
    authz::check_flow(actor, Permission::FlowsWrite, flow)?;
    let control = check(name, &input)?;
    let (weir2, actor2, flow, name) = (weir.clone(), actor.clone(), flow.to_owned(), name.to_owned());
    let kept = weir
        .store()
        .write(actor.tenant, move |unit| async move {
            let flow_row = locked_flow(&unit, &flow).await?;
            known_versions(&unit, &flow_row, &input).await?;
            if input.state == ExperimentState::Running {
                refuse_second(&unit, &flow_row, &name).await?;
            }
            let before = match find(&unit, flow_row.id, &name).await {
                Ok(row) => Some(row),
                Err(ServiceError::NotFound { .. }) => None,
                Err(other) => return Err(other),
            };
            let row = row(&weir2, &actor2, &flow_row, &name, &control, &input, before.as_ref())?;
            let made = before.is_none();
            if !made {
                unit.delete::<experiment::Entity>().filter(experiment::Column::Id.eq(row.id)).exec().await?;
            }
            unit.insert(row.clone()).await?;
            let entry = Entry {
                action: if made { "experiment.created" } else { "experiment.changed" },
                target_kind: "experiment",
                target_id: Some(ExperimentId::from_uuid(row.id).to_string()),
                target_name: &name,
                data: json!({ "flow": flow, "state": row.state, "share": input.share, "variants": input.variants }),
            };
            audit::write(&unit, audit::row(&weir2, &actor2, entry)).await?;
            Ok::<_, ServiceError>((view(&row), made))
        })
        .await;
    weir.plans().changed();
    kept
}

/// Removes an experiment. Its runs keep their variants.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn delete(weir: &Weir, actor: &Actor, flow: &str, name: &str) -> Result<(), ServiceError> {
    authz::check_flow(actor, Permission::FlowsWrite, flow)?;
    let (weir2, actor2, flow, name) = (weir.clone(), actor.clone(), flow.to_owned(), name.to_owned());
    let gone = weir
        .store()
        .write(actor.tenant, move |unit| async move {
            let flow_row = crate::flows::find(&unit, &flow).await?;
            let row = find(&unit, flow_row.id, &name).await?;
            unit.delete::<experiment::Entity>().filter(experiment::Column::Id.eq(row.id)).exec().await?;
            let entry = Entry {
                action: "experiment.deleted",
                target_kind: "experiment",
                target_id: Some(ExperimentId::from_uuid(row.id).to_string()),
                target_name: &name,
                data: json!({ "flow": flow }),
            };
            audit::write(&unit, audit::row(&weir2, &actor2, entry)).await?;
            Ok::<_, ServiceError>(())
        })
        .await;
    weir.plans().changed();
    gone
}

/// Gives the control's name.
fn check(name: &str, input: &ExperimentInput) -> Result<String, ServiceError> {
    if !language::is_flow_name(name) {
        let text = "An experiment's name has 1 to 64 lower-case letters, digits, `_` and `-`, and starts with a letter or digit.";
        return Err(ServiceError::field("/experiment", text));
    }
    if !(0.0..=1.0).contains(&input.share) {
        return Err(ServiceError::field("/share", "The share of the traffic is a number from 0 to 1."));
    }
    if !(2..=VARIANTS).contains(&input.variants.len()) {
        return Err(ServiceError::field("/variants", format!("An experiment has 2 to {VARIANTS} variants.")));
    }
    for (index, variant) in input.variants.iter().enumerate() {
        let at = |field: &str| format!("/variants/{index}/{field}");
        if !language::is_flow_name(&variant.name) {
            return Err(ServiceError::field(at("name"), "A variant's name is written like a flow's."));
        }
        if input.variants[..index].iter().any(|other| other.name == variant.name) {
            return Err(ServiceError::field(at("name"), format!("There are two variants `{}`.", variant.name)));
        }
        if !(1..=WEIGHT).contains(&variant.weight) {
            return Err(ServiceError::field(at("weight"), format!("A weight is a whole number from 1 to {WEIGHT}.")));
        }
    }
    let guards = [
        ("max_error_rate_increase", input.guards.max_error_rate_increase, 0.0),
        ("max_p95_ratio", input.guards.max_p95_ratio, 1.0),
        ("max_cost_ratio", input.guards.max_cost_ratio, 1.0),
    ];
    for (field, value, least) in guards {
        if value.is_some_and(|value| !value.is_finite() || value < least) {
            return Err(ServiceError::field(format!("/guards/{field}"), format!("This is a number from {least} up.")));
        }
    }
    if input.state == ExperimentState::RolledBack {
        return Err(ServiceError::field("/state", "An experiment is rolled back by its guards; pause it instead."));
    }
    let first = input.variants.first().map(|variant| variant.name.clone()).unwrap_or_default();
    let control = input.control.clone().unwrap_or(first);
    if !input.variants.iter().any(|variant| variant.name == control) {
        return Err(ServiceError::field("/control", format!("There is no variant `{control}`.")));
    }
    Ok(control)
}

/// The flow's row, locked: two calls at a time cannot both start an experiment.
async fn locked_flow(unit: &Unit, name: &str) -> Result<flow::Model, ServiceError> {
    let known = crate::flows::find(unit, name).await?;
    let row = unit.find::<flow::Entity>().filter(flow::Column::Id.eq(known.id)).for_update().one().await?;
    row.ok_or_else(|| ServiceError::not_found("flow", name))
}

async fn known_versions(unit: &Unit, flow: &flow::Model, input: &ExperimentInput) -> Result<(), ServiceError> {
    for (index, variant) in input.variants.iter().enumerate() {
        let number = i32::try_from(variant.version).unwrap_or(i32::MAX);
        let versions = unit.find::<version::Entity>().filter(version::Column::FlowId.eq(flow.id));
        if versions.filter(version::Column::Number.eq(number)).one().await?.is_none() {
            let text = format!("The flow `{}` has no version {}.", flow.name, variant.version);
            return Err(ServiceError::field(format!("/variants/{index}/version"), text));
        }
    }
    Ok(())
}

async fn refuse_second(unit: &Unit, flow: &flow::Model, name: &str) -> Result<(), ServiceError> {
    match super::running(unit, FlowId::from_uuid(flow.id)).await? {
        Some(other) if other.name != name => Err(ServiceError::Conflict(format!(
            "The experiment `{}` takes this flow's traffic. Pause it or delete it first.",
            other.name
        ))),
        _ => Ok(()),
    }
}

fn row(
    weir: &Weir,
    actor: &Actor,
    flow: &flow::Model,
    name: &str,
    control: &str,
    input: &ExperimentInput,
    before: Option<&experiment::Model>,
) -> Result<experiment::Model, ServiceError> {
    let now = weir.now();
    let anew = before.is_none_or(|row| super::variants(row) != input.variants || row.control != control);
    let was = before.map(super::state);
    if anew && was == Some(ExperimentState::Running) {
        return Err(ServiceError::Conflict(
            "The variants of an experiment that takes traffic do not change: subjects would change sides. Pause it first."
                .to_owned(),
        ));
    }
    // What was rolled back would be at once again, if its old runs counted.
    let counts_anew = anew || (was == Some(ExperimentState::RolledBack) && input.state == ExperimentState::Running);
    let keep = before.filter(|_| !anew);
    Ok(experiment::Model {
        tenant_id: flow.tenant_id,
        id: before.map_or_else(|| weir.ids().experiment().uuid(), |row| row.id),
        flow_id: flow.id,
        name: name.to_owned(),
        state: word(input.state).to_owned(),
        share_ppm: ppm(input.share),
        entry_salt: keep.map_or_else(salt, |row| row.entry_salt.clone()),
        variant_salt: keep.map_or_else(salt, |row| row.variant_salt.clone()),
        variants: JsonText::of(&input.variants),
        control: control.to_owned(),
        guards: JsonText::of(&input.guards),
        note: before.filter(|_| !counts_anew).and_then(|row| row.note.clone()),
        started_at: before.filter(|_| !counts_anew).map_or(now, |row| row.started_at),
        created_by: before.map_or_else(|| actor.name().to_owned(), |row| row.created_by.clone()),
        created_at: before.map_or(now, |row| row.created_at),
        updated_at: now,
    })
}

#[expect(clippy::cast_possible_truncation, reason = "0 to 1, checked")]
fn ppm(share: f64) -> i32 {
    (share * f64::from(WHOLE_PPM)).round() as i32
}

fn salt() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}
