//! JSON bodies, read into a type that refuses what it does not know.
//!
//! Invariant: bytes are collected within a limit and parsed only when the handler asks, after the caller is known.

use std::marker::PhantomData;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use bytes::{Bytes, BytesMut};
use domain::ErrorCode;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::plain;
use crate::nearest::nearest;
use crate::problem::Fault;

/// Bytes of a JSON body.
pub(crate) const JSON_BYTES: usize = 1024 * 1024;

/// A body that holds one JSON object.
#[derive(Debug)]
pub(crate) struct Body<T> {
    content: Result<Bytes, Fault>,
    media_type: String,
    read: PhantomData<T>,
}

impl<T: DeserializeOwned> Body<T> {
    pub(crate) fn read(self) -> Result<T, Fault> {
        if !is_json(&self.media_type) {
            return Err(unsupported(&self.media_type, "application/json"));
        }
        parse(&self.content?)
    }
}

impl<T: DeserializeOwned + Default> Body<T> {
    /// No body at all is the default.
    pub(crate) fn read_or_default(self) -> Result<T, Fault> {
        match &self.content {
            Ok(content) if content.is_empty() => Ok(T::default()),
            _ => self.read(),
        }
    }
}

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = Fault;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Fault>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let media_type = media_type(request);
        let payload = payload.take();
        Box::pin(async move { Ok(Self { content: collect(payload, JSON_BYTES).await, media_type, read: PhantomData }) })
    }
}

/// The content type without its parameters, in lower case; empty if there is none.
pub(crate) fn media_type(request: &HttpRequest) -> String {
    request.content_type().trim().to_ascii_lowercase()
}

pub(crate) fn is_json(media_type: &str) -> bool {
    media_type == "application/json" || (media_type.starts_with("application/") && media_type.ends_with("+json"))
}

pub(crate) fn unsupported(given: &str, wanted: &str) -> Fault {
    let given = if given.is_empty() { "none".to_owned() } else { format!("`{given}`") };
    let detail = format!("The content type is {given}; this takes {wanted}.");
    Fault::new(ErrorCode::UnsupportedMediaType, detail).header(header::ACCEPT, wanted)
}

/// Reads a body whole.
pub(crate) async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Fault> {
    let mut content = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| broken_off(&error))?;
        if content.len() + chunk.len() > limit {
            return Err(Fault::new(ErrorCode::TooLarge, format!("The body has more than {limit} bytes.")));
        }
        content.extend_from_slice(&chunk);
    }
    Ok(content.freeze())
}

pub(crate) fn broken_off(error: &dyn std::fmt::Display) -> Fault {
    Fault::new(ErrorCode::BadRequest, format!("The body broke off: {error}."))
}

/// Parses JSON; the refusal points at the field and offers the nearest known one.
pub(crate) fn parse<T: DeserializeOwned>(content: &[u8]) -> Result<T, Fault> {
    if let Some(why) = plain::objection(content) {
        return Err(Fault::new(ErrorCode::BadRequest, format!("The body cannot be read in one way: {why}.")));
    }
    serde_json::from_slice(content).map_err(|error| {
        if !error.is_data() {
            return Fault::new(ErrorCode::BadRequest, format!("The body is not JSON: {error}."));
        }
        let text = error.to_string();
        match unknown_field(&text) {
            Some((field, known)) => {
                let hint = nearest(field, known.iter().copied()).map(|near| format!("Did you mean `{near}`?"));
                let detail = format!("There is no field `{field}` here. {}", hint.clone().unwrap_or_default());
                Fault::new(ErrorCode::UnknownParameter, detail.trim_end().to_owned()).field(
                    &format!("/{field}"),
                    "This field is not known.".to_owned(),
                    hint,
                )
            }
            None => {
                let place = text.find(" at line").map_or(text.as_str(), |end| &text[..end]);
                let pointer = quoted(place).first().map(|field| format!("/{field}")).unwrap_or_default();
                Fault::new(ErrorCode::InvalidInput, format!("The body does not fit: {place}.")).field(
                    &pointer,
                    place.to_owned(),
                    None,
                )
            }
        }
    })
}

/// serde says `unknown field `x`, expected one of `a`, `b``.
fn unknown_field(text: &str) -> Option<(&str, Vec<&str>)> {
    let rest = text.strip_prefix("unknown field ")?;
    let names = quoted(rest);
    let (field, known) = names.split_first()?;
    Some((field, known.to_vec()))
}

fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_field_is_named_with_the_nearest_known_one() {
        let fault = parse::<domain::wire::KeyInput>(br#"{"nmae": "x"}"#).unwrap_err();
        assert_eq!(fault.to_string(), "unknown_parameter: There is no field `nmae` here. Did you mean `name`?");
        assert!(
            parse::<domain::wire::KeyInput>(br#"{"name": 7}"#).unwrap_err().to_string().starts_with("invalid_input")
        );
        let twice = parse::<domain::wire::KeyInput>(br#"{"name": "a", "name": "b"}"#).unwrap_err().to_string();
        assert!(twice.starts_with("bad_request") && twice.contains("`name` is there twice"), "{twice}");
        assert!(parse::<domain::wire::KeyInput>(b"{").unwrap_err().to_string().starts_with("bad_request"));
    }
}
