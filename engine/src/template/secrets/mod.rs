//! Secrets in templates: a marker goes in, references come out, values are filled in at the last moment.
//!
//! Invariant: a marker holds a nonce of the one render, so that no data can name a secret. What a template does to a
//! marker is known before it is rendered ([`flow`]); a marker that was changed all the same fails the render instead of
//! going out.

mod flow;
mod mask;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::value::{Object, ObjectRepr, Value};
use minijinja::{Environment, Error, State};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::fault::Fault;
use crate::event::{SecretPart, SecretUse};

pub use mask::Masker;

/// What stands where a secret's value would appear.
pub const MASK: &str = "***";
/// A private-use character: no text of people has it, and changing case leaves it alone.
const EDGE: char = '\u{10FFFD}';
/// Begins what a marker says where it stands for something made of secrets. No name of a secret begins with it.
const MADE: char = '=';

/// `secrets` in a template: any name gives a marker, or the mask where secrets may not go.
#[derive(Debug)]
pub(super) struct SecretNames {
    pub(super) nonce: Option<String>,
}

impl Object for SecretNames {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str().filter(|name| !name.contains([EDGE, MADE]))?;
        Some(match &self.nonce {
            Some(nonce) => Value::from(marker(nonce, name)),
            None => Value::from(MASK),
        })
    }
}

fn marker(nonce: &str, says: &str) -> String {
    format!("{EDGE}{nonce}:{says}{EDGE}")
}

/// Why a template that reads secrets may not be rendered. `carriers` are names that hold markers already.
pub(super) fn refusal(
    templates: &[&Stmt<'_>],
    expression: Option<&Expr<'_>>,
    carriers: &BTreeSet<String>,
) -> Option<Fault> {
    let why = flow::refusal(templates, expression, carriers.clone())?;
    Some(Fault::new("secret_transformed", format!("A secret {why}.")))
}

/// The filters that know markers: where one goes through, what they make is made when its value is put in.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("b64encode", |state: &State<'_, '_>, text: &str| {
        deferred(state, &[text], |[text]| SecretPart::Base64(text))
    });
    environment.add_filter("sha256", |state: &State<'_, '_>, text: &str| {
        deferred(state, &[text], |[text]| SecretPart::Sha256(text))
    });
    environment.add_filter("hmac_sha256", |state: &State<'_, '_>, text: &str, key: &str| {
        deferred(state, &[text, key], |[text, key]| SecretPart::HmacSha256 { text, key })
    });
    environment.add_filter("urlencode", |state: &State<'_, '_>, value: &Value| match value.as_str() {
        Some(text) => deferred(state, &[text], |[text]| SecretPart::UrlEncoded(text)),
        None => minijinja::filters::urlencode(value),
    });
}

/// What a filter makes of texts: at once, or as a marker if one of them holds a marker.
fn deferred<const N: usize>(
    state: &State<'_, '_>,
    texts: &[&str; N],
    made_of: impl FnOnce([Vec<SecretPart>; N]) -> SecretPart,
) -> Result<String, Error> {
    let plain = |text: &&str| -> Vec<SecretPart> { vec![SecretPart::Text((*text).to_owned())] };
    let names = state.lookup("secrets");
    let names = names.as_ref().and_then(|names| names.downcast_object_ref::<SecretNames>());
    let Some(nonce) =
        names.and_then(|names| names.nonce.as_ref()).filter(|_| texts.iter().any(|text| text.contains(EDGE)))
    else {
        return Ok(value_of(&made_of(texts.each_ref().map(plain)), &|_| String::new()));
    };
    let mut found = Vec::with_capacity(N);
    for text in texts {
        found.push(parts(text, nonce).map_err(|fault| super::filters::fault(fault.message))?);
    }
    let secret = found.iter().flatten().any(|part| !matches!(part, SecretPart::Text(_)));
    let found = <[Vec<SecretPart>; N]>::try_from(found).map_err(|_| super::filters::fault("texts were lost"))?;
    let part = made_of(found);
    if !secret {
        return Ok(value_of(&part, &|_| String::new()));
    }
    let says = serde_json::to_vec(&part).map_err(|error| super::filters::fault(error.to_string()))?;
    Ok(marker(nonce, &format!("{MADE}{}", hex::encode(says))))
}

