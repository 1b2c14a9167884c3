//! One template against what is in scope where it stands.
//!
//! Invariant: every name is resolved or reported at its place in the file where it was written, and every read of a
//! step is given back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

use serde_json::Value;

use super::secrets::Secrets;
use super::steps::BareRead;
use super::{Names, Subject};
use crate::codes;
use crate::limits;
use crate::names;
use crate::plan::{NeedKind, Phase, StepIndex, Target};
use crate::report::Report;
use crate::source::{Anchor, Span};
use crate::suggest;
use crate::templates::{self, Fault, Found, Read};

/// What a template may use.
#[derive(Debug, Clone, Default)]
pub(super) struct Scope {
    pub(super) steps: bool,
    pub(super) secrets: Secrets,
    /// The first so many variables.
    pub(super) vars: usize,
    /// Names besides with what is known of their values: the item, the variables of a prompt.
    pub(super) extra: BTreeMap<String, Value>,
    /// The step that the template belongs to.
    pub(super) own: Option<StepIndex>,
    /// The step whose templates these are; `None`: the flow's own.
    pub(super) reader: Option<StepIndex>,
    pub(super) in_condition: bool,
    /// The compensation that the template belongs to.
    pub(super) undoes: Option<StepIndex>,
    /// When the template is rendered.
    pub(super) phase: Phase,
    /// Nothing but `extra` can be read.
    pub(super) closed: Option<Closed>,
}

/// Where templates see nothing of the flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closed {
    /// Inside a macro.
    Macro,
    /// Between the flows of a pipeline, where functions and macros are not known either.
    Pipeline,
}

impl Closed {
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Macro => ("inside a macro", "A macro sees what it is given: make it a parameter."),
            Self::Pipeline => (
                "between the flows of a pipeline",
                "In scope are `output`, what the flow before gave, and `inputs`, what the pipeline was given.",
            ),
        }
    }
}

impl Scope {
    /// The same with more names.
    pub(super) fn with(&self, more: impl IntoIterator<Item = (String, Value)>) -> Self {
        let mut scope = self.clone();
        scope.extra.extend(more);
        scope
    }
}

/// A read of a step or group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct StepRead {
    pub(super) target: Target,
    pub(super) kind: NeedKind,
    /// The step, or the group's member, or its first.
    pub(super) step: StepIndex,
    /// The step whose outcome is read.
    pub(super) watched: Option<StepIndex>,
}

/// A stretch of a template. Where that is in the file is looked up only for a problem: it means walking the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot<'t> {
    pub(super) anchor: Anchor<'t>,
    start: usize,
    end: usize,
}

impl Spot<'_> {
    pub(super) fn span(&self) -> Span {
        self.anchor.span(self.start, self.end)
    }
}

/// Checks the templates of one flow.
#[derive(Debug)]
pub(super) struct Templates<'a, 'r> {
    pub(super) subject: Subject<'a>,
    pub(super) names: &'r Names<'a>,
    /// Outputs of the steps as far as they are known.
    pub(super) schemas: Vec<Value>,
    pub(super) report: &'r mut Report,
    /// Names of `extra` that were read.
    pub(super) shown: BTreeSet<String>,
    /// What compensations read, and where: whether it has come before is known later.
    pub(super) by_compensations: Vec<(StepIndex, Target, Span)>,
    pub(super) bare_reads: Vec<BareRead>,
    /// What is known of the variables' values.
    pub(super) variables: Vec<Value>,
    /// Functions and macros that templates may call.
    pub(super) callables: super::functions::Callables,
    /// The library whose file is being read.
    pub(super) home: Option<String>,
    /// Files that have been parsed: many steps may use one.
    pub(super) parsed: BTreeMap<String, Rc<Result<Found, Fault>>>,
    /// Names, filters and functions looked up so far.
    pub(super) words: usize,
}

impl Templates<'_, '_> {
    /// A text that may be a template.
    pub(super) fn text(&mut self, anchor: Anchor<'_>, scope: &Scope) -> Vec<StepRead> {
        if !templates::is_template(anchor.text) {
            return Vec::new();
        }
        match templates::scan(anchor.text) {
            Ok(found) => self.found(anchor, 0, &found, scope, &mut BTreeSet::new()),
            Err(fault) => {
                self.fault(anchor, &fault);
                Vec::new()
            }
        }
    }

