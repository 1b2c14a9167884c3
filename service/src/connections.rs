//! Connections: the named services that flows call, with their credentials sealed.
//!
//! Invariant: a `simulated` connection exists only where the demo's seed made one; nobody can write one.

use std::collections::BTreeMap;

use domain::wire::{ConnectionInput, ConnectionView, ModelRate, Page};
use domain::{Permission, TenantId};
use engine::ports::{ModelKind, ServiceEndpoint};
use entities::{JsonText, Scope as _, connection};
use sea_orm::ColumnTrait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::audit::{self, Entry};
use crate::secrets::check_name;
use crate::{Actor, Paging, ServiceError, Weir, authz};

const OPENAI: &str = "openai";
pub(crate) const SIMULATED: &str = "simulated";
const HTTP: &str = "http";
const POSTGRES: &str = "postgres";
/// Addresses that a connection may have besides its first.
const MORE_ADDRESSES: usize = 15;

/// What a connection is, besides its name and its key.
#[derive(Debug, Clone, PartialEq)]
struct Shape {
    kind: &'static str,
    base_url: Option<String>,
    settings: Settings,
}

/// What not every connection has, as its row keeps it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Settings {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more_base_urls: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<u32>,
    /// As the newest revision has them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    prices: BTreeMap<String, ModelRate>,
}

impl Settings {
    fn of(row: &connection::Model) -> Self {
        row.settings.as_ref().and_then(|settings| settings.read().ok()).unwrap_or_default()
    }
}

/// A page of the connections, by name.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::BadRequest`] for a cursor that is none.
pub async fn list(weir: &Weir, actor: &Actor, paging: &Paging) -> Result<Page<ConnectionView>, ServiceError> {
    use connection::Column as C;
    authz::check(actor, Permission::ConnectionsRead)?;
    let behind = paging.behind(crate::paging::name)?;
    let reader = weir.store().read(actor.tenant).await?;
    let mut find = reader.find::<connection::Entity>();
    if let Some(behind) = behind {
        find = find.filter(C::Name.gt(behind));
    }
    let rows = find.order_by_asc(C::Name).limit(paging.rows()).all().await?;
    Ok(paging.page(rows, |row| row.name.clone(), |row| Some(view(&row))))
}

/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn get(weir: &Weir, actor: &Actor, name: &str) -> Result<ConnectionView, ServiceError> {
    authz::check(actor, Permission::ConnectionsRead)?;
    let row = row(weir, actor.tenant, name).await?;
    row.as_ref().map(view).ok_or_else(|| ServiceError::not_found("connection", name))
}

