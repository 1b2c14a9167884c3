//! What a flow's file names of its tenant: secrets, connections and pools.
//!
//! Invariant: warnings only, for names that are written out; what is named may be made before the next run.

use crate::codes;
use crate::node::Node;
use crate::problem::Problem;
use crate::source::{Anchor, Span};
use crate::suggest;
use crate::templates;
use crate::{FLOW_FILE, Folder};

use super::fit::collect;
use super::places::Places;

/// What there is of each; `None` where the one who asks may not know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenancy {
    pub secrets: Option<Vec<String>>,
    pub connections: Option<Vec<String>>,
    pub pools: Option<Vec<String>>,
}

/// Names in a flow's own file that its tenant does not have.
#[must_use]
pub fn check_references(folder: &Folder, tenancy: &Tenancy) -> Vec<Problem> {
    let places = Places::of(folder);
    let mut problems = Vec::new();
    let Some(root) = places.root() else { return problems };
    if let Some(known) = &tenancy.secrets {
        let mut texts = Vec::new();
        collect(Some(root), false, &mut texts);
        for (node, text, _) in texts.into_iter().filter(|(_, text, _)| templates::is_template(text)) {
            let anchor = Anchor { source: places.source(), text, scalar: Some(node.span) };
            let found = templates::scan(text).unwrap_or_default();
            for read in found.reads.into_iter().filter(|read| read.root == "secrets" && !read.guarded) {
                let Some(name) = read.path.first().filter(|name| !known.contains(name)) else { continue };
                problems.push(unknown("secret", name, known, anchor.span(read.range.start, read.range.end)));
            }
        }
    }
    if let Some(model) = root.get("defaults").and_then(|defaults| defaults.get("model")) {
        model_of(model, tenancy, &mut problems);
    }
    named(root, tenancy, &mut problems);
    problems
}

/// Every mapping that does something: a step, a fallback, what undoes a step.
fn named(node: &Node, tenancy: &Tenancy, problems: &mut Vec<Problem>) {
    if node.get("executor").is_some() {
        let config = node.get("config");
        if let Some(model) = config.and_then(|config| config.get("model")) {
            model_of(model, tenancy, problems);
        }
        if let (Some(known), Some(found)) = (&tenancy.connections, config.and_then(|config| config.get("connection"))) {
            written(found, "connection", known, problems);
        }
        let pool = node.get("resources").and_then(|resources| resources.get("pool"));
        if let (Some(known), Some(found)) = (&tenancy.pools, pool) {
            written(found, "pool", known, problems);
        }
    }
    for below in node.items().iter().chain(node.entries().iter().map(|entry| &entry.value)) {
        named(below, tenancy, problems);
    }
}

fn written(node: &Node, what: &str, known: &[String], problems: &mut Vec<Problem>) {
    let Some(name) = node.as_str().filter(|name| !templates::is_template(name)) else { return };
    if !known.iter().any(|known| known == name) {
        problems.push(unknown(what, name, known, node.span));
    }
}

fn model_of(node: &Node, tenancy: &Tenancy, problems: &mut Vec<Problem>) {
    let (Some(known), Some(model)) = (&tenancy.connections, node.as_str()) else { return };
    let connection = model.split_once('/').map(|(connection, _)| connection);
    if let Some(name) =
        connection.filter(|name| !templates::is_template(model) && !known.iter().any(|known| known == name))
    {
        problems.push(unknown("connection", name, known, node.span));
    }
}

fn unknown(what: &str, name: &str, known: &[String], span: Span) -> Problem {
    let hint = suggest::did_you_mean(name, known.iter().map(String::as_str));
    Problem {
        code: codes::UNKNOWN_REFERENCE.code.to_owned(),
        severity: codes::UNKNOWN_REFERENCE.severity,
        message: format!("there is no {what} `{}` yet", crate::reader::shorten(name)),
        hint: Some(hint).filter(|hint| !hint.is_empty()),
        file: FLOW_FILE.to_owned(),
        line: span.start.line,
        column: span.start.column,
        end_line: span.end.line,
        end_column: span.end.column,
    }
}
