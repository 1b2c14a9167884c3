//! Reads typed values out of nodes and goes on after a mistake.
//!
//! Invariant: every `None` that stands for a mistake has its problem in the report.

use crate::codes::{self, Code};
use crate::duration;
use crate::flow::Located;
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::report::Report;
use crate::source::Span;
use crate::suggest;

/// Where the problems of what is read go.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) report: &'a mut Report,
}

/// A mapping whose keys have been checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'n> {
    pub(crate) node: &'n Node,
}

impl<'n> Fields<'n> {
    pub(crate) fn get(&self, key: &str) -> Option<&'n Entry> {
        self.node.entries().iter().find(|entry| entry.key == key)
    }
}

impl Reader<'_> {
    pub(crate) fn error(&mut self, span: Span, code: Code, message: impl Into<String>) {
        self.report.add(span, code, message);
    }

    pub(crate) fn hint(&mut self, span: Span, code: Code, message: (impl Into<String>, impl Into<String>)) {
        self.report.hint(span, code, message);
    }

    /// A mapping with keys out of `keys`; those in `later` are known but not built yet.
    pub(crate) fn fields<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &[&str],
        later: &[&str],
    ) -> Option<Fields<'n>> {
        let Kind::Map(entries) = &node.kind else {
            self.error(node.span, codes::WRONG_TYPE, format!("{what} must be a mapping, not {}", node.describe()));
            return None;
        };
        for entry in entries {
            let key = entry.key.as_str();
            if later.contains(&key) {
                self.not_yet(entry.key_span, key);
            } else if !keys.contains(&key) {
                let hint = suggest::did_you_mean(key, keys.iter().chain(later).copied());
                self.hint(entry.key_span, codes::UNKNOWN_KEY, (format!("{what} has no key `{key}`"), hint));
            }
        }
        Some(Fields { node })
    }

    pub(crate) fn not_yet(&mut self, span: Span, what: &str) {
        let message = format!("`{what}` is not available yet in this version");
        self.hint(
            span,
            codes::NOT_YET,
            (message, "It is part of the language and comes with a later version; take it out for now."),
        );
    }

    pub(crate) fn wrong(&mut self, key: &str, node: &Node, wanted: &str) {
        let message = if node.is_null() {
            format!("`{key}` has no value; it takes {wanted}")
        } else {
            format!("`{key}` must be {wanted}, not {}", node.describe())
        };
        self.error(node.span, codes::WRONG_TYPE, message);
    }

    pub(crate) fn text(&mut self, entry: &Entry) -> Option<String> {
        match &entry.value.kind {
            Kind::String(text) => Some(text.clone()),
            Kind::Bool(_) | Kind::Number(_) => {
                let message = format!("`{}` must be text, not {}", entry.key, entry.value.describe());
                self.hint(entry.value.span, codes::WRONG_TYPE, (message, "Quote it."));
                None
            }
            _ => {
                self.wrong(&entry.key, &entry.value, "text");
                None
            }
        }
    }

    pub(crate) fn located(&mut self, entry: &Entry) -> Option<Located<String>> {
        self.text(entry).map(|value| Located { value, span: entry.value.span })
    }

    pub(crate) fn flag(&mut self, entry: &Entry) -> Option<bool> {
        if let Kind::Bool(value) = entry.value.kind {
            return Some(value);
        }
        let lower = entry.value.as_str().map(str::to_ascii_lowercase);
        let meant = match lower.as_deref() {
            Some("true" | "yes" | "on" | "y") => "Write `true`.",
            Some("false" | "no" | "off" | "n") => "Write `false`.",
            _ => "",
        };
        let message = format!("`{}` must be true or false, not {}", entry.key, entry.value.describe());
        self.hint(entry.value.span, codes::WRONG_TYPE, (message, meant));
        None
    }

    pub(crate) fn whole(&mut self, entry: &Entry, bounds: std::ops::RangeInclusive<u64>) -> Option<u64> {
        let Kind::Number(number) = &entry.value.kind else {
            self.wrong(&entry.key, &entry.value, "a whole number");
            return None;
        };
        match number.as_u64().filter(|value| bounds.contains(value)) {
            Some(value) => Some(value),
            None => {
                let (from, to) = (bounds.start(), bounds.end());
                let range = if *to == u64::MAX { format!("at least {from}") } else { format!("{from} to {to}") };
                let message = format!("`{}` must be a whole number, {range}, not {number}", entry.key);
                self.error(entry.value.span, codes::INVALID_VALUE, message);
                None
            }
        }
    }

    pub(crate) fn number(&mut self, entry: &Entry, bounds: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let Kind::Number(number) = &entry.value.kind else {
            self.wrong(&entry.key, &entry.value, "a number");
            return None;
        };
        let value = number.as_f64().filter(|value| bounds.contains(value));
        if value.is_none() {
            let message = format!("`{}` must be {} to {}, not {number}", entry.key, bounds.start(), bounds.end());
            self.error(entry.value.span, codes::INVALID_VALUE, message);
        }
        value
    }

    /// Milliseconds.
    pub(crate) fn duration(&mut self, entry: &Entry, allow_zero: bool) -> Option<u64> {
        let parsed = match &entry.value.kind {
            Kind::String(text) => duration::parse(text),
            Kind::Number(number) => number.as_f64().and_then(duration::seconds),
            _ => {
                self.wrong(&entry.key, &entry.value, "a time such as `30s`");
                return None;
            }
        };
        let parsed = parsed.filter(|ms| allow_zero || *ms > 0);
        if parsed.is_none() {
            let days = limits::LONGEST_MS / 86_400_000;
            let message = format!(
                "`{}` is not a time between {} and {days} days",
                entry.key,
                if allow_zero { "0" } else { "1 ms" }
            );
            self.hint(
                entry.value.span,
                codes::INVALID_VALUE,
                (message, "Write `30s`, `1h30m`, `500ms`, or a number of seconds."),
            );
        }
        parsed
    }

    pub(crate) fn choice<T: Clone>(&mut self, entry: &Entry, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(entry)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(value.clone());
        }
        let words = choices.iter().map(|(word, _)| *word);
        let message = format!("`{}` cannot be `{}`", entry.key, shorten(&text));
        self.hint(entry.value.span, codes::INVALID_VALUE, (message, suggest::did_you_mean(&text, words)));
        None
    }

    pub(crate) fn list<'n>(&mut self, entry: &'n Entry) -> Option<&'n [Node]> {
        match &entry.value.kind {
            Kind::List(items) => Some(items),
            _ => {
                self.wrong(&entry.key, &entry.value, "a list");
                None
            }
        }
    }

    pub(crate) fn texts(&mut self, entry: &Entry) -> Option<Vec<Located<String>>> {
        let items = self.list(entry)?;
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) => texts.push(Located { value: text.to_owned(), span: item.span }),
                None => self.wrong(&entry.key, item, "a list of texts"),
            }
        }
        Some(texts)
    }

    /// A name of a step, group, input, output or variable.
    pub(crate) fn name(&mut self, what: &str, name: &str, span: Span) -> bool {
        let mut chars = name.chars();
        let starts = chars.next().is_some_and(|c| c.is_ascii_lowercase());
        let valid = starts
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && name.len() <= limits::NAME_CHARS;
        if !valid {
            let message = format!("`{}` is no name for {what}", shorten(name));
            let hint =
                format!("Small letters, digits and `_`, a letter first, at most {} characters.", limits::NAME_CHARS);
            self.hint(span, codes::INVALID_NAME, (message, hint));
        }
        valid
    }
}

/// Text for a message: at most 60 characters, on one line.
pub(crate) fn shorten(text: &str) -> String {
    let mut short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(60).collect();
    if text.chars().count() > 60 {
        short.push('…');
    }
    short
}
