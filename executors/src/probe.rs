//! One call to a connection, to see whether it works: the cheapest question that its kind can be asked.
//!
//! Invariant: nothing is changed and nothing is bought; the key goes to the connection's own host and no further, and
//! what the other side says about a bad key is not repeated.

use std::time::Duration;

use domain::{Failure, FailureKind};
use egress::header::{ACCEPT, AUTHORIZATION};
use egress::{Client, HeaderValue, Limits, Method, Request, Response, StatusCode, Url};
use engine::ports::ServiceEndpoint;
use serde_json::Value;

use crate::config::input_fault;
use crate::database;
use crate::outgoing;

/// A person waits for it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Enough for any provider's list of models.
const LARGEST_ANSWER: u64 = 4 * 1024 * 1024;
/// Models that are named.
const NAMED: usize = 3;

/// Calls the connection once. `Ok` says in a sentence what answered.
///
/// # Errors
/// Why flows could not use it.
pub async fn probe(egress: &Client, endpoint: &ServiceEndpoint) -> Result<String, Failure> {
    match endpoint.kind.as_str() {
        "openai" => models(egress, endpoint).await,
        "http" => page(egress, endpoint).await,
        "postgres" => {
            let version = database::hello(egress, &endpoint.base_url, endpoint.credential.clone(), PATIENCE).await?;
            Ok(format!("The database answered: {version}."))
        }
        other => Err(input_fault("connection_kind", format!("A connection of the kind `{other}` cannot be tested."))),
    }
}

/// A list of models costs nothing, and shows that address and key are good.
async fn models(egress: &Client, endpoint: &ServiceEndpoint) -> Result<String, Failure> {
    let address = format!("{}/models", endpoint.base_url.trim_end_matches('/'));
    let response = get(egress, endpoint, &address).await?;
    let status = response.status();
    if status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED {
        let message = format!(
            "The server answered {} to a question for its models. Does the address end as its documentation says, \
             for most servers with /v1?",
            status.as_u16()
        );
        return Err(Failure::new(FailureKind::Rejected, "model_not_found", message));
    }
    refuse(status)?;
    let body = response.bytes().await.map_err(|error| outgoing::failure(&error))?;
    let value: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(list) = value.get("data").and_then(Value::as_array) else {
        let message = "Something answered, but not with a list of models: is this an OpenAI-compatible endpoint?";
        return Err(Failure::new(FailureKind::Provider, "answer_senseless", message));
    };
    let names: Vec<&str> = list.iter().filter_map(|model| model.get("id").and_then(Value::as_str)).collect();
    Ok(match names.as_slice() {
        [] => "It answered and takes the key; it names no model.".to_owned(),
        [one] => format!("It answered and takes the key. It has one model: {}.", short(one)),
        several => {
            let first: Vec<String> = several.iter().take(NAMED).map(|name| short(name)).collect();
            let count = several.len();
            format!("It answered and takes the key. It has {count} models, among them {}.", first.join(", "))
        }
    })
}

/// Any answer shows that the address is good; whether its path is one depends on the flow's call.
async fn page(egress: &Client, endpoint: &ServiceEndpoint) -> Result<String, Failure> {
    let response = get(egress, endpoint, &endpoint.base_url).await?;
    let status = response.status();
    if status.is_client_error() && !is_about_the_key(status) {
        let number = status.as_u16();
        return Ok(format!("It can be reached; its base address alone answers {number}. Flows add a path to it."));
    }
    refuse(status)?;
    Ok(format!("It can be reached; its base address answers {}.", status.as_u16()))
}

async fn get(egress: &Client, endpoint: &ServiceEndpoint, address: &str) -> Result<Response, Failure> {
    let invalid = || input_fault("url_invalid", "The connection's address is no URL. Correct it.");
    let url = Url::parse(address).map_err(|_| invalid())?;
    let limits =
        Limits { total: PATIENCE, head: PATIENCE, idle: PATIENCE, body_bytes: LARGEST_ANSWER, ..Limits::default() };
    // A redirect is the answer: it would lead to a host that nobody wrote down.
    let mut request = Request::new(Method::GET, url).limits(limits);
    let fault = |error| outgoing::failure(&error);
    request = request.header(ACCEPT, HeaderValue::from_static("application/json, */*;q=0.5")).map_err(fault)?;
    if let Some(key) = endpoint.credential.as_deref().filter(|key| !key.is_empty()) {
        let value = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| input_fault("url_invalid", "The connection's key holds characters that no key can."))?;
        request = request.credential(AUTHORIZATION, value).map_err(fault)?;
    }
    egress.send(request).await.map_err(fault)
}

