//! The console's forms: each read, made one service call of, and answered with a redirect or with its page again.
//!
//! Invariant: a form acts only with the token of the page it stood on, and only when the browser does not say that another
//! site sent it.

use actix_web::cookie::Cookie;
use actix_web::dev::ServiceRequest;
use actix_web::http::{StatusCode, header};
use actix_web::web;
use app::data::{FormState, Notice, SingleKeys, Theme};
use app::forms;
use domain::wire::{CreatedKey, KeyInput, TenantPatch};
use serde::de::DeserializeOwned;
use service::ServiceError;
use zeroize::Zeroizing;

use super::around::{is_from_here, status};
use super::visitor::Visitor;
use super::{Host, acts, connections, people, run_form};

/// What became of a form.
pub(super) enum Outcome {
    See {
        to: String,
        cookies: Vec<Cookie<'static>>,
    },
    /// The page again, with what does not fit.
    Again {
        status: StatusCode,
        /// For whoever was told to wait.
        retry_after_ms: Option<u64>,
        form: FormState,
    },
    /// The page that shows a new key, once.
    Key(CreatedKey),
    /// There is no such form, or it may not act at all.
    Refused(ServiceError),
}

impl Outcome {
    pub(super) fn to(to: impl Into<String>) -> Self {
        Self::See { to: to.into(), cookies: Vec::new() }
    }

    pub(super) fn noticed(host: &Host, to: impl Into<String>, text: &str) -> Self {
        Self::told(host, to, &Notice { good: true, text: text.to_owned() })
    }

    /// As [`Self::noticed`], of something that did not turn out well, too.
    pub(super) fn told(host: &Host, to: impl Into<String>, notice: &Notice) -> Self {
        Self::See { to: to.into(), cookies: vec![host.notice(notice)] }
    }

    /// A refusal on a page with fields: shown where it belongs. Faults of ours stay faults.
    pub(super) fn again(error: ServiceError, values: &[(&str, &str)]) -> Self {
        if matches!(error, ServiceError::Internal(_) | ServiceError::NotFound { .. }) {
            return Self::Refused(error);
        }
        let mut errors = error.fields();
        for problem in &mut errors {
            problem.pointer = problem.pointer.trim_start_matches('/').to_owned();
        }
        let message = errors.is_empty().then(|| error.to_string());
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let retry_after_ms = error.retry_after_ms();
        Self::Again { status: status(&error), retry_after_ms, form: FormState { values, errors, message } }
    }
}

/// Reads the form of this address and does what it asks.
pub(super) async fn act(host: &Host, visitor: &Visitor, request: &mut ServiceRequest) -> Outcome {
    if !is_from_here(request) {
        return Outcome::Refused(ServiceError::Forbidden("The form came from another site.".to_owned()));
    }
    let path = request.path().trim_end_matches('/').to_owned();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let outcome = match parts.as_slice() {
        ["sign-in"] => sign_in(host, visitor, request).await,
        ["sign-out"] => sign_out(host, visitor, request).await,
        ["preferences"] => preferences(host, visitor, request).await,
        ["setup", token] => set_up(host, visitor, request, token).await,
        ["t", tenant, "keys", "new"] => new_key(host, visitor, request, tenant).await,
        ["t", tenant, "keys", key, "revoke"] => revoke_key(host, visitor, request, tenant, key).await,
        ["t", tenant, "connections", "new"] => connections::save(host, visitor, request, tenant, None).await,
        ["t", tenant, "connections", name] => connections::save(host, visitor, request, tenant, Some(name)).await,
        ["t", tenant, "connections", name, "delete"] => connections::delete(host, visitor, request, tenant, name).await,
        ["t", tenant, "connections", name, "test"] => connections::test(host, visitor, request, tenant, name).await,
        ["t", tenant, "members", member, "role"] => people::role(host, visitor, request, tenant, member).await,
        ["t", tenant, "members", member, "remove"] => people::remove(host, visitor, request, tenant, member).await,
        ["t", tenant, "account", "sessions", session, "end"] => {
            people::end_session(host, visitor, request, tenant, session).await
        }
        ["t", tenant, "settings"] => settings(host, visitor, request, tenant).await,
        ["t", tenant, "runs", run, "cancel"] => cancel(host, visitor, request, tenant, run).await,
        ["t", tenant, "runs", run, "steps", step, "resolve"] => {
            acts::resolve(host, visitor, request, (tenant, run, step)).await
        }
        ["t", tenant, "runs", run, act] => acts::on_run(host, visitor, request, (tenant, run, act)).await,
        ["t", tenant, "approvals", approval] => acts::decide(host, visitor, request, (tenant, approval)).await,
        ["t", tenant, "flows", flow, "run"] => run_form::start(host, visitor, request, tenant, flow).await,
        _ => Err(ServiceError::not_found("form", &path)),
    };
    match outcome {
        Ok(outcome) => outcome,
        // The session ended while the page was open: sign in and come back to it.
        Err(ServiceError::Unauthenticated(_)) if visitor.session.is_none() => {
            let next: String = url::form_urlencoded::byte_serialize(path.as_bytes()).collect();
            Outcome::to(format!("{}?next={next}", forms::path::SIGN_IN))
        }
        // A form without a page of its own (a button): back to where the button is, which says why.
        Err(error) if !matches!(error, ServiceError::Internal(_)) => {
            let notice = Notice { good: false, text: error.to_string() };
            Outcome::See { to: page_of(&parts), cookies: vec![host.notice(&notice)] }
        }
        Err(error) => Outcome::Refused(error),
    }
}

