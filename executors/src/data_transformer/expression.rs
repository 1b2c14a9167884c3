//! Expressions over one element, in the flow language's own template dialect.
//!
//! Invariant: an evaluation sees `item`, `index` and the author's `with` and nothing else; it ends within its fuel, and all
//! evaluations of a step within its time.

use std::time::{Duration, Instant};

use domain::{Failure, FailureKind};
use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior};
use serde_json::{Map, Value};

use crate::config::flow_fault;

/// Instructions of one evaluation.
const FUEL: u64 = 50_000;
const LONGEST_SOURCE: usize = 4 * 1024;
const LONGEST_STEP: Duration = Duration::from_secs(20);
const NAMES: [&str; 2] = ["item", "index"];

/// Evaluates; one a step.
pub(super) struct Evaluator<'a> {
    environment: Environment<'static>,
    with: Vec<(String, minijinja::Value)>,
    started: Instant,
    cancelled: &'a dyn Fn() -> bool,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(with: Map<String, Value>, cancelled: &'a dyn Fn() -> bool) -> Result<Self, Failure> {
        if let Some(name) = NAMES.iter().find(|name| with.contains_key(**name)) {
            return Err(flow_fault("config_invalid", format!("`with` cannot name `{name}`: it is the element's own.")));
        }
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(50);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        let with = with.into_iter().map(|(name, value)| (name, minijinja::Value::from(Serde(value)))).collect();
        Ok(Self { environment, with, started: Instant::now(), cancelled })
    }

    fn scope(&self, item: &Value, index: usize) -> Result<minijinja::Value, Failure> {
        if (self.cancelled)() {
            return Err(Failure::new(FailureKind::Cancelled, "cancelled", "The step was cancelled."));
        }
        if self.started.elapsed() > LONGEST_STEP {
            let message = format!("The expressions took longer than {} s.", LONGEST_STEP.as_secs());
            return Err(Failure::new(FailureKind::Limit, "expression_time", message));
        }
        let own = [
            ("item".to_owned(), minijinja::Value::from(Serde(item))),
            ("index".to_owned(), minijinja::Value::from(index)),
        ];
        Ok(self.with.iter().cloned().chain(own).collect())
    }
}

/// One expression that gives a native value.
pub(super) struct Formula {
    source: String,
}

impl Formula {
    /// An expression with or without braces.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let source = inside_braces(text).unwrap_or(text.trim()).to_owned();
        if source.is_empty() || source.len() > LONGEST_SOURCE {
            return Err(flow_fault("expression", format!("An expression has 1 to {LONGEST_SOURCE} characters.")));
        }
        Ok(Self { source })
    }

    /// As [`Formula::parse`], but a plain path (`customer.name`) is a field of the element.
    pub(super) fn parse_key(text: &str) -> Result<Self, Failure> {
        let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
        let path = text.trim();
        let first = path.split('.').next().unwrap_or_default();
        if path.split('.').all(plain) && !NAMES.contains(&first) {
            return Ok(Self { source: format!("item.{path}") });
        }
        Self::parse(text)
    }

    pub(super) fn value(&self, evaluator: &Evaluator<'_>, item: &Value, index: usize) -> Result<Value, Failure> {
        let scope = evaluator.scope(item, index)?;
        let fault = |error: &minijinja::Error| self.fault(error);
        let expression = evaluator.environment.compile_expression(&self.source).map_err(|error| fault(&error))?;
        let value = expression.eval(scope).map_err(|error| fault(&error))?;
        if value.is_undefined() {
            return Err(flow_fault("expression", format!("`{}` is undefined for element {index}.", self.source)));
        }
        let not_json = |_| flow_fault("expression", format!("`{}` gives no JSON value.", self.source));
        serde_json::to_value(&value).map_err(not_json)
    }

    fn fault(&self, error: &minijinja::Error) -> Failure {
        fault(&self.source, error)
    }
}

fn fault(source: &str, error: &minijinja::Error) -> Failure {
    let shown: String = source.chars().take(80).collect();
    let what = match error.kind() {
        ErrorKind::OutOfFuel => "takes too much work".to_owned(),
        kind => error.detail().map_or_else(|| kind.to_string(), |detail| format!("{kind}: {detail}")),
    };
    flow_fault("expression", format!("`{shown}` cannot be evaluated: {what}."))
}

/// What stands between the braces, if the text is one braced expression and nothing else.
fn inside_braces(text: &str) -> Option<&str> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    (!inside.contains("{{") && !inside.contains("}}")).then(|| inside.trim().trim_matches('-').trim())
}

/// How an element is made anew.
pub(super) enum Shape {
    Formula(Formula),
    Text(String),
    Literal(Value),
    List(Vec<Shape>),
    Object(Vec<(String, Shape)>),
}

impl Shape {
    /// The whole of `map`: a text is an expression, braces or not.
    pub(super) fn parse(map: &Value) -> Result<Self, Failure> {
        match map {
            Value::String(text) if inside_braces(text).is_some() || !text.contains("{{") => {
                Ok(Self::Formula(Formula::parse(text)?))
            }
            other => Self::part(other),
        }
    }

    /// A part of it: a text is itself, unless it has braces.
    fn part(value: &Value) -> Result<Self, Failure> {
        Ok(match value {
            Value::String(text) if inside_braces(text).is_some() => Self::Formula(Formula::parse(text)?),
            Value::String(text) if text.contains("{%") => {
                return Err(flow_fault("expression", "`map` takes expressions, no statements (`{% ... %}`)."));
            }
            Value::String(text) if text.contains("{{") => {
                if text.len() > LONGEST_SOURCE {
                    return Err(flow_fault(
                        "expression",
                        format!("A text of `map` has at most {LONGEST_SOURCE} characters."),
                    ));
                }
                Self::Text(text.clone())
            }
            Value::Array(list) => Self::List(list.iter().map(Self::part).collect::<Result<_, _>>()?),
            Value::Object(object) => {
                let part = |(key, value): (&String, &Value)| Ok((key.clone(), Self::part(value)?));
                Self::Object(object.iter().map(part).collect::<Result<_, Failure>>()?)
            }
            literal => Self::Literal(literal.clone()),
        })
    }

    pub(super) fn make(&self, evaluator: &Evaluator<'_>, item: &Value, index: usize) -> Result<Value, Failure> {
        match self {
            Self::Formula(formula) => formula.value(evaluator, item, index),
            Self::Text(text) => {
                let scope = evaluator.scope(item, index)?;
                let rendered = evaluator.environment.render_str(text, scope).map_err(|error| fault(text, &error))?;
                Ok(Value::String(rendered))
            }
            Self::Literal(value) => Ok(value.clone()),
            Self::List(parts) => parts.iter().map(|part| part.make(evaluator, item, index)).collect(),
            Self::Object(parts) => {
                let made = parts.iter().map(|(key, part)| Ok((key.clone(), part.make(evaluator, item, index)?)));
                Ok(Value::Object(made.collect::<Result<_, Failure>>()?))
            }
        }
    }
}
