//! Members of a tenant: who they are, what role they have, and that they leave.
//!
//! Invariant: one membership a person and tenant; a tenant never loses its last owner, and only an owner says who is one.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::wire::{MemberView, Page};
use domain::{MemberId, Permission, Role, TenantId, UserId};
use entities::{Scope as _, Unit, api_key, membership, user};
use sea_orm::{ColumnTrait, QuerySelect};
use serde_json::json;
use uuid::Uuid;

use crate::audit::{self, Entry};
use crate::links::{self, Purpose};
use crate::{Actor, Paging, ServiceError, Weir, authz, tenants};

/// A new member with the path of their first sign-in.
pub struct Added {
    pub id: MemberId,
    pub path: String,
}

/// A page of the members, those of longest standing first.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(weir: &Weir, actor: &Actor, paging: &Paging) -> Result<Page<MemberView>, ServiceError> {
    use membership::Column as C;
    authz::check(actor, Permission::MembersRead)?;
    let behind: Option<MemberId> = paging.behind(|cursor| cursor.parse().ok())?;
    let reader = weir.store().read(actor.tenant).await?;
    let mut find = reader.find::<membership::Entity>();
    if let Some(behind) = behind {
        find = find.filter(C::Id.gt(behind.uuid()));
    }
    let rows = find.order_by_asc(C::Id).limit(paging.rows()).all().await?;
    let users = reader.find_users(rows.iter().map(|row| row.user_id).collect()).await?;
    let keys = active_keys(&reader, weir.now()).await?;
    let view = |row: membership::Model| {
        let user = users.iter().find(|user| user.id == row.user_id)?;
        view(&row, user, keys.get(&row.user_id).copied().unwrap_or_default())
    };
    Ok(paging.page(rows, |row| MemberId::from_uuid(row.id).to_string(), view))
}

/// One member.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn get(weir: &Weir, actor: &Actor, id: MemberId) -> Result<MemberView, ServiceError> {
    authz::check(actor, Permission::MembersRead)?;
    one(weir, actor, id).await
}

/// Makes somebody a member, and a link by which they sign in for the first time. For the operator's command line, which
/// vouches for the address: whoever has the link is that person.
///
/// # Errors
/// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::Conflict`] for somebody who is one already.
pub async fn add(weir: &Weir, tenant: &str, email: &str, role: Role) -> Result<Added, ServiceError> {
    let tenant = TenantId::from_uuid(tenants::find(weir, tenant).await?.id);
    let email = crate::sign_in::email(email)?;
    let (link, token) = links::fresh(weir, Purpose::FirstOwner);
    let (fresh, context, operator) = (tenants::new_user(weir, &email), weir.clone(), Actor::system(tenant, "operator"));
    let member = weir.store().write_system(move |unit| async move {
        let known = unit.find_user_by_email(&email).await?;
        if known.is_none() {
            unit.insert(fresh.clone()).await?;
        }
        let person = known.unwrap_or(fresh);
        if unit.find_membership(tenant.uuid(), person.id).await?.is_some() {
            return Err(ServiceError::Conflict(format!("`{email}` is a member already.")));
        }
        let row = tenants::new_membership(&context, tenant, &person, role);
        let id = MemberId::from_uuid(row.id);
        unit.insert(row).await?;
        let role = role.as_str();
        unit.insert(entry(&context, &operator, "member.added", id, &email, json!({ "role": role }))).await?;
        let link = entities::one_time_link::Model {
            tenant_id: Some(tenant.uuid()),
            user_id: Some(person.id),
            email: Some(email),
            role: Some(role.to_owned()),
            ..link
        };
        unit.insert(link).await?;
        Ok(id)
    });
    Ok(Added { id: member.await?, path: links::setup_path(&token) })
}

/// Gives a member another role. It counts from the next request on.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`], [`ServiceError::Conflict`] for the last owner.
pub async fn change_role(weir: &Weir, actor: &Actor, id: MemberId, role: Role) -> Result<MemberView, ServiceError> {
    authz::check(actor, Permission::MembersWrite)?;
    let (context, acting) = (weir.clone(), actor.clone());
    weir.store()
        .write(actor.tenant, move |unit| async move {
            let (row, person) = held(&unit, &acting, id, Some(role)).await?;
            if row.role == role.as_str() {
                return Ok(());
            }
            let changed = unit.update::<membership::Entity>().set(membership::Column::Role, role.as_str().to_owned());
            changed.filter(membership::Column::Id.eq(id.uuid())).exec().await?;
            let data = json!({ "from": row.role, "to": role.as_str() });
            audit::write(&unit, entry(&context, &acting, "member.role_changed", id, &person.email, data)).await?;
            Ok::<_, ServiceError>(())
        })
        .await?;
    weir.known_keys().forget();
    one(weir, actor, id).await
}

