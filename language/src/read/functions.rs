//! Functions and macros that a flow brings along.
//!
//! Invariant: names that come back are valid and hide nothing that templates have anyway.

use super::step;
use crate::codes;
use crate::flow::{Function, Located, Macro};
use crate::limits;
use crate::names;
use crate::node::Entry;
use crate::reader::Reader;

pub(crate) const FUNCTION_KEYS: &[&str] = &["description", "implementation"];

pub(super) fn functions(reader: &mut Reader<'_>, entry: &Entry) -> Vec<Function> {
    let entries = super::flow::entries(reader, entry, "a function");
    entries.into_iter().filter_map(|entry| function(reader, entry)).collect()
}

fn function(reader: &mut Reader<'_>, entry: &Entry) -> Option<Function> {
    let fields = reader.fields(&entry.value, "a function", FUNCTION_KEYS, &[])?;
    let implementation = step::required(reader, &fields, "a function", "implementation");
    let description = fields.get("description").and_then(|entry| reader.text(entry));
    let name = callable(reader, entry)?;
    let implementation = implementation?;
    if implementation.value.len() > limits::FUNCTION_BYTES {
        let message = format!("a function of more than {} bytes", limits::FUNCTION_BYTES);
        reader.error(implementation.span, codes::TOO_LARGE, message);
        return None;
    }
    Some(Function { name, description, implementation })
}

pub(super) fn macros(reader: &mut Reader<'_>, entry: &Entry) -> Vec<Macro> {
    let entries = super::flow::entries(reader, entry, "a macro");
    let read = |entry: &Entry| {
        let source = reader.located(entry);
        Some(Macro { name: callable(reader, entry)?, source: source? })
    };
    entries.into_iter().filter_map(read).collect()
}

fn callable(reader: &mut Reader<'_>, entry: &Entry) -> Option<Located<String>> {
    let name = entry.key.as_str();
    if names::FUNCTIONS.contains(&name) || names::BLOCK_NAMES.contains(&name) || names::SCOPE.contains(&name) {
        let message = format!("`{name}` already means something in templates");
        reader.hint(entry.key_span, codes::SHADOWED, (message, "Choose another name."));
        return None;
    }
    Some(Located { value: entry.key.clone(), span: entry.key_span })
}
