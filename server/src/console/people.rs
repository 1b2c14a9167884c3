//! The forms about people: a member's role, a member's leaving, the reader's own sessions.
//!
//! Invariant: a session is ended only by the person it belongs to.

use actix_web::dev::ServiceRequest;
use app::forms::{self, path};
use domain::Role;
use service::{ServiceError, members, sessions};

use super::Host;
use super::forms::{Outcome, read};
use super::visitor::Visitor;

pub(super) async fn role(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    member: &str,
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::MemberRole| &form.csrf).await?;
    let id = member.parse().map_err(|_| ServiceError::not_found("member", member))?;
    let role = Role::parse(&form.role).ok_or_else(|| ServiceError::field("role", "Choose one of the roles."))?;
    let changed = members::change_role(&host.weir, &visitor.actor(tenant)?, id, role).await?;
    let text = format!("`{}` is {} now.", changed.email, role.as_str());
    Ok(Outcome::noticed(host, path::section(tenant, "members"), &text))
}

pub(super) async fn remove(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    member: &str,
) -> Result<Outcome, ServiceError> {
    read(visitor, request, |form: &forms::Confirm| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let id = member.parse().map_err(|_| ServiceError::not_found("member", member))?;
    members::remove(&host.weir, &actor, id).await?;
    Ok(Outcome::noticed(host, path::section(tenant, "members"), "The member is removed, with the keys they made here."))
}

/// One session, or with `others` all but this one.
pub(super) async fn end_session(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    session: &str,
) -> Result<Outcome, ServiceError> {
    read(visitor, request, |form: &forms::Confirm| &form.csrf).await?;
    // The address is one of a tenant, so it is none for those who are not in it.
    visitor.actor(tenant)?;
    let mine = visitor.session.as_ref().ok_or(ServiceError::Unauthenticated("The session has ended."))?;
    let page = path::section(tenant, "account");
    if session == "others" {
        let text = match sessions::end_others(&host.weir, mine).await? {
            1 => "One other session is ended.".to_owned(),
            count => format!("{count} other sessions are ended."),
        };
        return Ok(Outcome::noticed(host, page, &text));
    }
    let id: domain::SessionId = session.parse().map_err(|_| ServiceError::not_found("session", session))?;
    sessions::end_one(&host.weir, mine, id).await?;
    if id.uuid() == mine.id {
        return Ok(Outcome::See { to: path::SIGN_IN.to_owned(), cookies: vec![host.no_session()] });
    }
    Ok(Outcome::noticed(host, page, "The session is ended."))
}
