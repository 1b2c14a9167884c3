//! Collects problems, so that a checker can go on after the first.
//!
//! Invariant: what comes out is sorted by file and place, without repetitions, at most [`limits::PROBLEMS`] long, and
//! holds an error if there was one.

use crate::codes::Code;
use crate::limits;
use crate::problem::{Problem, Severity};
use crate::source::Span;

/// The problems found so far. Errors and warnings are counted apart, so that many warnings cannot hide an error.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// What the files are called, by their number.
    files: Vec<String>,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    /// A number for a file.
    pub(crate) fn file(&mut self, name: &str) -> u16 {
        self.files.push(name.to_owned());
        u16::try_from(self.files.len() - 1).unwrap_or(u16::MAX)
    }

    pub(crate) fn add(&mut self, span: Span, code: Code, message: impl Into<String>) {
        self.push(span, code, message.into(), None);
    }

    pub(crate) fn hint(&mut self, span: Span, code: Code, (message, hint): (impl Into<String>, impl Into<String>)) {
        let hint = hint.into();
        self.push(span, code, message.into(), Some(hint).filter(|hint| !hint.is_empty()));
    }

    /// Whether there are so many errors that no more are taken; going on is for nothing.
    pub(crate) const fn is_full(&self) -> bool {
        self.errors.len() >= limits::PROBLEMS
    }

    fn push(&mut self, span: Span, code: Code, message: String, hint: Option<String>) {
        let list = match code.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        if list.len() >= limits::PROBLEMS {
            return;
        }
        list.push(Problem {
            code: code.code.to_owned(),
            severity: code.severity,
            message,
            hint,
            file: self.files.get(usize::from(span.file)).map_or_else(|| crate::FLOW_FILE.to_owned(), Clone::clone),
            line: span.start.line.max(1),
            column: span.start.column.max(1),
            end_line: span.end.line.max(span.start.line).max(1),
            end_column: span.end.column.max(1),
        });
    }

    pub(crate) const fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    pub(crate) fn finish(self) -> Vec<Problem> {
        let key = |problem: &Problem| {
            (problem.file != crate::FLOW_FILE, problem.file.clone(), problem.line, problem.column, problem.code.clone())
        };
        let mut problems = self.errors;
        problems.extend(self.warnings);
        problems.truncate(limits::PROBLEMS);
        problems.sort_by_cached_key(key);
        problems.dedup();
        problems
    }
}
