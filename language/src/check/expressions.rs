//! Expressions that are one value: conditions, `until`, and the lists of `for_each`.
//!
//! Invariant: what comes back has no braces (a condition) or exactly one pair around it (a list).

use super::scope::{Scope, StepRead, Templates};
use crate::codes;
use crate::node::{Kind, Node};
use crate::plan::Expression;
use crate::source::{Anchor, Span};
use crate::templates;

/// What a text is that must be one expression.
struct Bare<'t> {
    anchor: Anchor<'t>,
    offset: usize,
    text: &'t str,
}

/// A boolean expression with what it reads.
pub(super) fn condition(
    templates: &mut Templates<'_, '_>,
    written: &Node,
    what: &str,
    scope: &Scope,
) -> Option<(Expression, Vec<StepRead>)> {
    let line = written.span.start.line;
    let text = match &written.kind {
        Kind::Bool(value) => return Some((Expression { source: value.to_string(), line }, Vec::new())),
        _ => written.as_str()?,
    };
    let bare = bare(templates, (text, written.span), what)?;
    let (reads, never_boolean) = templates.expression(bare.anchor, (bare.offset, bare.text), scope).ok()?;
    if never_boolean {
        let message = "this is never true or false";
        let hint = "A condition must be a boolean: compare something, or write `true` or `false`.";
        templates.report.hint(written.span, codes::NOT_AN_EXPRESSION, (message, hint));
        return None;
    }
    let line = bare.anchor.span(bare.offset, bare.offset).start.line;
    Some((Expression { source: bare.text.trim().to_owned(), line }, reads))
}

/// The list of a `for_each` as the plan holds it, with what it reads.
pub(super) fn list(
    templates: &mut Templates<'_, '_>,
    written: &Node,
    scope: &Scope,
) -> Option<(serde_json::Value, Vec<StepRead>)> {
    let Some(text) = written.as_str() else {
        return Some((written.to_json(), super::steps::node(templates, written, scope)));
    };
    let bare = bare(templates, (text, written.span), "`for_each`")?;
    let (reads, _) = templates.expression(bare.anchor, (bare.offset, bare.text), scope).ok()?;
    Some((serde_json::Value::String(format!("{{{{ {} }}}}", bare.text.trim())), reads))
}

fn bare<'t, 'a: 't>(templates: &mut Templates<'a, '_>, (text, span): (&'t str, Span), what: &str) -> Option<Bare<'t>> {
    let anchor = Anchor { source: templates.subject.sources.get(span.file), text, scalar: Some(span) };
    let (offset, inner) = match templates::only_expression(text) {
        Some(found) => found,
        None if templates::is_template(text) => {
            let message = format!("{what} is one expression, not a text with templates in it");
            let hint = "Put all of it into one pair of braces, or leave the braces out.";
            templates.report.hint(span, codes::NOT_AN_EXPRESSION, (message, hint));
            return None;
        }
        None => (0, text),
    };
    if inner.trim().is_empty() {
        templates.report.add(span, codes::NOT_AN_EXPRESSION, format!("{what} is empty"));
        return None;
    }
    Some(Bare { anchor, offset, text: inner })
}