/// Takes somebody out of the tenant, with the keys they made here. Their account and their other tenants stay.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`], [`ServiceError::Conflict`] for the last owner.
pub async fn remove(weir: &Weir, actor: &Actor, id: MemberId) -> Result<(), ServiceError> {
    authz::check(actor, Permission::MembersWrite)?;
    let (context, acting) = (weir.clone(), actor.clone());
    weir.store()
        .write(actor.tenant, move |unit| async move {
            let (row, person) = held(&unit, &acting, id, None).await?;
            let keys = unit.find::<api_key::Entity>().filter(api_key::Column::UserId.eq(row.user_id)).all().await?;
            let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
            let data = json!({ "role": row.role, "keys": names });
            let entry = entry(&context, &acting, "member.removed", id, &person.email, data);
            unit.delete::<api_key::Entity>().filter(api_key::Column::UserId.eq(row.user_id)).exec().await?;
            unit.delete::<membership::Entity>().filter(membership::Column::Id.eq(id.uuid())).exec().await?;
            audit::write(&unit, entry).await?;
            Ok::<_, ServiceError>(())
        })
        .await?;
    weir.known_keys().forget();
    Ok(())
}

/// A membership that may be changed to this role (`None`: to nothing), with its person. Until the unit ends nobody else
/// changes who the owners are.
async fn held(
    unit: &Unit,
    actor: &Actor,
    id: MemberId,
    role: Option<Role>,
) -> Result<(membership::Model, user::Model), ServiceError> {
    let missing = || ServiceError::not_found("member", id);
    // All owners' rows are locked, so that two owners cannot end each other at once.
    let owner = Role::Owner.as_str();
    let owners = unit.find::<membership::Entity>().filter(membership::Column::Role.eq(owner)).for_update();
    let owners = owners.order_by_asc(membership::Column::Id).all().await?;
    let row = unit.find::<membership::Entity>().filter(membership::Column::Id.eq(id.uuid())).for_update();
    let row = row.one().await?.ok_or_else(missing)?;
    let person = unit.find_users(vec![row.user_id]).await?.into_iter().next().ok_or_else(missing)?;
    if (row.role == owner || role == Some(Role::Owner)) && actor.role != Role::Owner {
        let message = "Only an owner says who is an owner. Ask one of them.";
        return Err(ServiceError::Forbidden(message.to_owned()));
    }
    if row.role == owner && role != Some(Role::Owner) && owners.iter().all(|owner| owner.id == row.id) {
        let message = format!("`{}` is the last owner. Make somebody else an owner first.", person.email);
        return Err(ServiceError::Conflict(message));
    }
    Ok((row, person))
}

/// A member as it is now, for whoever may see or just changed it.
async fn one(weir: &Weir, actor: &Actor, id: MemberId) -> Result<MemberView, ServiceError> {
    let missing = || ServiceError::not_found("member", id);
    let reader = weir.store().read(actor.tenant).await?;
    let row = reader.find::<membership::Entity>().filter(membership::Column::Id.eq(id.uuid())).one().await?;
    let row = row.ok_or_else(missing)?;
    let person = reader.find_users(vec![row.user_id]).await?.into_iter().next().ok_or_else(missing)?;
    let keys = active_keys(&reader, weir.now()).await?;
    view(&row, &person, keys.get(&row.user_id).copied().unwrap_or_default()).ok_or_else(missing)
}

/// How many good keys each person has.
async fn active_keys(reader: &entities::Reader, now: DateTime<Utc>) -> Result<BTreeMap<Uuid, u32>, ServiceError> {
    use api_key::Column as C;
    let found = reader.find::<api_key::Entity>().filter(C::RevokedAt.is_null()).limit(10_000);
    let found = found.with(|select| select.select_only().columns([C::UserId, C::ExpiresAt]));
    let mut counts = BTreeMap::new();
    for (person, expires_at) in found.tuples::<(Uuid, Option<DateTime<Utc>>)>().await? {
        if expires_at.is_none_or(|at| at > now) {
            *counts.entry(person).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

fn view(row: &membership::Model, user: &user::Model, active_keys: u32) -> Option<MemberView> {
    Some(MemberView {
        id: MemberId::from_uuid(row.id),
        user_id: UserId::from_uuid(row.user_id),
        email: user.email.clone(),
        role: Role::parse(&row.role)?,
        created_at: row.created_at,
        last_active_at: user.last_active_at,
        active_keys,
    })
}

fn entry(
    weir: &Weir,
    actor: &Actor,
    action: &'static str,
    id: MemberId,
    email: &str,
    data: serde_json::Value,
) -> entities::audit::Model {
    let target_id = Some(id.to_string());
    audit::row(weir, actor, Entry { action, target_kind: "member", target_id, target_name: email, data })
}
