//! A JSON value whose strings may be templates, compiled.
//!
//! Invariant: a shape renders to a value of the same form; only whole strings change their type.

use std::collections::BTreeSet;

use minijinja::Environment;
use minijinja::machinery::{self, ast};
use minijinja::syntax::SyntaxConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::analysis::{Analysis, Names, Reads, Weight};
use super::callables::Callables;
use super::cases;
use super::environment::{native_source, render};
use super::fault::Fault;
use super::scope::Scope;
use super::secrets;

/// One template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Template {
    /// Under which the environment holds it.
    pub(super) name: String,
    /// As written, for messages.
    pub(super) source: String,
    /// As compiled.
    pub(super) compiled: String,
    /// Gives the expression's own value instead of text.
    pub(super) native: bool,
    #[serde(skip)]
    pub(super) weight: Weight,
    #[serde(skip)]
    pub(super) reads: Reads,
    /// Why it cannot be rendered at all.
    pub(super) broken: Option<Fault>,
}

impl Template {
    /// A string of a config: text with templates in it, or one expression.
    pub(super) fn of_text(name: String, source: &str, names: Names<'_>) -> Self {
        if let Some(expression) = single_expression(source) {
            return Self::of_expression(name, expression, names);
        }
        if let Some(why) = language::too_complex(source) {
            return Self::broken(
                name,
                source,
                Fault::new("template_limit", format!("The template is too complex: {why}.")),
            );
        }
        match machinery::parse(source, "template", SyntaxConfig::default()) {
            Ok(stmt) => Self::made(name, source, Analysis::of_stmt(&stmt, names), false),
            Err(error) => Self::broken(name, source, Fault::of(&error, source)),
        }
    }

    /// An expression without its braces.
    pub(super) fn of_expression(name: String, source: &str, names: Names<'_>) -> Self {
        if let Some(why) = language::too_complex(&format!("{{{{ {source} }}}}")) {
            return Self::broken(
                name,
                source,
                Fault::new("template_limit", format!("The template is too complex: {why}.")),
            );
        }
        match machinery::parse_expr(source) {
            Ok(expr) => Self::made(name, source, Analysis::of_expr(&expr, names), true),
            Err(error) => Self::broken(name, source, Fault::of(&error, source)),
        }
    }

    fn made(name: String, source: &str, analysis: Analysis, native: bool) -> Self {
        let rewritten = analysis.rewrite(source);
        let compiled = if native { native_source(&rewritten) } else { rewritten };
        let Analysis { reads, weight, .. } = analysis;
        Self { name, source: source.to_owned(), compiled, native, weight, reads, broken: None }
    }

    fn broken(name: String, source: &str, fault: Fault) -> Self {
        Self {
            name,
            source: source.to_owned(),
            compiled: String::new(),
            native: false,
            weight: Weight::Cheap,
            reads: Reads::default(),
            broken: Some(fault),
        }
    }

    fn call(&mut self, callables: &Callables) {
        if self.broken.is_some() || !callables.called(&self.name, &self.reads.roots) {
            return;
        }
        let preamble = callables.preamble(&self.name, &self.reads.roots);
        self.reads.files.extend(preamble.files);
        self.compiled.insert_str(0, &preamble.text);
        self.weight = Weight::Costly;
    }

    pub(super) fn add_to(&mut self, environment: &mut Environment<'static>) {
        if self.broken.is_none()
            && let Err(error) = environment.add_template_owned(self.name.clone(), self.compiled.clone())
        {
            self.broken = Some(Fault::of(&error, &self.source));
        }
    }

    fn hold_secrets(&mut self, files: &[ast::Stmt<'_>], carriers: &BTreeSet<String>) {
        if self.broken.is_some() {
            return;
        }
        let includes = self.reads.all_files || !self.reads.files.is_empty();
        let files = if includes { files } else { &[] };
        let refused = if self.native {
            machinery::parse_expr(&self.source)
                .ok()
                .and_then(|expression| secrets::refusal(&files.iter().collect::<Vec<_>>(), Some(&expression), carriers))
        } else {
            machinery::parse(&self.source, "template", SyntaxConfig::default()).ok().and_then(|template| {
                let templates: Vec<&ast::Stmt<'_>> = files.iter().chain([&template]).collect();
                secrets::refusal(&templates, None, carriers)
            })
        };
        self.broken = refused;
    }

    pub(super) fn render(&self, environment: &Environment<'_>, scope: &Scope) -> Result<Json, Fault> {
        match &self.broken {
            Some(fault) => Err(fault.clone()),
            None => render(environment, &self.name, self.native, &self.source, scope),
        }
    }
}

/// The inside of a string that is exactly one `{{ expression }}`, blanks around it aside.
fn single_expression(source: &str) -> Option<&str> {
    let trimmed = source.trim();
    let inside = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    if language::too_complex(trimmed).is_some() {
        return None;
    }
    let stmt = machinery::parse(trimmed, "template", SyntaxConfig::default()).ok()?;
    let ast::Stmt::Template(template) = &stmt else { return None };
    let [ast::Stmt::EmitExpr(_)] = template.children.as_slice() else { return None };
    let inside = inside.strip_prefix(['-', '+']).unwrap_or(inside);
    Some(inside.strip_suffix(['-', '+']).unwrap_or(inside))
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    Literal(Json),
    Template(Box<Template>),
    List(Vec<Shape>),
    Map(Vec<(String, Shape)>),
    /// Cases whose conditions are asked in order. See [`super::cases`].
    Cases(Vec<Shape>),
    /// What stands beside cases for when none of them holds.
    Otherwise(Box<Shape>),
}

impl Shape {
    /// `name` makes the names of its templates; strings without a brace stay as they are.
    pub(super) fn new(value: &Json, name: &str, names: Names<'_>) -> Self {
        match value {
            Json::String(text) if text.contains("{{") || text.contains("{%") || text.contains("{#") => {
                Self::Template(Box::new(Template::of_text(name.to_owned(), text, names)))
            }
            Json::Array(items) => {
                let shapes: Vec<Self> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Self::new(item, &format!("{name}/{index}"), names))
                    .collect();
                if shapes.iter().all(Self::is_literal) { Self::Literal(value.clone()) } else { Self::List(shapes) }
            }
            Json::Object(map) => {
                let shapes: Vec<(String, Self)> = map
                    .iter()
                    .map(|(key, item)| (key.clone(), Self::new(item, &format!("{name}/{key}"), names)))
                    .collect();
                if shapes.iter().all(|(_, shape)| shape.is_literal()) {
                    Self::Literal(value.clone())
                } else {
                    Self::Map(shapes)
                }
            }
            other => Self::Literal(other.clone()),
        }
    }

