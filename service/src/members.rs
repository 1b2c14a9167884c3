//! Members of a tenant.
//!
//! Invariant: one membership a person and tenant.

use domain::wire::MemberView;
use domain::{MemberId, Permission, Role, UserId};
use entities::{Scope as _, membership};

use crate::{Actor, ServiceError, Weir, authz};

/// # Errors
/// [`ServiceError::Forbidden`].
pub async fn list(weir: &Weir, actor: &Actor) -> Result<Vec<MemberView>, ServiceError> {
    authz::check(actor, Permission::MembersRead)?;
    let reader = weir.store().read(actor.tenant).await?;
    let rows =
        reader.find::<membership::Entity>().order_by_asc(membership::Column::CreatedAt).limit(1_000).all().await?;
    let users = reader.find_users(rows.iter().map(|row| row.user_id).collect()).await?;
    let found = rows.into_iter().filter_map(|row| {
        let user = users.iter().find(|user| user.id == row.user_id)?;
        Some(MemberView {
            id: MemberId::from_uuid(row.id),
            user_id: UserId::from_uuid(row.user_id),
            email: user.email.clone(),
            role: Role::parse(&row.role)?,
            created_at: row.created_at,
            last_active_at: user.last_active_at,
        })
    });
    Ok(found.collect())
}
