//! Signing in and looking keys up, before the tenant is known.
//!
//! Invariant: what is looked up by a secret is looked up by its hash; a one-time link is taken by exactly one caller.

use sea_orm::prelude::{DateTimeUtc, Expr, Uuid};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, EntityTrait, Insert, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
};

use super::{System, SystemUnit};
use crate::error::StoreError;
use crate::rows::{api_key, membership, one_time_link, session, sign_in_failure, tenant, user};

/// A key with whom it belongs to. `membership` is gone when its maker left the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHolder {
    pub key: api_key::Model,
    pub tenant: tenant::Model,
    pub user: Option<user::Model>,
    pub membership: Option<membership::Model>,
}

impl System {
    /// The key with this HMAC, revoked and expired ones too: the caller says why it is refused.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn find_key(&self, key_hash: &[u8]) -> Result<Option<KeyHolder>, StoreError> {
        let key = api_key::Entity::find().filter(api_key::Column::KeyHash.eq(key_hash)).one(&self.connection).await?;
        let Some(key) = key else { return Ok(None) };
        let Some(tenant) = self.find_tenant(key.tenant_id).await? else { return Ok(None) };
        let user = self.find_user(key.user_id).await?;
        let membership = self.find_membership(key.tenant_id, key.user_id).await?;
        Ok(Some(KeyHolder { key, tenant, user, membership }))
    }

    /// The session with this token hash, revoked and expired ones too.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn find_session(&self, token_hash: &[u8]) -> Result<Option<session::Model>, StoreError> {
        Ok(session::Entity::find().filter(session::Column::TokenHash.eq(token_hash)).one(&self.connection).await?)
    }

    /// A person's sessions that are not revoked, newest first.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn sessions_of(&self, user: Uuid) -> Result<Vec<session::Model>, StoreError> {
        Ok(session::Entity::find()
            .filter(session::Column::UserId.eq(user))
            .filter(session::Column::RevokedAt.is_null())
            .order_by_desc(session::Column::CreatedAt)
            .limit(200)
            .all(&self.connection)
            .await?)
    }

    /// # Errors
    /// Whatever the database said.
    pub async fn find_user(&self, id: Uuid) -> Result<Option<user::Model>, StoreError> {
        Ok(user::Entity::find_by_id(id).one(&self.connection).await?)
    }

    /// `email` in lower case.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn find_user_by_email(&self, email: &str) -> Result<Option<user::Model>, StoreError> {
        Ok(user::Entity::find().filter(user::Column::Email.eq(email)).one(&self.connection).await?)
    }

    /// # Errors
    /// Whatever the database said.
    pub async fn find_tenant(&self, id: Uuid) -> Result<Option<tenant::Model>, StoreError> {
        Ok(tenant::Entity::find_by_id(id).one(&self.connection).await?)
    }

    /// # Errors
    /// Whatever the database said.
    pub async fn find_tenant_by_name(&self, name: &str) -> Result<Option<tenant::Model>, StoreError> {
        Ok(tenant::Entity::find().filter(tenant::Column::Name.eq(name)).one(&self.connection).await?)
    }

    /// All tenants by name, at most `limit`.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn tenants(&self, limit: u64) -> Result<Vec<tenant::Model>, StoreError> {
        Ok(tenant::Entity::find().order_by_asc(tenant::Column::Name).limit(limit).all(&self.connection).await?)
    }

    /// # Errors
    /// Whatever the database said.
    pub async fn find_membership(&self, tenant: Uuid, user: Uuid) -> Result<Option<membership::Model>, StoreError> {
        Ok(membership::Entity::find()
            .filter(membership::Column::TenantId.eq(tenant))
            .filter(membership::Column::UserId.eq(user))
            .one(&self.connection)
            .await?)
    }

    /// A person's memberships with their tenants, by the tenant's name.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn memberships_of(&self, user: Uuid) -> Result<Vec<(membership::Model, tenant::Model)>, StoreError> {
        let memberships = membership::Entity::find()
            .filter(membership::Column::UserId.eq(user))
            .limit(1_000)
            .all(&self.connection)
            .await?;
        let tenants = tenant::Entity::find()
            .filter(tenant::Column::Id.is_in(memberships.iter().map(|membership| membership.tenant_id)))
            .order_by_asc(tenant::Column::Name)
            .all(&self.connection)
            .await?;
        Ok(tenants
            .into_iter()
            .filter_map(|tenant| {
                let membership = memberships.iter().find(|membership| membership.tenant_id == tenant.id)?;
                Some((membership.clone(), tenant))
            })
            .collect())
    }

    /// The link with this token hash, used and expired ones too. Looking does not use it up.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn find_link(&self, token_hash: &[u8]) -> Result<Option<one_time_link::Model>, StoreError> {
        Ok(one_time_link::Entity::find()
            .filter(one_time_link::Column::TokenHash.eq(token_hash))
            .one(&self.connection)
            .await?)
    }
}

