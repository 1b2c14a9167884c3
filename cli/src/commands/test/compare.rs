//! What must be, against what is.
//!
//! Invariant: each difference is one sentence with its place; an expectation that cannot be met is never passed over.

use serde_json::{Map, Value};

/// The differences, where the actual value may hold more fields than the expected one.
pub(super) fn at_least(expected: &Value, actual: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, actual, place, false, &mut found);
    found
}

/// The differences, where the two must be the same.
pub(super) fn exactly(expected: &Value, actual: &Value, place: &str) -> Vec<String> {
    let mut found = Vec::new();
    compare(expected, actual, place, true, &mut found);
    found
}

fn compare(expected: &Value, actual: &Value, place: &str, exact: bool, found: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(matcher), _) if is_matcher(matcher) => found.extend(matched(matcher, actual, place)),
        (Value::Object(expected), Value::Object(actual)) => {
            for (key, value) in expected {
                match actual.get(key) {
                    Some(other) => compare(value, other, &format!("{place}/{key}"), exact, found),
                    None => found.push(format!("{place}/{key} is missing; expected {}", shown(value))),
                }
            }
            let more = actual.keys().filter(|key| exact && !expected.contains_key(*key));
            found.extend(more.map(|key| format!("{place}/{key} was not expected: {}", shown(&actual[key]))));
        }
        (Value::Array(expected), Value::Array(actual)) if expected.len() == actual.len() => {
            for (index, (expected, actual)) in expected.iter().zip(actual).enumerate() {
                compare(expected, actual, &format!("{place}/{index}"), exact, found);
            }
        }
        (Value::Number(expected), Value::Number(actual)) if expected.as_f64() == actual.as_f64() => {}
        _ if expected == actual => {}
        _ => found.push(format!("{place} is {}; expected {}", shown(actual), shown(expected))),
    }
}

/// `{$contains: "x"}` and its like: one key that begins with a dollar sign.
fn is_matcher(object: &Map<String, Value>) -> bool {
    object.len() == 1 && object.keys().all(|key| key.starts_with('$'))
}

fn matched(matcher: &Map<String, Value>, actual: &Value, place: &str) -> Option<String> {
    let (name, wanted) = matcher.iter().next()?;
    let holds = match (name.as_str(), wanted) {
        ("$contains", wanted) => match actual {
            Value::String(text) => wanted.as_str().is_some_and(|part| text.contains(part)),
            Value::Array(items) => items.iter().any(|item| at_least(wanted, item, "").is_empty()),
            _ => false,
        },
        ("$length", wanted) => length(actual).is_some_and(|length| wanted.as_u64() == Some(length as u64)),
        ("$type", Value::String(wanted)) => kind(actual) == wanted,
        ("$above", wanted) => order(actual, wanted).is_some_and(|(actual, wanted)| actual > wanted),
        ("$below", wanted) => order(actual, wanted).is_some_and(|(actual, wanted)| actual < wanted),
        ("$not", wanted) => !at_least(wanted, actual, "").is_empty(),
        _ => {
            return Some(format!(
                "{place}: there is no `{name}`; known are $above, $below, $contains, $length, $not, $type"
            ));
        }
    };
    (!holds).then(|| format!("{place} is {}; expected {name}: {}", shown(actual), shown(wanted)))
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Object(map) => Some(map.len()),
        _ => None,
    }
}

fn order(actual: &Value, wanted: &Value) -> Option<(f64, f64)> {
    actual.as_f64().zip(wanted.as_f64())
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// A value in one line that fits a message.
pub(super) fn shown(value: &Value) -> String {
    const MOST: usize = 200;
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return text;
    }
    let cut: String = text.chars().take(MOST).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_expected_may_be_a_part_and_says_where_it_is_not() {
        let actual = json!({"total": 12.0, "lines": [{"a": 1, "b": 2}], "note": "hello world"});
        assert!(at_least(&json!({"total": 12, "lines": [{"a": 1}]}), &actual, "outputs").is_empty());
        assert_eq!(exactly(&json!({"total": 12, "lines": [{"a": 1, "b": 2}]}), &actual, "outputs").len(), 1);
        assert_eq!(at_least(&json!({"lines": [{"a": 2}]}), &actual, "outputs"), ["outputs/lines/0/a is 1; expected 2"]);
        assert_eq!(at_least(&json!({"lines": []}), &actual, "outputs").len(), 1);
        assert_eq!(at_least(&json!({"x": 1}), &actual, "outputs"), ["outputs/x is missing; expected 1"]);
    }

    #[test]
    fn matchers_hold_or_say_why_not() {
        let differences = |expected: Value, actual: Value| at_least(&expected, &actual, "x").len();
        for (expected, actual, count) in [
            (json!({"$contains": "wor"}), json!("hello world"), 0),
            (json!({"$contains": {"a": 1}}), json!([{"a": 1, "b": 2}]), 0),
            (json!({"$contains": "x"}), json!(["y"]), 1),
            (json!({"$length": 2}), json!([1, 2]), 0),
            (json!({"$type": "string"}), json!(1), 1),
            (json!({"$above": 3}), json!(3), 1),
            (json!({"$below": 3.5}), json!(3), 0),
            (json!({"$not": null}), json!(3), 0),
            (json!({"$almost": 3}), json!(3), 1),
        ] {
            assert_eq!(differences(expected.clone(), actual), count, "{expected}");
        }
    }
}
