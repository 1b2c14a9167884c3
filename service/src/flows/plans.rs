//! From a flow's name to the plan that runs: which version is meant, and its plan, compiled once.
//!
//! Invariant: a version is immutable, so its plan is kept as long as there is room; what `stable` means is kept for
//! [`KNOWN_FOR`] at most, and forgotten at once when this process changes it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{FlowId, TenantId, VersionId};
use entities::{Scope, channel, flow, tenant, version};
use language::{Folder, Plan};
use sea_orm::ColumnTrait;

use super::STABLE;
use crate::experiments::Running;
use crate::{ServiceError, Weir};

/// How long a publish by another process may go unnoticed.
const KNOWN_FOR: Duration = Duration::from_millis(500);

/// Compiled plans by version, and what `stable` (or a number) of each flow means now.
pub struct Plans {
    by_version: moka::sync::Cache<VersionId, Arc<Plan>>,
    now: moka::sync::Cache<(TenantId, String, Option<u32>), Resolved>,
    default_models: moka::sync::Cache<TenantId, Option<String>>,
    /// Grows with every change; an answer that was read before one is not kept.
    changes: AtomicU64,
}

impl Default for Plans {
    fn default() -> Self {
        Self {
            by_version: moka::sync::Cache::new(2_000),
            now: moka::sync::Cache::builder().max_capacity(10_000).time_to_live(KNOWN_FOR).build(),
            default_models: moka::sync::Cache::builder().max_capacity(10_000).time_to_live(KNOWN_FOR).build(),
            changes: AtomicU64::new(0),
        }
    }
}

impl Plans {
    /// A flow or a tenant's setting was changed. A publish moves the whole tenant's history, so nothing is kept.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.now.invalidate_all();
        self.default_models.invalidate_all();
    }
}

/// Which version of a flow is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    pub version: Option<u32>,
    /// `stable` unless said.
    pub channel: Option<String>,
    /// As channels stood at this position of the tenant's history; now unless said.
    pub position: Option<i64>,
}

/// The version that a run is pinned to.
#[derive(Debug, Clone)]
pub struct Resolved {
    pub flow_id: FlowId,
    pub version_id: VersionId,
    pub number: u32,
    pub name: String,
    pub plan: Arc<Plan>,
    pub channel: Option<String>,
    pub channel_position: i64,
    pub default_model: Option<String>,
    /// Of the tenant's own prices.
    pub(crate) price_revision: i32,
    /// How many runs of the tenant may execute at once.
    pub max_running: Option<i32>,
    /// The experiment that takes the flow's traffic; only where no version, channel or position was asked for.
    pub(crate) experiment: Option<Arc<Running>>,
}

/// # Errors
/// [`ServiceError::NotFound`] for a flow, version or channel that is not there.
pub async fn resolve(weir: &Weir, tenant: TenantId, name: &str, wanted: &Wanted) -> Result<Resolved, ServiceError> {
    if wanted.channel.is_some() || wanted.position.is_some() {
        return read(weir, tenant, name, wanted).await;
    }
    let key = (tenant, name.to_owned(), wanted.version);
    if let Some(known) = weir.plans().now.get(&key) {
        return Ok(known);
    }
    let changes = weir.plans().changes.load(Ordering::SeqCst);
    let resolved = read(weir, tenant, name, wanted).await?;
    if weir.plans().changes.load(Ordering::SeqCst) == changes {
        weir.plans().now.insert(key, resolved.clone());
    }
    Ok(resolved)
}

async fn read(weir: &Weir, tenant: TenantId, name: &str, wanted: &Wanted) -> Result<Resolved, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let tenant_row = reader.find::<tenant::Entity>().one().await?;
    let tenant_row = tenant_row.ok_or_else(|| ServiceError::not_found("tenant", tenant))?;
    // What was pinned stays, even if the flow is deleted meanwhile.
    let flow = if wanted.position.is_some() { find_any(&reader, name).await? } else { find(&reader, name).await? };
    let (number, channel) = match wanted.version {
        Some(number) => (i32::try_from(number).unwrap_or(i32::MAX), None),
        None => {
            let channel = wanted.channel.as_deref().unwrap_or(STABLE);
            if !crate::text::can_be_stored(channel) {
                return Err(ServiceError::not_found("channel", crate::text::column(channel, 64)));
            }
            (on_channel(&reader, &flow, channel, wanted.position).await?, Some(channel.to_owned()))
        }
    };
    let versions = reader.find::<version::Entity>().filter(version::Column::FlowId.eq(flow.id));
    let row = versions.filter(version::Column::Number.eq(number)).one().await?;
    let flow_id = FlowId::from_uuid(flow.id);
    let experiment =
        if *wanted == Wanted::default() { crate::experiments::running(&reader, flow_id).await? } else { None };
    drop(reader);
    let row = row.ok_or_else(|| ServiceError::not_found("version", format!("{name}@{number}")))?;
    Ok(Resolved {
        flow_id,
        version_id: VersionId::from_uuid(row.id),
        number: u32::try_from(row.number).unwrap_or(0),
        plan: of_row(weir, &flow.name, &row)?,
        name: flow.name,
        channel,
        channel_position: wanted.position.unwrap_or(tenant_row.channel_position),
        default_model: tenant_row.default_model,
        price_revision: tenant_row.price_revision,
        max_running: tenant_row.max_running,
        experiment,
    })
}