    pub(super) fn is_literal(&self) -> bool {
        matches!(self, Self::Literal(_))
    }

    pub(super) fn each(&self, visit: &mut dyn FnMut(&Template)) {
        match self {
            Self::Literal(_) => {}
            Self::Template(template) => visit(template),
            Self::List(items) | Self::Cases(items) => items.iter().for_each(|item| item.each(visit)),
            Self::Otherwise(item) => item.each(visit),
            Self::Map(items) => items.iter().for_each(|(_, item)| item.each(visit)),
        }
    }

    /// Prepares every template that calls names of the author.
    pub(super) fn call(&mut self, callables: &Callables) {
        match self {
            Self::Literal(_) => {}
            Self::Template(template) => template.call(callables),
            Self::List(items) | Self::Cases(items) => items.iter_mut().for_each(|item| item.call(callables)),
            Self::Otherwise(item) => item.call(callables),
            Self::Map(items) => items.iter_mut().for_each(|(_, item)| item.call(callables)),
        }
    }

    pub(super) fn add_to(&mut self, environment: &mut Environment<'static>) {
        match self {
            Self::Literal(_) => {}
            Self::Template(template) => template.add_to(environment),
            Self::List(items) | Self::Cases(items) => items.iter_mut().for_each(|item| item.add_to(environment)),
            Self::Otherwise(item) => item.add_to(environment),
            Self::Map(items) => items.iter_mut().for_each(|(_, item)| item.add_to(environment)),
        }
    }

    /// Refuses the templates that would compute something from a secret's marker. `files` are those that may be taken in.
    pub(super) fn hold_secrets(&mut self, files: &[ast::Stmt<'_>], carriers: &BTreeSet<String>) {
        match self {
            Self::Literal(_) => {}
            Self::Template(template) => template.hold_secrets(files, carriers),
            Self::List(items) | Self::Cases(items) => {
                items.iter_mut().for_each(|item| item.hold_secrets(files, carriers));
            }
            Self::Otherwise(item) => item.hold_secrets(files, carriers),
            Self::Map(items) => items.iter_mut().for_each(|(_, item)| item.hold_secrets(files, carriers)),
        }
    }

    #[must_use]
    pub fn weight(&self) -> Weight {
        let mut weight = Weight::Cheap;
        self.each(&mut |template| weight = weight.max(template.weight));
        weight
    }

    #[must_use]
    pub fn reads(&self) -> Reads {
        let mut reads = Reads::default();
        self.each(&mut |template| reads.merge(&template.reads));
        reads
    }

    /// Renders here and now.
    pub(super) fn render(&self, environment: &Environment<'_>, scope: &Scope) -> Result<Json, Fault> {
        match self {
            Self::Literal(value) => Ok(value.clone()),
            Self::Template(template) => template.render(environment, scope),
            Self::List(items) => {
                let render = |(index, item): (usize, &Self)| {
                    item.render(environment, scope).map_err(|fault| fault.within(&index.to_string()))
                };
                Ok(Json::Array(items.iter().enumerate().map(render).collect::<Result<_, _>>()?))
            }
            Self::Cases(items) => cases::render(items, environment, scope),
            Self::Otherwise(item) => item.render(environment, scope),
            Self::Map(items) => {
                let mut map = Map::new();
                let is_last = |item: &Self| matches!(item, Self::Otherwise(_));
                for (key, item) in items.iter().filter(|(_, item)| !is_last(item)) {
                    let value = item.render(environment, scope).map_err(|fault| fault.within(key))?;
                    map.insert(key.clone(), value);
                }
                for (key, item) in items.iter().filter(|(_, item)| is_last(item)) {
                    if map.values().any(cases::has_chosen) {
                        break;
                    }
                    let value = item.render(environment, scope).map_err(|fault| fault.within(key))?;
                    map.insert(key.clone(), value);
                }
                Ok(Json::Object(map))
            }
        }
    }
}
