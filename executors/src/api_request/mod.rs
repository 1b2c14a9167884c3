//! `api_request`: one HTTP exchange with the outside.
//!
//! Invariant: every request that can change something carries the step's key; a run by a test key sends no request that is
//! not safe to repeat.

mod answer;
mod body;
mod pages;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use domain::Failure;
use egress::header::{ACCEPT, ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use egress::{HeaderName, HeaderValue, Limits, Method, Request, Url};
use engine::{Call, Done, Executor, Failed};
use language::{CostKind, DataKind, EffectRule, ExecutorSpec, MarkedField};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::config::{self, flow_fault, input_fault};
use crate::retry_budget::RetryBudget;
use crate::{outgoing, spec};

const LARGEST_ANSWER: u64 = 100 * 1024 * 1024;
const LONGEST_EXCHANGE: Duration = Duration::from_secs(600);
/// Headers that say how, not who: only these follow a redirect to another origin.
const PLAIN_HEADERS: [HeaderName; 4] = [ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, USER_AGENT];

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Where to: an http or https URL. With `connection`, the path behind its address.
    url: String,
    /// A connection of the tenant's of the kind `http`: its address, and its key as a bearer token unless `auth` is given.
    connection: Option<String>,
    /// GET without a body, POST with one, unless said.
    method: Option<HttpMethod>,
    /// Headers by name.
    #[serde(default)]
    headers: BTreeMap<String, Scalar>,
    /// Query parameters by name; a list repeats the parameter.
    #[serde(default)]
    query: BTreeMap<String, OneOrMany>,
    /// A JSON body.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    json: Option<Value>,
    /// Form fields, as `application/x-www-form-urlencoded`; with `file`, as `multipart/form-data`.
    form: Option<BTreeMap<String, OneOrMany>>,
    /// A body as text.
    body: Option<String>,
    /// A file as the body.
    #[serde(default)]
    #[schemars(schema_with = "spec::file_value")]
    file: Option<Value>,
    /// Who asks.
    auth: Option<Auth>,
    /// The statuses that are a success; all of 2xx unless said.
    #[serde(default)]
    expect: Vec<Expected>,
    /// Reads a list that comes in pages; `body` is then the list of all items.
    pagination: Option<pages::Pagination>,
    /// What to make of the answer's body.
    #[serde(default)]
    answer: answer::Form,
    /// Follow up to so many redirects. Without it a redirect is not followed.
    #[serde(default)]
    #[schemars(range(max = 10))]
    redirects: u8,
    /// The largest answer taken, in bytes; 16 MiB unless said.
    #[schemars(range(min = 1, max = 104_857_600))]
    max_bytes: Option<u64>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum HttpMethod {
    #[serde(alias = "get")]
    Get,
    #[serde(alias = "head")]
    Head,
    #[serde(alias = "options")]
    Options,
    #[serde(alias = "put")]
    Put,
    #[serde(alias = "delete")]
    Delete,
    #[serde(alias = "post")]
    Post,
    #[serde(alias = "patch")]
    Patch,
}

impl HttpMethod {
    const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Options => Method::OPTIONS,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
            Self::Post => Method::POST,
            Self::Patch => Method::PATCH,
        }
    }

    const fn is_unsafe(self) -> bool {
        matches!(self, Self::Post | Self::Patch)
    }
}

/// A value that has one obvious text.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Number(serde_json::Number),
    Boolean(bool),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Boolean(value) => value.to_string(),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(Scalar),
    Many(Vec<Scalar>),
}