    /// A bare expression that starts at a byte of the anchor's text.
    pub(super) fn expression(
        &mut self,
        anchor: Anchor<'_>,
        (offset, text): (usize, &str),
        scope: &Scope,
    ) -> Result<(Vec<StepRead>, bool), ()> {
        match templates::scan_expression(text) {
            Ok(found) => Ok((self.found(anchor, offset, &found, scope, &mut BTreeSet::new()), found.never_boolean)),
            Err(fault) => {
                self.fault(anchor, &fault);
                Err(())
            }
        }
    }

    /// A prompt file with all that it includes.
    pub(super) fn file(&mut self, name: &str, scope: &Scope) -> Vec<StepRead> {
        self.file_once(name, scope, &mut BTreeSet::new())
    }

    fn file_once(&mut self, name: &str, scope: &Scope, seen: &mut BTreeSet<String>) -> Vec<StepRead> {
        let Some(file) = self.subject.files.get(name) else { return Vec::new() };
        let (source, text) = (self.subject.sources.get(file.file), file.text.as_str());
        if !seen.insert(name.to_owned()) {
            return Vec::new();
        }
        let anchor = Anchor { source, text, scalar: None };
        let parsed = self.parsed.entry(name.to_owned()).or_insert_with(|| Rc::new(templates::scan(text))).clone();
        let outside = std::mem::replace(&mut self.home, file.home.clone());
        let reads = match parsed.as_ref() {
            Ok(found) => self.found(anchor, 0, found, scope, seen),
            Err(fault) => {
                self.fault(anchor, fault);
                Vec::new()
            }
        };
        self.home = outside;
        reads
    }

    fn fault(&mut self, anchor: Anchor<'_>, fault: &Fault) {
        let code = if fault.too_complex { codes::TEMPLATE_TOO_COMPLEX } else { codes::TEMPLATE_SYNTAX };
        let message = format!("the template cannot be read: {}", fault.message);
        self.report.add(anchor.line(fault.line), code, message);
    }

    pub(super) fn hint(&mut self, spot: Spot<'_>, code: codes::Code, message: (impl Into<String>, impl Into<String>)) {
        if !self.report.is_full() {
            self.report.hint(spot.span(), code, message);
        }
    }

    fn found(
        &mut self,
        anchor: Anchor<'_>,
        offset: usize,
        found: &Found,
        scope: &Scope,
        seen: &mut BTreeSet<String>,
    ) -> Vec<StepRead> {
        self.words += found.reads.len() + found.words.len() + found.comparisons.len() + 1;
        if self.words > limits::TEMPLATE_WORDS && !self.report.is_full() {
            let message =
                format!("the templates use more than {} names, filters and functions", limits::TEMPLATE_WORDS);
            self.report.add(anchor.line(1), codes::TEMPLATE_TOO_COMPLEX, message);
        }
        if self.words > limits::TEMPLATE_WORDS || self.report.is_full() {
            return Vec::new();
        }
        let at = |range: &Range<usize>| Spot { anchor, start: offset + range.start, end: offset + range.end };
        for (name, range) in &found.bound {
            let message = format!("the template gives another meaning to `{name}`");
            self.hint(at(range), codes::SHADOWED, (message, "Choose another name."));
        }
        for word in &found.words {
            self.word(at(&word.range), word, scope);
        }
        for call in &found.calls {
            self.call(at(&call.range), call);
        }
        let mut reads = Vec::new();
        for read in &found.reads {
            reads.extend(self.read(at(&read.range), read, scope));
        }
        for comparison in &found.comparisons {
            if comparison.root == "steps" && scope.steps {
                self.comparison(at(&comparison.range), comparison);
            }
            self.never_equal(at(&comparison.range), comparison, scope);
        }
        for operation in &found.operations {
            self.operates(at(&operation.range), operation, scope);
        }
        for file in &found.files {
            reads.extend(self.include(at(&file.range), file, scope, seen));
        }
        reads
    }

