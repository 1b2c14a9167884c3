//! A tenant's secrets: written, used by flows, never shown again.
//!
//! Invariant: a value leaves this module only towards the engine, in a run of the same tenant.

use domain::wire::{Page, SecretView};
use domain::{Permission, TenantId};
use entities::{Scope as _, secret};
use sea_orm::ColumnTrait;
use zeroize::Zeroizing;

use crate::audit::{self, Entry};
use crate::{Actor, Paging, ServiceError, Weir, authz};

const LONGEST: usize = 64 * 1024;

/// A page of names and versions, by name.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(weir: &Weir, actor: &Actor, paging: &Paging) -> Result<Page<SecretView>, ServiceError> {
    use secret::Column as C;
    authz::check(actor, Permission::SecretsRead)?;
    let behind = paging.behind(crate::paging::name)?;
    let reader = weir.store().read(actor.tenant).await?;
    let mut find = reader.find::<secret::Entity>();
    if let Some(behind) = behind {
        find = find.filter(C::Name.gt(behind));
    }
    let rows = find.order_by_asc(C::Name).limit(paging.rows()).all().await?;
    Ok(paging.page(rows, |row| row.name.clone(), |row| Some(view(row))))
}

/// Makes a secret, or gives it a new value.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::Invalid`] for a name that is none.
pub async fn put(weir: &Weir, actor: &Actor, name: &str, value: Zeroizing<String>) -> Result<SecretView, ServiceError> {
    authz::check(actor, Permission::SecretsWrite)?;
    check_name(name)?;
    if value.is_empty() || value.len() > LONGEST {
        return Err(ServiceError::field("/value", "A secret's value has between 1 and 65,536 bytes."));
    }
    let key = weir.tenant_key(actor.tenant).await?;
    let now = weir.now();
    let fresh = weir.ids().secret();
    let (weir2, actor2, name2) = (weir.clone(), actor.clone(), name.to_owned());
    weir.store()
        .write(actor.tenant, move |unit| async move {
            let known =
                unit.find::<secret::Entity>().filter(secret::Column::Name.eq(&name2)).for_update().one().await?;
            let row = match known {
                Some(row) => secret::Model { version: row.version + 1, updated_at: now, ..row },
                None => secret::Model {
                    tenant_id: actor2.tenant.uuid(),
                    id: fresh.uuid(),
                    name: name2.clone(),
                    version: 1,
                    ciphertext: Vec::new(),
                    created_by: actor2.name().to_owned(),
                    created_at: now,
                    updated_at: now,
                },
            };
            let row = secret::Model { ciphertext: key.seal(&object(&row), "value", value.as_bytes()), ..row };
            if row.version == 1 {
                unit.insert(row.clone()).await?;
            } else {
                unit.update::<secret::Entity>()
                    .set(secret::Column::Ciphertext, row.ciphertext.clone())
                    .set(secret::Column::Version, row.version)
                    .set(secret::Column::UpdatedAt, now)
                    .filter(secret::Column::Id.eq(row.id))
                    .exec()
                    .await?;
            }
            let entry = Entry {
                action: "secret.set",
                target_kind: "secret",
                target_id: Some(domain::SecretId::from_uuid(row.id).to_string()),
                target_name: &name2,
                data: serde_json::json!({ "version": row.version }),
            };
            audit::write(&unit, audit::row(&weir2, &actor2, entry)).await?;
            Ok(view(row))
        })
        .await
}

/// Removes a secret.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn delete(weir: &Weir, actor: &Actor, name: &str) -> Result<(), ServiceError> {
    authz::check(actor, Permission::SecretsWrite)?;
    if check_name(name).is_err() {
        return Err(ServiceError::not_found("secret", crate::text::column(name, 64)));
    }
    let entry = audit::row(
        weir,
        actor,
        Entry {
            action: "secret.deleted",
            target_kind: "secret",
            target_id: None,
            target_name: name,
            data: serde_json::json!({}),
        },
    );
    let name = name.to_owned();
    weir.store()
        .write(actor.tenant, move |unit| async move {
            let gone = unit.delete::<secret::Entity>().filter(secret::Column::Name.eq(&name)).exec().await?;
            if gone == 0 {
                return Err(ServiceError::not_found("secret", name));
            }
            audit::write(&unit, entry).await?;
            Ok(())
        })
        .await
}

/// A secret in clear, for a run of its tenant.
pub(crate) async fn reveal(
    weir: &Weir,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Zeroizing<String>>, ServiceError> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    let row =
        weir.store().read(tenant).await?.find::<secret::Entity>().filter(secret::Column::Name.eq(name)).one().await?;
    let Some(row) = row else { return Ok(None) };
    let plain = weir.tenant_key(tenant).await?.open(&object(&row), "value", &row.ciphertext)?;
    let text = std::str::from_utf8(&plain).map_err(ServiceError::internal)?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// Which value a secret has: another name after every change, also where it was deleted and made again.
pub(crate) async fn version(weir: &Weir, tenant: TenantId, name: &str) -> Result<Option<String>, ServiceError> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    let reader = weir.store().read(tenant).await?;
    Ok(reader.find::<secret::Entity>().filter(secret::Column::Name.eq(name)).one().await?.map(|row| object(&row)))
}

/// All of a tenant's secrets in their versions.
pub(crate) async fn versions(weir: &Weir, tenant: TenantId) -> Result<Vec<String>, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let rows = reader.find::<secret::Entity>().order_by_asc(secret::Column::Name).all().await?;
    Ok(rows.iter().map(|row| format!("{}={}", row.name, object(row))).collect())
}

/// What the value is sealed for: this secret in this version.
fn object(row: &secret::Model) -> String {
    format!("{}:{}", domain::SecretId::from_uuid(row.id), row.version)
}

fn view(row: secret::Model) -> SecretView {
    SecretView {
        name: row.name,
        version: u32::try_from(row.version).unwrap_or(0),
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

/// Names of secrets and connections: what templates and `connection/model` can hold.
pub(crate) fn check_name(name: &str) -> Result<(), ServiceError> {
    let fits = (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
        && name.as_bytes()[0].is_ascii_alphabetic();
    if fits {
        Ok(())
    } else {
        Err(ServiceError::field(
            "/name",
            "A name starts with a letter and has at most 64 letters, digits, `_` and `-`.",
        ))
    }
}
