//! Expressions over one element, in the flow language's own template dialect.
//!
//! Invariant: an evaluation sees `item`, `index` and the author's `with` and nothing else, and all evaluations of a step
//! end within its time.

use std::time::{Duration, Instant};

use domain::{Failure, FailureKind};
use engine::template::{Expressions, Handle, Scope, Weight};
use serde_json::{Map, Value};

use crate::config::flow_fault;

const LONGEST_SOURCE: usize = 4 * 1024;
const LONGEST_STEP: Duration = Duration::from_secs(20);
const NAMES: [&str; 2] = ["item", "index"];

/// The step's expressions, compiled, and what they see besides the element.
pub(super) struct Formulas {
    expressions: Expressions,
    with: Scope,
}

impl Formulas {
    pub(super) fn new(with: &Map<String, Value>) -> Result<Self, Failure> {
        if let Some(name) = NAMES.iter().find(|name| with.contains_key(**name)) {
            return Err(flow_fault("config_invalid", format!("`with` cannot name `{name}`: it is the element's own.")));
        }
        let mut scope = Scope::default();
        for (name, value) in with {
            scope.set_json(name, value);
        }
        Ok(Self { expressions: Expressions::default(), with: scope })
    }

    pub(super) fn are_costly(&self) -> bool {
        self.expressions.weight() == Weight::Costly
    }

    /// An expression with or without braces.
    pub(super) fn expression(&mut self, text: &str) -> Result<Handle, Failure> {
        let source = inside_braces(text).unwrap_or(text.trim());
        if source.is_empty() || source.len() > LONGEST_SOURCE {
            return Err(flow_fault("expression", format!("An expression has 1 to {LONGEST_SOURCE} characters.")));
        }
        Ok(self.expressions.add_expression(source))
    }

    /// As [`Formulas::expression`], but a plain path (`customer.name`) is a field of the element.
    pub(super) fn key(&mut self, text: &str) -> Result<Handle, Failure> {
        let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        let path = text.trim();
        let first = path.split('.').next().unwrap_or_default();
        if path.split('.').all(plain) && !NAMES.contains(&first) {
            return self.expression(&format!("item.{path}"));
        }
        self.expression(text)
    }

    /// What an element becomes: a text is an expression, braces or not; in a mapping only texts with braces are.
    pub(super) fn shape(&mut self, map: &Value) -> Result<Handle, Failure> {
        match map {
            Value::String(text) if inside_braces(text).is_some() || !text.contains("{{") => self.expression(text),
            other if has_statement(other) => {
                Err(flow_fault("expression", "`map` takes expressions, no statements (`{% ... %}`)."))
            }
            other => Ok(self.expressions.add(other)),
        }
    }
}

fn has_statement(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{%"),
        Value::Array(list) => list.iter().any(has_statement),
        Value::Object(object) => object.values().any(has_statement),
        _ => false,
    }
}

/// What stands between the braces, if the text is one braced expression and nothing else.
fn inside_braces(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inside.contains("{{") && !inside.contains("}}")).then(|| inside.trim())
}

/// Evaluates, for as long as the step may.
pub(super) struct Evaluator<'a> {
    formulas: &'a Formulas,
    started: Instant,
    cancelled: &'a dyn Fn() -> bool,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(formulas: &'a Formulas, cancelled: &'a dyn Fn() -> bool) -> Self {
        Self { formulas, started: Instant::now(), cancelled }
    }

    pub(super) fn value(&self, handle: Handle, item: &Value, index: usize) -> Result<Value, Failure> {
        if (self.cancelled)() {
            return Err(Failure::new(FailureKind::Cancelled, "cancelled", "The step was cancelled."));
        }
        if self.started.elapsed() > LONGEST_STEP {
            let message = format!("The expressions took longer than {} s.", LONGEST_STEP.as_secs());
            return Err(Failure::new(FailureKind::Limit, "expression_time", message));
        }
        let mut scope = self.formulas.with.clone();
        scope.set_json("item", item);
        scope.set_json("index", &Value::from(index));
        self.formulas.expressions.render(handle, &scope).map_err(|fault| {
            let failure = fault.failure(None);
            Failure { message: format!("Element {index}: {}", failure.message), ..failure }
        })
    }
}
