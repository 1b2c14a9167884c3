//! One flow, whole, and its versions.

use std::collections::BTreeMap;

use domain::Permission;
use domain::wire::{FlowDetail, Page, VersionDetail, VersionSummary};
use entities::{JsonText, Reader, Scope as _, flow, version};
use language::Folder;
use sea_orm::ColumnTrait;

use super::{STABLE, check, list, plans};
use crate::{Actor, Paging, ServiceError, Weir, authz};

/// What is published, or the draft of a flow that never was; with the hash of the published version for `ETag`.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn get(weir: &Weir, actor: &Actor, name: &str) -> Result<(FlowDetail, Option<String>), ServiceError> {
    authz::check_flow(actor, Permission::FlowsRead, name)?;
    let reader = weir.store().read(actor.tenant).await?;
    let row = plans::find(&reader, name).await?;
    let summary = list::summary(weir, &reader, &row).await?;
    let published = published(&reader, &row).await?;
    drop(reader);
    let empty = JsonText(serde_json::json!({}));
    let (yaml, files) = match (&published, &row.draft_yaml) {
        (Some(version), _) => (version.yaml.clone(), version.files.clone()),
        (None, Some(draft)) => (draft.clone(), row.draft_files.clone().unwrap_or(empty)),
        (None, None) => (String::new(), empty),
    };
    let compiled = language::compile(&plans::folder_of(name, &yaml, &files), weir.catalogue());
    // The draft's own problems where there is a draft beside what is published: that is what wants repair.
    let problems = match (&published, &row.draft_problems) {
        (Some(_), Some(draft)) => draft.read().unwrap_or_default(),
        _ => compiled.problems,
    };
    let (nodes, edges) = compiled.plan.as_ref().map(language::graph).unwrap_or_default();
    let texts = plans::folder_of(name, &yaml, &files).own_files();
    let object = || serde_json::json!({ "type": "object" });
    Ok((
        FlowDetail {
            summary,
            yaml,
            input_schema: compiled.plan.as_ref().map_or_else(object, |plan| plan.input_schema.clone()),
            output_schema: compiled
                .plan
                .as_ref()
                .map_or_else(|| serde_json::json!({}), |plan| plan.output_schema.clone()),
            files: own_sizes(&texts),
            nodes,
            edges,
            report: check::report(&problems),
        },
        published.map(|version| version.hash),
    ))
}

/// The flow's folder as its author wrote it, of what is published (or the draft of a flow that never was) or of one
/// version; with the version's hash for `ETag`.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn source(
    weir: &Weir,
    actor: &Actor,
    name: &str,
    number: Option<u32>,
) -> Result<(Folder, Option<String>), ServiceError> {
    let (yaml, files, hash) = match number {
        Some(number) => {
            let version = version(weir, actor, name, number).await?;
            (version.yaml, JsonText::of(&version.files), Some(version.hash))
        }
        None => {
            authz::check_flow(actor, Permission::FlowsRead, name)?;
            let reader = weir.store().read(actor.tenant).await?;
            let row = plans::find(&reader, name).await?;
            match published(&reader, &row).await? {
                Some(version) => (version.yaml, version.files, Some(version.hash)),
                None => (row.draft_yaml.unwrap_or_default(), row.draft_files.unwrap_or_default(), None),
            }
        }
    };
    let mut folder = plans::folder_of(name, &yaml, &files);
    folder.files = folder.own_files();
    Ok((folder, hash))
}

/// What of the folder the author wrote; a version also holds what it builds on.
fn own_sizes(texts: &BTreeMap<String, String>) -> BTreeMap<String, u64> {
    texts.iter().map(|(path, text)| (path.clone(), text.len() as u64)).collect()
}

/// A page of a flow's versions, newest first, with the channels that point at them.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn versions(
    weir: &Weir,
    actor: &Actor,
    name: &str,
    paging: &Paging,
) -> Result<Page<VersionSummary>, ServiceError> {
    authz::check_flow(actor, Permission::FlowsRead, name)?;
    let behind = paging.behind(|cursor| cursor.parse::<u32>().ok().and_then(|number| i32::try_from(number).ok()))?;
    let reader = weir.store().read(actor.tenant).await?;
    let row = plans::find(&reader, name).await?;
    let channels = plans::channels(&reader, &row).await?;
    let mut rows = reader.find::<version::Entity>().filter(version::Column::FlowId.eq(row.id));
    if let Some(behind) = behind {
        rows = rows.filter(version::Column::Number.lt(behind));
    }
    let rows = rows.order_by_desc(version::Column::Number).limit(paging.rows()).all().await?;
    let pointing = |number: i32| channels.iter().filter(move |(_, at)| **at == number).map(|(name, _)| name.clone());
    let view = |row: version::Model| {
        Some(VersionSummary {
            number: u32::try_from(row.number).unwrap_or(0),
            channels: pointing(row.number).collect(),
            hash: row.hash,
            created_at: row.created_at,
            created_by: row.created_by,
        })
    };
    Ok(paging.page(rows, |row| row.number.to_string(), view))
}

/// One version with what it holds.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn version(weir: &Weir, actor: &Actor, name: &str, number: u32) -> Result<VersionDetail, ServiceError> {
    authz::check_flow(actor, Permission::FlowsRead, name)?;
    let reader = weir.store().read(actor.tenant).await?;
    let flow = plans::find(&reader, name).await?;
    let channels = plans::channels(&reader, &flow).await?;
    let rows = reader.find::<version::Entity>().filter(version::Column::FlowId.eq(flow.id));
    let row = rows.filter(version::Column::Number.eq(i32::try_from(number).unwrap_or(i32::MAX))).one().await?;
    let row = row.ok_or_else(|| ServiceError::not_found("version", number))?;
    Ok(VersionDetail {
        number,
        channels: channels.into_iter().filter(|(_, at)| *at == row.number).map(|(name, _)| name).collect(),
        files: row.files.read().unwrap_or_default(),
        hash: row.hash,
        created_at: row.created_at,
        created_by: row.created_by,
        yaml: row.yaml,
    })
}

async fn published(reader: &Reader, row: &flow::Model) -> Result<Option<version::Model>, ServiceError> {
    let Some(number) = plans::channels(reader, row).await?.get(STABLE).copied() else { return Ok(None) };
    let versions = reader.find::<version::Entity>().filter(version::Column::FlowId.eq(row.id));
    Ok(versions.filter(version::Column::Number.eq(number)).one().await?)
}
