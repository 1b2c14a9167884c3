//! What comes back: status, headers, and the body as JSON, text or file.
//!
//! Invariant: a body is never silently cut or guessed into another type; what is no text becomes a file.

use domain::Failure;
use egress::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use egress::{HeaderMap, Response, Url};
use engine::Call;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::headers_value;
use crate::config;
use crate::{outgoing, spec};

/// The longest part of a refusal's body that goes into a message, in characters.
const EXCERPT: usize = 300;

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Form {
    /// JSON is parsed, text is text, anything else becomes a file.
    #[default]
    Auto,
    /// Must be JSON, whatever its type says.
    Json,
    /// Text, whatever its type says.
    Text,
    /// A file.
    File,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Output {
    /// The answer's status; null when a run by a test key did not send the request.
    http_status: Option<u16>,
    /// The answer's headers, names in lower case.
    headers: Map<String, Value>,
    /// The body: parsed JSON, text, or null when it is in `file` or empty.
    #[schemars(schema_with = "spec::any_value")]
    body: Value,
    /// The body as a file.
    #[serde(default)]
    #[schemars(schema_with = "spec::file_value")]
    file: Option<Value>,
    /// How many pages were read, with `pagination`.
    pages: Option<u32>,
    /// True when a run by a test key did not send the request.
    not_sent: Option<bool>,
}

/// Reads an expected answer.
pub(super) async fn read(call: &Call, response: Response, form: Form) -> Result<Value, Failure> {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    let url = response.url().clone();
    let bytes = response.bytes().await.map_err(|error| outgoing::failure(&error))?;
    let media_type = media_type(&headers);
    let mut output = json!({"http_status": status, "headers": headers_value(&headers), "body": null});
    if bytes.is_empty() && !matches!(form, Form::File) {
        return Ok(output);
    }
    let not_json = || {
        let message = "The answer is no JSON.".to_owned();
        Failure::new(domain::FailureKind::Provider, "answer_not_json", message).retryable(false)
    };
    let parsed = match form {
        Form::Json => Some(serde_json::from_slice(&bytes).map_err(|_| not_json())?),
        Form::Text => Some(Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        Form::File => None,
        Form::Auto if is_json(&media_type) => Some(serde_json::from_slice(&bytes).map_err(|_| not_json())?),
        Form::Auto if is_text(&media_type) => Some(Value::String(text(&headers, &bytes))),
        Form::Auto => None,
    };
    if let Some(value) = parsed {
        output["body"] = value;
        return Ok(output);
    }
    let name = file_name(&headers, &url);
    let file = call.blobs.put_file(&name, &media_type, bytes).await.map_err(|error| config::storage_fault(&error))?;
    output["file"] = serde_json::to_value(file).unwrap_or_default();
    Ok(output)
}

/// An answer that was not expected, with what the server says about it.
pub(super) async fn refusal(mut response: Response) -> Failure {
    let status = response.status();
    let headers = response.headers().clone();
    let host = response.url().host_str().unwrap_or_default().to_owned();
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > 64 * 1024 {
            break;
        }
    }
    let reason = status.canonical_reason().map_or_else(String::new, |reason| format!(" {reason}"));
    let said = said(&body).map_or_else(String::new, |said| format!(": {said}"));
    let message = format!("`{host}` answered {}{reason}{said}.", status.as_u16());
    outgoing::status_failure(status, &headers, &format!("http_{}", status.as_u16()), message)
}

/// The sentence in a JSON error body, where the usual forms have it.
fn said(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).ok()?;
    let places =
        ["/error/message", "/detail", "/message", "/error_description", "/error", "/title", "/errors/0/message"];
    let sentence = places.iter().find_map(|place| value.pointer(place)?.as_str())?;
    let line: String = sentence.chars().map(|c| if c.is_control() { ' ' } else { c }).take(EXCERPT).collect();
    Some(line.trim().trim_end_matches('.').to_owned())
}

fn media_type(headers: &HeaderMap) -> String {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let bare = declared.and_then(|value| value.split(';').next()).map(str::trim).filter(|value| !value.is_empty());
    bare.map_or_else(|| "application/octet-stream".to_owned(), str::to_ascii_lowercase)
}

fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || media_type.ends_with("+json")
}

fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/")
        || media_type.ends_with("+xml")
        || matches!(
            media_type,
            "application/xml"
                | "application/yaml"
                | "application/javascript"
                | "application/x-ndjson"
                | "application/x-www-form-urlencoded"
        )
}

fn text(headers: &HeaderMap, bytes: &[u8]) -> String {
    let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let label = declared.and_then(|value| value.split(';').find_map(|part| part.trim().strip_prefix("charset=")));
    let encoding = label.and_then(|label| encoding_rs::Encoding::for_label(label.trim_matches('"').as_bytes()));
    encoding.unwrap_or(encoding_rs::UTF_8).decode(bytes).0.into_owned()
}

/// The name the server gives the file, else the last part of the URL; a name, never a path.
fn file_name(headers: &HeaderMap, url: &Url) -> String {
    let given = headers.get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.split(';').find_map(|part| part.trim().strip_prefix("filename=")));
    let last = url.path_segments().and_then(|mut parts| parts.next_back());
    let name = given.map(|name| name.trim_matches('"')).or(last).unwrap_or_default();
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = name.chars().filter(|c| !c.is_control()).take(200).collect();
    if clean.trim_matches('.').is_empty() { "answer".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;
    use egress::HeaderValue;

    #[test]
    fn a_servers_file_name_is_never_a_path() {
        let url = Url::parse("https://example.com/reports/2026.pdf?x=1").unwrap();
        let named = |disposition: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(disposition));
            file_name(&headers, &url)
        };
        assert_eq!(file_name(&HeaderMap::new(), &url), "2026.pdf");
        assert_eq!(named("attachment; filename=\"a b.csv\""), "a b.csv");
        assert_eq!(named("attachment; filename=\"../../etc/passwd\""), "passwd");
        assert_eq!(named("attachment; filename=\"..\\..\""), "answer");
    }

    #[test]
    fn a_refusals_own_words_are_shown_on_one_line() {
        assert_eq!(said(br#"{"error": {"message": "No such\ncustomer."}}"#).as_deref(), Some("No such customer"));
        assert_eq!(said(br#"{"detail": "Not yours"}"#).as_deref(), Some("Not yours"));
        assert_eq!(said(b"<html>"), None);
    }
}
