//! Values out of a render, as JSON.
//!
//! Invariant: nothing undefined becomes a value, and no value is larger or deeper than its limits.

use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::{Map, Number, Value as Json};

use super::fault::Fault;

const DEPTH: usize = 100;

/// Counts down what a render may still give.
pub(super) struct Budget {
    bytes: usize,
}

impl Budget {
    pub(super) const fn new(bytes: usize) -> Self {
        Self { bytes }
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(|| Fault::limit("room for its value"))?;
        Ok(())
    }
}

pub(super) fn to_json(value: &Value, source: &str, budget: &mut Budget) -> Result<Json, Fault> {
    convert(value, source, budget, 0)
}

fn convert(value: &Value, source: &str, budget: &mut Budget, depth: usize) -> Result<Json, Fault> {
    if depth > DEPTH {
        return Err(Fault::limit("depth"));
    }
    budget.spend(8)?;
    let unfit =
        |what: &str| Fault::new("template_error", format!("The template gives {what}, which has no form in JSON."));
    match value.kind() {
        ValueKind::Undefined => Err(Fault::undefined(source)),
        ValueKind::None => Ok(Json::Null),
        ValueKind::Bool => Ok(Json::Bool(value.is_true())),
        ValueKind::Number => number(value).map(Json::Number).ok_or_else(|| unfit("a number out of range")),
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            budget.spend(text.len())?;
            Ok(Json::String(text.to_owned()))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|error| Fault::of(&error, source))?;
            let mut list = Vec::new();
            for item in items.checked() {
                let item = item.map_err(|error| Fault::of(&error, source))?;
                list.push(convert(&item, source, budget, depth + 1)?);
            }
            Ok(Json::Array(list))
        }
        ValueKind::Map => {
            let keys = value.try_iter().map_err(|error| Fault::of(&error, source))?;
            let mut map = Map::new();
            for key in keys.checked() {
                let key = key.map_err(|error| Fault::of(&error, source))?;
                let item = value.get_item(&key).map_err(|error| Fault::of(&error, source))?;
                let name = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                budget.spend(name.len())?;
                map.insert(name, convert(&item, source, budget, depth + 1)?);
            }
            Ok(Json::Object(map))
        }
        ValueKind::Bytes => Err(unfit("bytes")),
        ValueKind::Invalid => Err(Fault::new("template_error", value.to_string())),
        _ => {
            let text = value.to_string();
            budget.spend(text.len())?;
            Ok(Json::String(text))
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    if value.is_integer() {
        let signed = value.as_i64().map(Number::from);
        return signed.or_else(|| u64::try_from(value.clone()).ok().map(Number::from));
    }
    Number::from_f64(f64::try_from(value.clone()).ok()?)
}
