//! What a template uses, as data.
//!
//! Invariant: every range lies within the template's text.

use std::ops::Range;

use minijinja::value::ValueKind;

/// What a template uses. Ranges are bytes of its text.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) reads: Vec<Read>,
    pub(crate) words: Vec<Word>,
    pub(crate) files: Vec<File>,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) calls: Vec<Call>,
    /// Names that the template binds, as far as they are names of the language.
    pub(crate) bound: Vec<(String, Range<usize>)>,
    /// For an expression: it is a constant and no boolean, so that it can never be a condition.
    pub(crate) never_boolean: bool,
}

/// `steps.extract.text`: root `steps`, path `extract`, `text`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Read {
    pub(crate) root: String,
    pub(crate) path: Vec<String>,
    /// The next look-up has a computed name.
    pub(crate) computed: bool,
    /// It may be undefined: `default(...)` or `is defined` takes care of that.
    pub(crate) guarded: bool,
    /// Steps that an `if` or `and` around has asked about.
    pub(crate) asked: Vec<String>,
    pub(crate) range: Range<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordKind {
    Filter,
    Test,
    Function,
}

/// A filter, test or function by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) kind: WordKind,
    pub(crate) name: String,
    pub(crate) range: Range<usize>,
}

/// `name(...)` or `library.name(...)`, where nothing in the template binds the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) library: Option<String>,
    pub(crate) name: String,
    pub(crate) positional: usize,
    pub(crate) keywords: Vec<String>,
    /// `*list` or `**mapping`: the number is not known.
    pub(crate) is_spread: bool,
    pub(crate) range: Range<usize>,
}

/// `include`, `extends` or `import`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// `None` where the name is computed.
    pub(crate) name: Option<String>,
    pub(crate) ignore_missing: bool,
    /// Under no condition, in no loop, block or macro, and not one of several.
    pub(crate) always: bool,
    pub(crate) range: Range<usize>,
}

/// A read that is compared with a literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) root: String,
    pub(crate) path: Vec<String>,
    /// The literal, and whether it is text.
    pub(crate) literal: String,
    pub(crate) is_text: bool,
    pub(crate) kind: ValueKind,
    pub(crate) range: Range<usize>,
}

/// A read that is ordered against a literal, or computed with one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) root: String,
    pub(crate) path: Vec<String>,
    /// `<`, `>` and the like; else `+`, `-` ...
    pub(crate) is_order: bool,
    pub(crate) kind: ValueKind,
    pub(crate) range: Range<usize>,
}
