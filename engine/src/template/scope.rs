//! What a template sees: inputs, records of steps and groups, vars, run, flow, secrets.
//!
//! Invariant: the same parts give the same scope here and in the sandbox child. A record's own names win over the
//! fields of its output.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Serde, Value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::secrets::SecretNames;

/// A step's record, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordParts {
    pub status: String,
    pub success: Option<bool>,
    pub skipped: bool,
    pub cached: bool,
    pub attempts: u32,
    pub error: Option<Json>,
    pub output: Json,
    pub started_at: Option<String>,
    pub duration_ms: Option<u64>,
    /// US dollars; `None` if something has no known price.
    pub cost: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupParts {
    pub status: String,
    pub success: Option<bool>,
    pub skipped: bool,
    /// In written order.
    pub members: Vec<(String, RecordParts)>,
}

/// The scope of one render in the form that travels to a sandbox child. Holds what the templates read and no more.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ScopeParts {
    /// `inputs`, `vars`, `run`, `flow`, and variables of a prompt file.
    pub roots: Map<String, Json>,
    pub steps: BTreeMap<String, RecordParts>,
    pub groups: BTreeMap<String, GroupParts>,
    /// Only where secrets may go.
    pub nonce: Option<String>,
}

/// The scope of one render in the form that the template engine reads.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    pub(super) roots: BTreeMap<String, Value>,
}

impl Scope {
    pub fn set_json(&mut self, name: &str, value: &Json) {
        self.roots.insert(name.to_owned(), Value::from(Serde(value)));
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.roots.insert(name.to_owned(), value);
    }

    /// `steps`, from records and groups by name (see [`RecordParts::value`]).
    pub fn set_steps(&mut self, steps: BTreeMap<String, Value>) {
        self.set("steps", Value::from_object(Named { entries: steps.into_iter().collect() }));
    }

    /// `secrets`: markers under the nonce, or the mask without one.
    pub fn set_secrets(&mut self, nonce: Option<String>) {
        self.set("secrets", Value::from_object(SecretNames { nonce }));
    }

    pub(super) fn context(&self) -> Value {
        Value::from_pairs(self.roots.iter().map(|(name, value)| (name.as_str(), value.clone())))
    }
}

impl ScopeParts {
    /// The scope as the template engine reads it.
    #[must_use]
    pub fn scope(&self) -> Scope {
        let mut scope = Scope::default();
        for (name, value) in &self.roots {
            scope.set_json(name, value);
        }
        let mut steps: BTreeMap<String, Value> =
            self.steps.iter().map(|(name, record)| (name.clone(), record.value())).collect();
        steps.extend(self.groups.iter().map(|(name, group)| (name.clone(), group.value())));
        scope.set_steps(steps);
        scope.set_secrets(self.nonce.clone());
        scope
    }
}

impl RecordParts {
    /// The record as templates see it.
    #[must_use]
    pub fn value(&self) -> Value {
        let own = Value::from_pairs([
            ("status", Value::from(self.status.as_str())),
            ("success", Value::from(Serde(&self.success))),
            ("skipped", Value::from(self.skipped)),
            ("cached", Value::from(self.cached)),
            ("attempts", Value::from(self.attempts)),
            ("error", Value::from(Serde(&self.error))),
            ("started_at", Value::from(Serde(&self.started_at))),
            ("duration_ms", Value::from(Serde(&self.duration_ms))),
            ("cost", Value::from(Serde(&self.cost))),
        ]);
        Value::from_object(Record { own, output: Value::from(Serde(&self.output)) })
    }
}

impl GroupParts {
    #[must_use]
    pub fn value(&self) -> Value {
        Self::value_of(
            &self.status,
            self.success,
            self.skipped,
            self.members.iter().map(|(name, record)| (name.clone(), record.value())).collect(),
        )
    }

    /// A group from records that were made already.
    #[must_use]
    pub fn value_of(status: &str, success: Option<bool>, skipped: bool, members: Vec<(String, Value)>) -> Value {
        let outputs = Value::from_pairs(
            members.iter().map(|(name, record)| (name.as_str(), record.get_attr("output").unwrap_or_default())),
        );
        let own = Value::from_pairs([
            ("status", Value::from(status)),
            ("success", Value::from(Serde(&success))),
            ("skipped", Value::from(skipped)),
            ("output", outputs),
        ]);
        Value::from_object(Group { own, members })
    }
}

/// Maps names to records. Iterates over the names.
#[derive(Debug)]
struct Named {
    entries: Vec<(String, Value)>,
}

impl Object for Named {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        find(&self.entries, key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(names(&self.entries)))
    }
}

fn find(entries: &[(String, Value)], name: &str) -> Option<Value> {
    entries.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
}

fn names(entries: &[(String, Value)]) -> impl Iterator<Item = Value> + Send + Sync + use<> {
    entries.iter().map(|(name, _)| Value::from(name.as_str())).collect::<Vec<_>>().into_iter()
}

#[derive(Debug)]
struct Record {
    own: Value,
    output: Value,
}

impl Object for Record {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        self.output.as_object().map_or(ObjectRepr::Plain, DynObject::repr)
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() == Some("output") {
            return Some(self.output.clone());
        }
        let own = self.own.get_item(key).ok().filter(|value| !value.is_undefined());
        own.or_else(|| self.output.get_item(key).ok().filter(|value| !value.is_undefined()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.output.as_object().map_or(Enumerator::NonEnumerable, DynObject::enumerate)
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.output, f)
    }
}

#[derive(Debug)]
struct Group {
    own: Value,
    members: Vec<(String, Value)>,
}

impl Object for Group {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        find(&self.members, name).or_else(|| self.own.get_attr(name).ok().filter(|value| !value.is_undefined()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(names(&self.members)))
    }
}
