//! Tenants: making one with the link for its first owner, looking one up, changing its settings.
//!
//! Invariant: a tenant is born with its wrapped data key and an owner, in one unit of work.

use std::collections::BTreeMap;

use domain::wire::{TenantPatch, TenantView};
use domain::{Permission, Role, TenantId};
use entities::{JsonText, Scope as _, membership, tenant, user};
use sea_orm::ColumnTrait;

use crate::audit::{self, Entry};
use crate::links::{self, Purpose};
use crate::{Actor, ServiceError, Weir, authz};

/// A fresh tenant with the path of the link that makes its owner's password.
#[derive(Debug, Clone)]
pub struct CreatedTenant {
    pub id: TenantId,
    pub name: String,
    /// `/setup/<token>`, good once.
    pub owner_path: String,
}

/// Makes a tenant and its owner (without a password yet). For the operator's command line.
///
/// # Errors
/// [`ServiceError::Conflict`] when the name is taken, [`ServiceError::Invalid`] for a name or address that is none.
pub async fn create(weir: &Weir, name: &str, owner_email: &str) -> Result<CreatedTenant, ServiceError> {
    check_name(name)?;
    let email = crate::sign_in::email(owner_email)?;
    let id = weir.ids().tenant();
    let row = new_row(weir, id, name);
    let owner = new_user(weir, &email);
    let (link, token) = links::fresh(weir, Purpose::FirstOwner);
    let actor = Actor::system(id, "operator");
    let entry = audit::row(weir, &actor, created_entry(id, name));
    let (weir2, role) = (weir.clone(), Role::Owner);
    weir.store()
        .write_system(move |unit| async move {
            if unit.find_tenant_by_name(&row.name).await?.is_some() {
                return Err(ServiceError::Conflict(format!("There is already a tenant `{}`.", row.name)));
            }
            unit.insert(row).await?;
            let owner = match unit.find_user_by_email(&owner.email).await? {
                Some(known) => known,
                None => {
                    unit.insert(owner.clone()).await?;
                    owner
                }
            };
            unit.insert(new_membership(&weir2, id, &owner, role)).await?;
            let link = entities::one_time_link::Model {
                tenant_id: Some(id.uuid()),
                user_id: Some(owner.id),
                email: Some(owner.email),
                role: Some(role.as_str().to_owned()),
                ..link
            };
            unit.insert(link).await?;
            unit.insert(entry).await?;
            Ok(())
        })
        .await?;
    Ok(CreatedTenant { id, name: name.to_owned(), owner_path: links::setup_path(&token) })
}

/// The tenant's view for somebody in it.
///
/// # Errors
/// [`ServiceError::Forbidden`].
pub async fn get(weir: &Weir, actor: &Actor) -> Result<TenantView, ServiceError> {
    authz::check(actor, Permission::TenantRead)?;
    Ok(view(row(weir, actor.tenant).await?, Some(actor.role)))
}

/// Changes settings.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::Invalid`] for a default model whose connection is not there.
pub async fn patch(weir: &Weir, actor: &Actor, patch: TenantPatch) -> Result<TenantView, ServiceError> {
    authz::check(actor, Permission::TenantWrite)?;
    if let Some(default_model) = patch.default_model {
        let default_model = default_model.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        if let Some(model) = &default_model {
            check_model(weir, actor.tenant, model).await?;
        }
        let entry = audit::row(
            weir,
            actor,
            Entry {
                action: "tenant.changed",
                target_kind: "tenant",
                target_id: Some(actor.tenant.to_string()),
                target_name: "default_model",
                data: serde_json::json!({ "default_model": default_model }),
            },
        );
        weir.store()
            .write(actor.tenant, move |unit| async move {
                unit.update::<tenant::Entity>().set(tenant::Column::DefaultModel, default_model).exec().await?;
                audit::write(&unit, entry).await?;
                Ok::<_, ServiceError>(())
            })
            .await?;
        weir.plans().changed();
    }
    change_limits(weir, actor, patch.max_concurrent_runs, patch.pools).await?;
    // Whoever may change a setting may see what it is now, even with a key that may read nothing else.
    Ok(view(row(weir, actor.tenant).await?, Some(actor.role)))
}

