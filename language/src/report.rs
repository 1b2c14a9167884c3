//! Collects problems, so that a checker can go on after the first.
//!
//! Invariant: what comes out is sorted by file and place, without repetitions, and at most [`limits::PROBLEMS`] long.

use crate::codes::Code;
use crate::limits;
use crate::problem::{Problem, Severity};
use crate::source::Span;

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    problems: Vec<Problem>,
}

impl Report {
    pub(crate) fn add(&mut self, file: &str, span: Span, code: Code, message: impl Into<String>) {
        self.push(file, span, code, message.into(), None);
    }

    pub(crate) fn hint(
        &mut self,
        file: &str,
        span: Span,
        code: Code,
        (message, hint): (impl Into<String>, impl Into<String>),
    ) {
        let hint = hint.into();
        self.push(file, span, code, message.into(), Some(hint).filter(|hint| !hint.is_empty()));
    }

    /// Whether more problems would be dropped.
    pub(crate) const fn is_full(&self) -> bool {
        self.problems.len() > limits::PROBLEMS
    }

    fn push(&mut self, file: &str, span: Span, code: Code, message: String, hint: Option<String>) {
        // One over the limit, so that the end of the list can be told from a list that just fits.
        if self.is_full() {
            return;
        }
        self.problems.push(Problem {
            code: code.code.to_owned(),
            severity: code.severity,
            message,
            hint,
            file: file.to_owned(),
            line: span.start.line.max(1),
            column: span.start.column.max(1),
            end_line: span.end.line.max(span.start.line).max(1),
            end_column: span.end.column.max(1),
        });
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    pub(crate) fn finish(mut self) -> Vec<Problem> {
        let key = |problem: &Problem| {
            (problem.file != crate::FLOW_FILE, problem.file.clone(), problem.line, problem.column, problem.code.clone())
        };
        self.problems.sort_by_cached_key(key);
        self.problems.dedup();
        self.problems.truncate(limits::PROBLEMS);
        self.problems
    }
}
