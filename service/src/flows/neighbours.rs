//! What a flow builds on and calls: the tenant's other flows, as they are published when it is saved.
//!
//! Invariant: a version holds what it extends and imports, so that nothing changes under it; what is sent in their place
//! is never believed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::Permission;
use entities::{Scope as _, connection, secret, tenant, version};
use language::{Folder, Pinned, Plan, Problem, Tenancy};
use sea_orm::ColumnTrait;

use super::{STABLE, Wanted, plans};
use crate::{Actor, ServiceError, Weir, authz};

/// The folder with the flows that it extends and imports. What is not there, or not to be read, is left to the checker.
///
/// # Errors
/// Only a store that does not answer.
pub(super) async fn with_neighbours(weir: &Weir, actor: &Actor, mut folder: Folder) -> Result<Folder, ServiceError> {
    folder.files = folder.own_files();
    let mut tried = BTreeSet::new();
    while tried.len() < language::limits::NEIGHBOURS {
        // However many a file names, no more are looked up than a flow may have.
        let left = language::limits::NEIGHBOURS - tried.len();
        let missing: Vec<String> = folder.missing_neighbours().difference(&tried).take(left).cloned().collect();
        if missing.is_empty() {
            break;
        }
        for name in missing {
            if let Some(neighbour) = published(weir, actor, &name).await? {
                folder.take_in(neighbour, &name);
            }
            tried.insert(name);
        }
    }
    Ok(folder)
}

async fn published(weir: &Weir, actor: &Actor, name: &str) -> Result<Option<Folder>, ServiceError> {
    if authz::check_flow(actor, Permission::FlowsRead, name).is_err() {
        return Ok(None);
    }
    let reader = weir.store().read(actor.tenant).await?;
    let flow = match plans::find(&reader, name).await {
        Ok(flow) => flow,
        Err(ServiceError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(number) = plans::channels(&reader, &flow).await?.get(STABLE).copied() else { return Ok(None) };
    let versions = reader.find::<version::Entity>().filter(version::Column::FlowId.eq(flow.id));
    let row = versions.filter(version::Column::Number.eq(number)).one().await?;
    Ok(row.map(|row| plans::folder_of(name, &row.yaml, &row.files)))
}

/// What is wrong with the calls of a flow to others, as those are published now.
///
/// # Errors
/// Only a store that does not answer.
pub(crate) async fn check_calls(
    weir: &Weir,
    actor: &Actor,
    folder: &Folder,
    (name, plan): (&str, &Plan),
) -> Result<Vec<Problem>, ServiceError> {
    let mut known: BTreeMap<String, Arc<Plan>> = BTreeMap::new();
    let pinned = pinned(weir, actor, plan).await?;
    let all = std::iter::once(plan).chain(pinned.values().flatten().map(AsRef::as_ref));
    let mut wanted: BTreeSet<String> = all.flat_map(language::calls).map(|call| call.name.to_owned()).collect();
    let mut tried = BTreeSet::from([name.to_owned()]);
    // Lines of calls are refused long before this many steps.
    for _ in 0..=language::limits::DEPTH {
        for callee in std::mem::take(&mut wanted) {
            if !tried.insert(callee.clone()) || authz::check_flow(actor, Permission::FlowsRead, &callee).is_err() {
                continue;
            }
            match plans::resolve(weir, actor.tenant, &callee, &Wanted::default()).await {
                Ok(resolved) => {
                    wanted.extend(language::calls(&resolved.plan).iter().map(|call| call.name.to_owned()));
                    known.insert(callee, resolved.plan);
                }
                // A flow that no longer checks is a problem of its own.
                Err(ServiceError::NotFound { .. } | ServiceError::InvalidFlow { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(language::check_calls(folder, (name, plan), &known, &pinned))
}

/// What a flow's file names that the tenant does not have, as far as the actor may know.
///
/// # Errors
/// Only a store that does not answer.
pub(crate) async fn check_references(
    weir: &Weir,
    actor: &Actor,
    folder: &Folder,
) -> Result<Vec<Problem>, ServiceError> {
    let may = |permission| authz::check(actor, permission).is_ok();
    let reader = weir.store().read(actor.tenant).await?;
    let mut tenancy = Tenancy::default();
    if may(Permission::SecretsRead) {
        let rows = reader.find::<secret::Entity>().all().await?;
        tenancy.secrets = Some(rows.into_iter().map(|row| row.name).collect());
    }
    if may(Permission::ConnectionsRead) {
        let rows = reader.find::<connection::Entity>().all().await?;
        tenancy.connections = Some(rows.into_iter().map(|row| row.name).collect());
    }
    if let Some(row) = reader.find::<tenant::Entity>().one().await? {
        let pools: BTreeMap<String, i32> = row.pools.and_then(|pools| pools.read().ok()).unwrap_or_default();
        tenancy.pools = Some(pools.into_keys().collect());
    }
    Ok(language::check_references(folder, &tenancy))
}

/// What the calls of a written version or channel mean, of flows that the actor may know of.
async fn pinned(weir: &Weir, actor: &Actor, plan: &Plan) -> Result<Pinned, ServiceError> {
    let mut pinned = Pinned::new();
    for (index, call) in language::calls(plan).into_iter().enumerate() {
        let is_pinned = call.version.is_some() || call.channel.is_some();
        if !is_pinned || authz::check_flow(actor, Permission::FlowsRead, call.name).is_err() {
            continue;
        }
        let version = call.version.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        let wanted = Wanted { version, channel: call.channel.map(str::to_owned), position: None };
        match plans::resolve(weir, actor.tenant, call.name, &wanted).await {
            Ok(resolved) => {
                pinned.insert(index, Some(resolved.plan));
            }
            Err(ServiceError::NotFound { what: "flow", .. } | ServiceError::InvalidFlow { .. }) => {}
            Err(ServiceError::NotFound { .. }) => {
                pinned.insert(index, None);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(pinned)
}
