//! Text with places: from a character's index to line and column, and from a place inside a YAML scalar's value back to
//! the file it was written in.
//!
//! Invariant: lines and columns are 1-based and count characters, never bytes.

use crate::report::Report;

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Characters before it.
    pub index: usize,
    pub line: u32,
    pub column: u32,
}

/// From `start` up to, not including, `end`, in one file of a compilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The file's number; 0 is the flow's own `flow.yaml`.
    pub file: u16,
    pub start: Place,
    pub end: Place,
}

impl Span {
    /// The place before the first character.
    pub(crate) const fn before(self) -> Self {
        Self { end: self.start, ..self }
    }
}

/// One file of the folder, or of a folder that it builds on.
#[derive(Debug)]
pub(crate) struct Source {
    file: u16,
    chars: Vec<char>,
    /// Index of the first character of each line.
    lines: Vec<usize>,
}

impl Source {
    pub(crate) fn new(file: u16, text: &str) -> Self {
        let chars: Vec<char> = text.chars().collect();
        let mut lines = vec![0];
        lines.extend(chars.iter().enumerate().filter(|(_, c)| **c == '\n').map(|(index, _)| index + 1));
        Self { file, chars, lines }
    }

    pub(crate) fn char(&self, index: usize) -> Option<char> {
        self.chars.get(index).copied()
    }

    pub(crate) fn place(&self, index: usize) -> Place {
        let index = index.min(self.chars.len());
        let line = self.lines.partition_point(|start| *start <= index).max(1) - 1;
        Place { index, line: line as u32 + 1, column: (index - self.lines[line]) as u32 + 1 }
    }

    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: self.place(start), end: self.place(end.max(start)) }
    }

    /// The characters of a 1-based line, without its end.
    pub(crate) fn line(&self, line: u32) -> &[char] {
        let index = (line.max(1) as usize - 1).min(self.lines.len() - 1);
        let start = self.lines[index];
        let end = self.lines.get(index + 1).map_or(self.chars.len(), |next| next - 1);
        &self.chars[start..end]
    }
}

/// The files of one compilation by their number.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    list: Vec<Source>,
}

impl Sources {
    /// Takes a file in under the name by which problems call it; its number.
    pub(crate) fn add(&mut self, name: &str, text: &str, report: &mut Report) -> u16 {
        let file = report.file(name);
        self.list.push(Source::new(file, text));
        file
    }

    pub(crate) fn get(&self, file: u16) -> &Source {
        &self.list[usize::from(file)]
    }
}

/// Where the text of a template stands in its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Anchor<'a> {
    pub(crate) source: &'a Source,
    pub(crate) text: &'a str,
    /// The scalar's span in the YAML; `None` where the text is the whole file.
    pub(crate) scalar: Option<Span>,
}

impl Anchor<'_> {
    /// The span of bytes `start..end` of the text.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        self.source.span(self.index(start), self.index(end))
    }

    /// The span of the 1-based line of the text, without its indentation.
    pub(crate) fn line(&self, line: usize) -> Span {
        let mut start = 0;
        for (number, text) in self.text.split('\n').enumerate() {
            if number + 1 == line.max(1) {
                let indent = text.len() - text.trim_start().len();
                return self.span(start + indent, start + text.trim_end().len().max(indent));
            }
            start += text.len() + 1;
        }
        self.span(self.text.len(), self.text.len())
    }

    fn index(&self, byte: usize) -> usize {
        let byte = (0..=byte.min(self.text.len())).rev().find(|at| self.text.is_char_boundary(*at)).unwrap_or(0);
        let wanted = self.text[..byte].chars();
        match self.scalar {
            None => wanted.count(),
            Some(span) => align(self.source, span, self.text, wanted.count()),
        }
    }
}

/// Walks value and written text together: what the value lacks (indentation, quotes, folded line ends) is passed over.
fn align(source: &Source, span: Span, value: &str, wanted: usize) -> usize {
    let mut at = span.start.index;
    let first = source.char(at);
    let escapes = first == Some('"');
    match first {
        Some('"' | '\'') => at += 1,
        Some('|' | '>') => {
            while at < span.end.index && source.char(at) != Some('\n') {
                at += 1;
            }
            at += 1;
        }
        _ => {}
    }
    for c in value.chars().take(wanted + 1).enumerate() {
        let (count, c) = c;
        while at < span.end.index {
            match source.char(at) {
                Some(written) if written == c || (escapes && written == '\\') => break,
                Some(' ' | '\t' | '\n' | '\r' | '\'') => at += 1,
                _ => break,
            }
        }
        if count == wanted {
            return at;
        }
        at += match (escapes && source.char(at) == Some('\\'), source.char(at + 1)) {
            (true, Some('x')) => 4,
            (true, Some('u')) => 6,
            (true, Some('U')) => 10,
            (true, _) => 2,
            (false, _) => 1,
        };
    }
    at.min(span.end.index.max(span.start.index))
}
