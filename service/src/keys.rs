//! API keys: made, listed, revoked, and checked at every request.
//!
//! Invariant: a key is shown once and stored as an HMAC; its checksum is verified before any look-up; it may at most what
//! its maker may at the time of use.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use domain::wire::{CreatedKey, KeyInput, KeyView, Page};
use domain::{ApiKeyId, Permission, Role, TenantId, UserId};
use entities::system::KeyHolder;
use entities::{JsonText, Scope as _, api_key, membership};
use sea_orm::ColumnTrait;

use crate::audit::{self, Entry};
use crate::sessions::Client;
use crate::{Actor, Paging, Scope, ServiceError, Subject, Weir, authz, token};

/// Days until a key ends, unless said.
const DEFAULT_DAYS: u32 = 90;
/// The longest life that can be asked for; 0 is for ever.
const MOST_DAYS: u32 = 3_650;
/// How long what is known of a key may be out of date: a revocation elsewhere takes effect within this.
const KNOWN_FOR: Duration = Duration::from_secs(2);
/// A key's last use is written at most this often.
const TOUCH_AFTER_SECONDS: i64 = 60;

const REFUSED: &str = "This API key is not valid here. Send a good one as `Authorization: Bearer ...`.";

/// Keys that were looked up a moment ago, by their HMAC.
pub(crate) struct KnownKeys(moka::future::Cache<[u8; 32], Arc<Known>>);

pub(crate) struct Known {
    holder: KeyHolder,
    scopes: Vec<Scope>,
    touched: AtomicI64,
}

impl Default for KnownKeys {
    fn default() -> Self {
        Self(moka::future::Cache::builder().max_capacity(20_000).time_to_live(KNOWN_FOR).build())
    }
}

impl KnownKeys {
    /// Looks every key up again, after roles or memberships changed.
    pub(crate) fn forget(&self) {
        self.0.invalidate_all();
    }
}

/// Who a bearer token is.
///
/// # Errors
/// [`ServiceError::Unauthenticated`] for anything but a good key, [`ServiceError::Forbidden`] in a suspended tenant.
pub async fn authenticate(weir: &Weir, bearer: &str, client: &Client, request_id: &str) -> Result<Actor, ServiceError> {
    if !token::is_api_key(bearer) {
        return Err(ServiceError::Unauthenticated(REFUSED));
    }
    let hash = hash(weir, bearer);
    let known = match weir.known_keys().0.get(&hash).await {
        Some(known) => known,
        None => {
            let holder = weir.store().system().await?.find_key(&hash).await?;
            let known = Arc::new(known(holder.ok_or(ServiceError::Unauthenticated(REFUSED))?));
            weir.known_keys().0.insert(hash, Arc::clone(&known)).await;
            known
        }
    };
    let now = weir.now();
    let role = role_now(&known.holder, now)?;
    touch(weir, &known, now);
    let key = &known.holder.key;
    Ok(Actor {
        tenant: TenantId::from_uuid(key.tenant_id),
        subject: Subject::ApiKey {
            id: ApiKeyId::from_uuid(key.id),
            name: key.name.clone(),
            user_id: UserId::from_uuid(key.user_id),
        },
        role,
        scopes: known.scopes.clone(),
        test: key.test,
        trigger: "api",
        address: client.address.clone(),
        request_id: Some(request_id.to_owned()),
        trace: None,
    })
}

fn role_now(holder: &KeyHolder, now: DateTime<Utc>) -> Result<Role, ServiceError> {
    let refused = || ServiceError::Unauthenticated(REFUSED);
    let key = &holder.key;
    if key.revoked_at.is_some() {
        return Err(ServiceError::Unauthenticated("This API key was revoked. Make a new one."));
    }
    if key.expires_at.is_some_and(|at| at <= now) {
        return Err(ServiceError::Unauthenticated("This API key has ended. Make a new one."));
    }
    if holder.user.as_ref().is_none_or(|user| user.disabled_at.is_some()) {
        return Err(refused());
    }
    if holder.tenant.suspended_at.is_some() {
        return Err(ServiceError::Forbidden("This tenant is suspended. Ask the operator.".to_owned()));
    }
    holder.membership.as_ref().and_then(|membership| Role::parse(&membership.role)).ok_or_else(refused)
}

