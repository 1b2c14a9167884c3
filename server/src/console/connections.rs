//! The forms about connections: made, changed, removed, tried out.
//!
//! Invariant: a key that was typed goes to the service and nowhere else, not even back into the form.

use std::collections::BTreeMap;

use actix_web::dev::ServiceRequest;
use app::data::Notice;
use app::forms;
use domain::wire::{ConnectionInput, ModelRate};
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
        ("prices", &form.prices),
    ];
    let Ok(max_concurrency) = given(form.max_concurrency.trim()).map(|text| text.parse()).transpose() else {
        let fault = ServiceError::field("/max_concurrency", "Write a whole number, or nothing for no limit.");
        return Ok(Outcome::again(fault, &typed));
    };
    let Some(prices) = prices(&form.prices) else {
        let message = "Write a line a model: its name, then US dollars for a million tokens of input and of output, like \
                       `gpt-4o 2.5 10`. A third number is the price of cached input.";
        return Ok(Outcome::again(ServiceError::field("/prices", message), &typed));
    };
    let input = ConnectionInput {
        kind: form.kind.clone(),
        base_url: given(&form.base_url),
        more_base_urls: form.more_base_urls.split_whitespace().map(str::to_owned).collect(),
        max_concurrency,
        prices,
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

/// A line a model. `None` where a line is none, or a model stands twice.
fn prices(text: &str) -> Option<BTreeMap<String, ModelRate>> {
    let mut prices = BTreeMap::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let model = words.next()?.to_owned();
        let dollars = words.map(str::parse).collect::<Result<Vec<f64>, _>>().ok()?;
        let rate = match *dollars.as_slice() {
            [input, output] => ModelRate { input, output, cached_input: None },
            [input, output, cached] => ModelRate { input, output, cached_input: Some(cached) },
            _ => return None,
        };
        if prices.insert(model, rate).is_some() {
            return None;
        }
    }
    Some(prices)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_read_line_by_line() {
        let read = prices("gpt-4o 2.5 10 1.25\r\n\n  *   0   0\n").unwrap();
        assert_eq!(read["gpt-4o"], ModelRate { input: 2.5, output: 10.0, cached_input: Some(1.25) });
        assert_eq!(read["*"], ModelRate { input: 0.0, output: 0.0, cached_input: None });
        assert_eq!(prices("  \n"), Some(BTreeMap::new()));
        for text in ["gpt-4o", "gpt-4o 1", "gpt-4o 1 2 3 4", "gpt-4o one 2", "a 1 2\na 1 2", "1,5 2 3 4 5"] {
            assert_eq!(prices(text), None, "{text}");
        }
    }
}
