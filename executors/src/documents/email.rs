//! E-mail messages: header fields as metadata, the body as text, attachments by name.
//!
//! Invariant: attachments are not opened.

use mail_parser::{Address, MessageParser, MimeHeaders};
use sandbox::JobError;
use serde_json::Value;

use super::jobs::Extracted;
use super::kind::FileType;
use super::{markup, text};

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, JobError> {
    let message = MessageParser::default()
        .parse(bytes)
        .ok_or_else(|| JobError::new("document_broken", "The message has no header that can be read."))?;
    let mut extracted = Extracted::new(FileType::Email);
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            extracted.metadata.insert(name.to_owned(), Value::String(value));
        }
    };
    put("subject", message.subject().map(str::to_owned));
    put("from", message.from().map(people));
    put("to", message.to().map(people));
    put("cc", message.cc().map(people));
    put("date", message.date().map(mail_parser::DateTime::to_rfc3339));
    put("message_id", message.message_id().map(str::to_owned));
    let attachments: Vec<Value> = message
        .attachments()
        .filter_map(|part| part.attachment_name())
        .map(|name| Value::String(name.to_owned()))
        .collect();
    if !attachments.is_empty() {
        extracted.metadata.insert("attachments".into(), Value::Array(attachments));
    }
    // A message with HTML only: read by our own reader rather than the mail library's.
    let plain = message.text_bodies().next().is_some_and(|part| !part.is_text_html());
    let body = if plain {
        (0..message.text_body_count()).filter_map(|at| message.body_text(at)).collect::<Vec<_>>().join("\n\n")
    } else {
        match message.body_html(0) {
            Some(source) => {
                let page = markup::html(&source)?;
                extracted.tables.clone_from(&page.tables);
                page.text()
            }
            None => String::new(),
        }
    };
    extracted.set_text(text::tidy(&body));
    Ok(extracted)
}

fn people(address: &Address<'_>) -> String {
    address
        .iter()
        .map(|person| match (person.name(), person.address()) {
            (Some(name), Some(address)) => format!("{name} <{address}>"),
            (name, address) => name.or(address).unwrap_or_default().to_owned(),
        })
        .collect::<Vec<_>>()
        .join(", ")
}
