//! The template environment: strict, on fuel, without anything that reaches out.
//!
//! Invariant: both the server and the sandbox child build it here, so that a template means the same in both.

use std::collections::BTreeMap;
use std::io::{self, Write};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value};
use serde_json::Value as Json;

use python::Definition;

use super::callables;
use super::fault::Fault;
use super::json::{Budget, to_json};
use super::scope::Scope;
use super::{dates, filters, secrets, tables};
use crate::limits;

/// The variable that carries the value of a native template.
const VALUE: &str = "__value";

/// Where templates are rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Here,
    /// In a sandbox child, where functions may run.
    Child,
}

/// An environment with these files for `include`, `import` and `extends`, and these functions.
pub(super) fn environment(
    files: &BTreeMap<String, String>,
    functions: &[Definition],
    place: Place,
) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(limits::TEMPLATE_FUEL));
    environment.set_recursion_limit(limits::TEMPLATE_RECURSION);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.remove_global("debug");
    filters::add(&mut environment);
    secrets::add(&mut environment);
    dates::add(&mut environment);
    tables::add(&mut environment);
    callables::add_functions(&mut environment, functions, place == Place::Child);
    let files = files.clone();
    environment.set_loader(move |name| Ok(files.get(name).cloned()));
    environment
}

/// A native template as a statement that keeps the value. The line numbers stay.
pub(super) fn native_source(expression: &str) -> String {
    format!("{{% set {VALUE} = ({expression}) %}}")
}

/// Renders a template that the environment holds.
pub(super) fn render(
    environment: &Environment<'_>,
    name: &str,
    native: bool,
    source: &str,
    scope: &Scope,
) -> Result<Json, Fault> {
    let template = environment.get_template(name).map_err(|error| Fault::of(&error, source))?;
    let mut text = Capped { bytes: Vec::new() };
    let captured =
        template.render_captured_to(scope.context(), &mut text).map_err(|error| Fault::of(&error, source))?;
    if native {
        let value = captured.state().lookup(VALUE).unwrap_or(Value::UNDEFINED);
        return to_json(&value, source, &mut Budget::new(limits::OUTPUT_BYTES));
    }
    drop(captured);
    let text = String::from_utf8(text.bytes).map_err(|_| Fault::new("template_error", "The text is not UTF-8."))?;
    Ok(Json::String(text))
}

/// A buffer that refuses to grow over the limit of an output.
struct Capped {
    bytes: Vec<u8>,
}

impl Write for Capped {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > limits::OUTPUT_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
