//! Weir's filters for text and lists. Those that know secrets are with them.
//!
//! Invariant: no filter reaches out, reads a clock or draws a random number; what a filter makes is charged as fuel by
//! the engine, and work beyond that is charged here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind, State};
use regex::{Regex, RegexBuilder};

/// Compiled size of a tenant's regular expression.
const REGEX_BYTES: usize = 1 << 20;
const LONGEST_QUERY: usize = 1024;
/// The usual length of a token in English text, in characters.
const CHARS_PER_TOKEN: usize = 4;

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("fromjson", fromjson);
    environment.add_filter("b64decode", b64decode);
    environment.add_filter("jmespath", jmespath);
    environment.add_filter("regex_find", regex_find);
    environment.add_filter("regex_replace", regex_replace);
    environment.add_filter("slugify", slugify);
    environment.add_filter("truncate_tokens", truncate_tokens);
    environment.add_filter("currency", currency);
    environment.add_filter("group_by", group_by);
    environment.add_filter("flatten", flatten);
    environment.add_filter("chunk", chunk);
}

pub(super) fn fault(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn fromjson(state: &State<'_, '_>, text: &str) -> Result<Value, Error> {
    state.consume_fuel(text.len() as u64 / 4)?;
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| fault(format!("not JSON: {error}")))?;
    Ok(Value::from(minijinja::value::Serde(value)))
}

fn b64decode(text: &str) -> Result<String, Error> {
    let bytes = STANDARD.decode(text.trim()).map_err(|error| fault(format!("not Base64: {error}")))?;
    String::from_utf8(bytes).map_err(|_| fault("the decoded bytes are not text"))
}

/// A query over the value, as JMESPath.
fn jmespath(state: &State<'_, '_>, value: &Value, query: &str) -> Result<Value, Error> {
    // Its parser recurses by the query's length.
    if query.len() > LONGEST_QUERY {
        return Err(fault(format!("the query is longer than {LONGEST_QUERY} bytes")));
    }
    let data = serde_json::to_value(value).map_err(|error| fault(error.to_string()))?;
    state.consume_fuel(size(&data))?;
    let broken = |error: jmespath::JmespathError| fault(format!("the query cannot be used: {}", error.reason));
    let found = jmespath::compile(query).map_err(broken)?.search(data).map_err(broken)?;
    let found = serde_json::to_value(&*found).map_err(|error| fault(error.to_string()))?;
    Ok(Value::from(minijinja::value::Serde(found)))
}

fn size(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Array(items) => items.iter().map(size).sum::<u64>() + 1,
        serde_json::Value::Object(map) => map.values().map(size).sum::<u64>() + 1,
        _ => 1,
    }
}

fn regex(state: &State<'_, '_>, pattern: &str, text: &str) -> Result<Regex, Error> {
    state.consume_fuel((pattern.len() as u64).saturating_mul(64) + text.len() as u64)?;
    RegexBuilder::new(pattern)
        .size_limit(REGEX_BYTES)
        .dfa_size_limit(REGEX_BYTES)
        .build()
        .map_err(|error| fault(format!("the regular expression cannot be used: {error}")))
}

/// The first match: its first group if it has one, else all of it; none without a match.
fn regex_find(state: &State<'_, '_>, text: &str, pattern: &str) -> Result<Option<String>, Error> {
    let regex = regex(state, pattern, text)?;
    Ok(regex
        .captures(text)
        .and_then(|found| found.get(1).or_else(|| found.get(0)).map(|part| part.as_str().to_owned())))
}

fn regex_replace(state: &State<'_, '_>, text: &str, pattern: &str, by: &str) -> Result<String, Error> {
    let regex = regex(state, pattern, text)?;
    let matches = regex.find_iter(text).count() as u64;
    state.consume_fuel(matches.saturating_mul(by.len() as u64 / 16 + 1))?;
    Ok(regex.replace_all(text, by).into_owned())
}

