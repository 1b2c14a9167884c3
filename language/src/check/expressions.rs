//! Expressions that are one value: conditions, `until`, and the lists of `for_each`.
//!
//! Invariant: what comes back has no braces (a condition) or exactly one pair around it (a list).

use super::scope::{Scope, StepRead, Templates};
use crate::codes;
use crate::flow::Step;
use crate::node::{Kind, Node};
use crate::plan::{Expression, OnItemError};
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
    if !templates.gives((written, bare.text), (what, "boolean"), scope) {
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
    templates.gives((written, bare.text), ("`for_each`", "array"), scope);
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

/// The list of what undoes a step with items: `{value, output}` of each item that succeeded. The step's own list was read
/// where it was written.
pub(super) fn undone(
    templates: &mut Templates<'_, '_>,
    written: &Node,
    step: &Step,
) -> Option<(serde_json::Value, Vec<StepRead>)> {
    let Some(list) = as_expression(written) else {
        let message = "the items of this list cannot be undone one by one";
        let hint = "Write the list as one expression, or its items without text around their templates.";
        templates.report.hint(written.span, codes::UNFIT, (message, hint));
        return None;
    };
    let record = format!("steps.{}.output", step.name.value);
    let (pairs, picked) = match step.on_item_error.unwrap_or_default() {
        OnItemError::Fail => (format!("({list}) | zip({record})"), "[*].{value: [0], output: [1]}"),
        OnItemError::Collect => {
            (format!("({list}) | zip({record}.results)"), "[?[1] != `null`].{value: [0], output: [1]}")
        }
        OnItemError::Drop => {
            let kept = format!("({list}) | zip(range(({list}) | length)) | selectattr('1', 'in', {record}.indexes)");
            (format!("{kept} | zip({record}.results)"), "[*].{value: [0][0], output: [1]}")
        }
    };
    Some((serde_json::Value::String(format!("{{{{ {pairs} | list | jmespath('{picked}') }}}}")), Vec::new()))
}

/// A list as one expression: what is written in one already, or literals and expressions between brackets.
fn as_expression(written: &Node) -> Option<String> {
    match &written.kind {
        Kind::String(text) if templates::is_template(text) => {
            templates::only_expression(text).map(|(_, inner)| inner.trim().to_owned())
        }
        Kind::String(text) => Some(text.trim().to_owned()),
        Kind::List(items) => {
            let items: Option<Vec<String>> = items.iter().map(item_as_expression).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        _ => None,
    }
}

fn item_as_expression(item: &Node) -> Option<String> {
    if let Some(text) = item.as_str().filter(|text| templates::is_template(text)) {
        return templates::only_expression(text).map(|(_, inner)| format!("({})", inner.trim()));
    }
    let mut computed = false;
    item.each_text(&mut |_, text| computed |= templates::is_template(text));
    // JSON in a text: what templates call `none` and `true` is of no concern.
    let json = serde_json::to_string(&item.to_json().to_string()).ok()?;
    (!computed).then(|| format!("({json} | fromjson)"))
}
