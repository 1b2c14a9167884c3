//! Markers and what becomes of them.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::template::environment::{Place, environment};
use crate::template::scope::Scope;
use crate::template::shape::Shape;

const NONCE: &str = "00ff00ff00ff00ff";

/// Renders a config, and gives it as it is journaled and as the executor gets it.
fn rendered(config: &Json) -> Result<(Json, Json), Fault> {
    let mut environment = environment(&BTreeMap::new(), &[], Place::Here);
    let mut shape = Shape::new(config, "t", crate::template::analysis::Names::plain(&|_| None));
    shape.add_to(&mut environment);
    let mut scope = Scope::default();
    scope.set_json("inputs", &json!({"body": {"a": [1, "ü"]}, "text": "hi"}));
    scope.set_secrets(Some(NONCE.to_owned()));
    let mut journaled = shape.render(&environment, &scope)?;
    let uses = take_out(&mut journaled, NONCE)?;
    // The journal keeps them as JSON.
    let uses: Vec<SecretUse> = serde_json::from_str(&serde_json::to_string(&uses).unwrap()).unwrap();
    let mut filled = journaled.clone();
    fill(&mut filled, &uses, |name| format!("<{name} &>"));
    Ok((journaled, filled))
}

fn filled(template: &str) -> String {
    let (journaled, filled) = rendered(&json!({ "x": template })).unwrap_or_else(|fault| panic!("{template}: {fault}"));
    assert!(journaled["x"].as_str().unwrap().contains(MASK), "{journaled}");
    filled["x"].as_str().unwrap().to_owned()
}

#[test]
fn markers_become_references_and_come_back_as_values() {
    let config = json!({"headers": {"a/b": "Bearer {{ secrets.TOKEN }}!"}, "list": ["{{ secrets.KEY }}"]});
    let (journaled, filled) = rendered(&config).unwrap();
    assert_eq!(journaled, json!({"headers": {"a/b": "Bearer ***!"}, "list": ["***"]}));
    assert_eq!(filled, json!({"headers": {"a/b": "Bearer <TOKEN &>!"}, "list": ["<KEY &>"]}));
}

#[test]
fn what_is_made_of_a_secret_is_made_of_its_value() {
    let base64 = |text: &str| STANDARD.encode(text);
    let hmac = |text: &str, key: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        hex::encode(mac.finalize().into_bytes())
    };
    for (template, expected) in [
        ("Basic {{ ('user:' ~ secrets.K)|b64encode }}", format!("Basic {}", base64("user:<K &>"))),
        ("{{ secrets.K|b64encode|b64encode }}", base64(&base64("<K &>"))),
        ("{{ 'x'|hmac_sha256(secrets.K) }}", hmac("x", "<K &>")),
        ("{{ secrets.A|hmac_sha256('key') }}", hmac("<A &>", "key")),
        ("{{ inputs.body|tojson|hmac_sha256(secrets.K) }}", hmac("{\"a\": [1, \"ü\"]}", "<K &>")),
        (
            "v1={{ ('t.' ~ inputs.text)|hmac_sha256(secrets.A ~ secrets.B)|b64encode }}",
            format!("v1={}", base64(&hmac("t.hi", "<A &><B &>"))),
        ),
        ("{{ secrets.K|sha256 }}", hex::encode(Sha256::digest("<K &>"))),
        ("/q?key={{ secrets.K|urlencode }}", "/q?key=%3CK%20%26%3E".to_owned()),
        ("{% set k = secrets.K %}{{ k|b64encode }}", base64("<K &>")),
    ] {
        assert_eq!(filled(template), expected, "{template}");
    }
}

#[test]
fn filters_that_know_secrets_do_as_ever_without_one() {
    let (_, filled) =
        rendered(&json!(["{{ 'hi'|b64encode }}", "{{ {'a b': 'c&d'}|urlencode }}", "{{ 'a b'|urlencode }}"])).unwrap();
    assert_eq!(filled, json!(["aGk=", "a%20b=c%26d", "a%20b"]));
}

#[test]
fn a_marker_of_somebody_elses_making_names_nothing() {
    for forged in [marker("1111111111111111", "TOKEN"), marker("", "TOKEN"), EDGE.to_string()] {
        let mut config = json!({ "x": forged });
        assert_eq!(take_out(&mut config, NONCE).map_err(|fault| fault.code), Err("secret_transformed".to_owned()));
    }
    let mut plain = json!({"x": "=abc \u{F8FF} text"});
    assert_eq!(take_out(&mut plain, NONCE), Ok(Vec::new()));
}

#[test]
fn a_changed_marker_never_goes_out() {
    let whole = marker(NONCE, "A");
    let changed = [
        whole.to_uppercase(),
        whole.trim_end_matches(EDGE).to_owned(),
        whole.replace(EDGE, ""),
        whole.chars().rev().collect(),
        whole.chars().take(3).collect(),
        marker(NONCE, "=zz"),
        marker(NONCE, "=7b7d"),
    ];
    for mut text in changed.map(Json::String) {
        let result = take_out(&mut text, NONCE).map_err(|fault| fault.code);
        assert_eq!(result, Err("secret_transformed".to_owned()), "{text}");
    }
    let mut key = json!({ marker(NONCE, "A"): 1 });
    assert!(take_out(&mut key, NONCE).is_err());
}

#[test]
fn a_secret_is_no_part_of_a_host() {
    for url in [
        "https://{{ secrets.K }}.example.com/",
        "https://{{ secrets.K }}",
        "https://api.example.com{{ secrets.K }}/x",
        "http://example.com:{{ secrets.PORT }}/",
        "https://{{ secrets.K|sha256 }}.example.com",
        " HTTPS://a.{{ secrets.K }}\\@example.com",
        "https://user@{{ secrets.K }}.example.com/",
    ] {
        let fault = rendered(&json!({ "url": url })).expect_err(url);
        assert_eq!((fault.code.as_str(), fault.pointer.as_str()), ("secret_in_host", "/url"), "{url}");
    }
    for url in [
        "{{ secrets.WEBHOOK }}",
        "{{ secrets.BASE }}/path",
        "https://example.com/{{ secrets.K }}",
        "https://example.com?key={{ secrets.K }}",
        "https://user:{{ secrets.K }}@example.com/",
        "see https://example.com/a {{ secrets.K }}",
    ] {
        rendered(&json!({ "url": url })).unwrap_or_else(|fault| panic!("{url}: {fault}"));
    }
}
