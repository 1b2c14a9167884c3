//! The one place that decides whether an actor may do something. Every service function asks here, beside its effect.
//!
//! Invariant: deny by default. A key's rights are its scopes cut down to what its maker's role grants now, so a key never
//! outlives a right of the person who made it.

use domain::Permission;

use crate::{Actor, ServiceError};

/// Refuses unless the actor holds the permission on the whole tenant.
///
/// # Errors
/// [`ServiceError::Forbidden`], saying what is missing.
pub fn check(actor: &Actor, permission: Permission) -> Result<(), ServiceError> {
    decide(actor, permission, None)
}

/// Refuses unless the actor holds the permission on this flow.
///
/// # Errors
/// [`ServiceError::Forbidden`], saying what is missing.
pub fn check_flow(actor: &Actor, permission: Permission, flow: &str) -> Result<(), ServiceError> {
    decide(actor, permission, Some(flow))
}

/// Whether the actor holds the permission on this flow; for lists, which leave out what one may not see.
#[must_use]
pub fn may_flow(actor: &Actor, permission: Permission, flow: &str) -> bool {
    decide(actor, permission, Some(flow)).is_ok()
}

/// Whether the actor holds the permission at least on some flow: enough to list, not enough to see everything.
///
/// # Errors
/// [`ServiceError::Forbidden`] if no flow at all would do.
pub fn check_somewhere(actor: &Actor, permission: Permission) -> Result<(), ServiceError> {
    let scoped = actor.scopes.iter().filter_map(crate::Scope::flow).any(|flow| may_flow(actor, permission, flow));
    if scoped { Ok(()) } else { check(actor, permission) }
}

/// The flows a key is limited to for this permission; `None` where it reaches all of them.
#[must_use]
pub fn flows_of(actor: &Actor, permission: Permission) -> Option<Vec<String>> {
    if check(actor, permission).is_ok() {
        return None;
    }
    let flows = actor.scopes.iter().filter_map(crate::Scope::flow).filter(|flow| may_flow(actor, permission, flow));
    Some(flows.map(ToOwned::to_owned).collect())
}

fn decide(actor: &Actor, permission: Permission, flow: Option<&str>) -> Result<(), ServiceError> {
    if !actor.role.grants(permission) {
        return Err(ServiceError::Forbidden(format!(
            "The role `{}` does not include `{}`. Ask an owner or admin of this tenant.",
            actor.role.as_str(),
            permission.as_str()
        )));
    }
    if !actor.scopes.is_empty() && !actor.scopes.iter().any(|scope| scope.covers(permission, flow)) {
        return Err(ServiceError::Forbidden(format!(
            "This API key's scopes do not include `{}`{}. Make a key with that scope.",
            permission.as_str(),
            flow.map(|name| format!(" for the flow `{name}`")).unwrap_or_default(),
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::{Role, TenantId};

    use super::*;
    use crate::Scope;

    fn key(role: Role, scopes: &[&str]) -> Actor {
        let mut actor = Actor::system(TenantId::from_uuid(uuid::Uuid::nil()), "test");
        actor.role = role;
        actor.scopes = scopes.iter().map(|scope| Scope::parse(scope).unwrap()).collect();
        actor
    }

    #[test]
    fn a_key_has_no_right_that_its_maker_lost() {
        let demoted = key(Role::Viewer, &["flows:write"]);
        assert!(check(&demoted, Permission::FlowsWrite).is_err());
        assert!(check(&key(Role::Developer, &["flows:write"]), Permission::FlowsWrite).is_ok());
    }

    #[test]
    fn a_scope_of_one_flow_reaches_no_other_and_not_the_whole_tenant() {
        let actor = key(Role::Owner, &["runs:start:invoice"]);
        assert!(check_flow(&actor, Permission::RunsStart, "invoice").is_ok());
        assert!(check_flow(&actor, Permission::RunsStart, "payroll").is_err());
        assert!(check(&actor, Permission::RunsStart).is_err());
        assert!(check_flow(&actor, Permission::RunsRead, "invoice").is_err());
        assert_eq!(flows_of(&actor, Permission::RunsStart), Some(vec!["invoice".to_owned()]));
    }

    #[test]
    fn without_scopes_a_key_may_what_its_maker_may() {
        assert!(check(&key(Role::Owner, &[]), Permission::MembersWrite).is_ok());
        assert!(check(&key(Role::Operator, &[]), Permission::MembersWrite).is_err());
    }

    #[test]
    fn a_scope_that_grants_nothing_is_refused_when_it_is_written() {
        assert!(Scope::parse("flows:wirte").is_err());
        assert!(Scope::parse("everything").is_err());
        assert!(Scope::parse("keys:read:invoice").is_err());
        assert!(Scope::parse("runs:*:invoice").is_ok());
        assert!(Scope::parse("runs:read:*").is_ok());
    }
}
