//! One-time links: they make the first owner or sign somebody in, once, and end by themselves.
//!
//! Invariant: only the hash of a link's token is stored; of two callers at once, one gets it.

use chrono::Duration;
use domain::{Role, TenantId};
use entities::{one_time_link, user};
use zeroize::Zeroizing;

use crate::sessions::{self, Client, SignedIn};
use crate::{Actor, ServiceError, Weir, audit, tenants, token};

/// What a link is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Makes the first owner, and a tenant where the link names none.
    FirstOwner,
    /// Signs one person in.
    SignIn,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::FirstOwner => "first_owner",
            Self::SignIn => "sign_in",
        }
    }

    fn lifetime(self) -> Duration {
        match self {
            Self::FirstOwner => Duration::days(7),
            Self::SignIn => Duration::hours(1),
        }
    }
}

/// What the setup page asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingSetup {
    /// Whether a tenant must still be named.
    pub needs_tenant: bool,
    pub email: Option<String>,
}

#[must_use]
pub fn setup_path(token: &str) -> String {
    format!("/setup/{token}")
}

#[must_use]
pub fn sign_in_path(token: &str) -> String {
    format!("/sign-in/{token}")
}

/// A link's row and its token, to be inserted with what it is about.
pub(crate) fn fresh(weir: &Weir, purpose: Purpose) -> (one_time_link::Model, String) {
    let token = token::opaque();
    let now = weir.now();
    let row = one_time_link::Model {
        id: crate::ids::new_uuid(),
        token_hash: token::hash(&token),
        purpose: purpose.as_str().to_owned(),
        tenant_id: None,
        user_id: None,
        email: None,
        role: None,
        created_at: now,
        expires_at: now + purpose.lifetime(),
        used_at: None,
    };
    (row, token)
}

/// The link that makes the first owner and tenant of a new store: the path to open in a browser.
///
/// # Errors
/// Faults of the store.
pub async fn first_owner(weir: &Weir) -> Result<String, ServiceError> {
    let (row, token) = fresh(weir, Purpose::FirstOwner);
    weir.store().write_system(move |unit| async move { unit.insert(row).await.map_err(ServiceError::from) }).await?;
    Ok(setup_path(&token))
}

/// A link that signs this person in.
///
/// # Errors
/// Faults of the store.
pub async fn sign_in_for(weir: &Weir, user: uuid::Uuid) -> Result<String, ServiceError> {
    let (mut row, token) = fresh(weir, Purpose::SignIn);
    row.user_id = Some(user);
    weir.store().write_system(move |unit| async move { unit.insert(row).await.map_err(ServiceError::from) }).await?;
    Ok(sign_in_path(&token))
}

/// What a setup link asks for; looking does not use it up.
///
/// # Errors
/// [`ServiceError::NotFound`] for one that is unknown, used or over.
pub async fn pending(weir: &Weir, token: &str) -> Result<PendingSetup, ServiceError> {
    let link = weir.store().system().await?.find_link(&token::hash(token)).await?;
    let link = link
        .filter(|link| {
            link.purpose == Purpose::FirstOwner.as_str() && link.used_at.is_none() && link.expires_at > weir.now()
        })
        .ok_or(ServiceError::NotFound { what: "setup link", name: "of this address".to_owned() })?;
    Ok(PendingSetup { needs_tenant: link.tenant_id.is_none(), email: link.email })
}

/// What the first owner typed.
pub struct SetupInput {
    pub email: String,
    pub password: Zeroizing<String>,
    /// The first tenant's name, where the link names none.
    pub tenant: String,
}