fn known(holder: KeyHolder) -> Known {
    let texts: Vec<String> = holder.key.scopes.read().unwrap_or_default();
    let had_scopes = !texts.is_empty();
    let mut scopes: Vec<Scope> = texts.iter().filter_map(|text| Scope::parse(text).ok()).collect();
    if had_scopes && scopes.is_empty() {
        // Scopes of another version of this program: none is understood, so nothing is granted.
        scopes.push(Scope::nothing());
    }
    let touched = holder.key.last_used_at.map_or(0, |at| at.timestamp());
    Known { holder, scopes, touched: AtomicI64::new(touched) }
}

/// Writes the last use down in the background: the request does not wait for it.
fn touch(weir: &Weir, known: &Known, now: DateTime<Utc>) {
    let before = known.touched.load(Ordering::Relaxed);
    let due = now.timestamp() - before >= TOUCH_AFTER_SECONDS;
    if !due || known.touched.compare_exchange(before, now.timestamp(), Ordering::Relaxed, Ordering::Relaxed).is_err() {
        return;
    }
    let (weir, tenant, id) = (weir.clone(), known.holder.key.tenant_id, known.holder.key.id);
    tokio::spawn(async move {
        let noted = weir.store().write_system(move |unit| async move { unit.touch_key(tenant, id, now).await });
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a key's last use was not written down");
        }
    });
}

/// A page of the tenant's keys, newest first, revoked ones too.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(weir: &Weir, actor: &Actor, paging: &Paging) -> Result<Page<KeyView>, ServiceError> {
    use api_key::Column as C;
    authz::check(actor, Permission::KeysRead)?;
    let behind: Option<ApiKeyId> = paging.behind(|cursor| cursor.parse().ok())?;
    let reader = weir.store().read(actor.tenant).await?;
    let mut find = reader.find::<api_key::Entity>();
    if let Some(behind) = behind {
        find = find.filter(C::Id.lt(behind.uuid()));
    }
    let rows = find.order_by_desc(C::Id).limit(paging.rows()).all().await?;
    let users = reader.find_users(rows.iter().map(|row| row.user_id).collect()).await?;
    let maker = |id| users.iter().find(|user| user.id == id).map_or_else(String::new, |user| user.email.clone());
    let view = |row: api_key::Model| {
        let by = maker(row.user_id);
        Some(view(row, by))
    };
    Ok(paging.page(rows, |row| ApiKeyId::from_uuid(row.id).to_string(), view))
}

/// Makes a key. The answer is the only time it is shown.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::Invalid`].
pub async fn create(weir: &Weir, actor: &Actor, input: KeyInput) -> Result<CreatedKey, ServiceError> {
    authz::check(actor, Permission::KeysWrite)?;
    let name = input.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > 100 || !crate::text::can_be_stored(&name) {
        return Err(ServiceError::field("/name", "A key needs a name of at most 100 characters."));
    }
    check_scopes(actor, &input)?;
    let days = input.expires_in_days.unwrap_or(DEFAULT_DAYS);
    if days > MOST_DAYS {
        return Err(ServiceError::field("/expires_in_days", "A key lives at most 3,650 days, or 0 for ever."));
    }
    let user_id = maker(weir, actor).await?;
    let key = token::api_key(input.test);
    let id = weir.ids().key();
    let now = weir.now();
    let row = api_key::Model {
        tenant_id: actor.tenant.uuid(),
        id: id.uuid(),
        name: name.clone(),
        key_hash: hash(weir, &key).to_vec(),
        prefix: key[..14].to_owned(),
        last_four: key[key.len() - 4..].to_owned(),
        scopes: JsonText::of(&input.scopes),
        test: input.test,
        user_id,
        created_at: now,
        expires_at: (days > 0).then(|| now + chrono::Duration::days(i64::from(days))),
        revoked_at: None,
        last_used_at: None,
    };
    let data = serde_json::json!({ "scopes": input.scopes, "test": input.test });
    let entry = entry(weir, actor, "key.created", id, &name, data);
    weir.store()
        .write(actor.tenant, move |unit| async move {
            unit.insert(row).await?;
            audit::write(&unit, entry).await?;
            Ok::<_, ServiceError>(())
        })
        .await?;
    Ok(CreatedKey { id, name, key })
}