fn slugify(text: &str) -> String {
    let mut slug = String::with_capacity(text.len());
    for letter in text.to_lowercase().chars() {
        if letter.is_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// Cuts a text to about so many tokens, at a word's end. The count is an estimate of four characters a token: exact
/// counts depend on the model.
fn truncate_tokens(text: &str, tokens: usize) -> String {
    let limit = tokens.saturating_mul(CHARS_PER_TOKEN);
    let Some((cut, _)) = text.char_indices().nth(limit) else { return text.to_owned() };
    let head = &text[..cut];
    let at_word = head.rfind(char::is_whitespace).filter(|at| *at > cut / 2);
    head[..at_word.unwrap_or(cut)].trim_end().to_owned()
}

/// `1234.5 | currency("EUR")` is `€1,234.50`; codes without a well-known sign stand in front.
fn currency(amount: f64, code: Option<&str>) -> Result<String, Error> {
    if !amount.is_finite() || amount.abs() >= 1e15 {
        return Err(fault("the amount is out of range"));
    }
    let code = code.unwrap_or("USD");
    let sign = match code {
        "USD" => "$".to_owned(),
        "EUR" => "€".to_owned(),
        "GBP" => "£".to_owned(),
        "JPY" => "¥".to_owned(),
        other => format!("{other} "),
    };
    let decimals = if code == "JPY" { 0 } else { 2 };
    let digits = format!("{:.decimals$}", amount.abs());
    let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let minus = if amount < 0.0 && digits.chars().any(|digit| ('1'..='9').contains(&digit)) { "-" } else { "" };
    Ok(format!("{minus}{sign}{grouped}{rest}"))
}

/// A mapping from the attribute's value (as text) to the items that have it, in order of first appearance.
fn group_by(state: &State<'_, '_>, items: &Value, attribute: &str) -> Result<Value, Error> {
    let mut groups: Vec<(String, Vec<Value>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for item in items.try_iter()?.checked() {
        let item = item?;
        state.consume_fuel(1)?;
        let key = item.get_attr(attribute)?;
        if key.is_undefined() {
            return Err(Error::new(ErrorKind::UndefinedError, format!("an item has no `{attribute}`")));
        }
        let key = key.to_string();
        let place = *places.entry(key.clone()).or_insert_with(|| {
            groups.push((key, Vec::new()));
            groups.len() - 1
        });
        groups[place].1.push(item);
    }
    Ok(Value::from_pairs(groups.into_iter().map(|(key, items)| (key, Value::from(items)))))
}

/// One level of lists taken away.
fn flatten(state: &State<'_, '_>, items: &Value) -> Result<Vec<Value>, Error> {
    let mut flat = Vec::new();
    for item in items.try_iter()?.checked() {
        let item = item?;
        let nested = matches!(item.kind(), minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable);
        if !nested {
            flat.push(item);
            continue;
        }
        for inner in item.try_iter()?.checked() {
            state.consume_fuel(1)?;
            flat.push(inner?);
        }
    }
    Ok(flat)
}

/// A list or text in pieces of a size. A text is cut by characters, with `overlap` of them repeated.
#[expect(clippy::needless_pass_by_value, reason = "the template engine hands arguments over by value")]
fn chunk(state: &State<'_, '_>, value: &Value, size: usize, kwargs: Kwargs) -> Result<Vec<Value>, Error> {
    let overlap: usize = kwargs.get::<Option<usize>>("overlap")?.unwrap_or(0);
    kwargs.assert_all_used()?;
    if size == 0 || overlap >= size {
        return Err(fault("a piece must be at least 1 long and longer than its overlap"));
    }
    let items: Vec<Value> = match value.as_str() {
        Some(text) => text.chars().map(|letter| Value::from(letter.to_string())).collect(),
        None => value.try_iter()?.checked().collect::<Result<_, _>>()?,
    };
    let mut pieces = Vec::new();
    let mut start = 0;
    while start < items.len() {
        let end = (start + size).min(items.len());
        state.consume_fuel((end - start) as u64 + 1)?;
        let piece = &items[start..end];
        pieces.push(match value.as_str() {
            Some(_) => Value::from(piece.iter().filter_map(Value::as_str).collect::<String>()),
            None => Value::from(piece.to_vec()),
        });
        if end == items.len() {
            break;
        }
        start = end - overlap;
    }
    Ok(pieces)
}