/// Pools and units that one tenant may have.
const POOLS: usize = 50;
const UNITS: u32 = 1_000_000;

async fn change_limits(
    weir: &Weir,
    actor: &Actor,
    most: Option<Option<u32>>,
    pools: Option<BTreeMap<String, u32>>,
) -> Result<(), ServiceError> {
    if most.is_none() && pools.is_none() {
        return Ok(());
    }
    if most.flatten().is_some_and(|most| most == 0 || most > UNITS) {
        let text = format!("This is a number from 1 to {UNITS}, or null for no limit.");
        return Err(ServiceError::field("/max_concurrent_runs", text));
    }
    let unfit = |(name, units): (&String, &u32)| !language::is_flow_name(name) || *units > UNITS;
    if let Some(pools) = &pools
        && (pools.len() > POOLS || pools.iter().any(unfit))
    {
        let text =
            format!("A tenant has at most {POOLS} pools, each with a name like a step's and at most {UNITS} units.");
        return Err(ServiceError::field("/pools", text));
    }
    let data = serde_json::json!({ "max_concurrent_runs": most, "pools": pools });
    let entry = Entry {
        action: "tenant.changed",
        target_kind: "tenant",
        target_id: Some(actor.tenant.to_string()),
        target_name: "limits",
        data,
    };
    let entry = audit::row(weir, actor, entry);
    let kept = weir.store().write(actor.tenant, move |unit| async move {
        if let Some(most) = most {
            let most = most.and_then(|most| i32::try_from(most).ok());
            unit.update::<tenant::Entity>().set(tenant::Column::MaxRunning, most).exec().await?;
        }
        if let Some(pools) = pools {
            unit.update::<tenant::Entity>().set(tenant::Column::Pools, Some(JsonText::of(&pools))).exec().await?;
        }
        audit::write(&unit, entry).await?;
        Ok::<_, ServiceError>(())
    });
    kept.await?;
    weir.plans().changed();
    weir.runs().wake();
    Ok(())
}

/// Sets how many runs of a tenant are taken from the queue for each one of a tenant with weight 1. For the operator's
/// command line: a tenant cannot raise itself above the others.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Invalid`].
pub async fn set_queue_weight(weir: &Weir, name: &str, weight: u32) -> Result<(), ServiceError> {
    if !(1..=1_000).contains(&weight) {
        return Err(ServiceError::field("/queue_weight", "A weight is a whole number from 1 to 1000."));
    }
    let row = find(weir, name).await?;
    let id = TenantId::from_uuid(row.id);
    let entry = Entry {
        action: "tenant.changed",
        target_kind: "tenant",
        target_id: Some(id.to_string()),
        target_name: "queue_weight",
        data: serde_json::json!({ "queue_weight": weight }),
    };
    let entry = audit::row(weir, &Actor::system(id, "operator"), entry);
    let weight = i32::try_from(weight).unwrap_or(1);
    let kept = weir.store().write(id, move |unit| async move {
        unit.update::<tenant::Entity>().set(tenant::Column::QueueWeight, weight).exec().await?;
        audit::write(&unit, entry).await
    });
    Ok(kept.await?)
}

async fn check_model(weir: &Weir, tenant: TenantId, model: &str) -> Result<(), ServiceError> {
    if model.chars().count() > 200 || !crate::text::can_be_stored(model) {
        return Err(ServiceError::field("/default_model", "A model's name has at most 200 characters."));
    }
    let parts = model.split_once('/').filter(|(connection, name)| !connection.is_empty() && !name.is_empty());
    let Some((connection, _)) = parts else {
        return Err(ServiceError::field(
            "/default_model",
            "A model is written `connection/model`, such as `openai/gpt-4o-mini`.",
        ));
    };
    let reader = weir.store().read(tenant).await?;
    let find = reader.find::<entities::connection::Entity>();
    if find.filter(entities::connection::Column::Name.eq(connection)).one().await?.is_none() {
        return Err(ServiceError::field(
            "/default_model",
            format!("There is no connection `{connection}`. Add it first."),
        ));
    }
    Ok(())
}