/// Makes or changes a connection. An absent `api_key` keeps the stored one, but only for the same host: a key never goes
/// to an address it was not given for.
///
/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::Invalid`].
pub async fn put(
    weir: &Weir,
    actor: &Actor,
    name: &str,
    input: ConnectionInput,
) -> Result<ConnectionView, ServiceError> {
    authz::check(actor, Permission::ConnectionsWrite)?;
    check_name(name)?;
    let (kind, base_url) = match input.kind.as_str() {
        OPENAI => (OPENAI, base_url(input.base_url.as_deref(), "up to and including `/v1`")?),
        HTTP => (HTTP, base_url(input.base_url.as_deref(), "that requests begin with")?),
        POSTGRES => (POSTGRES, database_url(input.base_url.as_deref())?),
        _ => {
            let message =
                "Known kinds are `openai` (any OpenAI-compatible endpoint), `http` (a web API) and `postgres`.";
            return Err(ServiceError::field("/kind", message));
        }
    };
    let settings = Settings {
        prices: prices(kind, input.prices)?,
        ..settings(kind, &base_url, &input.more_base_urls, input.max_concurrency)?
    };
    let shape = Shape { kind, base_url: Some(base_url), settings };
    save(weir, actor, name, shape, input.api_key.map(Zeroizing::new)).await
}

fn settings(kind: &str, first: &str, more: &[String], max_concurrency: Option<u32>) -> Result<Settings, ServiceError> {
    let fault = |message: &str| ServiceError::field("/more_base_urls", message);
    if !more.is_empty() && kind != OPENAI {
        return Err(fault("Only a connection to models has several addresses."));
    }
    if more.len() > MORE_ADDRESSES {
        return Err(fault(&format!("A connection has at most {MORE_ADDRESSES} addresses besides its first.")));
    }
    if max_concurrency == Some(0) {
        let message = "At least one call must be possible. Leave the limit out for as many as there are.";
        return Err(ServiceError::field("/max_concurrency", message));
    }
    let mut more_base_urls: Vec<String> = Vec::with_capacity(more.len());
    for address in more {
        let address = base_url(Some(address), "up to and including `/v1`").map_err(|_| {
            fault("Each is an address like https://api.openai.com/v1, without user, query and fragment.")
        })?;
        if address == first || more_base_urls.contains(&address) {
            return Err(fault("The same address stands there twice."));
        }
        more_base_urls.push(address);
    }
    Ok(Settings { more_base_urls, max_concurrency, prices: BTreeMap::new() })
}

fn prices(kind: &str, prices: BTreeMap<String, ModelRate>) -> Result<BTreeMap<String, ModelRate>, ServiceError> {
    if !prices.is_empty() && kind != OPENAI {
        return Err(ServiceError::field("/prices", "Only a connection to models has prices."));
    }
    crate::prices::check(&prices)?;
    Ok(prices)
}

/// Makes the demo's built-in connection. Only the demo's seed calls this.
pub(crate) async fn put_simulated(weir: &Weir, actor: &Actor, name: &str) -> Result<ConnectionView, ServiceError> {
    save(weir, actor, name, Shape { kind: SIMULATED, base_url: None, settings: Settings::default() }, None).await
}

/// # Errors
/// [`ServiceError::Forbidden`], [`ServiceError::NotFound`].
pub async fn delete(weir: &Weir, actor: &Actor, name: &str) -> Result<(), ServiceError> {
    authz::check(actor, Permission::ConnectionsWrite)?;
    if check_name(name).is_err() {
        return Err(ServiceError::not_found("connection", crate::text::column(name, 64)));
    }
    let audit_row = entry(weir, actor, "connection.deleted", None, name);
    let (name, now) = (name.to_owned(), weir.now());
    weir.store()
        .write(actor.tenant, move |unit| async move {
            let find = unit.find::<connection::Entity>().filter(connection::Column::Name.eq(&name));
            let Some(row) = find.for_update().one().await? else {
                return Err(ServiceError::not_found("connection", name));
            };
            if !Settings::of(&row).prices.is_empty() {
                // Another connection of this name is somebody else's, with prices of its own.
                crate::prices::change(&unit, &name, &BTreeMap::new(), now).await?;
            }
            unit.delete::<connection::Entity>().filter(connection::Column::Name.eq(&name)).exec().await?;
            audit::write(&unit, audit_row).await?;
            Ok(())
        })
        .await
}

/// A connection with its key in clear, for a run of its tenant.
pub(crate) struct Opened {
    pub(crate) name: String,
    pub(crate) kind: ModelKind,
    /// The first of them is the one that says whose prices hold.
    pub(crate) base_urls: Vec<String>,
    pub(crate) api_key: Option<String>,
}

pub(crate) async fn open(weir: &Weir, tenant: TenantId, name: &str) -> Result<Option<Opened>, ServiceError> {
    let Some(row) = row(weir, tenant, name).await? else { return Ok(None) };
    let api_key = credential(weir, tenant, &row).await?;
    let kind = match row.kind.as_str() {
        SIMULATED => ModelKind::Simulated,
        OPENAI => ModelKind::OpenAi,
        // A service is no model.
        _ => return Ok(None),
    };
    let more = Settings::of(&row).more_base_urls;
    let base_urls = row.base_url.into_iter().chain(more).collect();
    Ok(Some(Opened { kind, base_urls, api_key, name: row.name }))
}

/// How many attempts may go through a connection at the same time; `None` also where there is no such connection.
pub(crate) async fn most_at_once(weir: &Weir, tenant: TenantId, name: &str) -> Result<Option<u32>, ServiceError> {
    Ok(row(weir, tenant, name).await?.and_then(|row| Settings::of(&row).max_concurrency))
}

/// What changes whenever a connection's address, key or settings do; `None` where there is no such connection.
pub(crate) async fn revision(weir: &Weir, tenant: TenantId, name: &str) -> Result<Option<String>, ServiceError> {
    Ok(row(weir, tenant, name).await?.map(|row| revision_of(&row)))
}

/// All of a tenant's connections in their revisions.
pub(crate) async fn revisions(weir: &Weir, tenant: TenantId) -> Result<Vec<String>, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let rows = reader.find::<connection::Entity>().order_by_asc(connection::Column::Name).all().await?;
    Ok(rows.iter().map(|row| format!("{}={}", row.name, revision_of(row))).collect())
}

/// A key is sealed anew whenever it is put, so that two changes within one tick of the clock differ too.
fn revision_of(row: &connection::Model) -> String {
    let settings = row.settings.as_ref().map(|settings| settings.to_owned().into_inner().to_string());
    let of = (row.id, &row.kind, &row.base_url, &row.credentials, settings, row.updated_at);
    hex::encode(Sha256::digest(format!("{of:?}")))
}

/// A connection to a service that is no model.
pub(crate) async fn open_service(
    weir: &Weir,
    tenant: TenantId,
    name: &str,
) -> Result<Option<ServiceEndpoint>, ServiceError> {
    let found = open_any(weir, tenant, name).await?;
    Ok(found.filter(|endpoint| matches!(endpoint.kind.as_str(), HTTP | POSTGRES)))
}

/// A connection of any kind, with its credential in clear.
pub(crate) async fn open_any(
    weir: &Weir,
    tenant: TenantId,
    name: &str,
) -> Result<Option<ServiceEndpoint>, ServiceError> {
    let Some(row) = row(weir, tenant, name).await? else { return Ok(None) };
    let credential = credential(weir, tenant, &row).await?;
    let base_url = row.base_url.unwrap_or_default();
    Ok(Some(ServiceEndpoint { connection: row.name, kind: row.kind, base_url, credential }))
}

async fn credential(weir: &Weir, tenant: TenantId, row: &connection::Model) -> Result<Option<String>, ServiceError> {
    let Some(sealed) = &row.credentials else { return Ok(None) };
    let plain = weir.tenant_key(tenant).await?.open(&object(row), "api_key", sealed)?;
    Ok(Some(std::str::from_utf8(&plain).map_err(ServiceError::internal)?.to_owned()))
}

async fn row(weir: &Weir, tenant: TenantId, name: &str) -> Result<Option<connection::Model>, ServiceError> {
    if check_name(name).is_err() {
        return Ok(None);
    }
    let reader = weir.store().read(tenant).await?;
    Ok(reader.find::<connection::Entity>().filter(connection::Column::Name.eq(name)).one().await?)
}

async fn save(
    weir: &Weir,
    actor: &Actor,
    name: &str,
    shape: Shape,
    api_key: Option<Zeroizing<String>>,
) -> Result<ConnectionView, ServiceError> {
    let Shape { kind, base_url, settings } = shape;
    let key = weir.tenant_key(actor.tenant).await?;
    let fresh = weir.ids().connection().uuid();
    let (now, tenant) = (weir.now(), actor.tenant);
    let audit_row = entry(weir, actor, "connection.set", base_url.as_deref(), name);
    let prices = settings.prices.clone();
    let settings = (settings != Settings::default()).then(|| JsonText::of(&settings));
    let name = name.to_owned();
    let saved = weir
        .store()
        .write(actor.tenant, move |unit| async move {
            let find = unit.find::<connection::Entity>().filter(connection::Column::Name.eq(&name));
            let known = find.for_update().one().await?;
            if known.as_ref().is_some_and(|row| row.kind != kind) {
                return Err(ServiceError::Conflict(format!(
                    "The connection `{name}` is of another kind; delete it first."
                )));
            }
            let is_new = known.is_none();
            let mut row = known.unwrap_or(connection::Model {
                tenant_id: tenant.uuid(),
                id: fresh,
                name,
                kind: kind.to_owned(),
                base_url: None,
                credentials: None,
                settings: None,
                created_at: now,
                updated_at: now,
            });
            let Settings { more_base_urls: before, prices: charged, .. } = Settings::of(&row);
            if charged != prices {
                crate::prices::change(&unit, &row.name, &prices, now).await?;
            }
            row.settings = settings;
            let hosts = |first: Option<&str>, more: &[String]| {
                first.into_iter().chain(more.iter().map(String::as_str)).map(|url| host(Some(url))).collect::<Vec<_>>()
            };
            let known = hosts(row.base_url.as_deref(), &before);
            let asked = hosts(base_url.as_deref(), &Settings::of(&row).more_base_urls);
            if !asked.iter().all(|host| known.contains(host)) {
                row.credentials = None;
            }
            row.base_url = base_url;
            row.updated_at = now;
            if let Some(api_key) = api_key {
                let sealed = key.seal(&object(&row), "api_key", api_key.as_bytes());
                row.credentials = (!api_key.is_empty()).then_some(sealed);
            }
            if is_new {
                unit.insert(row.clone()).await?;
            } else {
                unit.update::<connection::Entity>()
                    .set(connection::Column::BaseUrl, row.base_url.clone())
                    .set(connection::Column::Settings, row.settings.clone())
                    .set(connection::Column::Credentials, row.credentials.clone())
                    .set(connection::Column::UpdatedAt, now)
                    .filter(connection::Column::Id.eq(row.id))
                    .exec()
                    .await?;
            }
            audit::write(&unit, audit_row).await?;
            Ok(view(&row))
        })
        .await?;
    // Runs that start from now on take the new prices.
    weir.plans().changed();
    Ok(saved)
}

fn entry(
    weir: &Weir,
    actor: &Actor,
    action: &'static str,
    base_url: Option<&str>,
    name: &str,
) -> entities::audit::Model {
    let data = serde_json::json!({ "base_url": base_url });
    audit::row(weir, actor, Entry { action, target_kind: "connection", target_id: None, target_name: name, data })
}

fn base_url(text: Option<&str>, what: &str) -> Result<String, ServiceError> {
    let fault = |message: &str| ServiceError::field("/base_url", message);
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| fault(&format!("A connection needs the address {what}.")))?;
    let url =
        url::Url::parse(text).map_err(|_| fault("This is no address. Write it like https://api.openai.com/v1."))?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err(fault("The address starts with https:// or http://."));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(fault("The address has no user, query or fragment; the key goes into `api_key`."));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// `postgres://user@host:5432/database?sslmode=require`; the password is the connection's key.
