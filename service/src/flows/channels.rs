//! Channels: names that point at versions, moved one step at a time in the tenant's one history.
//!
//! Invariant: a move is one new entry of the history, never a change of an old one, and is audited in the same unit.

use std::collections::BTreeMap;

use domain::wire::{ChannelView, Page};
use domain::{FlowId, Permission};
use entities::{Scope, Unit, channel, flow, version};
use sea_orm::ColumnTrait;
use serde_json::json;

use super::{STABLE, plans, publish};
use crate::audit::{self, Entry};
use crate::{Actor, Paging, ServiceError, Weir, authz};

/// A flow's channels, by name.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn channels(weir: &Weir, actor: &Actor, flow: &str) -> Result<Vec<ChannelView>, ServiceError> {
    authz::check_flow(actor, Permission::FlowsRead, flow)?;
    let reader = weir.store().read(actor.tenant).await?;
    let row = plans::find(&reader, flow).await?;
    views(&reader, &row).await
}

/// A page of them.
///
/// # Errors
/// As [`channels`], and [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn channels_page(
    weir: &Weir,
    actor: &Actor,
    flow: &str,
    paging: &Paging,
) -> Result<Page<ChannelView>, ServiceError> {
    let behind = paging.behind(crate::paging::name)?;
    let mut all = channels(weir, actor, flow).await?;
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all.retain(|view| behind.as_ref().is_none_or(|behind| view.name > *behind));
    Ok(paging.page(all, |view| view.name.clone(), Some))
}

/// One channel.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`].
pub async fn channel(weir: &Weir, actor: &Actor, flow: &str, name: &str) -> Result<ChannelView, ServiceError> {
    let found = channels(weir, actor, flow).await?.into_iter().find(|view| view.name == name);
    found.ok_or_else(|| ServiceError::not_found("channel", crate::text::column(name, 64)))
}

/// Moves a channel to a version; makes it where there is none of this name. The flag says whether it was made.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Invalid`] for a version that is not there.
pub async fn move_channel(
    weir: &Weir,
    actor: &Actor,
    flow: &str,
    name: &str,
    number: u32,
) -> Result<(ChannelView, bool), ServiceError> {
    authz::check_flow(actor, Permission::FlowsWrite, flow)?;
    check_name(name)?;
    let (weir2, actor2, flow, name) = (weir.clone(), actor.clone(), flow.to_owned(), name.to_owned());
    let moved = weir
        .store()
        .write(actor.tenant, move |unit| async move {
            let row = plans::find(&unit, &flow).await?;
            let number = i32::try_from(number).unwrap_or(i32::MAX);
            let versions = unit.find::<version::Entity>().filter(version::Column::FlowId.eq(row.id));
            let version = versions.filter(version::Column::Number.eq(number)).one().await?;
            let version = version.ok_or_else(|| {
                ServiceError::field("/version", format!("The flow `{flow}` has no version {number}."))
            })?;
            let before = plans::channels(&unit, &row).await?.get(&name).copied();
            if before != Some(version.number) {
                let moved = entry(&weir2, &unit, &actor2, &row, &name, Some(version.number)).await?;
                unit.insert(moved).await?;
                let said = json!({ "channel": name, "from": before, "to": version.number });
                audit::write(&unit, audit::row(&weir2, &actor2, audit_entry("channel.moved", &row, said))).await?;
            }
            let view = views(&unit, &row).await?.into_iter().find(|view| view.name == name);
            Ok::<_, ServiceError>((view, before.is_none()))
        })
        .await;
    weir.plans().changed();
    let (view, made) = moved?;
    Ok((view.ok_or_else(|| ServiceError::internal("a channel that was moved is not there"))?, made))
}

/// Takes a channel away. `stable` goes only with its flow.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], [`ServiceError::Conflict`] for `stable`.
pub async fn remove_channel(weir: &Weir, actor: &Actor, flow: &str, name: &str) -> Result<(), ServiceError> {
    authz::check_flow(actor, Permission::FlowsWrite, flow)?;
    let (weir2, actor2, flow, name) = (weir.clone(), actor.clone(), flow.to_owned(), name.to_owned());
    let removed = weir
        .store()
        .write(actor.tenant, move |unit| async move {
            let row = plans::find(&unit, &flow).await?;
            let Some(before) = plans::channels(&unit, &row).await?.get(&name).copied() else {
                return Err(ServiceError::not_found("channel", crate::text::column(&name, 64)));
            };
            if name == STABLE {
                return Err(ServiceError::Conflict(
                    "A flow's `stable` goes with the flow. Move it to another version, or delete the flow.".to_owned(),
                ));
            }
            let removed = entry(&weir2, &unit, &actor2, &row, &name, None).await?;
            unit.insert(removed).await?;
            let said = json!({ "channel": name, "from": before });
            audit::write(&unit, audit::row(&weir2, &actor2, audit_entry("channel.removed", &row, said))).await?;
            Ok(())
        })
        .await;
    weir.plans().changed();
    removed
}

/// A channel's name: like a flow's.
pub(super) fn check_name(name: &str) -> Result<(), ServiceError> {
    if language::is_flow_name(name) {
        return Ok(());
    }
    Err(ServiceError::field(
        "/channel",
        "A channel's name has 1 to 64 lower-case letters, digits, `_` and `-`, and starts with a letter or digit.",
    ))
}

/// The next entry of the history.
pub(super) async fn entry(
    weir: &Weir,
    unit: &Unit,
    actor: &Actor,
    flow: &flow::Model,
    name: &str,
    number: Option<i32>,
) -> Result<channel::Model, ServiceError> {
    Ok(channel::Model {
        tenant_id: flow.tenant_id,
        position: publish::next_position(unit).await?,
        flow_id: flow.id,
        name: name.to_owned(),
        number,
        created_by: actor.name().to_owned(),
        created_at: weir.now(),
    })
}

fn audit_entry<'a>(action: &'static str, flow: &'a flow::Model, data: serde_json::Value) -> Entry<'a> {
    Entry {
        action,
        target_kind: "flow",
        target_id: Some(FlowId::from_uuid(flow.id).to_string()),
        target_name: &flow.name,
        data,
    }
}

/// The newest entry of each channel that points somewhere.
async fn views(scope: &impl Scope, flow: &flow::Model) -> Result<Vec<ChannelView>, ServiceError> {
    let moves = scope.find::<channel::Entity>().filter(channel::Column::FlowId.eq(flow.id));
    let newest: BTreeMap<String, channel::Model> = moves
        .order_by_asc(channel::Column::Position)
        .all()
        .await?
        .into_iter()
        .map(|row| (row.name.clone(), row))
        .collect();
    let view = |row: channel::Model| {
        Some(ChannelView {
            version: u32::try_from(row.number?).ok()?,
            name: row.name,
            position: row.position,
            moved_at: row.created_at,
            moved_by: row.created_by,
        })
    };
    Ok(newest.into_values().filter_map(view).collect())
}