impl SystemUnit {
    /// Uses a link up. `None` when it is unknown, used or expired: of two callers at once, one gets it.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn take_link(
        &self,
        token_hash: &[u8],
        now: DateTimeUtc,
    ) -> Result<Option<one_time_link::Model>, StoreError> {
        use one_time_link::Column;
        let taken = one_time_link::Entity::update_many()
            .col_expr(Column::UsedAt, Expr::value(now))
            .filter(Column::TokenHash.eq(token_hash))
            .filter(Column::UsedAt.is_null())
            .filter(Column::ExpiresAt.gt(now))
            .exec(self.connection())
            .await?;
        if taken.rows_affected == 0 { Ok(None) } else { self.find_link(token_hash).await }
    }

    /// Writes back a person's row: name, password hash, disabled, last active.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn update_user(&self, row: user::Model) -> Result<(), StoreError> {
        user::Entity::update(row.into_active_model().reset_all()).exec(self.connection()).await?;
        Ok(())
    }

    /// Notes that a session was used, and its person with it.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn touch_session(
        &self,
        id: Uuid,
        user: Uuid,
        now: DateTimeUtc,
        expires_at: DateTimeUtc,
    ) -> Result<(), StoreError> {
        use session::Column;
        user::Entity::update_many()
            .col_expr(user::Column::LastActiveAt, Expr::value(now))
            .filter(user::Column::Id.eq(user))
            .exec(self.connection())
            .await?;
        session::Entity::update_many()
            .col_expr(Column::LastSeenAt, Expr::value(now))
            .col_expr(Column::ExpiresAt, Expr::value(expires_at))
            .filter(Column::Id.eq(id))
            .filter(Column::RevokedAt.is_null())
            .exec(self.connection())
            .await?;
        Ok(())
    }

    /// Ends sessions of a person: one, or all but one, or all.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn revoke_sessions(
        &self,
        user: Uuid,
        only: Option<Uuid>,
        except: Option<Uuid>,
        now: DateTimeUtc,
    ) -> Result<u64, StoreError> {
        use session::Column;
        let mut update = session::Entity::update_many()
            .col_expr(Column::RevokedAt, Expr::value(now))
            .filter(Column::UserId.eq(user))
            .filter(Column::RevokedAt.is_null());
        if let Some(only) = only {
            update = update.filter(Column::Id.eq(only));
        }
        if let Some(except) = except {
            update = update.filter(Column::Id.ne(except));
        }
        Ok(update.exec(self.connection()).await?.rows_affected)
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn touch_key(&self, tenant: Uuid, id: Uuid, now: DateTimeUtc) -> Result<(), StoreError> {
        use api_key::Column;
        api_key::Entity::update_many()
            .col_expr(Column::LastUsedAt, Expr::value(now))
            .filter(Column::TenantId.eq(tenant))
            .filter(Column::Id.eq(id))
            .exec(self.connection())
            .await?;
        Ok(())
    }

    /// Failed sign-ins counted for an account, an address or both. Until the unit ends nobody else can look at them or
    /// change them, so that what is decided by the count holds.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn hold_sign_in_failures(
        &self,
        subject: &str,
        now: DateTimeUtc,
    ) -> Result<sign_in_failure::Model, StoreError> {
        use sign_in_failure::Column;
        let fresh = sign_in_failure::Model {
            subject: subject.to_owned(),
            failures: 0,
            window_started_at: now,
            blocked_until: None,
        };
        // Writing the row as it is locks it, and makes one where there is none.
        let conflict = OnConflict::column(Column::Subject).update_column(Column::Subject).to_owned();
        Insert::one(fresh.clone().into_active_model().reset_all())
            .on_conflict(conflict)
            .exec_without_returning(self.connection())
            .await?;
        let row = sign_in_failure::Entity::find_by_id(subject.to_owned()).one(self.connection()).await?;
        Ok(row.unwrap_or(fresh))
    }

    /// Writes down how often sign-in failed for an account, an address or both.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn put_sign_in_failures(&self, row: sign_in_failure::Model) -> Result<(), StoreError> {
        use sign_in_failure::Column;
        let conflict = OnConflict::column(Column::Subject)
            .update_columns([Column::Failures, Column::WindowStartedAt, Column::BlockedUntil])
            .to_owned();
        Insert::one(row.into_active_model().reset_all())
            .on_conflict(conflict)
            .exec_without_returning(self.connection())
            .await?;
        Ok(())
    }

    /// Forgets failed sign-ins, after one that succeeded.
    ///
    /// # Errors
    /// Whatever the database said.
    pub async fn clear_sign_in_failures(&self, subject: &str) -> Result<(), StoreError> {
        sign_in_failure::Entity::delete_by_id(subject.to_owned()).exec(self.connection()).await?;
        Ok(())
    }
}