impl OneOrMany {
    fn texts(&self) -> Vec<String> {
        match self {
            Self::One(scalar) => vec![scalar.text()],
            Self::Many(list) => list.iter().map(Scalar::text).collect(),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Auth {
    /// A bearer token.
    Bearer(String),
    /// A user name and a password.
    Basic { username: String, password: String },
    /// A key in a header of its own.
    Header { name: String, value: String },
}

/// A status, or a class of them (`2xx`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Expected {
    Status(#[schemars(range(min = 100, max = 599))] u16),
    Class(#[schemars(regex(pattern = "^[1-5]xx$"))] String),
}

impl Expected {
    fn fits(&self, status: u16) -> bool {
        match self {
            Self::Status(expected) => *expected == status,
            Self::Class(class) => class.ends_with("xx") && class.starts_with(&(status / 100).to_string()),
        }
    }
}

pub(crate) struct ApiRequest {
    spec: ExecutorSpec,
    egress: egress::Client,
    retries: RetryBudget,
}

impl ApiRequest {
    pub(crate) fn new(egress: egress::Client, retries: RetryBudget) -> Self {
        let spec = ExecutorSpec {
            effect: EffectRule::ByMethod { field: "method".into() },
            cost: CostKind::Free,
            secret_fields: ["url", "headers", "query", "json", "form", "body", "auth"].map(str::to_owned).to_vec(),
            marked: vec![
                MarkedField { field: "file".into(), kind: DataKind::File },
                MarkedField { field: "body".into(), kind: DataKind::Text },
            ],
            ..spec::plain::<Config, answer::Output>("api_request", "Sends an HTTP request and gives the answer.")
        };
        Self { spec, egress, retries }
    }

    async fn exchange(&self, call: &Call, mut config: Config) -> Result<Value, Failure> {
        let body = body::read(call, &config).await?;
        let method = config.method.unwrap_or(if body.is_some() { HttpMethod::Post } else { HttpMethod::Get });
        if call.test && method.is_unsafe() {
            return Ok(json!({"http_status": null, "headers": {}, "body": null, "not_sent": true}));
        }
        let url = address(call, &mut config).await?;
        let Some(pagination) = config.pagination.take() else {
            return self.one(call, &config, request(call, &config, method, (url, body, &call.key))?).await;
        };
        if !matches!(method, HttpMethod::Get) {
            return Err(flow_fault("config_invalid", "Only a GET can be read in pages."));
        }
        let mut walk = pages::Walk::new(&pagination, url);
        loop {
            // Each page is a call of its own.
            let key = format!("{}/p{}", call.key, walk.pages + 1);
            let request = request(call, &config, method, (walk.url.clone(), None, &key))?;
            let mut page = self.one(call, &config, request).await?;
            let link = page["headers"]["link"].as_str().map(str::to_owned);
            if !walk.take(page["body"].take(), link.as_deref())? {
                page["pages"] = Value::from(walk.pages);
                page["body"] = Value::Array(walk.items);
                return Ok(page);
            }
            call.progress.advanced(u64::from(walk.pages), None, "pages");
        }
    }

    /// One request and its answer.
    async fn one(&self, call: &Call, config: &Config, request: Request) -> Result<Value, Failure> {
        let host = request.host();
        self.retries.called(call, &host);
        let failed = |failure| self.retries.failed(call, &host, failure);
        let response =
            outgoing::send(&self.egress, call, request).await.map_err(|error| failed(outgoing::failure(&error)))?;
        let status = response.status().as_u16();
        let expected = if config.expect.is_empty() {
            response.status().is_success()
        } else {
            config.expect.iter().any(|expected| expected.fits(status))
        };
        if !expected {
            return Err(failed(answer::refusal(response).await));
        }
        answer::read(call, response, config.answer).await.map_err(failed)
    }
}

#[async_trait]
impl Executor for ApiRequest {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let config: Config = config::read(config)?;
        Ok(Done::free(config::unless_cancelled(call, self.exchange(call, config)).await?))
    }
}

/// Where the request goes; a connection's key becomes the authorisation.
async fn address(call: &Call, config: &mut Config) -> Result<Url, Failure> {
    let invalid = || input_fault("url_invalid", "`url` is no URL: it must begin with https:// or http://.");
    let mut url = match &config.connection {
        None => Url::parse(&config.url).map_err(|_| invalid())?,
        Some(name) => {
            let service = call.models.service(name).await?;
            if service.kind != "http" {
                let message = format!("The connection `{name}` is of the kind `{}`, not `http`.", service.kind);
                return Err(flow_fault("connection_kind", message));
            }
            if config.auth.is_none() {
                config.auth = service.credential.map(Auth::Bearer);
            }
            beneath(&service.base_url, &config.url)?
        }
    };
    if !config.query.is_empty() {
        let mut pairs = url.query_pairs_mut();
        for (name, values) in &config.query {
            for value in values.texts() {
                pairs.append_pair(name, &value);
            }
        }
    }
    Ok(url)
}

/// A path behind a connection's address, and nothing else: the key belongs to that host and place.
fn beneath(base: &str, path: &str) -> Result<Url, Failure> {
    let refused = || {
        let message =
            "With `connection`, `url` is a path behind its address, without `..` and without a host of its own.";
        input_fault("url_invalid", message)
    };
    let base = Url::parse(base).map_err(|_| refused())?;
    let joined = format!("{}/{}", base.as_str().trim_end_matches('/'), path.trim().trim_start_matches('/'));
    let url = Url::parse(&joined).map_err(|_| refused())?;
    let below = url.path().starts_with(&format!("{}/", base.path().trim_end_matches('/')));
    if url.origin() != base.origin() || !below { Err(refused()) } else { Ok(url) }
}

fn request(
    call: &Call,
    config: &Config,
    method: HttpMethod,
    (url, body, key): (Url, Option<body::Body>, &str),
) -> Result<Request, Failure> {
    let total = call.deadline.map_or(LONGEST_EXCHANGE, |deadline| deadline.saturating_duration_since(Instant::now()));
    let limits = Limits {
        total,
        head: total,
        body_bytes: config.max_bytes.map_or(Limits::default().body_bytes, |bytes| bytes.min(LARGEST_ANSWER)),
        ..Limits::default()
    };
    let mut request = Request::new(method.method(), url).limits(limits).redirects(config.redirects.min(10));
    if let Some(body) = body {
        request = request.header(CONTENT_TYPE, value("content-type", &body.media_type)?).map_err(refused)?;
        request = request.body(body.bytes);
    }
    request = set(request, HeaderName::from_static("idempotency-key"), value("idempotency-key", key)?)?;
    for (name, scalar) in &config.headers {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| flow_fault("header_invalid", format!("`{name}` is no header name.")))?;
        request = set(request, header, value(name, &scalar.text())?)?;
    }
    authorize(request, config.auth.as_ref())
}

fn authorize(request: Request, auth: Option<&Auth>) -> Result<Request, Failure> {
    match auth {
        None => Ok(request),
        Some(Auth::Bearer(token)) => set(request, AUTHORIZATION, value("authorization", &format!("Bearer {token}"))?),
        Some(Auth::Basic { username, password }) => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
            set(request, AUTHORIZATION, value("authorization", &format!("Basic {pair}"))?)
        }
        Some(Auth::Header { name, value: secret }) => {
            let header = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| flow_fault("header_invalid", format!("`{name}` is no header name.")))?;
            request.credential(header, value(name, secret)?).map_err(refused)
        }
    }
}

fn set(request: Request, name: HeaderName, value: HeaderValue) -> Result<Request, Failure> {
    let plain = PLAIN_HEADERS.contains(&name);
    if plain { request.header(name, value) } else { request.credential(name, value) }.map_err(refused)
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands the error over")]
fn refused(error: egress::EgressError) -> Failure {
    outgoing::failure(&error)
}

fn value(name: &str, text: &str) -> Result<HeaderValue, Failure> {
    let refused = |_| {
        flow_fault("header_invalid", format!("The value of the header `{name}` holds characters that headers cannot."))
    };
    HeaderValue::from_str(text).map_err(refused)
}

/// Headers as an object, names in lower case, repeated ones on one line.
fn headers_value(headers: &egress::HeaderMap) -> Value {
    let mut object = Map::new();
    for name in headers.keys() {
        let texts: Vec<_> =
            headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        object.insert(name.to_string(), Value::String(texts.join(", ")));
    }
    Value::Object(object)
}
