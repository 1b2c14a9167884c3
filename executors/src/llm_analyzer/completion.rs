//! One question to one endpoint, streamed.
//!
//! Invariant: an answer is whole (it came with a reason why it ended, or with the end mark) or the call failed; either way
//! what was used is known or estimated.

use std::time::Duration;

use domain::wire::Usage;
use domain::{Failure, FailureKind};
use egress::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use egress::{HeaderName, HeaderValue, Limits, Method, Request, Response, Url};
use engine::ports::ModelEndpoint;
use engine::{Call, Failed};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::Ways;
use super::dialect::Dialect;
use super::price::{self, Tokens};
use super::prompt::Messages;
use super::refusal;
use super::spread::Chosen;
use super::stream::Parser;
use crate::config::{self, flow_fault};
use crate::outgoing;

const LONGEST_CALL: Duration = Duration::from_secs(600);
const FIRST_TOKEN: Duration = Duration::from_secs(120);
const SILENCE: Duration = Duration::from_secs(120);

pub(super) struct Asking<'a> {
    pub(super) ways: &'a Ways,
    pub(super) call: &'a Call,
    pub(super) endpoint: &'a ModelEndpoint,
    pub(super) temperature: Option<f64>,
    pub(super) max_tokens: u32,
    pub(super) schema: Option<&'a Value>,
}

pub(super) struct Answer {
    pub(super) text: String,
    pub(super) finish_reason: String,
    pub(super) usage: Usage,
}

/// What has come of an answer so far.
#[derive(Default)]
struct Partial {
    text: String,
    refusal: String,
    finish_reason: Option<String>,
    ended: bool,
    reported: Option<WireUsage>,
    /// Something was sent, so that something may be billed.
    accepted: bool,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    /// In a stream.
    delta: Option<Part>,
    /// In a whole answer.
    message: Option<Part>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
}

#[derive(Clone, Copy, Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

