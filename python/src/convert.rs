//! JSON into Python values and back.
//!
//! Invariant: the way back is bounded by bytes, not by the value's own size: a list that holds itself twice, twice over,
//! is small in the interpreter and endless as JSON.

use std::fmt::Write;

use monty_types::unstable::{self, MontyNode};
use monty_types::{MontyDate, MontyDateTime, MontyObject, MontyTime, ObjectRef};
use serde_json::{Map, Number, Value as Json};

use crate::fault::Fault;

/// Containers in containers; what is deeper could not be read again by whoever gets the JSON.
const DEPTH: usize = 100;

pub(crate) fn to_python(value: &Json) -> MontyObject {
    match value {
        Json::Null => MontyObject::none(),
        Json::Bool(value) => MontyObject::bool(*value),
        Json::Number(number) => number_to_python(number),
        Json::String(text) => MontyObject::string(text.as_str()),
        Json::Array(items) => MontyObject::list(items.iter().map(to_python)),
        Json::Object(map) => {
            MontyObject::dict(map.iter().map(|(key, item)| (MontyObject::string(key.as_str()), to_python(item))))
        }
    }
}

fn number_to_python(number: &Number) -> MontyObject {
    if let Some(whole) = number.as_i64() {
        return MontyObject::int(whole);
    }
    match number.as_u64() {
        Some(whole) => MontyObject::bigint(whole.into()),
        None => MontyObject::float(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The value as JSON, of at most so many bytes. `what` gave it.
pub(crate) fn to_json(value: &MontyObject, what: &str, bytes: usize) -> Result<Json, Fault> {
    Back { what, bytes }.convert(value.as_ref(), 0)
}

struct Back<'w> {
    what: &'w str,
    bytes: usize,
}

impl Back<'_> {
    fn spend(&mut self, bytes: usize) -> Result<(), Fault> {
        let left = self.bytes.checked_sub(bytes);
        self.bytes =
            left.ok_or_else(|| Fault::limit(format!("{} gives more data than a function may give.", self.what)))?;
        Ok(())
    }

    fn text(&mut self, text: impl Into<String>) -> Result<Json, Fault> {
        let text = text.into();
        self.spend(text.len())?;
        Ok(Json::String(text))
    }

    fn unfit(&self, value: &str) -> Fault {
        let message =
            format!("{} gives {value}, which has no form in JSON. Convert it before it is returned.", self.what);
        Fault::failed(message)
    }

    fn convert(&mut self, value: ObjectRef<'_>, depth: usize) -> Result<Json, Fault> {
        if depth > DEPTH {
            return Err(Fault::limit(format!("{} gives a value that is nested too deep.", self.what)));
        }
        self.spend(8)?;
        if let Some(items) = value.items() {
            return items
                .into_iter()
                .map(|item| self.convert(item, depth + 1))
                .collect::<Result<_, _>>()
                .map(Json::Array);
        }
        match unstable::node(value) {
            MontyNode::None => Ok(Json::Null),
            MontyNode::Bool(value) => Ok(Json::Bool(*value)),
            MontyNode::Int(value) => Ok(Json::from(*value)),
            MontyNode::BigInt(value) => {
                u64::try_from(value).map(Json::from).map_err(|_| self.unfit("an integer of more than 64 bits"))
            }
            MontyNode::Float(value) => {
                Number::from_f64(*value).map(Json::Number).ok_or_else(|| self.unfit(&format!("`{value}`")))
            }
            MontyNode::String(text) | MontyNode::Decimal(text) | MontyNode::Path(text) => self.text(text.as_str()),
            MontyNode::Date(date) => self.text(date_text(date)),
            MontyNode::DateTime(at) => self.text(moment_text(at)),
            MontyNode::Time(time) => self.text(time_text(time)),
            MontyNode::Dict(_) => self.mapping(&value.pairs().unwrap_or_default(), depth),
            // The fields of a dataclass, or of any object.
            MontyNode::ClassInstance { .. } => self.mapping(&value.pairs().unwrap_or_default(), depth),
            MontyNode::Cycle(_) => Err(self.unfit("a value that contains itself")),
            _ => Err(self.unfit(&format!("a value of the type `{}`", value.type_name()))),
        }
    }

    fn mapping(&mut self, pairs: &[(ObjectRef<'_>, ObjectRef<'_>)], depth: usize) -> Result<Json, Fault> {
        let mut map = Map::new();
        for (key, item) in pairs {
            let name = self.key(*key)?;
            self.spend(name.len())?;
            map.insert(name, self.convert(*item, depth + 1)?);
        }
        Ok(Json::Object(map))
    }

    /// As `json.dumps` does it: names, numbers, true, false and null.
    fn key(&self, key: ObjectRef<'_>) -> Result<String, Fault> {
        match unstable::node(key) {
            MontyNode::String(text) => Ok(text.clone()),
            MontyNode::None => Ok("null".to_owned()),
            MontyNode::Bool(value) => Ok(value.to_string()),
            MontyNode::Int(value) => Ok(value.to_string()),
            MontyNode::Float(value) => Ok(value.to_string()),
            _ => Err(self.unfit(&format!("a mapping with a key of the type `{}`", key.type_name()))),
        }
    }
}

fn date_text(date: &MontyDate) -> String {
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

fn moment_text(at: &MontyDateTime) -> String {
    let date = format!("{:04}-{:02}-{:02}", at.year, at.month, at.day);
    format!("{date}T{}", clock_text(at.hour, at.minute, at.second, at.microsecond, at.offset_seconds))
}

fn time_text(time: &MontyTime) -> String {
    clock_text(time.hour, time.minute, time.second, time.microsecond, time.offset_seconds)
}

fn clock_text(hour: u8, minute: u8, second: u8, microsecond: u32, offset_seconds: Option<i32>) -> String {
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    // Writing into a string cannot fail.
    if microsecond > 0 {
        let _ = write!(text, ".{microsecond:06}");
    }
    match offset_seconds {
        None => {}
        Some(0) => text.push('Z'),
        Some(offset) => {
            let (sign, minutes) = if offset < 0 { ('-', -offset / 60) } else { ('+', offset / 60) };
            let _ = write!(text, "{sign}{:02}:{:02}", minutes / 60, minutes % 60);
        }
    }
    text
}
