//! Sessions of the console: opaque, on the server, revocable.
//!
//! Invariant: the cookie's token is stored as a hash only; whether a session is good is asked at every request.

use chrono::Duration;
use domain::wire::{DeviceView, TenantView};
use domain::{Role, SessionId, TenantId, UserId};
use entities::session;

use crate::{Actor, ServiceError, Subject, Weir, tenants, token};

/// How long a session lasts without use, and in all.
const IDLE: Duration = Duration::days(7);
const WHOLE: Duration = Duration::days(30);
/// A session's last use is written at most this often.
const TOUCH_AFTER: Duration = Duration::minutes(1);

/// From where somebody asks.
#[derive(Debug, Clone, Default)]
pub struct Client {
    pub address: Option<String>,
    pub user_agent: Option<String>,
}

/// A fresh session: the token goes into the cookie and nowhere else.
pub struct SignedIn {
    pub token: String,
    pub user_id: UserId,
}

/// A good session with its person.
#[derive(Debug, Clone)]
pub struct OpenSession {
    pub id: uuid::Uuid,
    pub user_id: UserId,
    pub email: String,
    /// Tenants of which this person is a member, by name, each with their role.
    pub tenants: Vec<TenantView>,
}

impl OpenSession {
    /// The person acting in one of their tenants.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for a tenant that is not theirs or not there.
    pub fn actor(&self, tenant: &str, client: &Client, request_id: &str) -> Result<Actor, ServiceError> {
        let view = self.tenants.iter().find(|view| view.name == tenant);
        let view = view.ok_or_else(|| ServiceError::not_found("tenant", tenant))?;
        Ok(Actor {
            tenant: view.id,
            subject: Subject::User { id: self.user_id, name: self.email.clone() },
            role: view.role.unwrap_or(Role::Viewer),
            scopes: Vec::new(),
            test: false,
            trigger: "console",
            address: client.address.clone(),
            request_id: Some(request_id.to_owned()),
            trace: None,
        })
    }
}

/// A session's row (its `user_id` still to be filled in) and its token.
pub(crate) fn fresh(weir: &Weir, client: &Client) -> (session::Model, String) {
    let token = token::opaque();
    let now = weir.now();
    let row = session::Model {
        id: weir.ids().session().uuid(),
        user_id: uuid::Uuid::nil(),
        token_hash: token::hash(&token),
        address: client.address.clone(),
        user_agent: client.user_agent.as_deref().map(|text| text.chars().take(200).collect()),
        created_at: now,
        last_seen_at: now,
        expires_at: now + IDLE,
        revoked_at: None,
    };
    (row, token)
}

/// The session of a cookie's token; `None` if it is not good (any more).
///
/// # Errors
/// Faults of the store.
pub async fn open(weir: &Weir, token: &str) -> Result<Option<OpenSession>, ServiceError> {
    let now = weir.now();
    let system = weir.store().system().await?;
    let Some(row) = system.find_session(&token::hash(token)).await? else { return Ok(None) };
    if row.revoked_at.is_some() || row.expires_at <= now {
        return Ok(None);
    }
    let Some(user) = system.find_user(row.user_id).await?.filter(|user| user.disabled_at.is_none()) else {
        return Ok(None);
    };
    let memberships = system.memberships_of(user.id).await?;
    drop(system);
    if now - row.last_seen_at > TOUCH_AFTER {
        let (id, person, until) = (row.id, user.id, (now + IDLE).min(row.created_at + WHOLE));
        weir.store()
            .write_system(move |unit| async move {
                unit.touch_session(id, person, now, until).await.map_err(ServiceError::from)
            })
            .await?;
    }
    let tenants = memberships
        .into_iter()
        .filter(|(_, tenant)| tenant.suspended_at.is_none())
        .filter_map(|(membership, tenant)| Some(tenants::view(tenant, Some(Role::parse(&membership.role)?))))
        .collect();
    Ok(Some(OpenSession { id: row.id, user_id: UserId::from_uuid(user.id), email: user.email, tenants }))
}

/// Ends a session.
///
/// # Errors
/// Faults of the store.
pub async fn end(weir: &Weir, session: &OpenSession) -> Result<(), ServiceError> {
    let (user, id, now) = (session.user_id.uuid(), session.id, weir.now());
    weir.store()
        .write_system(move |unit| async move {
            unit.revoke_sessions(user, Some(id), None, now).await.map(drop).map_err(ServiceError::from)
        })
        .await
}

/// The person's sessions that are good now, the one that asks first, then by last use.
///
/// # Errors
/// Faults of the store.
pub async fn list(weir: &Weir, session: &OpenSession) -> Result<Vec<DeviceView>, ServiceError> {
    let now = weir.now();
    let rows = weir.store().system().await?.sessions_of(session.user_id.uuid()).await?;
    let good = rows.into_iter().filter(|row| row.expires_at > now);
    let mut devices: Vec<DeviceView> = good
        .map(|row| DeviceView {
            id: SessionId::from_uuid(row.id),
            current: row.id == session.id,
            address: row.address,
            user_agent: row.user_agent,
            created_at: row.created_at,
            last_seen_at: row.last_seen_at,
            expires_at: row.expires_at,
        })
        .collect();
    devices.sort_by_key(|device| (!device.current, std::cmp::Reverse(device.last_seen_at)));
    Ok(devices)
}

/// Ends one of the person's sessions, this one too.
///
/// # Errors
/// [`ServiceError::NotFound`] for one that is over, or not theirs.
pub async fn end_one(weir: &Weir, session: &OpenSession, id: SessionId) -> Result<(), ServiceError> {
    let (user, now) = (session.user_id.uuid(), weir.now());
    let ended = weir.store().write_system(move |unit| async move {
        unit.revoke_sessions(user, Some(id.uuid()), None, now).await.map_err(ServiceError::from)
    });
    if ended.await? == 0 { Err(ServiceError::not_found("session", id)) } else { Ok(()) }
}

/// Ends all of the person's sessions but this one; how many there were.
///
/// # Errors
/// Faults of the store.
pub async fn end_others(weir: &Weir, session: &OpenSession) -> Result<u64, ServiceError> {
    let (user, except, now) = (session.user_id.uuid(), session.id, weir.now());
    let ended = weir.store().write_system(move |unit| async move {
        unit.revoke_sessions(user, None, Some(except), now).await.map_err(ServiceError::from)
    });
    ended.await
}

/// The role somebody has in a tenant now; `None` when they are no member.
///
/// # Errors
/// Faults of the store.
pub async fn role_of(weir: &Weir, tenant: TenantId, user: UserId) -> Result<Option<Role>, ServiceError> {
    let membership = weir.store().system().await?.find_membership(tenant.uuid(), user.uuid()).await?;
    Ok(membership.and_then(|membership| Role::parse(&membership.role)))
}
