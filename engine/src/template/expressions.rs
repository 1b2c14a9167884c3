//! Templates over values that a step holds itself, such as the elements of a list: for executors that evaluate.
//!
//! Invariant: the same environment, limits and weight as a flow's own templates; the scope holds what it is given and
//! nothing of the flow. Whoever renders looks at the weight first: the costly ones belong into a sandbox child.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use minijinja::Environment;
use serde_json::Value as Json;

use super::analysis::{Names, Weight};
use super::environment::{Place, environment};
use super::fault::Fault;
use super::scope::Scope;
use super::shape::{Shape, Template};

/// Compiled templates, each under a handle.
#[derive(Debug, Default)]
pub struct Expressions {
    /// There with the first expression: many steps have none.
    environment: Option<Environment<'static>>,
    shapes: Vec<Shape>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub struct Handle(usize);

/// No steps and no items: a name is what it is.
const NO_RECORDS: Names<'static> = Names { items: false, ..Names::plain(&|_| None) };

/// Made once; a copy costs less than adding every filter again.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(|| environment(&BTreeMap::new(), &[], Place::Here));

impl Expressions {
    /// An expression without braces, which gives its own value.
    pub fn add_expression(&mut self, source: &str) -> Handle {
        let template = Template::of_expression(self.next_name(), source, NO_RECORDS);
        self.keep(Shape::Template(Box::new(template)))
    }

    /// A value whose strings may be templates.
    pub fn add(&mut self, value: &Json) -> Handle {
        let shape = Shape::new(value, &self.next_name(), NO_RECORDS);
        self.keep(shape)
    }

    /// The weight of the heaviest.
    #[must_use]
    pub fn weight(&self) -> Weight {
        self.shapes.iter().map(Shape::weight).max().unwrap_or_default()
    }

    /// # Errors
    /// The template is broken, reads what the scope has not, or needs more than its limits.
    pub fn render(&self, handle: Handle, scope: &Scope) -> Result<Json, Fault> {
        match self.shapes.get(handle.0).zip(self.environment.as_ref()) {
            Some((shape, environment)) => shape.render(environment, scope),
            None => Err(Fault::new("template_error", "There is no such expression.")),
        }
    }

    fn next_name(&self) -> String {
        format!("expression/{}", self.shapes.len())
    }

    fn keep(&mut self, mut shape: Shape) -> Handle {
        shape.add_to(self.environment.get_or_insert_with(|| PLAIN.clone()));
        self.shapes.push(shape);
        Handle(self.shapes.len() - 1)
    }
}