/// Uses a setup link up: sets the owner's password (and makes owner and tenant where missing), and signs in.
/// Gives the session and the name of the tenant to go to.
///
/// # Errors
/// [`ServiceError::NotFound`] for a link that is not good (any more), [`ServiceError::Invalid`] for what was typed.
pub async fn set_up(
    weir: &Weir,
    token: &str,
    input: SetupInput,
    client: &Client,
) -> Result<(SignedIn, String), ServiceError> {
    let pending = pending(weir, token).await?;
    let email = crate::sign_in::email(&input.email)?;
    if pending.email.as_ref().is_some_and(|expected| *expected != email) {
        return Err(ServiceError::field("/email", "This link was made for another e-mail address."));
    }
    if pending.needs_tenant {
        tenants::check_name(&input.tenant)?;
    }
    let known = weir.store().system().await?.find_user_by_email(&email).await?;
    let password_hash = match known.as_ref().and_then(|user| user.password_hash.clone()) {
        // A link given to somebody who has a password proves the address, not the person.
        Some(stored) => {
            if !weir.passwords().verify(input.password, Some(stored.clone())).await? {
                return Err(ServiceError::field("/password", "This account has a password already; type that one."));
            }
            stored
        }
        None => weir.passwords().hash(input.password).await?,
    };
    let (session, session_token) = sessions::fresh(weir, client);
    let (weir2, hash) = (weir.clone(), token::hash(token));
    let fresh_user = tenants::new_user(weir, &email);
    let new_tenant = weir.ids().tenant();
    let (user, tenant) = weir
        .store()
        .write_system(move |unit| async move {
            let now = weir2.now();
            let link = unit.take_link(&hash, now).await?;
            let link = link.ok_or(ServiceError::NotFound { what: "setup link", name: "of this address".to_owned() })?;
            let known = unit.find_user_by_email(&email).await?;
            let is_new = known.is_none();
            let user = user::Model {
                password_hash: Some(password_hash),
                last_active_at: Some(now),
                ..known.unwrap_or(fresh_user)
            };
            if is_new {
                unit.insert(user.clone()).await?;
            } else {
                unit.update_user(user.clone()).await?;
            }
            let tenant = match link.tenant_id {
                Some(id) => unit.find_tenant(id).await?.ok_or_else(|| ServiceError::not_found("tenant", id))?,
                None => {
                    if unit.find_tenant_by_name(&input.tenant).await?.is_some() {
                        return Err(ServiceError::field("/tenant", "There is already a tenant of this name."));
                    }
                    let row = tenants::new_row(&weir2, new_tenant, &input.tenant);
                    unit.insert(row.clone()).await?;
                    let actor = Actor::system(new_tenant, "first owner");
                    unit.insert(audit::row(&weir2, &actor, tenants::created_entry(new_tenant, &row.name))).await?;
                    row
                }
            };
            let tenant_id = TenantId::from_uuid(tenant.id);
            if unit.find_membership(tenant.id, user.id).await?.is_none() {
                let role = link.role.as_deref().and_then(Role::parse).unwrap_or(Role::Owner);
                unit.insert(tenants::new_membership(&weir2, tenant_id, &user, role)).await?;
            }
            unit.insert(entities::session::Model { user_id: user.id, ..session }).await?;
            Ok::<_, ServiceError>((user, tenant.name))
        })
        .await?;
    Ok((SignedIn { token: session_token, user_id: domain::UserId::from_uuid(user.id) }, tenant))
}

/// Uses a sign-in link up.
///
/// # Errors
/// [`ServiceError::NotFound`] for a link that is not good (any more).
pub async fn follow(weir: &Weir, token: &str, client: &Client) -> Result<SignedIn, ServiceError> {
    let (session, session_token) = sessions::fresh(weir, client);
    let (hash, now) = (token::hash(token), weir.now());
    let gone = || ServiceError::NotFound { what: "sign-in link", name: "of this address".to_owned() };
    // Looked at first, so that a link of another purpose is not used up here.
    let link = weir.store().system().await?.find_link(&hash).await?;
    if link.is_none_or(|link| link.purpose != Purpose::SignIn.as_str()) {
        return Err(gone());
    }
    let user = weir
        .store()
        .write_system(move |unit| async move {
            let link = unit.take_link(&hash, now).await?.ok_or_else(gone)?;
            let user = match link.user_id {
                Some(id) => unit.find_user(id).await?.filter(|user| user.disabled_at.is_none()),
                None => None,
            };
            let user = user::Model { last_active_at: Some(now), ..user.ok_or_else(gone)? };
            unit.update_user(user.clone()).await?;
            unit.insert(entities::session::Model { user_id: user.id, ..session }).await?;
            Ok::<_, ServiceError>(user)
        })
        .await?;
    Ok(SignedIn { token: session_token, user_id: domain::UserId::from_uuid(user.id) })
}
