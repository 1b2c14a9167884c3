//! Macros and prompt files that load each other in a circle: whoever uses one of them fails, whatever the data are.
//!
//! Invariant: only what is loaded in any case counts. A macro may call itself, and a file may include itself under a
//! condition: whether that ends, only the run can tell.

use std::collections::{BTreeMap, BTreeSet};

use super::scope::Templates;
use crate::codes;
use crate::flow::Macro;
use crate::source::Span;
use crate::templates::{self, Found};

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `name` or `library.name`.
    Macro(String),
    /// All macros of a library: calling one under the library's name loads them all.
    Library(String),
    File(String),
}

impl Part {
    fn shown(&self) -> String {
        match self {
            Self::Macro(name) => format!("the macro `{name}`"),
            Self::Library(name) => format!("the library `{name}`"),
            Self::File(name) => format!("the file `{}`", crate::reader::shorten(name)),
        }
    }
}

struct Loads {
    span: Span,
    parts: BTreeSet<Part>,
}

/// Checks the macros, and the files that templates use.
pub(super) fn check(templates: &mut Templates<'_, '_>) {
    let mut loads = loads(templates);
    while let Some(circle) = take_circle(&mut loads) {
        let Some(((first, span), rest)) = circle.split_first() else { break };
        let way: Vec<String> = rest.iter().map(|(part, _)| part.shown()).chain([first.shown()]).collect();
        let message = format!("{} loads {}: a circle without an end", first.shown(), way.join(", which loads "));
        let hint = match first {
            Part::File(_) => "Move what both need into a file of its own.",
            _ => "A macro may call itself: write those that call each other as one, with a parameter that says which.",
        };
        templates.report.hint(*span, codes::LOAD_CYCLE, (message, hint));
    }
}

fn loads(templates: &Templates<'_, '_>) -> BTreeMap<Part, Loads> {
    let subject = templates.subject;
    let mut loads = BTreeMap::new();
    let mut add = |home: Option<&str>, found: &Macro| {
        let name = home.map_or_else(|| found.name.value.clone(), |home| format!("{home}.{}", found.name.value));
        // What cannot be read is reported where it is.
        let Ok(scanned) = templates::scan(&found.source.value) else { return };
        let parts = parts(templates, home, Some(&name), &scanned);
        loads.insert(Part::Macro(name), Loads { span: found.source.span, parts });
    };
    for found in &subject.flow.macros {
        add(None, found);
    }
    for library in subject.libraries {
        for found in &library.macros {
            add(Some(&library.name), found);
        }
    }
    for library in subject.libraries {
        let parts = library.macros.iter().map(|found| Part::Macro(format!("{}.{}", library.name, found.name.value)));
        let span = library.macros.first().map(|found| found.name.span).unwrap_or_default();
        loads.insert(Part::Library(library.name.clone()), Loads { span, parts: parts.collect() });
    }
    for (name, parsed) in &templates.parsed {
        let (Ok(found), Some(file)) = (parsed.as_ref(), subject.files.get(name)) else { continue };
        let span = subject.sources.get(file.file).span(0, 0);
        let parts = parts(templates, file.home.as_deref(), None, found);
        loads.insert(Part::File(name.clone()), Loads { span, parts });
    }
    loads
}

/// What is loaded before a text is rendered, or by it in any case. `own` is the macro that it defines.
fn parts(templates: &Templates<'_, '_>, home: Option<&str>, own: Option<&str>, found: &Found) -> BTreeSet<Part> {
    let is_macro = |name: &str| {
        let (library, short) = name.split_once('.').map_or((None, name), |(library, short)| (Some(library), short));
        let macros = match library {
            None => Some(&templates.subject.flow.macros),
            Some(library) => {
                templates.subject.libraries.iter().find(|known| known.name == library).map(|known| &known.macros)
            }
        };
        macros.is_some_and(|macros| macros.iter().any(|found| found.name.value == short))
    };
    let called = found.calls.iter().map(|call| call.library.as_ref().unwrap_or(&call.name));
    let roots: BTreeSet<&str> = called.chain(found.reads.iter().map(|read| &read.root)).map(String::as_str).collect();
    let mut parts = BTreeSet::new();
    for root in roots {
        let at_home = home.map(|home| format!("{home}.{root}")).filter(|name| is_macro(name));
        match at_home {
            Some(name) if own == Some(name.as_str()) => {}
            // A library's file calls the library's macros under its name.
            Some(_) if own.is_none() => parts.extend(home.map(|home| Part::Library(home.to_owned()))),
            Some(name) => {
                parts.insert(Part::Macro(name));
            }
            None if own == Some(root) => {}
            None if is_macro(root) => {
                parts.insert(Part::Macro(root.to_owned()));
            }
            None if templates.is_library(root) => {
                parts.insert(Part::Library(root.to_owned()));
            }
            None => {}
        }
    }
    for file in found.files.iter().filter(|file| file.always) {
        let Some(name) = &file.name else { continue };
        let at_home = home.map(|home| format!("{home}/{name}"));
        let name = at_home.filter(|name| templates.subject.files.contains_key(name)).unwrap_or_else(|| name.clone());
        parts.insert(Part::File(name));
    }
    parts
}

/// Takes what lies on a circle out of the graph, in order, with the places. What leads nowhere is dropped.
fn take_circle(loads: &mut BTreeMap<Part, Loads>) -> Option<Vec<(Part, Span)>> {
    loop {
        let ends: Vec<Part> = loads
            .iter()
            .filter(|(_, load)| !load.parts.iter().any(|part| loads.contains_key(part)))
            .map(|(part, _)| part.clone())
            .collect();
        if ends.is_empty() {
            break;
        }
        for end in ends {
            loads.remove(&end);
        }
    }
    // Everything that is left leads to something that is left.
    let mut way: Vec<Part> = vec![loads.keys().next()?.clone()];
    loop {
        let next = loads.get(way.last()?)?.parts.iter().find(|part| loads.contains_key(*part))?.clone();
        if let Some(start) = way.iter().position(|part| *part == next) {
            let circle = way.split_off(start);
            return Some(
                circle.into_iter().filter_map(|part| loads.remove(&part).map(|load| (part, load.span))).collect(),
            );
        }
        way.push(next);
    }
}
