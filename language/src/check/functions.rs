//! Functions and macros: whether they are what they say, and what they take.
//!
//! Invariant: Python is read only as far as a `def` line and plain statements go; what is not understood is not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::Subject;
use super::scope::{Closed, Scope, Spot, Templates};
use crate::codes;
use crate::compose::Library;
use crate::flow::{Function, Macro};
use crate::report::Report;
use crate::source::Anchor;
use crate::suggest;
use crate::templates;

/// What a function or macro takes; `None`: not known.
pub(super) type Callables = BTreeMap<String, Option<Signature>>;

/// The parameters of a function or macro.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Signature {
    /// Parameters that can be given by position.
    names: Vec<String>,
    /// How many of them must be given.
    required: usize,
    keyword_only: Vec<String>,
    takes_more: bool,
    takes_any_keyword: bool,
}

/// Checks all functions and macros, the flow's own and those of its libraries.
pub(super) fn check(subject: Subject<'_>, report: &mut Report) -> Callables {
    let mut callables = Callables::new();
    let mut add = |prefix: &str, functions: &[Function], macros: &[Macro], report: &mut Report| {
        for function in functions {
            callables.insert(format!("{prefix}{}", function.name.value), python(subject, function, report));
        }
        for found in macros {
            let name = format!("{prefix}{}", found.name.value);
            if callables.contains_key(&name) {
                let message = format!("`{name}` is a function and a macro");
                report.add(found.name.span, codes::DUPLICATE_NAME, message);
            }
            callables.insert(name, jinja(found, report));
        }
    };
    for library in subject.libraries {
        add(&format!("{}.", library.name), &library.functions, &library.macros, report);
    }
    add("", &subject.flow.functions, &subject.flow.macros, report);
    callables
}

/// Names that the insides of macros use.
pub(super) fn macro_bodies(templates: &mut Templates<'_, '_>) {
    let subject = templates.subject;
    let scope = Scope { closed: Some(Closed::Macro), ..Scope::default() };
    let read = |templates: &mut Templates<'_, '_>, found: &Macro| {
        let span = found.source.span;
        let anchor = Anchor { source: subject.sources.get(span.file), text: &found.source.value, scalar: Some(span) };
        templates.text(anchor, &scope);
    };
    for found in &subject.flow.macros {
        read(templates, found);
    }
    for library in subject.libraries {
        templates.home = Some(library.name.clone());
        for found in &library.macros {
            read(templates, found);
        }
    }
    templates.home = None;
}

fn jinja(found: &Macro, report: &mut Report) -> Option<Signature> {
    let name = &found.name.value;
    let span = found.source.span;
    // What cannot be read is reported when its inside is.
    let macros = templates::macros(&found.source.value).ok()?;
    let Some(shape) = macros.iter().find(|shape| shape.name == *name) else {
        let message = format!("the macro `{name}` is not defined by its text");
        let hint = match macros.first() {
            Some(other) => format!("It defines `{}`; call both the same.", other.name),
            None => format!("Write `{{% macro {name}(...) %}}...{{% endmacro %}}`."),
        };
        report.hint(span, codes::FUNCTION_SHAPE, (message, hint));
        return None;
    };
    Some(Signature { names: shape.parameters.clone(), ..Signature::default() })
}

fn python(subject: Subject<'_>, function: &Function, report: &mut Report) -> Option<Signature> {
    let name = &function.name.value;
    let text = function.implementation.value.as_str();
    let span = function.implementation.span;
    let Some(definition) = definition(text, name) else {
        let message = format!("the function `{name}` has no line `def {name}(...):`");
        let other = text.lines().find_map(|line| line.strip_prefix("def ")?.split('(').next());
        let hint = match other {
            Some(other) => format!("It defines `{}`; call both the same.", crate::reader::shorten(other.trim())),
            None => format!("Write `def {name}(...):` at the beginning of a line."),
        };
        report.hint(span, codes::FUNCTION_SHAPE, (message, hint));
        return None;
    };
    let anchor = Anchor { source: subject.sources.get(span.file), text, scalar: Some(span) };
    if let Some(what) = unfinished(&definition) {
        let at = anchor.span(definition.start, definition.start + definition.head.trim_end().len());
        let hint = "It will fail until its body is written.";
        report.hint(at, codes::FUNCTION_BODY, (format!("the function `{name}` {what}"), hint));
    }
    definition.signature
}

/// A `def` with its parameters and its body.
struct Definition<'t> {
    start: usize,
    head: &'t str,
    signature: Option<Signature>,
    body: &'t str,
}

fn definition<'t>(text: &'t str, name: &str) -> Option<Definition<'t>> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let after = line.strip_prefix("def ").or_else(|| line.strip_prefix("async def "));
        let found = after.map(str::trim_start).and_then(|rest| rest.strip_prefix(name));
        if let Some(rest) = found.filter(|rest| rest.trim_start().starts_with('(')) {
            let open = start + (line.len() - rest.len()) + rest.find('(').unwrap_or_default();
            let close = closing(text, open);
            let end = close.and_then(|close| text[close..].find(':').map(|colon| close + colon + 1));
            return Some(Definition {
                start,
                head: line,
                signature: close.and_then(|close| signature(&text[open + 1..close])),
                body: end.map_or("", |end| &text[end..]),
            });
        }
        start += line.len();
    }
    None
}

/// Where the bracket at `open` closes, strings and comments passed over.
fn closing(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    for (index, c) in text[open..].char_indices() {
        match (quote, c) {
            (Some(mark), c) if mark == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(open + index);
                }
            }
            // A comment among the parameters: too much for this reader.
            (None, '#') => return None,
            _ => {}
        }
    }
    None
}

