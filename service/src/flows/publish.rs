//! Saving a flow: a new version on `stable`, or a draft.
//!
//! Invariant: only a flow that checks is published; a draft may be broken and says how. Flow, version, channel and audit
//! entry are one unit of work.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::{FlowId, Permission};
use entities::{JsonText, Scope as _, Unit, flow, tenant, version};
use language::Folder;
use sea_orm::ColumnTrait;
use sha2::{Digest, Sha256};

use super::difference::Side;
use super::{STABLE, channels, check_name, difference, neighbours, plans};
use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir, authz};

/// How a flow is saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// Keeps it beside what is published.
    pub draft: bool,
    /// The channel that the new version is published to; `stable` unless said.
    pub channel: Option<String>,
    /// The hash of the version that must be on that channel now.
    pub if_match: Option<String>,
}

/// What came of saving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    pub id: FlowId,
    /// The version's number; `None` for a draft.
    pub number: Option<u32>,
    pub hash: String,
    /// Whether there was no flow of this name before.
    pub created: bool,
    pub problems: Vec<language::Problem>,
    /// What differs for callers of the version that was on `stable` before, breaking changes first.
    pub changes: Vec<language::Change>,
}

struct Content {
    name: String,
    yaml: String,
    files: JsonText,
    hash: String,
    /// What earlier programs would have called it.
    text_hash: String,
    description: Option<String>,
    labels: JsonText,
    by: String,
    now: DateTime<Utc>,
}

impl Content {
    fn of(weir: &Weir, actor: &Actor, name: &str, (folder, plan): (Folder, Option<&language::Plan>)) -> Self {
        Self {
            name: name.to_owned(),
            hash: hash(&folder),
            text_hash: text_hash(&folder),
            description: plan.and_then(|plan| plan.description.as_deref()).map(|text| text.replace('\0', "")),
            labels: plan.map_or_else(|| JsonText(serde_json::json!({})), |plan| JsonText::of(&plan.labels)),
            files: JsonText::of(&folder.files),
            yaml: folder.yaml,
            by: actor.name().to_owned(),
            now: weir.now(),
        }
    }
}

