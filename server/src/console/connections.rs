//! The forms about connections: made, changed, removed, tried out.
//!
//! Invariant: a key that was typed goes to the service and nowhere else, not even back into the form.

use actix_web::dev::ServiceRequest;
use app::data::Notice;
use app::forms;
use domain::wire::ConnectionInput;
use service::ServiceError;

use super::Host;
use super::forms::{Outcome, local, read};
use super::visitor::Visitor;

pub(super) async fn save(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    name: Option<&str>,
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::Connection| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let name = name.unwrap_or(&form.name);
    let given = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let typed = [
        ("name", name),
        ("kind", &form.kind),
        ("base_url", &form.base_url),
        ("more_base_urls", &form.more_base_urls),
        ("max_concurrency", &form.max_concurrency),
    ];
    let Ok(max_concurrency) = given(form.max_concurrency.trim()).map(|text| text.parse()).transpose() else {
        let fault = ServiceError::field("/max_concurrency", "Write a whole number, or nothing for no limit.");
        return Ok(Outcome::again(fault, &typed));
    };
    let input = ConnectionInput {
        kind: form.kind.clone(),
        base_url: given(&form.base_url),
        more_base_urls: form.more_base_urls.split_whitespace().map(str::to_owned).collect(),
        max_concurrency,
        api_key: given(&form.api_key),
    };
    match service::connections::put(&host.weir, &actor, name, input).await {
        Ok(_) => Ok(Outcome::noticed(
            host,
            forms::path::section(tenant, "connections"),
            &format!("Connection `{name}` is saved."),
        )),
        Err(error) => Ok(Outcome::again(error, &typed)),
    }
}

pub(super) async fn delete(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    name: &str,
) -> Result<Outcome, ServiceError> {
    read(visitor, request, |form: &forms::Confirm| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    service::connections::delete(&host.weir, &actor, name).await?;
    Ok(Outcome::noticed(host, forms::path::section(tenant, "connections"), &format!("Connection `{name}` is deleted.")))
}

/// Makes one real call and says on the page of the button what came of it.
pub(super) async fn test(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    tenant: &str,
    name: &str,
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::TestConnection| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let test = service::trial::connection(&host.weir, &actor, name).await?;
    let text = format!("`{name}`: {} ({} ms)", test.message, test.duration_ms);
    let to = local(&form.next).map_or_else(|| forms::path::section(tenant, "connections"), str::to_owned);
    Ok(Outcome::told(host, to, &Notice { good: test.ok, text }))
}