/// The page that a form stands on.
fn page_of(parts: &[&str]) -> String {
    match parts {
        ["t", tenant, "runs", run, ..] => forms::path::run(tenant, run),
        ["t", tenant, "flows", flow, ..] => forms::path::flow_tab(tenant, flow, "run"),
        ["t", tenant, section, ..] => forms::path::section(tenant, section),
        ["setup", ..] | ["sign-in"] => format!("/{}", parts.join("/")),
        _ => "/".to_owned(),
    }
}

/// A form that carries its token. The error is the answer.
pub(super) async fn read<T: DeserializeOwned + 'static>(
    visitor: &Visitor,
    request: &mut ServiceRequest,
    csrf: impl Fn(&T) -> &str,
) -> Result<T, ServiceError> {
    let form = request
        .extract::<web::Form<T>>()
        .await
        .map_err(|error| ServiceError::BadRequest(format!("The form cannot be read: {error}")))?
        .into_inner();
    prove(visitor, csrf(&form))?;
    Ok(form)
}

pub(super) fn prove(visitor: &Visitor, token: &str) -> Result<(), ServiceError> {
    if visitor.proves(token) {
        return Ok(());
    }
    Err(ServiceError::Forbidden(
        "The page was open for too long. Go back, reload it and send the form again.".to_owned(),
    ))
}

async fn sign_in(host: &Host, visitor: &Visitor, request: &mut ServiceRequest) -> Result<Outcome, ServiceError> {
    let form: forms::SignIn = read(visitor, request, |form: &forms::SignIn| &form.csrf).await?;
    let password = Zeroizing::new(form.password);
    match service::sign_in::sign_in(&host.weir, &form.email, password, &visitor.client).await {
        Ok(signed_in) => {
            let to = local(&form.next).unwrap_or("/").to_owned();
            Ok(Outcome::See { to, cookies: vec![host.session(signed_in.token)] })
        }
        Err(error) => Ok(Outcome::again(error, &[("email", &form.email), ("next", &form.next)])),
    }
}

/// A path of ours: never another host's, never one that a browser could read as such.
pub(super) fn local(next: &str) -> Option<&str> {
    let fine = next.starts_with('/')
        && !next.starts_with("//")
        && !next.contains(|letter: char| letter == '\\' || letter.is_control());
    fine.then_some(next)
}

async fn sign_out(host: &Host, visitor: &Visitor, request: &mut ServiceRequest) -> Result<Outcome, ServiceError> {
    read(visitor, request, |form: &forms::Confirm| &form.csrf).await?;
    if let Some(session) = &visitor.session {
        service::sessions::end(&host.weir, session).await?;
    }
    Ok(Outcome::See { to: forms::path::SIGN_IN.to_owned(), cookies: vec![host.no_session()] })
}

async fn preferences(host: &Host, visitor: &Visitor, request: &mut ServiceRequest) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::Preferences| &form.csrf).await?;
    let mut cookies = Vec::new();
    match form.theme.as_str() {
        "" => {}
        "light" => cookies.push(host.theme(Theme::Light)),
        "dark" => cookies.push(host.theme(Theme::Dark)),
        "system" => cookies.push(host.theme(Theme::System)),
        _ => return Err(ServiceError::field("theme", "Choose system, light or dark.")),
    }
    match form.single_keys.as_str() {
        "" => {}
        "on" => cookies.push(host.single_keys(SingleKeys::On)),
        "off" => cookies.push(host.single_keys(SingleKeys::Off)),
        _ => return Err(ServiceError::field("single_keys", "Choose on or off.")),
    }
    Ok(Outcome::See { to: local(&form.next).unwrap_or("/").to_owned(), cookies })
}

