//! The order of elements.
//!
//! Invariant: stable; numbers are compared as numbers and texts by code points; different types have no order.

use std::cmp::Ordering;

use domain::Failure;
use engine::template::Handle;
use serde_json::Value;

use super::SortOrder;
use super::expression::Evaluator;
use crate::config::flow_fault;

pub(super) fn sorted(
    evaluator: &Evaluator<'_>,
    items: Vec<Value>,
    rules: &[(Handle, SortOrder)],
) -> Result<Vec<Value>, Failure> {
    if rules.is_empty() {
        return Ok(items);
    }
    let mut keyed = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let keys = rules.iter().map(|(rule, _)| evaluator.value(*rule, &item, index));
        keyed.push((keys.collect::<Result<Vec<_>, _>>()?, item));
    }
    for place in 0..rules.len() {
        let mut kinds = keyed.iter().filter_map(|(keys, _)| keys.get(place)).filter(|key| !key.is_null()).map(kind);
        let first = kinds.next().unwrap_or(Kind::Text);
        if first == Kind::Unordered || kinds.any(|kind| kind != first) {
            let message = "The values to sort by are of different types, or of types without an order.";
            return Err(flow_fault("sort_type", message));
        }
    }
    keyed.sort_by(|(left, _), (right, _)| {
        let by_rule = left.iter().zip(right).zip(rules).map(|((a, b), (_, order))| {
            let ordering = compare(a, b).unwrap_or(Ordering::Equal);
            if *order == SortOrder::Desc { ordering.reverse() } else { ordering }
        });
        by_rule.fold(Ordering::Equal, Ordering::then)
    });
    Ok(keyed.into_iter().map(|(_, item)| item).collect())
}

#[derive(PartialEq, Eq)]
enum Kind {
    Boolean,
    Number,
    Text,
    Unordered,
}

const fn kind(value: &Value) -> Kind {
    match value {
        Value::Bool(_) => Kind::Boolean,
        Value::Number(_) => Kind::Number,
        Value::String(_) => Kind::Text,
        Value::Null | Value::Array(_) | Value::Object(_) => Kind::Unordered,
    }
}

/// The order of two values of one type; null comes before everything.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Null, _) => Some(Ordering::Less),
        (_, Value::Null) => Some(Ordering::Greater),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        _ => None,
    }
}
