//! `webhook`: an event to somebody else's endpoint, signed by the rules of Standard Webhooks.
//!
//! Invariant: every attempt of one delivery carries the same id, so that the receiver can tell a repetition; the signature
//! covers id, time and body.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use domain::Failure;
use egress::header::CONTENT_TYPE;
use egress::{HeaderName, HeaderValue, Limits, Method, Request, Url};
use engine::{Call, Done, Executor, Failed};
use hmac::{Hmac, KeyInit, Mac};
use language::{DataKind, Effect, EffectRule, ExecutorSpec, MainInput};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::config::{self, flow_fault, input_fault};
use crate::retry_budget::RetryBudget;
use crate::{outgoing, spec};

/// The standard's own advice: 15 to 30 seconds.
const LONGEST_ANSWER: Duration = Duration::from_secs(30);
/// Nobody reads what a receiver answers, beyond the status.
const ANSWER_BYTES: u64 = 256 * 1024;
const SECRET_PREFIX: &str = "whsec_";
/// In bytes, by the standard.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What happened, as the receiver gets it in `data`.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    data: Value,
    /// Where to: an https URL.
    url: String,
    /// The kind of event, with dots between its parts: `invoice.approved`.
    #[schemars(regex(pattern = "^[a-zA-Z0-9_]+(\\.[a-zA-Z0-9_]+)*$"))]
    event: String,
    /// What the delivery is signed with: `whsec_` and Base64, from a secret. While a secret is changed, a list of both. Without it the delivery is not signed.
    secret: Option<OneOrMany>,
    /// More headers by name.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Serialize, JsonSchema)]
struct Output {
    /// The same for all attempts of this step; the receiver gets it as `webhook-id`.
    delivery_id: String,
    /// The receiver's status; null when a run by a test key did not send the delivery.
    http_status: Option<u16>,
}

pub(crate) struct Webhook {
    spec: ExecutorSpec,
    egress: egress::Client,
    retries: RetryBudget,
}

impl Webhook {
    pub(crate) fn new(egress: egress::Client, retries: RetryBudget) -> Self {
        let spec = ExecutorSpec {
            main_input: Some(MainInput {
                field: "data".into(),
                kind: DataKind::Data,
                list: false,
                required: false,
                needed_unless: Vec::new(),
            }),
            effect: EffectRule::Always(Effect::Idempotent),
            default_attempts: 3,
            secret_fields: ["data", "url", "secret", "headers"].map(str::to_owned).to_vec(),
            ..spec::plain::<Config, Output>("webhook", "Delivers an event to an endpoint, signed by Standard Webhooks.")
        };
        Self { spec, egress, retries }
    }
}

#[async_trait]
impl Executor for Webhook {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        let id = delivery_id(&call.key);
        let request = request(&config, &id, std::time::SystemTime::now().into())?;
        if call.test {
            return Ok(Done::free(json!(Output { delivery_id: id, http_status: None })));
        }
        let host = request.host();
        self.retries.called(call, &host);
        let answer = config::unless_cancelled(call, async {
            let sent = outgoing::send(&self.egress, call, request).await.map_err(|error| outgoing::failure(&error));
            sent.map_err(|failure| self.retries.failed(call, &host, failure))
        })
        .await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Done::free(json!(Output { delivery_id: id, http_status: Some(status.as_u16()) })));
        }
        let from = answer.url().host_str().unwrap_or_default().to_owned();
        let message = format!("`{from}` did not take the delivery: it answered {}.", status.as_u16());
        let code = format!("http_{}", status.as_u16());
        let failure = outgoing::status_failure(status, answer.headers(), &code, message);
        // By the standard the endpoint is gone for good.
        let failure = if status.as_u16() == 410 { failure.retryable(false) } else { failure };
        Err(self.retries.failed(call, &host, failure).into())
    }
}

/// No dot, which parts id from time in what is signed.
fn delivery_id(key: &str) -> String {
    format!("msg_{}", &hex::encode(Sha256::digest(key))[..32])
}

fn request(config: &Config, id: &str, now: chrono::DateTime<chrono::Utc>) -> Result<Request, Failure> {
    let url = Url::parse(config.url.trim()).map_err(|_| input_fault("url_invalid", "The URL cannot be used."))?;
    let time = now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    let body = json!({"type": config.event, "timestamp": time, "data": config.data}).to_string();
    let seconds = now.timestamp().to_string();
    let refused = |error: egress::EgressError| outgoing::failure(&error);
    let limits = Limits { head: LONGEST_ANSWER, total: LONGEST_ANSWER, body_bytes: ANSWER_BYTES, ..Limits::default() };
    let mut request = Request::new(Method::POST, url)
        .limits(limits)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .map_err(refused)?;
    let mut headers = vec![("webhook-id".to_owned(), id.to_owned()), ("webhook-timestamp".to_owned(), seconds.clone())];
    let secrets = match &config.secret {
        None => &[][..],
        Some(OneOrMany::One(secret)) => std::slice::from_ref(secret),
        Some(OneOrMany::Many(secrets)) => secrets,
    };
    if !secrets.is_empty() {
        let signed = format!("{id}.{seconds}.{body}");
        let signatures = secrets.iter().map(|secret| signature(secret, &signed)).collect::<Result<Vec<_>, _>>()?;
        headers.push(("webhook-signature".to_owned(), signatures.join(" ")));
    }
    headers.extend(config.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    for (name, value) in headers {
        let invalid = || flow_fault("header_invalid", format!("`{name}` is no header that can be sent."));
        let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid())?;
        let value = HeaderValue::from_str(&value).map_err(|_| invalid())?;
        request = request.credential(header, value).map_err(refused)?;
    }
    Ok(request.body(body))
}

fn signature(secret: &str, signed: &str) -> Result<String, Failure> {
    let invalid = || {
        flow_fault("secret_invalid", "The webhook's secret must be `whsec_` and the Base64 of 24 to 64 random bytes.")
    };
    let encoded = secret.trim().strip_prefix(SECRET_PREFIX).ok_or_else(invalid)?;
    let key = BASE64.decode(encoded).map_err(|_| invalid())?;
    if !SECRET_BYTES.contains(&key.len()) {
        return Err(invalid());
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).map_err(|_| invalid())?;
    mac.update(signed.as_bytes());
    Ok(format!("v1,{}", BASE64.encode(mac.finalize().into_bytes())))
}

#[cfg(test)]
mod tests;