fn signature(parameters: &str) -> Option<Signature> {
    let mut signature = Signature::default();
    let mut keyword_only = false;
    for part in split(parameters) {
        let part = part.trim();
        let has_default = part.contains('=');
        let name = part.split([':', '=']).next().unwrap_or_default().trim();
        match part {
            "" | "/" => {}
            "*" => keyword_only = true,
            _ if name.starts_with("**") => signature.takes_any_keyword = true,
            _ if name.starts_with('*') => {
                signature.takes_more = true;
                keyword_only = true;
            }
            _ if !name.chars().all(|c| c.is_alphanumeric() || c == '_') => return None,
            _ if keyword_only => signature.keyword_only.push(name.to_owned()),
            _ => {
                signature.names.push(name.to_owned());
                if !has_default {
                    signature.required = signature.names.len();
                }
            }
        }
    }
    Some(signature)
}

/// Splits at commas outside brackets and strings.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut quote, mut start) = (0_usize, None, 0);
    for (index, c) in text.char_indices() {
        match (quote, c) {
            (Some(mark), c) if mark == c => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// What is missing of a function that nobody has written yet.
fn unfinished(definition: &Definition<'_>) -> Option<String> {
    let lines: Vec<&str> = definition
        .body
        .lines()
        .take_while(|line| line.is_empty() || line.starts_with(char::is_whitespace))
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let does_something = lines.iter().any(|line| !matches!(*line, "pass" | "..."));
    if !does_something {
        return Some("has no body".to_owned());
    }
    let [only] = lines.as_slice() else { return None };
    let name = only.strip_prefix("return ")?.trim();
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_numeric());
    let signature = definition.signature.as_ref()?;
    let known: BTreeSet<&str> = signature.names.iter().chain(&signature.keyword_only).map(String::as_str).collect();
    let is_constant = matches!(name, "None" | "True" | "False" | "args" | "kwargs");
    (is_name && !is_constant && !known.contains(name) && !signature.takes_more)
        .then(|| format!("returns `{name}`, which nothing in it sets"))
}

impl Templates<'_, '_> {
    /// The names by which templates call functions and macros.
    pub(super) fn callables(&self) -> Vec<String> {
        let home = self.home.as_ref().map(|home| format!("{home}."));
        let own = self.callables.keys();
        own.map(|name| home.as_ref().and_then(|home| name.strip_prefix(home.as_str())).unwrap_or(name).to_owned())
            .collect()
    }

    pub(super) fn is_callable(&self, name: &str) -> bool {
        self.signature(name).is_some()
    }

    pub(super) fn is_library(&self, name: &str) -> bool {
        self.subject.libraries.iter().any(|library| library.name == name)
    }

    fn signature(&self, name: &str) -> Option<&Option<Signature>> {
        let at_home = self.home.as_ref().and_then(|home| self.callables.get(&format!("{home}.{name}")));
        at_home.or_else(|| self.callables.get(name))
    }

    /// Whether a function of the flow takes what it is given.
    pub(super) fn call(&mut self, spot: Spot<'_>, call: &templates::Call) {
        let name = match &call.library {
            None => call.name.clone(),
            Some(library) if self.is_library(library) => format!("{library}.{}", call.name),
            Some(_) => return,
        };
        let signature = match (self.signature(&name), &call.library) {
            (Some(Some(signature)), _) => signature.clone(),
            (Some(None), _) | (None, None) => return,
            (None, Some(library)) => {
                let known: Vec<&str> = self
                    .subject
                    .libraries
                    .iter()
                    .filter(|found| found.name == *library)
                    .flat_map(Library::callables)
                    .collect();
                let message = format!("`{library}` has no function `{}`", crate::reader::shorten(&call.name));
                let hint = suggest::did_you_mean(&call.name, known);
                self.hint(spot, codes::UNKNOWN_FUNCTION, (message, hint));
                return;
            }
        };
        if let Some(fault) = misfit(&name, &signature, call) {
            let hint = format!("It takes {}.", signature.shown());
            self.hint(spot, codes::ARGUMENTS, (fault, hint));
        }
    }
}

fn misfit(name: &str, signature: &Signature, call: &templates::Call) -> Option<String> {
    if call.is_spread {
        return None;
    }
    if call.positional > signature.names.len() && !signature.takes_more {
        return Some(format!("`{name}` is called with {} arguments", call.positional));
    }
    let known = |keyword: &&String| signature.names.contains(keyword) || signature.keyword_only.contains(keyword);
    if let Some(unknown) = call.keywords.iter().find(|keyword| !known(keyword) && !signature.takes_any_keyword) {
        return Some(format!("`{name}` has no parameter `{}`", crate::reader::shorten(unknown)));
    }
    let given = signature.names.iter().take(call.positional);
    if let Some(twice) = given.into_iter().find(|given| call.keywords.contains(given)) {
        return Some(format!("`{name}` is given `{twice}` twice"));
    }
    let needed = signature.names.iter().take(signature.required).skip(call.positional);
    let missing = needed.into_iter().find(|needed| !call.keywords.contains(needed));
    missing.map(|missing| format!("`{name}` is called without `{missing}`"))
}

impl Signature {
    fn shown(&self) -> String {
        let optional = |(index, name): (usize, &String)| {
            if index < self.required { format!("`{name}`") } else { format!("`{name}` (may be left out)") }
        };
        let names: Vec<String> = self.names.iter().enumerate().map(optional).collect();
        let keywords = self.keyword_only.iter().map(|name| format!("`{name}` (by name)"));
        let all: Vec<String> = names.into_iter().chain(keywords).collect();
        if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
    }
}