fn database_url(text: Option<&str>) -> Result<String, ServiceError> {
    let fault = |message: &str| ServiceError::field("/base_url", message);
    let example = "Write the address like postgres://user@host:5432/database.";
    let url = text.and_then(|text| url::Url::parse(text.trim()).ok()).ok_or_else(|| fault(example))?;
    if !matches!(url.scheme(), "postgres" | "postgresql") || url.host_str().is_none() || url.username().is_empty() {
        return Err(fault(example));
    }
    if url.password().is_some() {
        return Err(fault("The password goes into `api_key`, where it is encrypted."));
    }
    Ok(url.into())
}

fn host(url: Option<&str>) -> Option<(String, Option<u16>, String)> {
    let url = url::Url::parse(url?).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default(), url.scheme().to_owned()))
}

fn object(row: &connection::Model) -> String {
    domain::ConnectionId::from_uuid(row.id).to_string()
}

fn view(row: &connection::Model) -> ConnectionView {
    let Settings { more_base_urls, max_concurrency, prices } = Settings::of(row);
    ConnectionView {
        more_base_urls,
        max_concurrency,
        prices,
        name: row.name.clone(),
        kind: row.kind.clone(),
        base_url: row.base_url.clone(),
        has_key: row.credentials.is_some(),
        updated_at: row.updated_at,
    }
}
