//! The words by which a run is found: those of the inputs and outputs that its flow names in `search`.
//!
//! Invariant: what is looked for is cut into words as what is stored was; a run has at most [`MOST`] of them.

use std::collections::BTreeSet;

use entities::run_word;
use serde_json::Value;
use uuid::Uuid;

/// Words that one run is found by.
const MOST: usize = 500;
/// Characters of a word; the rest of a longer one counts for nothing.
const LONGEST: usize = 64;
/// Words that one search may have.
pub(super) const ASKED: usize = 8;

/// Lower case, letters and digits; everything else parts two words.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().chars().take(LONGEST).collect())
}

/// Which half of a run a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Inputs,
    Outputs,
}

/// The words of one half of a run, of the fields that its flow is searched by.
pub(super) fn of(search: &[String], half: Half, value: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for field in search {
        let (named, path) = match field.split_once('.') {
            Some(("inputs", rest)) => (Some(Half::Inputs), rest),
            Some(("outputs", rest)) => (Some(Half::Outputs), rest),
            _ => (None, field.as_str()),
        };
        if named.is_none_or(|named| named == half)
            && let Some(value) = path.split('.').try_fold(value, |value, name| value.get(name))
        {
            collect(value, &mut found);
        }
    }
    found
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) => add(&value.to_string(), found),
        Value::String(text) => add(text, found),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
    }
}

fn add(text: &str, found: &mut BTreeSet<String>) {
    for word in words(text) {
        if found.len() == MOST {
            return;
        }
        found.insert(word);
    }
}

pub(super) fn rows(tenant: Uuid, run: Uuid, words: BTreeSet<String>) -> Vec<run_word::Model> {
    words.into_iter().map(|word| run_word::Model { tenant_id: tenant, word, run_id: run }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_flow_names_is_cut_into_words_and_both_sides_alike() {
        let search = ["inputs.customer.mail", "total", "outputs.lines"].map(str::to_owned);
        let inputs =
            json!({"customer": {"mail": "Ada.Löve@Example.com", "name": "hidden"}, "total": 12.5, "lines": "no"});
        let words_of = |half, value| of(&search, half, value).into_iter().collect::<Vec<_>>();
        assert_eq!(words_of(Half::Inputs, &inputs), ["12", "5", "ada", "com", "example", "löve"]);
        let outputs = json!({"lines": [{"sku": "A-17"}, null, true], "customer": {"mail": "other"}});
        assert_eq!(words_of(Half::Outputs, &outputs), ["17", "a", "true"]);
        assert_eq!(words("ada.löve@EXAMPLE.com").collect::<Vec<_>>(), ["ada", "löve", "example", "com"]);
    }

    #[test]
    fn a_run_with_a_long_text_has_a_bounded_number_of_words() {
        let text: String = (0..10_000).map(|number| format!("w{number} ")).collect();
        assert_eq!(of(&["text".to_owned()], Half::Inputs, &json!({ "text": text })).len(), MOST);
        assert_eq!(words(&"x".repeat(1_000)).next().map(|word| word.len()), Some(LONGEST));
    }
}