impl Asking<'_> {
    pub(super) async fn ask(&self, messages: &Messages) -> Result<Answer, Failed> {
        let mut partial = Partial::default();
        let place = self.ways.spread.choose(self.call.tenant, &self.endpoint.base_urls, Instant::now());
        let url = self.url(place.address())?;
        let host = url.host_str().unwrap_or_default().to_owned();
        self.ways.retries.called(self.call, &host);
        let done = config::unless_cancelled(self.call, self.converse(&place, &url, messages, &mut partial)).await;
        let done = done.map_err(|failure| {
            place.failed(&failure, Instant::now());
            // Another address may be asked at once.
            let only = self.endpoint.base_urls.len() == 1;
            if only { self.ways.retries.failed(self.call, &host, failure) } else { failure }
        });
        let usage = partial.accepted.then(|| self.usage(messages, &partial));
        match (done, usage) {
            (Ok(()), Some(usage)) => {
                let finish_reason = partial.finish_reason.unwrap_or_else(|| "stop".to_owned());
                Ok(Answer { text: partial.text, finish_reason, usage })
            }
            (Ok(()), None) => Err(refusal::senseless("it is empty").into()),
            (Err(failure), usage) => Err(Failed { failure, usage }),
        }
    }

    /// Asks in the first dialect, and in plainer ones if the server refuses that.
    async fn converse(
        &self,
        place: &Chosen,
        url: &Url,
        messages: &Messages,
        partial: &mut Partial,
    ) -> Result<(), Failure> {
        let mut dialect = Dialect::first(self.schema.is_some());
        loop {
            let began = Instant::now();
            let response = self.send(url, &dialect.body(self, messages)).await?;
            if response.status().is_success() {
                place.answered(began.elapsed());
                partial.accepted = true;
                return self.take(response, partial).await;
            }
            let refused = refusal::Refusal::read(response).await;
            let plainer = if refused.is_about_the_request() { dialect.concede(&refused.words()) } else { None };
            dialect = plainer.ok_or_else(|| refused.failure(self.endpoint))?;
        }
    }

    fn url(&self, address: &str) -> Result<Url, Failure> {
        let base = address.trim_end_matches('/');
        Url::parse(&format!("{base}/chat/completions")).map_err(|_| self.bad_connection("its URL is none"))
    }

    async fn send(&self, url: &Url, body: &Value) -> Result<Response, Failure> {
        let body = body.to_string();
        let mut request = Request::new(Method::POST, url.clone()).limits(self.limits());
        for (name, value) in [(CONTENT_TYPE, "application/json"), (ACCEPT, "text/event-stream, application/json")] {
            request =
                request.header(name, HeaderValue::from_static(value)).map_err(|error| outgoing::failure(&error))?;
        }
        if let Some(key) = self.endpoint.api_key.as_deref().filter(|key| !key.is_empty()) {
            let value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_| self.bad_connection("its key holds characters that no key can"))?;
            request = request.credential(AUTHORIZATION, value).map_err(|error| outgoing::failure(&error))?;
        }
        // The step's key, and what is asked: a repair or a plainer dialect is another question.
        let key = format!("{}-{}", self.call.key, &hex::encode(Sha256::digest(&body))[..12]);
        if let Ok(value) = HeaderValue::from_str(&key) {
            let name = HeaderName::from_static("idempotency-key");
            request = request.header(name, value).map_err(|error| outgoing::failure(&error))?;
        }
        outgoing::send(&self.ways.egress, self.call, request.body(body)).await.map_err(|error| match error {
            egress::EgressError::Timeout { .. } => self.too_slow(),
            egress::EgressError::Forbidden { .. } | egress::EgressError::InvalidUrl(_) => {
                let failure = outgoing::failure(&error);
                flow_fault(
                    "connection_url",
                    format!("The connection `{}` cannot be used. {}", self.endpoint.connection, failure.message),
                )
            }
            other => outgoing::failure(&other),
        })
    }

    fn limits(&self) -> Limits {
        let total = self.call.deadline.map_or(LONGEST_CALL, |at| at.saturating_duration_since(Instant::now()));
        Limits { total, head: self.first_token(), idle: SILENCE, ..Limits::default() }
    }

    fn first_token(&self) -> Duration {
        self.call.first_token_timeout.unwrap_or(FIRST_TOKEN)
    }

    fn bad_connection(&self, why: &str) -> Failure {
        flow_fault("connection_url", format!("The connection `{}` cannot be used: {why}.", self.endpoint.connection))
    }

    fn too_slow(&self) -> Failure {
        let message = format!(
            "`{}` sent no first token within {} s.",
            price::model_name(self.endpoint),
            self.first_token().as_secs_f32()
        );
        Failure::new(FailureKind::Timeout, "first_token_timeout", message)
    }

    /// Reads the answer, whatever form it has: a server may answer whole although it was asked to stream.
    async fn take(&self, response: Response, partial: &mut Partial) -> Result<(), Failure> {
        let is_stream = response.headers().get(CONTENT_TYPE).is_some_and(|value| {
            value.to_str().is_ok_and(|value| value.to_ascii_lowercase().starts_with("text/event-stream"))
        });
        if is_stream {
            self.take_stream(response, partial).await?;
        } else {
            let bytes = response.bytes().await.map_err(|error| outgoing::failure(&error))?;
            let whole: Chunk =
                serde_json::from_slice(&bytes).map_err(|_| refusal::senseless("it is no chat completion"))?;
            self.add(whole, partial)?;
            partial.ended = true;
        }
        if !partial.ended && partial.finish_reason.is_none() {
            return Err(refusal::cut());
        }
        if partial.finish_reason.as_deref() == Some("content_filter") {
            return Err(refusal::filtered());
        }
        if partial.text.is_empty() && !partial.refusal.is_empty() {
            return Err(refusal::declined(&partial.refusal));
        }
        Ok(())
    }

    async fn take_stream(&self, mut response: Response, partial: &mut Partial) -> Result<(), Failure> {
        let first_token_by = Instant::now() + self.first_token();
        let mut parser = Parser::default();
        loop {
            let chunk = if partial.text.is_empty() && partial.finish_reason.is_none() {
                tokio::time::timeout_at(first_token_by, response.chunk()).await.map_err(|_| self.too_slow())?
            } else {
                response.chunk().await
            };
            let Some(bytes) = chunk.map_err(|error| refusal::broken(&error))? else { break };
            for event in parser.push(&bytes).map_err(|_| refusal::senseless("a line of it has no end"))? {
                self.event(&event, partial)?;
            }
            if partial.ended {
                return Ok(());
            }
        }
        parser.finish().map_or(Ok(()), |event| self.event(&event, partial))
    }

    fn event(&self, event: &str, partial: &mut Partial) -> Result<(), Failure> {
        let event = event.trim();
        if event == "[DONE]" {
            partial.ended = true;
            return Ok(());
        }
        let chunk = serde_json::from_str(event).map_err(|_| refusal::senseless("a piece of it is no JSON"))?;
        self.add(chunk, partial)
    }

    fn add(&self, chunk: Chunk, partial: &mut Partial) -> Result<(), Failure> {
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(refusal::Refusal::within_stream(&error).failure(self.endpoint));
        }
        partial.reported = chunk.usage.or(partial.reported);
        for choice in chunk.choices {
            if let Some(part) = choice.delta.or(choice.message) {
                if let Some(text) = part.content.filter(|text| !text.is_empty()) {
                    self.call.progress.delta(&text);
                    partial.text.push_str(&text);
                }
                partial.refusal.push_str(&part.refusal.unwrap_or_default());
            }
            partial.finish_reason = choice.finish_reason.or_else(|| partial.finish_reason.take());
        }
        Ok(())
    }

    /// What the provider reported; estimated where it did not, or where the stream was cut before it could.
    fn usage(&self, messages: &Messages, partial: &Partial) -> Usage {
        let reported = partial.reported.filter(|usage| usage.prompt_tokens > 0 || usage.completion_tokens > 0);
        let tokens = match reported {
            Some(usage) => Tokens {
                input: usage.prompt_tokens,
                output: usage.completion_tokens,
                cached: usage.prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0),
                estimated: false,
            },
            None => Tokens {
                input: messages.estimated_tokens(),
                output: price::estimate(&partial.text),
                cached: 0,
                estimated: true,
            },
        };
        price::usage(self.endpoint, tokens)
    }
}