/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::InvalidFlow`] (not for drafts), [`ServiceError::PreconditionFailed`].
pub async fn put(
    weir: &Weir,
    actor: &Actor,
    name: &str,
    folder: Folder,
    options: PutOptions,
) -> Result<Saved, ServiceError> {
    authz::check_flow(actor, Permission::FlowsWrite, name)?;
    check_name(name)?;
    let channel = options.channel.clone().unwrap_or_else(|| STABLE.to_owned());
    channels::check_name(&channel)?;
    let folder = neighbours::with_neighbours(weir, actor, folder).await?;
    let mut compiled = language::compile(&folder, weir.catalogue());
    if let Some(plan) = &compiled.plan {
        let calls = neighbours::check_calls(weir, actor, &folder, (name, plan)).await?;
        let is_refused = calls.iter().any(|problem| problem.severity == language::Severity::Error);
        compiled.problems.extend(calls);
        compiled.problems.extend(neighbours::check_references(weir, actor, &folder).await?);
        if is_refused && !options.draft {
            return Err(plans::refused(compiled.problems));
        }
    }
    let plan = match (compiled.plan, options.draft) {
        (None, false) => {
            return Err(plans::compile(weir, &folder)
                .err()
                .unwrap_or_else(|| ServiceError::internal("a flow that did not check now does")));
        }
        (plan, _) => plan,
    };
    let content = Content::of(weir, actor, name, (folder, plan.as_ref()));
    let problems = compiled.problems;
    let changes = contract_changes(weir, actor, name, plan.as_ref().filter(|_| !options.draft)).await?;
    let (weir2, actor2, draft_problems) = (weir.clone(), actor.clone(), problems.clone());
    let saved = weir
        .store()
        .write(actor.tenant, move |unit| async move {
            let (flow, created) = flow_row(&weir2, &unit, &actor2, &content).await?;
            let current = on_channel(&unit, &flow, &channel).await?;
            refuse_changed(&unit, &options, &flow, current.as_ref(), &content).await?;
            let (number, hash) = if options.draft {
                save_draft(&unit, &flow, &content, &draft_problems).await?;
                (None, content.hash)
            } else {
                let (number, hash) = publish(&weir2, &unit, &flow, &content, current.as_ref()).await?;
                if current.as_ref().map(|version| version.number) != Some(number) {
                    let moved = channels::entry(&weir2, &unit, &actor2, &flow, &channel, Some(number)).await?;
                    unit.insert(moved).await?;
                }
                (Some(number), hash)
            };
            let entry = Entry {
                action: if options.draft { "flow.draft_saved" } else { "flow.published" },
                target_kind: "flow",
                target_id: Some(FlowId::from_uuid(flow.id).to_string()),
                target_name: &content.name,
                data: serde_json::json!({ "version": number, "hash": hash, "channel": channel }),
            };
            audit::write(&unit, audit::row(&weir2, &actor2, entry)).await?;
            Ok(Saved {
                id: FlowId::from_uuid(flow.id),
                number: number.and_then(|number| u32::try_from(number).ok()),
                hash,
                created,
                problems,
                changes,
            })
        })
        .await;
    weir.plans().changed();
    saved
}

/// What publishing this changes for callers.
async fn contract_changes(
    weir: &Weir,
    actor: &Actor,
    name: &str,
    plan: Option<&language::Plan>,
) -> Result<Vec<language::Change>, ServiceError> {
    let Some(plan) = plan else { return Ok(Vec::new()) };
    match plans::resolve(weir, actor.tenant, name, &plans::Wanted::default()).await {
        Ok(published) => Ok(language::contract_changes(&published.plan, plan)),
        // Nothing is published yet, or it can no longer be read: there is nothing to compare with.
        Err(ServiceError::NotFound { .. } | ServiceError::InvalidFlow { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// What decides whether content is the same: the values of the YAML and the texts of the files. A draft that is no YAML is
/// its text.
fn hash(folder: &Folder) -> String {
    match language::canonical(&folder.yaml) {
        Some(canonical) => digest(&[CANONICAL, &canonical], &folder.files),
        None => text_hash(folder),
    }
}

/// Says which form was hashed, so that no text is taken for a canonical form.
const CANONICAL: &str = "weir canonical 1";

/// The hash of the text as it is written, but for line ends and trailing white space: that of versions of earlier programs.
fn text_hash(folder: &Folder) -> String {
    digest(&[&folder.yaml], &folder.files)
}

fn digest(texts: &[&str], files: &BTreeMap<String, String>) -> String {
    let mut digest = Sha256::new();
    let mut part = |text: &str| {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text.as_bytes());
    };
    let written = |text: &str| text.trim_end().lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    texts.iter().for_each(|text| part(&written(text)));
    for (path, content) in files {
        part(&written(path));
        part(&written(content));
    }
    hex::encode(digest.finalize())
}

async fn flow_row(
    weir: &Weir,
    unit: &Unit,
    actor: &Actor,
    content: &Content,
) -> Result<(flow::Model, bool), ServiceError> {
    let known = unit.find::<flow::Entity>().filter(flow::Column::Name.eq(&content.name)).for_update().one().await?;
    if let Some(row) = known {
        let created = row.deleted_at.is_some();
        return Ok((row, created));
    }
    let row = flow::Model {
        tenant_id: actor.tenant.uuid(),
        id: weir.ids().flow().uuid(),
        name: content.name.clone(),
        description: content.description.clone(),
        labels: content.labels.clone(),
        last_number: 0,
        draft_yaml: None,
        draft_files: None,
        draft_problems: None,
        draft_updated_at: None,
        created_at: content.now,
        updated_at: content.now,
        deleted_at: None,
    };
    unit.insert(row.clone()).await?;
    Ok((row, true))
}

/// The version on a channel now.
async fn on_channel(unit: &Unit, flow: &flow::Model, channel: &str) -> Result<Option<version::Model>, ServiceError> {
    let Some(number) = plans::channels(unit, flow).await?.get(channel).copied() else { return Ok(None) };
    let versions = unit.find::<version::Entity>().filter(version::Column::FlowId.eq(flow.id));
    Ok(versions.filter(version::Column::Number.eq(number)).one().await?)
}

/// Refuses a publish over a base that is not the newest any more, and shows what changed since.
async fn refuse_changed(
    unit: &Unit,
    options: &PutOptions,
    flow: &flow::Model,
    current: Option<&version::Model>,
    content: &Content,
) -> Result<(), ServiceError> {
    let Some(wanted) = &options.if_match else { return Ok(()) };
    let holds = match (wanted.as_str(), current) {
        ("*", current) => current.is_some(),
        (wanted, Some(version)) => version.hash == wanted,
        (_, None) => false,
    };
    if holds {
        return Ok(());
    }
    let Some(current) = current else {
        let detail = "The flow was changed in the meantime: nothing is published. Read it again.".to_owned();
        return Err(ServiceError::PreconditionFailed { detail, diff: None });
    };
    let wanted = crate::text::column(wanted, 64);
    let versions = unit.find::<version::Entity>().filter(version::Column::FlowId.eq(flow.id));
    let base = versions.filter(version::Column::Hash.eq(wanted.as_str())).one().await?;
    let now = Side::of_version(current);
    let (number, hash) = (current.number, &current.hash);
    let (diff, shown) = match &base {
        Some(base) => (difference::unified(&Side::of_version(base), &now), format!("since version {}", base.number)),
        None => {
            let sent = Side::of(&content.yaml, &content.files);
            (difference::unified(&now, &sent), "between what is published and what was sent".to_owned())
        }
    };
    Err(ServiceError::PreconditionFailed {
        detail: format!(
            "The flow was changed in the meantime: version {number} with the hash {hash} is published. `diff` shows what \
             changed {shown}. Read it again, and publish over that."
        ),
        diff: Some(diff),
    })
}

/// The number and the hash of the version with this content: one that is there already, or a new one. The text of a version
/// stays the one that it was made of.
async fn publish(
    weir: &Weir,
    unit: &Unit,
    flow: &flow::Model,
    content: &Content,
    current: Option<&version::Model>,
) -> Result<(i32, String), ServiceError> {
    let (number, hash) = match known(unit, flow, content, current).await? {
        Some(version) => (version.number, version.hash),
        None => {
            let number = flow.last_number + 1;
            unit.insert(version::Model {
                tenant_id: flow.tenant_id,
                id: weir.ids().version().uuid(),
                flow_id: flow.id,
                number,
                hash: content.hash.clone(),
                yaml: content.yaml.clone(),
                files: content.files.clone(),
                created_by: content.by.clone(),
                created_at: content.now,
            })
            .await?;
            (number, content.hash.clone())
        }
    };
    unit.update::<flow::Entity>()
        .set(flow::Column::LastNumber, flow.last_number.max(number))
        .set(flow::Column::Description, content.description.clone())
        .set(flow::Column::Labels, content.labels.clone())
        .set(flow::Column::DraftYaml, None::<String>)
        .set(flow::Column::DraftFiles, None::<String>)
        .set(flow::Column::DraftProblems, None::<String>)
        .set(flow::Column::DraftUpdatedAt, None::<DateTime<Utc>>)
        .set(flow::Column::DeletedAt, None::<DateTime<Utc>>)
        .set(flow::Column::UpdatedAt, content.now)
        .filter(flow::Column::Id.eq(flow.id))
        .exec()
        .await?;
    Ok((number, hash))
}

/// The version with this content. One of an earlier program bears the hash of its text: the same text is found by that, and
/// what is on the channel now by its values.
async fn known(
    unit: &Unit,
    flow: &flow::Model,
    content: &Content,
    current: Option<&version::Model>,
) -> Result<Option<version::Model>, ServiceError> {
    let is_same = |version: &&version::Model| {
        version.hash == content.hash
            || hash(&plans::folder_of(&flow.name, &version.yaml, &version.files)) == content.hash
    };
    if let Some(current) = current.filter(is_same) {
        return Ok(Some(current.clone()));
    }
    let versions = unit.find::<version::Entity>().filter(version::Column::FlowId.eq(flow.id));
    let versions = versions.filter(version::Column::Hash.is_in([&content.hash, &content.text_hash]));
    Ok(versions.order_by_desc(version::Column::Number).one().await?)
}

/// The next position of the tenant's history of channels. Its row is locked, so that positions have one order.
pub(super) async fn next_position(unit: &Unit) -> Result<i64, ServiceError> {
    let row = unit.find::<tenant::Entity>().for_update().one().await?;
    let row = row.ok_or_else(|| ServiceError::not_found("tenant", unit.tenant()))?;
    let position = row.channel_position + 1;
    unit.update::<tenant::Entity>().set(tenant::Column::ChannelPosition, position).exec().await?;
    Ok(position)
}

async fn save_draft(
    unit: &Unit,
    flow: &flow::Model,
    content: &Content,
    problems: &[language::Problem],
) -> Result<(), ServiceError> {
    unit.update::<flow::Entity>()
        .set(flow::Column::DraftYaml, content.yaml.clone())
        .set(flow::Column::DraftFiles, content.files.clone())
        .set(flow::Column::DraftProblems, JsonText::of(&problems))
        .set(flow::Column::DraftUpdatedAt, content.now)
        .set(flow::Column::DeletedAt, None::<DateTime<Utc>>)
        .set(flow::Column::UpdatedAt, content.now)
        .filter(flow::Column::Id.eq(flow.id))
        .exec()
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(yaml: &str) -> Folder {
        Folder { name: None, yaml: yaml.to_owned(), ..Folder::default() }
    }

    #[test]
    fn the_same_content_has_the_same_hash_however_it_is_written() {
        let one = hash(&folder("steps:\n  - {name: a, executor: log}\n"));
        assert_eq!(one, hash(&folder("steps:\r\n  - {name: a, executor: log}  \r\n")));
        assert_eq!(one, hash(&folder("# A comment.\nsteps:\n- executor: 'log'\n  name: \"a\"\n\n")));
        assert_ne!(one, hash(&folder("steps:\n  - {name: b, executor: log}\n")));
    }

    #[test]
    fn files_count_by_their_text_but_for_line_ends() {
        let with = |path: &str, text: &str| {
            let mut folder = folder("steps: []");
            folder.files.insert(path.to_owned(), text.to_owned());
            hash(&folder)
        };
        assert_ne!(with("a", "b"), hash(&folder("steps: []")));
        assert_eq!(with("a", "b \r\nc\n"), with("a", "b\nc"));
        assert_ne!(with("a", "b"), with("ab", ""));
        assert_ne!(with("../base/flow.yaml", "steps: []"), with("../base/flow.yaml", "# Another.\nsteps: []"));
    }

    #[test]
    fn a_draft_that_is_no_yaml_has_the_hash_of_its_text() {
        assert_eq!(hash(&folder("steps: [\n")), hash(&folder("steps: [")));
        assert_ne!(hash(&folder("steps: [")), hash(&folder("steps: [ # why")));
        // A text cannot be written so that it is taken for the canonical form of another.
        let form = language::canonical("steps: []").unwrap();
        assert_ne!(hash(&folder("steps: []")), text_hash(&folder(&form)));
    }
}
