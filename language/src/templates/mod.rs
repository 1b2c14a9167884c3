//! Reads templates without running them: which steps, inputs and names they use, and where.
//!
//! Invariant: nothing here evaluates; a template that is too deep is refused before MiniJinja builds its tree, because
//! building, walking and dropping that tree is recursive.

mod budget;
mod found;
mod walk;

use minijinja::machinery;
use minijinja::machinery::ast::{Expr, Stmt};
use minijinja::syntax::SyntaxConfig;

pub(crate) use found::{Call, Comparison, File, Found, Operation, Read, Word, WordKind};

/// Why a template cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    /// 1-based line in the text.
    pub(crate) line: usize,
    pub(crate) too_complex: bool,
}

/// Whether the text is more than text.
#[must_use]
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// Why a file must not be parsed as a template at all.
pub(crate) fn too_complex(text: &str) -> Option<Fault> {
    budget::check(text, false).err()
}

/// Everything a template uses.
pub(crate) fn scan(text: &str) -> Result<Found, Fault> {
    budget::check(text, false)?;
    let tree = machinery::parse(text, "template", SyntaxConfig::default()).map_err(|error| fault(&error))?;
    Ok(walk::statement(&tree))
}

/// A macro that a template defines on its top level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MacroShape {
    pub(crate) name: String,
    pub(crate) parameters: Vec<String>,
}

/// The macros that a template defines.
pub(crate) fn macros(text: &str) -> Result<Vec<MacroShape>, Fault> {
    budget::check(text, false)?;
    let tree = machinery::parse(text, "template", SyntaxConfig::default()).map_err(|error| fault(&error))?;
    let Stmt::Template(template) = &tree else { return Ok(Vec::new()) };
    let macros = template.children.iter().filter_map(|child| match child {
        Stmt::Macro(found) => Some(MacroShape {
            name: found.name.to_owned(),
            parameters: found
                .args
                .iter()
                .filter_map(|argument| match argument {
                    Expr::Var(var) => Some(var.id.to_owned()),
                    _ => None,
                })
                .collect(),
        }),
        _ => None,
    });
    Ok(macros.collect())
}

/// Everything a bare expression uses.
pub(crate) fn scan_expression(text: &str) -> Result<Found, Fault> {
    budget::check(text, true)?;
    let tree = machinery::parse_expr(text).map_err(|error| fault(&error))?;
    Ok(walk::expression(&tree))
}

/// The expression of a text that is exactly one `{{ expression }}`, and the byte where it starts.
pub(crate) fn only_expression(text: &str) -> Option<(usize, &str)> {
    let trimmed = text.trim();
    let inner = trimmed.strip_prefix("{{")?.strip_suffix("}}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    // `{{ a }} and {{ b }}` also starts and ends with braces.
    if inner.contains("}}") && scan_expression(inner).is_err() {
        return None;
    }
    Some((inner.as_ptr() as usize - text.as_ptr() as usize, inner))
}

fn fault(error: &minijinja::Error) -> Fault {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let too_complex = message.contains("recursion limits");
    Fault { message, line: error.line().unwrap_or(1).max(1), too_complex }
}