async fn set_up(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    token: &str,
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::Setup| &form.csrf).await?;
    let values = [("email", form.email.clone()), ("tenant", form.tenant.clone())];
    let input =
        service::links::SetupInput { email: form.email, password: Zeroizing::new(form.password), tenant: form.tenant };
    match service::links::set_up(&host.weir, token, input, &visitor.client).await {
        Ok((signed_in, tenant)) => {
            Ok(Outcome::See { to: forms::path::overview(&tenant), cookies: vec![host.session(signed_in.token)] })
        }
        Err(error) => Ok(Outcome::again(error, &values.each_ref().map(|(name, value)| (*name, value.as_str())))),
    }
}

async fn new_key(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::NewKey| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let values = [
        ("name", form.name.as_str()),
        ("access", &form.access),
        ("mode", &form.mode),
        ("expires_in_days", &form.expires_in_days),
    ];
    let Some(scopes) = forms::NewKey::scopes(&form.access) else {
        return Ok(Outcome::again(ServiceError::field("access", "Choose what the key may do."), &values));
    };
    let Ok(days) = form.expires_in_days.parse::<u32>() else {
        return Ok(Outcome::again(
            ServiceError::field("expires_in_days", "Give a number of days, 0 for never."),
            &values,
        ));
    };
    let input = KeyInput {
        name: form.name.clone(),
        scopes: scopes.iter().map(ToString::to_string).collect(),
        test: form.mode == "test",
        expires_in_days: Some(days),
    };
    match service::keys::create(&host.weir, &actor, input).await {
        Ok(created) => Ok(Outcome::Key(created)),
        Err(error) => Ok(Outcome::again(error, &values)),
    }
}

async fn revoke_key(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    key: &str,
) -> Result<Outcome, ServiceError> {
    read(visitor, request, |form: &forms::Confirm| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let id = key.parse().map_err(|_| ServiceError::not_found("key", key))?;
    service::keys::revoke(&host.weir, &actor, id).await?;
    Ok(Outcome::noticed(
        host,
        forms::path::section(tenant, "keys"),
        "The key is revoked. Calls with it are refused from now on.",
    ))
}

async fn settings(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::Settings| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let model = Some(form.default_model.trim().to_owned()).filter(|model| !model.is_empty());
    match service::tenants::patch(
        &host.weir,
        &actor,
        TenantPatch { default_model: Some(model), ..TenantPatch::default() },
    )
    .await
    {
        Ok(_) => Ok(Outcome::noticed(host, forms::path::section(tenant, "settings"), "Settings are saved.")),
        Err(error) => Ok(Outcome::again(error, &[("default_model", &form.default_model)])),
    }
}

async fn cancel(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    run: &str,
) -> Result<Outcome, ServiceError> {
    read(visitor, request, |form: &forms::Confirm| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let id = run.parse().map_err(|_| ServiceError::not_found("run", run))?;
    let to = forms::path::run(tenant, run);
    match service::runs::cancel(&host.weir, &actor, id, Some("in the console")).await {
        Ok(_) => Ok(Outcome::noticed(host, to, "The run is being cancelled.")),
        // It ended while the page was open, which is what the person wanted anyway.
        Err(ServiceError::Conflict(_)) => Ok(Outcome::noticed(host, to, "The run had ended already.")),
        Err(error) => Err(error),
    }
}

/// The media type of a form with files.
pub(super) fn is_multipart(request: &ServiceRequest) -> bool {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|text| text.starts_with("multipart/form-data"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_returns_to_a_path_of_ours_or_nowhere() {
        assert_eq!(local("/t/acme/runs?status=failed"), Some("/t/acme/runs?status=failed"));
        for foreign in [
            "https://evil.test",
            "//evil.test",
            "/\\evil.test",
            "evil",
            "",
            "/\t/evil.test",
            "/\u{1}x",
            "/a\0b",
            "/\u{7f}",
        ] {
            assert_eq!(local(foreign), None, "{foreign}");
        }
    }
}
