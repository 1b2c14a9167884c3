//! Server-sent events, read by the specification's rules and nothing looser.
use crate::limits;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
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
    let mut watch = Watch::begin(request).await;
    watch.ended().await;
    watch.seen
}

/// A stream that is read while it goes on.
pub struct Watch {
    body: BoxStream<'static, reqwest::Result<Bytes>>,
    /// What came and does not end an event yet.
    rest: Vec<u8>,
    /// Every event so far.
    pub seen: Vec<Event>,
}

impl Watch {
    pub async fn begin(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap_or_else(|error| panic!("the stream was not answered: {error:?}"));
        let status = response.status();
        if !status.is_success() {
            panic!("the stream was refused with {status}: {}", response.text().await.unwrap_or_default());
        }
        Self { body: response.bytes_stream().boxed(), rest: Vec::new(), seen: Vec::new() }
    }

    /// Waits for what comes next; false when the server closed the stream.
    async fn more(&mut self) -> bool {
        let Some(chunk) = self.body.next().await else { return false };
        self.rest.extend_from_slice(&chunk.unwrap_or_else(|error| panic!("the stream broke off: {error:?}")));
        // An event ends at an empty line; a cut-off one is never given out.
        if let Some(end) = self.rest.windows(2).rposition(|pair| pair == b"\n\n") {
            let rest = self.rest.split_off(end + 2);
            let whole = std::mem::replace(&mut self.rest, rest);
            self.seen.extend(parse(&String::from_utf8_lossy(&whole)));
        }
        true
    }

    /// Reads on until the server closes the stream.
    pub async fn ended(&mut self) {
        while self.more().await {}
    }

    /// Waits until this holds of all events so far.
    pub async fn until_seen(&mut self, what: &str, holds: impl Fn(&[Event]) -> bool) {
        let wait = async {
            while !holds(&self.seen) {
                assert!(self.more().await, "the stream ended without {what}: {:#?}", self.seen);
            }
        };
        limits::within(limits::REQUEST, what, wait).await;
    }

    /// Waits until an event came for which this holds, and gives the first.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Event) -> bool) -> Event {
        self.until_seen(what, |seen| seen.iter().any(&holds)).await;
        let found = self.seen.iter().find(|event| holds(event));
        found.unwrap_or_else(|| panic!("{what} was seen")).clone()
    }

    /// The text that came in pieces so far.
    pub fn told(&self) -> String {
        let pieces = self.seen.iter().filter(|event| event.name == "delta");
        pieces.filter_map(|event| event.data["text"].as_str()).collect()
    }
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
