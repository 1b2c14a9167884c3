//! Secrets in templates: a marker goes in, references come out, values are filled in at the last moment.
//!
//! Invariant: the marker holds a nonce of the one render, so that no data can name a secret; a marker that a filter
//! has changed fails the render instead of going out.

use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value};
use serde_json::Value as Json;

use super::fault::Fault;
use crate::event::{SecretPart, SecretUse};

/// What stands where a secret's value would appear.
pub const MASK: &str = "***";
/// A private-use character: no text of people has it, and changing case leaves it alone.
const EDGE: char = '\u{F8FF}';

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
        let name = key.as_str()?;
        Some(match &self.nonce {
            Some(nonce) => Value::from(format!("{EDGE}{nonce}:{name}{EDGE}")),
            None => Value::from(MASK),
        })
    }
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
            let parts = parts(text, nonce)?;
            if parts.iter().any(|part| matches!(part, SecretPart::Secret(_))) {
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
                    return Err(transformed());
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
        let Some((name, behind)) = after.split_once(EDGE) else { return Err(transformed()) };
        push_text(&mut parts, before);
        parts.push(SecretPart::Secret(name.to_owned()));
        rest = behind;
    }
    push_text(&mut parts, rest);
    let left_over = parts.iter().any(|part| match part {
        SecretPart::Text(text) => carries(text, nonce),
        SecretPart::Secret(name) => carries(name, nonce),
    });
    if left_over { Err(transformed()) } else { Ok(parts) }
}

fn push_text(parts: &mut Vec<SecretPart>, text: &str) {
    if !text.is_empty() {
        parts.push(SecretPart::Text(text.to_owned()));
    }
}

fn carries(text: &str, nonce: &str) -> bool {
    text.to_ascii_lowercase().contains(nonce)
}

fn transformed() -> Fault {
    Fault::new(
        "secret_transformed",
        "A secret can be put into a text of the config as it is; it cannot be cut, encoded or used as a key.",
    )
}

fn shown(parts: &[SecretPart]) -> String {
    let text = |part: &SecretPart| match part {
        SecretPart::Text(text) => text.clone(),
        SecretPart::Secret(_) => MASK.to_owned(),
    };
    parts.iter().map(text).collect()
}

/// Puts the values in: `reveal` knows each secret that the uses name.
pub fn fill(config: &mut Json, uses: &[SecretUse], reveal: impl Fn(&str) -> String) {
    for secret in uses {
        if let Some(place) = config.pointer_mut(&secret.pointer) {
            let text = |part: &SecretPart| match part {
                SecretPart::Text(text) => text.clone(),
                SecretPart::Secret(name) => reveal(name),
            };
            *place = Json::String(secret.parts.iter().map(text).collect());
        }
    }
}

/// Replaces every appearance of a secret's value in a text, in upper or lower case too (a host name comes back in lower
/// case). Values of less than four characters cannot be told from ordinary text and are left alone.
#[must_use]
pub fn mask(text: &str, values: &[String]) -> Option<String> {
    let mut masked: Option<String> = None;
    for value in values.iter().filter(|value| value.chars().count() >= 4) {
        let current = masked.as_deref().unwrap_or(text);
        // ASCII alone is folded, so that places in both texts are the same.
        let (folded, wanted) = (current.to_ascii_lowercase(), value.to_ascii_lowercase());
        let mut found = folded.match_indices(&wanted).map(|(at, _)| at).peekable();
        if found.peek().is_none() {
            continue;
        }
        let (mut clean, mut done) = (String::with_capacity(current.len()), 0);
        for at in found {
            clean.push_str(&current[done..at]);
            clean.push_str(MASK);
            done = at + value.len();
        }
        clean.push_str(&current[done..]);
        masked = Some(clean);
    }
    masked
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NONCE: &str = "00ff00ff";

    #[test]
    fn a_secret_is_masked_in_any_case_and_wherever_it_stands() {
        let values = ["CANARY-s3cr3t".to_owned()];
        assert_eq!(
            mask("`canary-s3cr3t.invalid`, CANARY-S3CR3T ü", &values).unwrap(),
            format!("`{MASK}.invalid`, {MASK} ü")
        );
        assert_eq!(mask("nothing here", &values), None);
    }

    fn marker(name: &str) -> String {
        format!("{EDGE}{NONCE}:{name}{EDGE}")
    }

    #[test]
    fn markers_become_references_and_come_back_as_values() {
        let mut config = json!({"headers": {"a/b": format!("Bearer {}!", marker("TOKEN"))}, "list": [marker("KEY")]});
        let uses = take_out(&mut config, NONCE).unwrap();
        assert_eq!(config, json!({"headers": {"a/b": "Bearer ***!"}, "list": ["***"]}));
        assert_eq!(uses[0].pointer, "/headers/a~1b");
        fill(&mut config, &uses, |name| format!("<{name}>"));
        assert_eq!(config, json!({"headers": {"a/b": "Bearer <TOKEN>!"}, "list": ["<KEY>"]}));
    }

    #[test]
    fn a_changed_marker_never_goes_out() {
        let changed =
            [marker("A").to_uppercase(), marker("A").trim_end_matches(EDGE).to_owned(), marker("A").replace(EDGE, "")];
        for mut text in changed.map(Json::String) {
            assert_eq!(
                take_out(&mut text, NONCE).map_err(|fault| fault.code),
                Err("secret_transformed".to_owned()),
                "{text}"
            );
        }
        let mut key = json!({ marker("A"): 1 });
        assert!(take_out(&mut key, NONCE).is_err());
    }

    #[test]
    fn values_are_masked_in_text_and_text_without_them_is_left_alone() {
        let values = ["hunter22".to_owned(), "abc".to_owned()];
        assert_eq!(mask("user hunter22 abc", &values).as_deref(), Some("user *** abc"));
        assert_eq!(mask("nothing", &values), None);
    }
}