/// Looks a tenant up by its name in URLs. For the operator's command line and the console's host, which check rights.
///
/// # Errors
/// [`ServiceError::NotFound`].
pub async fn find(weir: &Weir, name: &str) -> Result<tenant::Model, ServiceError> {
    if check_name(name).is_err() {
        return Err(ServiceError::not_found("tenant", crate::text::column(name, 64)));
    }
    let row = weir.store().system().await?.find_tenant_by_name(name).await?;
    row.ok_or_else(|| ServiceError::not_found("tenant", name))
}

/// Whether this store holds any tenant yet.
///
/// # Errors
/// Faults of the store.
pub async fn any(weir: &Weir) -> Result<bool, ServiceError> {
    Ok(!weir.store().system().await?.tenants(1).await?.is_empty())
}

pub(crate) async fn row(weir: &Weir, id: TenantId) -> Result<tenant::Model, ServiceError> {
    let row = weir.store().read(id).await?.find::<tenant::Entity>().one().await?;
    row.ok_or_else(|| ServiceError::not_found("tenant", id))
}

impl Weir {
    /// One tenant's data key tells whether the master key is the right one.
    pub(crate) async fn refuse_wrong_master_key(&self) -> Result<(), ServiceError> {
        let first = self.store().system().await?.tenants(1).await?.into_iter().next();
        if let Some(tenant) = first
            && self.vault().unwrap_data_key(TenantId::from_uuid(tenant.id), &tenant.data_key).is_err()
        {
            return Err(ServiceError::Conflict(format!(
                "The master key from {} is not the one this store was made with. Restore that key; nothing was changed.",
                self.vault().location()
            )));
        }
        Ok(())
    }
}

pub(crate) fn new_row(weir: &Weir, id: TenantId, name: &str) -> tenant::Model {
    tenant::Model {
        id: id.uuid(),
        name: name.to_owned(),
        default_model: None,
        data_key: weir.vault().new_data_key(id),
        data_key_version: 1,
        channel_position: 0,
        created_at: weir.now(),
        suspended_at: None,
        queue_weight: 1,
        max_running: None,
        price_revision: 0,
        pools: None,
    }
}

pub(crate) fn new_user(weir: &Weir, email: &str) -> user::Model {
    user::Model {
        id: weir.ids().user().uuid(),
        email: email.to_owned(),
        name: email.split('@').next().unwrap_or(email).to_owned(),
        password_hash: None,
        created_at: weir.now(),
        disabled_at: None,
        last_active_at: None,
    }
}

pub(crate) fn new_membership(weir: &Weir, tenant: TenantId, user: &user::Model, role: Role) -> membership::Model {
    membership::Model {
        tenant_id: tenant.uuid(),
        id: weir.ids().member().uuid(),
        user_id: user.id,
        role: role.as_str().to_owned(),
        created_at: weir.now(),
    }
}

pub(crate) fn created_entry(id: TenantId, name: &str) -> Entry<'_> {
    Entry {
        action: "tenant.created",
        target_kind: "tenant",
        target_id: Some(id.to_string()),
        target_name: name,
        data: serde_json::json!({}),
    }
}

pub(crate) fn view(row: tenant::Model, role: Option<Role>) -> TenantView {
    TenantView {
        id: TenantId::from_uuid(row.id),
        name: row.name,
        role,
        default_model: row.default_model,
        max_concurrent_runs: row.max_running.and_then(|most| u32::try_from(most).ok()),
        pools: row.pools.and_then(|pools| pools.read().ok()).unwrap_or_default(),
        created_at: row.created_at,
    }
}

/// The name in URLs.
pub(crate) fn check_name(name: &str) -> Result<(), ServiceError> {
    let fits = (2..=40).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_')
        && name.as_bytes()[0].is_ascii_alphanumeric();
    if fits {
        Ok(())
    } else {
        Err(ServiceError::field(
            "/tenant",
            "A tenant's name has 2 to 40 lower-case letters, digits, `-` and `_`, and starts with a letter or digit.",
        ))
    }
}
