//! Lays one flow over another: mappings key by key, steps by their name.
//!
//! Invariant: what the upper flow says wins, and the order of the lower one stays unless `before` or `after` moves a
//! step.

use crate::codes;
use crate::node::{Entry, Kind, Node};
use crate::reader::shorten;
use crate::report::Report;
use crate::source::Span;
use crate::suggest;

/// Lists whose items are steps.
const STEP_LISTS: &[&str] = &["steps", "on_error", "finally"];
/// What a flow says of itself and does not hand down.
const OWN: &[&str] = &["name", "extends", "remove"];

/// The upper flow over the lower one.
pub(super) fn merge(mut lower: Node, upper: Node, report: &mut Report) -> Node {
    if let Kind::Map(entries) = &mut lower.kind {
        entries.retain(|entry| !OWN.contains(&entry.key.as_str()));
    }
    for path in upper.get("remove").map(Node::items).unwrap_or_default() {
        if let Some(text) = path.as_str()
            && !remove(&mut lower, text)
        {
            let known: Vec<&str> = step_names(&lower).collect();
            let message = format!("the extended flow has no `{}` to remove", shorten(text));
            let hint = suggest::did_you_mean(text, known);
            report.hint(path.span, codes::NOTHING_TO_REMOVE, (message, hint));
        }
    }
    let Kind::Map(upper_entries) = upper.kind else { return upper };
    let Kind::Map(mut entries) = lower.kind else { return Node { kind: Kind::Map(upper_entries), span: upper.span } };
    for entry in upper_entries {
        let is_steps = STEP_LISTS.contains(&entry.key.as_str());
        match entries.iter_mut().find(|known| known.key == entry.key) {
            Some(known) if is_steps => known.value = steps(take(&mut known.value), entry.value, report),
            Some(known) if entry.key == "imports" => known.value = union(take(&mut known.value), entry.value),
            Some(known) => {
                known.key_span = entry.key_span;
                known.value = over(take(&mut known.value), entry.value);
            }
            None => entries.push(entry),
        }
    }
    Node { kind: Kind::Map(entries), span: upper.span }
}

fn take(node: &mut Node) -> Node {
    std::mem::replace(node, Node::absent())
}

/// One value over another.
fn over(lower: Node, upper: Node) -> Node {
    match (lower.kind, upper.kind) {
        (Kind::Map(mut entries), Kind::Map(more)) => {
            for entry in more {
                match entries.iter_mut().find(|known| known.key == entry.key) {
                    Some(known) => {
                        known.key_span = entry.key_span;
                        known.value = over(take(&mut known.value), entry.value);
                    }
                    None => entries.push(entry),
                }
            }
            Node { kind: Kind::Map(entries), span: upper.span }
        }
        (_, kind) => Node { kind, span: upper.span },
    }
}

fn union(lower: Node, upper: Node) -> Node {
    match (lower.kind, upper.kind) {
        (Kind::List(mut items), Kind::List(more)) => {
            items.extend(more);
            Node { kind: Kind::List(items), span: upper.span }
        }
        (_, kind) => Node { kind, span: upper.span },
    }
}

fn name_of(step: &Node) -> Option<&str> {
    step.get("name").and_then(Node::as_str)
}

fn step_names(flow: &Node) -> impl Iterator<Item = &str> {
    let lists = STEP_LISTS.iter().filter_map(|list| flow.get(list));
    lists.flat_map(|list| list.items().iter().filter_map(name_of))
}

fn steps(lower: Node, upper: Node, report: &mut Report) -> Node {
    let (Kind::List(mut list), Kind::List(more)) = (lower.kind, upper.kind.clone()) else { return upper };
    for mut step in more {
        let position = position(&mut step);
        let known = name_of(&step).and_then(|name| list.iter().position(|known| name_of(known) == Some(name)));
        let at = match known {
            Some(index) => {
                let known = take(&mut list[index]);
                step = over(known, step);
                list.remove(index);
                index
            }
            None => list.len(),
        };
        let at = position.map_or(at, |position| place(&list, &position, report).unwrap_or(at));
        list.insert(at, step);
    }
    Node { kind: Kind::List(list), span: upper.span }
}

/// Where a step wants to go; the words that say so are taken out.
struct Position {
    neighbour: String,
    is_after: bool,
    span: Span,
}

fn position(step: &mut Node) -> Option<Position> {
    let Kind::Map(entries) = &mut step.kind else { return None };
    let is_position = |entry: &Entry| matches!(entry.key.as_str(), "before" | "after");
    let index = entries.iter().position(is_position)?;
    let found = entries.get(index).and_then(|entry| {
        let neighbour = entry.value.as_str()?.to_owned();
        Some(Position { neighbour, is_after: entry.key == "after", span: entry.value.span })
    })?;
    entries.remove(index);
    Some(found)
}

fn place(list: &[Node], position: &Position, report: &mut Report) -> Option<usize> {
    let found = list.iter().position(|step| name_of(step) == Some(position.neighbour.as_str()));
    if found.is_none() {
        let word = if position.is_after { "after" } else { "before" };
        let message = format!("there is no step `{}` to stand {word}", shorten(&position.neighbour));
        let known: Vec<&str> = list.iter().filter_map(name_of).collect();
        report.hint(
            position.span,
            codes::UNKNOWN_DEPENDENCY,
            (message, suggest::did_you_mean(&position.neighbour, known)),
        );
    }
    found.map(|index| index + usize::from(position.is_after))
}

/// Takes a step by its name, or anything by its path (`inputs.note`, `steps.read.retry`), out of a flow.
fn remove(flow: &mut Node, path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('.').collect();
    if let [name] = parts.as_slice() {
        let name = *name;
        let is_step = step_names(flow).any(|known| known == name);
        if is_step {
            let list = STEP_LISTS.iter().find(|list| {
                let items = flow.get(list).map(Node::items).unwrap_or_default();
                items.iter().any(|step| name_of(step) == Some(name))
            });
            parts = list.map(|list| vec![*list, name]).unwrap_or_default();
        }
    }
    let Some((last, way)) = parts.split_last() else { return false };
    let mut at = flow;
    for part in way {
        let Some(next) = child(at, part) else { return false };
        at = next;
    }
    match &mut at.kind {
        Kind::Map(entries) => {
            let before = entries.len();
            entries.retain(|entry| entry.key != *last);
            entries.len() < before
        }
        Kind::List(items) => {
            let before = items.len();
            items.retain(|item| name_of(item) != Some(*last));
            items.len() < before
        }
        _ => false,
    }
}

fn child<'n>(node: &'n mut Node, name: &str) -> Option<&'n mut Node> {
    match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == name).map(|entry| &mut entry.value),
        Kind::List(items) => items.iter_mut().find(|item| name_of(item) == Some(name)),
        _ => None,
    }
}