    fn include(
        &mut self,
        spot: Spot<'_>,
        file: &templates::File,
        scope: &Scope,
        seen: &mut BTreeSet<String>,
    ) -> Vec<StepRead> {
        let Some(name) = &file.name else {
            let message = "the name of an included file must be written out";
            self.hint(spot, codes::TEMPLATE_FILE, (message, "Steps that it reads could not be found otherwise."));
            return Vec::new();
        };
        let at_home = self.home.as_ref().map(|home| format!("{home}/{name}"));
        let name = at_home.as_ref().filter(|name| self.subject.files.contains_key(*name)).unwrap_or(name);
        if !self.subject.files.contains_key(name) {
            if !file.ignore_missing {
                let message = format!("there is no file `{}` in the flow's folder", crate::reader::shorten(name));
                let hint = suggest::did_you_mean(name, self.subject.files.keys().map(String::as_str));
                self.hint(spot, codes::TEMPLATE_FILE, (message, hint));
            }
            return Vec::new();
        }
        self.file_once(name, scope, seen)
    }

    fn word(&mut self, spot: Spot<'_>, word: &templates::Word, scope: &Scope) {
        let (what, known) = match word.kind {
            templates::WordKind::Filter => ("filter", names::FILTERS),
            templates::WordKind::Test => ("test", names::TESTS),
            templates::WordKind::Function => ("function", names::FUNCTIONS),
        };
        let named = known.contains(&word.name.as_str())
            || (word.kind == templates::WordKind::Function
                && (names::BLOCK_NAMES.contains(&word.name.as_str())
                    || scope.extra.contains_key(&word.name)
                    || (scope.closed != Some(Closed::Pipeline) && self.is_callable(&word.name))));
        if !named {
            let message = format!("there is no {what} `{}`", crate::reader::shorten(&word.name));
            let own = if word.kind == templates::WordKind::Function { self.callables() } else { Vec::new() };
            let near = suggest::nearest(&word.name, known.iter().copied().chain(own.iter().map(String::as_str)));
            let hint = near.map(|name| format!("Did you mean `{name}`?")).unwrap_or_default();
            self.hint(spot, codes::UNKNOWN_FUNCTION, (message, hint));
        }
    }

    fn read(&mut self, spot: Spot<'_>, read: &Read, scope: &Scope) -> Option<StepRead> {
        match read.root.as_str() {
            root if scope.extra.contains_key(root) => {
                self.extra(spot, read, scope);
                None
            }
            root if names::BLOCK_NAMES.contains(&root) => None,
            root if scope.closed != Some(Closed::Pipeline) && (self.is_callable(root) || self.is_library(root)) => None,
            root if scope.closed.is_some() => {
                let (place, hint) = scope.closed.map(Closed::words).unwrap_or_default();
                let message = format!("there is no `{}` {place}", crate::reader::shorten(root));
                self.hint(spot, codes::UNKNOWN_NAME, (message, hint));
                None
            }
            "steps" if scope.steps => self.step(spot, read, scope),
            "steps" => {
                let message = "steps cannot be read here: none has run yet";
                self.hint(
                    spot,
                    codes::UNKNOWN_NAME,
                    (message, "Use `inputs`, or read the step where the value is needed."),
                );
                None
            }
            "inputs" => {
                self.input(spot, read);
                None
            }
            "vars" => {
                self.variable(spot, read, scope);
                None
            }
            "secrets" => {
                self.secret(spot, read, scope);
                None
            }
            "run" => self.fixed(spot, read, names::RUN_FIELDS),
            "flow" => self.fixed(spot, read, names::FLOW_FIELDS),
            root => {
                let known = names::SCOPE.iter().copied().chain(scope.extra.keys().map(String::as_str));
                let hint = match suggest::nearest(root, known) {
                    Some(name) => format!("Did you mean `{name}`?"),
                    None if matches!(root, "yes" | "on") => "Write `true`.".to_owned(),
                    None if matches!(root, "no" | "off") => "Write `false`.".to_owned(),
                    None if self.names.get(root).is_some() => format!("Write `steps.{root}`."),
                    None if self.is_input(root) => format!("Write `inputs.{root}`."),
                    None if matches!(root, "error" | "failed_step") => {
                        "It is there for the steps of `on_error` and `finally`.".to_owned()
                    }
                    None if root == "item" => item_hint(scope),
                    None => format!("In scope are {}.", names::SCOPE.join(", ")),
                };
                let message = format!("there is no `{}` here", crate::reader::shorten(root));
                self.hint(spot, codes::UNKNOWN_NAME, (message, hint));
                None
            }
        }
    }