/// Ends a key at once.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn revoke(weir: &Weir, actor: &Actor, id: ApiKeyId) -> Result<(), ServiceError> {
    authz::check(actor, Permission::KeysWrite)?;
    let now = weir.now();
    let reader = weir.store().read(actor.tenant).await?;
    let row = reader.find::<api_key::Entity>().filter(api_key::Column::Id.eq(id.uuid())).one().await?;
    drop(reader);
    let row = row.ok_or_else(|| ServiceError::not_found("key", id))?;
    let entry = entry(weir, actor, "key.revoked", id, &row.name, serde_json::json!({}));
    weir.store()
        .write(actor.tenant, move |unit| async move {
            let ended = unit
                .update::<api_key::Entity>()
                .set(api_key::Column::RevokedAt, Some(now))
                .filter(api_key::Column::Id.eq(id.uuid()))
                .filter(api_key::Column::RevokedAt.is_null())
                .exec()
                .await?;
            if ended > 0 {
                audit::write(&unit, entry).await?;
            }
            Ok::<_, ServiceError>(())
        })
        .await?;
    if let Ok(hash) = <[u8; 32]>::try_from(row.key_hash.as_slice()) {
        weir.known_keys().0.invalidate(&hash).await;
    }
    Ok(())
}

/// Nobody hands out more than they hold.
fn check_scopes(actor: &Actor, input: &KeyInput) -> Result<(), ServiceError> {
    let mut scopes = Vec::new();
    for (index, text) in input.scopes.iter().enumerate() {
        let scope = Scope::parse(text).map_err(|message| ServiceError::field(format!("/scopes/{index}"), message))?;
        scopes.push(scope);
    }
    if actor.test && !input.test {
        return Err(ServiceError::Forbidden("A test key makes test keys only.".to_owned()));
    }
    let within = |scope: &Scope| actor.scopes.iter().any(|own| own.includes(scope));
    if !actor.scopes.is_empty() && (scopes.is_empty() || !scopes.iter().all(within)) {
        return Err(ServiceError::Forbidden("A key can only make keys whose scopes are among its own.".to_owned()));
    }
    Ok(())
}

/// Whose rights the key is cut to: the person who acts, or for the operator the tenant's first owner.
async fn maker(weir: &Weir, actor: &Actor) -> Result<uuid::Uuid, ServiceError> {
    if let Some(user) = actor.user_id() {
        return Ok(user.uuid());
    }
    let reader = weir.store().read(actor.tenant).await?;
    let owners = reader.find::<membership::Entity>().filter(membership::Column::Role.eq(Role::Owner.as_str()));
    let owner = owners.order_by_asc(membership::Column::CreatedAt).limit(1).one().await?;
    owner
        .map(|row| row.user_id)
        .ok_or_else(|| ServiceError::Conflict("This tenant has no owner that the key could belong to.".to_owned()))
}

fn hash(weir: &Weir, key: &str) -> [u8; 32] {
    weir.vault().mac("api key", key.as_bytes())
}

fn entry(
    weir: &Weir,
    actor: &Actor,
    action: &'static str,
    id: ApiKeyId,
    name: &str,
    data: serde_json::Value,
) -> entities::audit::Model {
    let target_id = Some(id.to_string());
    audit::row(weir, actor, Entry { action, target_kind: "key", target_id, target_name: name, data })
}

fn view(row: api_key::Model, created_by: String) -> KeyView {
    KeyView {
        id: ApiKeyId::from_uuid(row.id),
        name: row.name,
        prefix: row.prefix,
        last_four: row.last_four,
        scopes: row.scopes.read().unwrap_or_default(),
        test: row.test,
        created_by,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    }
}