fn refuse(status: StatusCode) -> Result<(), Failure> {
    let number = status.as_u16();
    if is_about_the_key(status) {
        let message = format!("The server refused the key ({number}). Store a good one.");
        return Err(Failure::new(FailureKind::Rejected, "provider_auth", message));
    }
    if status.is_redirection() {
        let message = format!("The server answered {number}: the place has moved. Store the address it moved to.");
        return Err(Failure::new(FailureKind::Provider, "redirect", message).retryable(false));
    }
    if status.is_success() {
        return Ok(());
    }
    let message = format!("The server answered {number}.");
    Err(Failure::new(outgoing::kind_of(status), "provider_error", message))
}

fn is_about_the_key(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// A name from outside, fit to be shown.
fn short(name: &str) -> String {
    name.chars().filter(|letter| !letter.is_control()).take(60).collect()
}

#[cfg(test)]
mod tests {
    use egress::Policy;
    use serde_json::json;
    use wiremock::matchers::{header, method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;

    const KEY: &str = "sk-zebrafinch";

    async fn asked(kind: &str, base_url: &str, allow: &str) -> Result<String, Failure> {
        let endpoint = ServiceEndpoint {
            connection: "main".to_owned(),
            kind: kind.to_owned(),
            base_url: base_url.to_owned(),
            credential: Some(KEY.to_owned()),
        };
        probe(&Client::new(Policy::parse(allow, None).unwrap()).unwrap(), &endpoint).await
    }

    async fn answering(status: u16, body: &Value) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("GET"))
            .and(path("/v1/models"))
            .and(header("authorization", format!("Bearer {KEY}").as_str()))
            .respond_with(ResponseTemplate::new(status).set_body_json(body))
            .mount(&server)
            .await;
        server
    }

    #[tokio::test]
    async fn a_good_endpoint_is_asked_for_its_models_with_the_stored_key() {
        let server = answering(200, &json!({"data": [{"id": "small"}, {"id": "large"}]})).await;
        let said = asked("openai", &format!("{}/v1", server.uri()), "127.0.0.0/8").await.unwrap();
        assert_eq!(said, "It answered and takes the key. It has 2 models, among them small, large.");
    }

    #[tokio::test]
    async fn what_is_wrong_is_said_and_the_key_is_not() {
        let repeats = json!({"error": {"message": format!("Incorrect API key provided: {KEY}")}});
        for (status, code) in
            [(401, "provider_auth"), (404, "model_not_found"), (500, "provider_error"), (302, "redirect")]
        {
            let server = answering(status, &repeats).await;
            let failure = asked("openai", &format!("{}/v1", server.uri()), "127.0.0.0/8").await.unwrap_err();
            assert_eq!(failure.code, code, "{failure:?}");
            assert!(!failure.message.contains(KEY), "{failure:?}");
        }
        let senseless = answering(200, &json!({"hello": 1})).await;
        let failure = asked("openai", &format!("{}/v1", senseless.uri()), "127.0.0.0/8").await.unwrap_err();
        assert_eq!(failure.code, "answer_senseless");
    }

    #[tokio::test]
    async fn a_web_api_is_reached_even_if_its_base_address_is_no_page() {
        let server = answering(200, &json!({})).await;
        let said = asked("http", &server.uri(), "127.0.0.0/8").await.unwrap();
        assert!(said.contains("404"), "{said}");
    }

    #[tokio::test]
    async fn an_inside_address_is_not_called() {
        let server = answering(200, &json!({"data": []})).await;
        let failure = asked("openai", &format!("{}/v1", server.uri()), "").await.unwrap_err();
        assert_eq!(failure.code, "address_forbidden");
        assert!(server.received_requests().await.unwrap_or_default().is_empty());
    }
}