/// The tenant's own model, for steps that name none.
///
/// # Errors
/// [`ServiceError::NotFound`] for a tenant that is not there.
pub(crate) async fn default_model(weir: &Weir, tenant: TenantId) -> Result<Option<String>, ServiceError> {
    if let Some(known) = weir.plans().default_models.get(&tenant) {
        return Ok(known);
    }
    let changes = weir.plans().changes.load(Ordering::SeqCst);
    let model = crate::tenants::row(weir, tenant).await?.default_model;
    if weir.plans().changes.load(Ordering::SeqCst) == changes {
        weir.plans().default_models.insert(tenant, model.clone());
    }
    Ok(model)
}

/// The plan of a version, by its id.
///
/// # Errors
/// [`ServiceError::NotFound`].
pub async fn plan(weir: &Weir, tenant: TenantId, id: VersionId) -> Result<Arc<Plan>, ServiceError> {
    if let Some(plan) = weir.plans().by_version.get(&id) {
        return Ok(plan);
    }
    let reader = weir.store().read(tenant).await?;
    let row = reader.find::<version::Entity>().filter(version::Column::Id.eq(id.uuid())).one().await?;
    let row = row.ok_or_else(|| ServiceError::not_found("version", id))?;
    let flow = reader.find::<flow::Entity>().filter(flow::Column::Id.eq(row.flow_id)).one().await?;
    drop(reader);
    let flow = flow.ok_or_else(|| ServiceError::not_found("flow", id))?;
    of_row(weir, &flow.name, &row)
}

/// Compiles a folder. The problems are the language's own, errors and warnings.
///
/// # Errors
/// [`ServiceError::InvalidFlow`] if any problem is an error.
pub fn compile(weir: &Weir, folder: &Folder) -> Result<(Plan, Vec<language::Problem>), ServiceError> {
    let compiled = language::compile(folder, weir.catalogue());
    match compiled.plan {
        Some(plan) => Ok((plan, compiled.problems)),
        None => Err(refused(compiled.problems)),
    }
}

/// A flow that was not taken, with all that was said about it.
pub(super) fn refused(problems: Vec<language::Problem>) -> ServiceError {
    let errors = problems.iter().filter(|problem| problem.severity == language::Severity::Error).count();
    let detail = format!("The flow has {errors} problem{}; nothing was saved.", if errors == 1 { "" } else { "s" });
    ServiceError::InvalidFlow { detail, problems }
}

pub(super) fn of_row(weir: &Weir, name: &str, row: &version::Model) -> Result<Arc<Plan>, ServiceError> {
    let id = VersionId::from_uuid(row.id);
    if let Some(plan) = weir.plans().by_version.get(&id) {
        return Ok(plan);
    }
    let (plan, _) = compile(weir, &folder_of(name, &row.yaml, &row.files))?;
    let plan = Arc::new(plan);
    weir.plans().by_version.insert(id, Arc::clone(&plan));
    Ok(plan)
}

pub(super) fn folder_of(name: &str, yaml: &str, files: &entities::JsonText) -> Folder {
    let files: BTreeMap<String, String> = files.read().unwrap_or_default();
    Folder { name: Some(name.to_owned()), yaml: yaml.to_owned(), files }
}

/// A flow that is not deleted, by name.
pub(crate) async fn find(scope: &impl Scope, name: &str) -> Result<flow::Model, ServiceError> {
    let row = find_any(scope, name).await?;
    if row.deleted_at.is_some() {
        return Err(ServiceError::not_found("flow", name));
    }
    Ok(row)
}

/// A flow by name, a deleted one too.
async fn find_any(scope: &impl Scope, name: &str) -> Result<flow::Model, ServiceError> {
    if !language::is_flow_name(name) {
        return Err(ServiceError::not_found("flow", crate::text::column(name, 64)));
    }
    let row = scope.find::<flow::Entity>().filter(flow::Column::Name.eq(name)).one().await?;
    row.ok_or_else(|| ServiceError::not_found("flow", name))
}

/// The number that a channel of a flow points at, at a position of the tenant's history.
async fn on_channel(
    scope: &impl Scope,
    flow: &flow::Model,
    name: &str,
    position: Option<i64>,
) -> Result<i32, ServiceError> {
    let mut moves = scope
        .find::<channel::Entity>()
        .filter(channel::Column::FlowId.eq(flow.id))
        .filter(channel::Column::Name.eq(name))
        .order_by_desc(channel::Column::Position)
        .limit(1);
    if let Some(position) = position {
        moves = moves.filter(channel::Column::Position.lte(position));
    }
    let number = moves.one().await?.and_then(|row| row.number);
    number.ok_or_else(|| {
        if name == STABLE {
            ServiceError::NotFound { what: "published version of the flow", name: flow.name.clone() }
        } else {
            ServiceError::not_found("channel", name)
        }
    })
}

/// Where every channel of a flow points now.
pub(super) async fn channels(scope: &impl Scope, flow: &flow::Model) -> Result<BTreeMap<String, i32>, ServiceError> {
    let moves = scope.find::<channel::Entity>().filter(channel::Column::FlowId.eq(flow.id));
    let moves = moves.order_by_asc(channel::Column::Position).all().await?;
    let mut now = BTreeMap::new();
    for row in moves {
        match row.number {
            Some(number) => now.insert(row.name, number),
            None => now.remove(&row.name),
        };
    }
    Ok(now)
}