    /// A look-up below a name of `extra`.
    fn extra(&mut self, spot: Spot<'_>, read: &Read, scope: &Scope) {
        self.shown.insert(read.root.clone());
        let Some(schema) = scope.extra.get(&read.root) else { return };
        if scope.closed.is_some() && read.guarded {
            return;
        }
        if let Err((field, known)) = super::item_field_schema(schema, &read.path) {
            let message = format!("`{}` has no field `{}`", read.root, crate::reader::shorten(&field));
            let hint = suggest::did_you_mean(&field, known.iter().map(String::as_str));
            self.hint(spot, codes::UNKNOWN_NAME, (message, hint));
        }
    }

    /// A look-up below a name whose fields never change.
    fn fixed(&mut self, spot: Spot<'_>, read: &Read, fields: &[&str]) -> Option<StepRead> {
        let field = read.path.first().filter(|field| !fields.contains(&field.as_str()))?;
        let message = format!("`{}` has no `{}`", read.root, crate::reader::shorten(field));
        self.hint(spot, codes::UNKNOWN_NAME, (message, suggest::did_you_mean(field, fields.iter().copied())));
        None
    }

    fn is_input(&self, name: &str) -> bool {
        self.subject.flow.inputs.iter().flatten().any(|input| input.name.value == name)
    }

    fn input(&mut self, spot: Spot<'_>, read: &Read) {
        let (Some(name), Some(inputs)) = (read.path.first(), &self.subject.flow.inputs) else { return };
        if !self.is_input(name) {
            let known: Vec<&str> = inputs.iter().map(|input| input.name.value.as_str()).collect();
            let message = format!("the flow has no input `{}`", crate::reader::shorten(name));
            self.hint(spot, codes::UNKNOWN_INPUT, (message, suggest::did_you_mean(name, known)));
            return;
        }
        let Some(input) = inputs.iter().find(|input| input.name.value == *name) else { return };
        if let Err((field, known)) = super::field_schema(&super::input_value_schema(input), &read.path[1..]) {
            let message = format!("the input `{name}` has no field `{}`", crate::reader::shorten(&field));
            let hint = suggest::did_you_mean(&field, known.iter().map(String::as_str));
            self.hint(spot, codes::UNKNOWN_OUTPUT, (message, hint));
        }
    }

    fn variable(&mut self, spot: Spot<'_>, read: &Read, scope: &Scope) {
        let Some(name) = read.path.first() else { return };
        let vars = &self.subject.flow.vars;
        let visible = &vars[..scope.vars.min(vars.len())];
        if visible.iter().any(|variable| variable.name == *name) {
            return;
        }
        let message = format!("there is no variable `{}` here", crate::reader::shorten(name));
        let hint = if vars.iter().any(|variable| variable.name == *name) {
            "Variables are computed in the order in which they are written; move it up.".to_owned()
        } else {
            let known: Vec<&str> = visible.iter().map(|variable| variable.name.as_str()).collect();
            suggest::did_you_mean(name, known)
        };
        self.hint(spot, codes::UNKNOWN_VARIABLE, (message, hint));
    }

    fn secret(&mut self, spot: Spot<'_>, read: &Read, scope: &Scope) {
        if scope.secrets == Secrets::Nowhere {
            let message = "secrets can be read only in an executor's config";
            self.hint(spot, codes::SECRET_PLACE, (message, "Anywhere else it could be shown or stored."));
        } else if let Secrets::WouldLeave(why, hint) = scope.secrets {
            let message = format!("a secret cannot be used here: {why}");
            self.hint(spot, codes::SECRET_LEAVES, (message, hint));
        } else if read.path.is_empty() {
            let message = "a secret's name must be written out";
            self.hint(spot, codes::SECRET_PLACE, (message, "Write `secrets.NAME`."));
        }
    }
}

fn item_hint(scope: &Scope) -> String {
    let named = scope.extra.iter().find(|(_, schema)| schema.get(super::ELEMENT).is_some());
    named.map_or_else(
        || "It is there in the config of a step with `for_each`, and in its `repeat.until`.".to_owned(),
        |(name, _)| format!("The item is called `{name}` here."),
    )
}
