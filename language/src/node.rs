//! The YAML of a flow as a tree with places.
//!
//! Invariant: at most [`limits::YAML_DEPTH`](crate::limits::YAML_DEPTH) deep, so that walking and dropping it is safe;
//! keys of a mapping are unique and in written order.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::source::Span;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub kind: Kind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Number(Number),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// A value that nobody wrote.
    #[must_use]
    pub fn absent() -> Self {
        Self { kind: Kind::Null, span: Span::default() }
    }

    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// How the value is called in a message.
    #[must_use]
    pub const fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }

    #[must_use]
    pub fn to_json(&self) -> Value {
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(value) => Value::Number(value.clone()),
            Kind::String(text) => Value::String(text.clone()),
            Kind::List(items) => items.iter().map(Self::to_json).collect(),
            Kind::Map(entries) => Value::Object(object(entries)),
        }
    }

    /// Calls `see` for every text in here.
    pub(crate) fn each_text<'a>(&'a self, see: &mut impl FnMut(&'a Self, &'a str)) {
        match &self.kind {
            Kind::String(text) => see(self, text),
            Kind::List(items) => items.iter().for_each(|item| item.each_text(see)),
            Kind::Map(entries) => entries.iter().for_each(|entry| entry.value.each_text(see)),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }

    /// 1-based lines of this value and all values in it, by JSON pointer.
    pub(crate) fn lines(&self, pointer: &str, lines: &mut BTreeMap<String, u32>) {
        lines.insert(pointer.to_owned(), self.span.start.line);
        for entry in self.entries() {
            let key = entry.key.replace('~', "~0").replace('/', "~1");
            entry.value.lines(&format!("{pointer}/{key}"), lines);
        }
        for (index, item) in self.items().iter().enumerate() {
            item.lines(&format!("{pointer}/{index}"), lines);
        }
    }
}

/// A mapping as a JSON object.
pub(crate) fn object(entries: &[Entry]) -> Map<String, Value> {
    entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect()
}