/// Takes the markers out of a rendered config: masked text in their place, and what belongs there.
pub(super) fn take_out(config: &mut Json, nonce: &str) -> Result<Vec<SecretUse>, Fault> {
    let mut uses = Vec::new();
    visit(config, &mut String::new(), nonce, &mut uses)?;
    Ok(uses)
}

fn visit(value: &mut Json, pointer: &mut String, nonce: &str, uses: &mut Vec<SecretUse>) -> Result<(), Fault> {
    match value {
        Json::String(text) => {
            let parts = parts(text, nonce).map_err(|fault| at(fault, pointer))?;
            if parts.iter().any(|part| !matches!(part, SecretPart::Text(_))) {
                if names_a_host(&parts) {
                    return Err(at(in_host(), pointer));
                }
                *text = shown(&parts);
                uses.push(SecretUse { pointer: pointer.clone(), parts });
            }
        }
        Json::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                descend(item, &index.to_string(), pointer, nonce, uses)?;
            }
        }
        Json::Object(map) => {
            for (key, item) in map.iter_mut() {
                if carries(key, nonce) {
                    return Err(at(transformed(), pointer));
                }
                descend(item, &key.replace('~', "~0").replace('/', "~1"), pointer, nonce, uses)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn descend(
    item: &mut Json,
    key: &str,
    pointer: &mut String,
    nonce: &str,
    uses: &mut Vec<SecretUse>,
) -> Result<(), Fault> {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(key);
    visit(item, pointer, nonce, uses)?;
    pointer.truncate(length);
    Ok(())
}

fn parts(text: &str, nonce: &str) -> Result<Vec<SecretPart>, Fault> {
    let open = format!("{EDGE}{nonce}:");
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(&open) {
        let Some((says, behind)) = after.split_once(EDGE) else { return Err(transformed()) };
        push_text(&mut parts, before);
        parts.push(match says.strip_prefix(MADE) {
            None => SecretPart::Secret(says.to_owned()),
            Some(made) => {
                hex::decode(made).ok().and_then(|made| serde_json::from_slice(&made).ok()).ok_or_else(transformed)?
            }
        });
        rest = behind;
    }
    push_text(&mut parts, rest);
    let left_over = parts.iter().any(|part| match part {
        SecretPart::Text(text) => carries(text, nonce),
        SecretPart::Secret(name) => carries(name, nonce),
        _ => false,
    });
    if left_over { Err(transformed()) } else { Ok(parts) }
}

fn push_text(parts: &mut Vec<SecretPart>, text: &str) {
    if !text.is_empty() {
        parts.push(SecretPart::Text(text.to_owned()));
    }
}

/// Whether something of a marker is left in a text: the nonce, or an edge.
fn carries(text: &str, nonce: &str) -> bool {
    text.contains(EDGE) || text.to_ascii_lowercase().contains(nonce)
}

/// `https://{{ secrets.K }}.example.com`: the name would be looked up, by servers that anybody may run.
fn names_a_host(parts: &[SecretPart]) -> bool {
    let mut before = String::new();
    for part in parts {
        match part {
            SecretPart::Text(text) => before.push_str(text),
            _ => {
                let authority = before.trim_start().split_once("://").filter(|(scheme, _)| is_scheme(scheme));
                if let Some((_, authority)) = authority {
                    // Before an `@` it is a name or a password, which is not looked up.
                    let rest = parts_after(parts, part);
                    let ends = |text: &str| text.find(['/', '?', '#', '\\']);
                    let behind = ends(&rest).map_or(rest.as_str(), |end| &rest[..end]);
                    if ends(authority).is_none() && !behind.contains('@') {
                        return true;
                    }
                }
                before.push_str(MASK);
            }
        }
    }
    false
}

fn parts_after(parts: &[SecretPart], part: &SecretPart) -> String {
    let behind = parts.iter().skip_while(|other| !std::ptr::eq(*other, part)).skip(1);
    behind.map(|part| if let SecretPart::Text(text) = part { text.as_str() } else { MASK }).collect()
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "+-.".contains(letter))
}

fn in_host() -> Fault {
    Fault::new(
        "secret_in_host",
        "A secret cannot be part of the host in a URL: hosts are looked up where others can read them. \
         Put it into a header, or into the path or query.",
    )
}

fn at(fault: Fault, pointer: &str) -> Fault {
    if fault.pointer.is_empty() { Fault { pointer: pointer.to_owned(), ..fault } } else { fault }
}

/// Whether the value holds a secret's marker, of whatever render.
pub(super) fn holds_marker(value: &Json) -> bool {
    match value {
        Json::String(text) => text.contains(EDGE),
        Json::Array(items) => items.iter().any(holds_marker),
        Json::Object(map) => map.iter().any(|(key, item)| key.contains(EDGE) || holds_marker(item)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

pub(super) fn transformed() -> Fault {
    Fault::new(
        "secret_transformed",
        "A secret can be put into a text of the config as it is; it cannot be cut, encoded or used as a key.",
    )
}

fn shown(parts: &[SecretPart]) -> String {
    let text = |part: &SecretPart| match part {
        SecretPart::Text(text) => text.clone(),
        _ => MASK.to_owned(),
    };
    parts.iter().map(text).collect()
}

/// The names of the secrets that a part is made of.
pub fn names<'p>(parts: &'p [SecretPart], take: &mut dyn FnMut(&'p str)) {
    for part in parts {
        match part {
            SecretPart::Text(_) => {}
            SecretPart::Secret(name) => take(name),
            SecretPart::Base64(parts) | SecretPart::Sha256(parts) | SecretPart::UrlEncoded(parts) => names(parts, take),
            SecretPart::HmacSha256 { text, key } => {
                names(text, take);
                names(key, take);
            }
        }
    }
}

/// Puts the values in: `reveal` knows each secret that the uses name. What is made of secrets is made here.
pub fn fill(config: &mut Json, uses: &[SecretUse], reveal: impl Fn(&str) -> String) {
    for secret in uses {
        if let Some(place) = config.pointer_mut(&secret.pointer) {
            *place = Json::String(text_of(&secret.parts, &reveal));
        }
    }
}

/// What was made of secrets in these uses: as secret as they are.
pub fn made(uses: &[SecretUse], reveal: impl Fn(&str) -> String) -> Vec<String> {
    let parts = uses.iter().flat_map(|secret| &secret.parts);
    let made = parts.filter(|part| !matches!(part, SecretPart::Text(_) | SecretPart::Secret(_)));
    made.map(|part| value_of(part, &reveal)).collect()
}

fn text_of(parts: &[SecretPart], reveal: &impl Fn(&str) -> String) -> String {
    parts.iter().map(|part| value_of(part, reveal)).collect()
}

fn value_of(part: &SecretPart, reveal: &impl Fn(&str) -> String) -> String {
    match part {
        SecretPart::Text(text) => text.clone(),
        SecretPart::Secret(name) => reveal(name),
        SecretPart::Base64(parts) => STANDARD.encode(text_of(parts, reveal)),
        SecretPart::Sha256(parts) => hex::encode(Sha256::digest(text_of(parts, reveal))),
        SecretPart::UrlEncoded(parts) => {
            // Of a text it gives a text; the form of an error is the engine's.
            minijinja::filters::urlencode(&Value::from(text_of(parts, reveal))).unwrap_or_default()
        }
        SecretPart::HmacSha256 { text, key } => {
            let (text, key) = (text_of(text, reveal), text_of(key, reveal));
            // A key of any length is a key.
            Hmac::<Sha256>::new_from_slice(key.as_bytes())
                .map(|mut mac| {
                    mac.update(text.as_bytes());
                    hex::encode(mac.finalize().into_bytes())
                })
                .unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests;
