//! Server-sent events, read by the specification's rules and nothing looser.
use futures_util::StreamExt as _;
use reqwest::RequestBuilder;
use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Absent for token deltas, which cannot be resumed from.
    pub id: Option<String>,
    /// `message` when the stream names none.
    pub name: String,
    /// Parsed when it is JSON, else the text.
    pub data: Value,
}

/// Sends the request and reads events until the server closes the stream.
pub async fn events(request: RequestBuilder) -> Vec<Event> {
    let response = request.send().await.unwrap_or_else(|error| panic!("the stream was not answered: {error:?}"));
    let status = response.status();
    assert!(status.is_success(), "the stream was refused with {status}: {}", response.text().await.unwrap_or_default());
    let mut text = Vec::new();
    let mut body = response.bytes_stream();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk.unwrap_or_else(|error| panic!("the stream broke off: {error:?}")));
    }
    parse(&String::from_utf8_lossy(&text))
}

fn parse(text: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut id, mut name, mut data) = (None, String::new(), Vec::new());
    for line in text.lines() {
        if line.is_empty() {
            if !data.is_empty() {
                let text = data.join("\n");
                let name = if name.is_empty() { "message".to_owned() } else { name.clone() };
                events.push(Event {
                    id: id.take(),
                    name,
                    data: serde_json::from_str(&text).unwrap_or(Value::String(text)),
                });
            }
            (id, name, data) = (None, String::new(), Vec::new());
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => id = Some(value.to_owned()),
            "event" => value.clone_into(&mut name),
            "data" => data.push(value),
            _ => {}
        }
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_end_at_a_blank_line_and_comments_are_not_events() {
        let events =
            parse(": heartbeat\n\nid: 7\nevent: step_settled\ndata: {\"a\":\ndata: 1}\n\ndata: text\n\ndata: cut off");
        assert_eq!(
            events,
            [
                Event { id: Some("7".into()), name: "step_settled".into(), data: json!({"a": 1}) },
                Event { id: None, name: "message".into(), data: json!("text") },
            ]
        );
    }
}
