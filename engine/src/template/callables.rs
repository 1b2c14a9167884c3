//! What templates call by the author's own names: macros, functions, and those of an imported library under its name.
//!
//! Invariant: Python runs only where the environment is made for a sandbox child. A template that calls any of these
//! names is costly, so with a sandbox there it is rendered in a child.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use language::Plan;
use minijinja::value::{Kwargs, Object, Rest, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use python::{Definition, Module};
use serde_json::Map;

use super::fault::Fault;
use super::json::{Budget, to_json};
use super::secrets;
use crate::limits;

/// Under this the environment holds the macros; no file of a folder begins so.
const MACRO: &str = "weir:macro/";
const LIBRARY: &str = "weir:library/";
/// Makes a library out of an imported template: a function of the environment.
const OPENED: &str = "__opened";

/// What a template of the environment is to its author; `None` for a text of the flow itself.
pub(super) fn spoken(template: &str) -> Option<String> {
    if let Some(name) = template.strip_prefix(MACRO) {
        return Some(format!("the macro `{name}`"));
    }
    if let Some(library) = template.strip_prefix(LIBRARY) {
        return Some(format!("the library `{library}`"));
    }
    // Texts of the flow are named by where they stand.
    let is_inline = ["steps/", "vars/", "outputs"].iter().any(|place| template.starts_with(place));
    (!is_inline && template.contains('.')).then(|| format!("the file `{template}`"))
}

/// The names, and the sources behind them.
#[derive(Debug, Default)]
pub(super) struct Callables {
    /// `name` or `library.name`.
    macros: BTreeSet<String>,
    functions: Vec<Definition>,
    /// Templates that the environment must be able to load, by name. Their own calls are not prepared yet.
    pub(super) templates: BTreeMap<String, String>,
}

impl Callables {
    pub(super) fn of(plan: &Plan) -> Self {
        let macros: BTreeSet<String> = plan.macros.keys().cloned().collect();
        let functions: Vec<Definition> = plan
            .functions
            .iter()
            .map(|(name, function)| Definition {
                name: name.clone(),
                implementation: function.implementation.clone(),
                line: function.line,
            })
            .collect();
        let mut templates: BTreeMap<String, String> =
            plan.macros.iter().map(|(name, text)| (format!("{MACRO}{name}"), text.clone())).collect();
        let names = macros.iter().chain(functions.iter().map(|function| &function.name));
        let libraries: BTreeSet<&str> = names.filter_map(|name| Some(name.split_once('.')?.0)).collect();
        for library in libraries {
            let mut module = Preamble::default();
            for name in macros.iter().filter_map(|name| name.strip_prefix(library)?.strip_prefix('.')) {
                module.import_macro(&format!("{library}.{name}"), name);
            }
            for name in functions.iter().filter_map(|function| function.name.strip_prefix(library)?.strip_prefix('.')) {
                module.text.push_str(&alias_of(library, name));
            }
            templates.insert(format!("{LIBRARY}{library}"), module.text);
        }
        Self { macros, functions, templates }
    }

    /// What has to stand before a template that reads these names, and the templates that this loads. `template` is its
    /// own name.
    pub(super) fn preamble(&self, template: &str, roots: &BTreeSet<String>) -> Preamble {
        let own = template.strip_prefix(MACRO);
        // The macros of a library know each other and its functions without its name.
        let library = own.and_then(|name| name.split_once('.')).map(|(library, _)| library);
        let mut preamble = Preamble::default();
        for root in roots {
            let sibling = library.map(|library| (library, format!("{library}.{root}")));
            match sibling {
                Some((_, name)) if own == Some(&name) => {}
                Some((_, name)) if self.macros.contains(&name) => preamble.import_macro(&name, root),
                Some((library, name)) if self.has_function(&name) => preamble.text.push_str(&alias_of(library, root)),
                _ if own == Some(root) => {}
                _ if self.macros.contains(root) => preamble.import_macro(root, root),
                _ => preamble.import_library(root, &self.templates),
            }
        }
        preamble
    }

    /// The functions behind these names, with those that they may call: all of the same file.
    pub(super) fn functions(&self, roots: &BTreeSet<String>) -> Vec<Definition> {
        let called = |name: &str| match name.split_once('.') {
            None => roots.contains(name),
            // Also under the name that its library's templates use.
            Some((library, short)) => roots.contains(library) || roots.contains(&global_of(library, short)),
        };
        let file = |name: &str| name.split_once('.').map(|(library, _)| library.to_owned());
        let names = self.functions.iter().map(|function| function.name.as_str());
        let files: BTreeSet<Option<String>> = names.filter(|name| called(name)).map(file).collect();
        self.functions.iter().filter(|function| files.contains(&file(&function.name))).cloned().collect()
    }

    /// Whether a template that reads these names calls anything of ours.
    pub(super) fn called(&self, template: &str, roots: &BTreeSet<String>) -> bool {
        !self.functions(roots).is_empty() || !self.preamble(template, roots).text.is_empty()
    }

    pub(super) fn all_functions(&self) -> &[Definition] {
        &self.functions
    }

    fn has_function(&self, name: &str) -> bool {
        self.functions.iter().any(|function| function.name == name)
    }
}

/// Statements in front of a template, all on its first line, so that the numbers of its lines stay.
#[derive(Debug, Default)]
pub(super) struct Preamble {
    pub(super) text: String,
    pub(super) files: BTreeSet<String>,
}

impl Preamble {
    fn import_macro(&mut self, name: &str, short: &str) {
        let file = format!("{MACRO}{name}");
        // Writing into a string cannot fail.
        let _ = write!(self.text, "{{% from {file:?} import {short} %}}");
        self.files.insert(file);
    }

    fn import_library(&mut self, name: &str, templates: &BTreeMap<String, String>) {
        let file = format!("{LIBRARY}{name}");
        if templates.contains_key(&file) {
            let _ = write!(self.text, "{{% import {file:?} as {name} %}}{{% set {name} = {OPENED}({name}) %}}");
            self.files.insert(file);
        }
    }
}

fn alias_of(library: &str, name: &str) -> String {
    format!("{{% set {name} = {} %}}", global_of(library, name))
}

/// What the environment calls a library's function. Nobody can write a name with two underscores at its start.
fn global_of(library: &str, name: &str) -> String {
    format!("__{library}__{name}")
}

/// What an imported library offers. A template that was imported is a mapping, whose own methods (`get`, `items`) would
/// stand before macros and functions of these names.
#[derive(Debug)]
struct Library(Value);

impl Object for Library {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn call_method(self: &Arc<Self>, state: &mut State<'_, '_>, name: &str, args: &[Value]) -> Result<Value, Error> {
        match self.0.get_attr(name) {
            Ok(member) if !member.is_undefined() => member.call(state, args),
            _ => Err(Error::new(ErrorKind::UnknownMethod, format!("the library has no `{name}`"))),
        }
    }
}

/// Adds the functions to an environment: callable in a sandbox child, refused elsewhere.
pub(super) fn add_functions(environment: &mut Environment<'static>, functions: &[Definition], in_child: bool) {
    environment.add_function(OPENED, |module: Value| Value::from_object(Library(module)));
    let mut modules: BTreeMap<Option<&str>, Vec<Definition>> = BTreeMap::new();
    for function in functions {
        let (library, name) = match function.name.split_once('.') {
            Some((library, name)) => (Some(library), name),
            None => (None, function.name.as_str()),
        };
        let definition = Definition { name: name.to_owned(), ..function.clone() };
        modules.entry(library).or_default().push(definition);
    }
    for (library, definitions) in modules {
        let names: Vec<String> = definitions.iter().map(|definition| definition.name.clone()).collect();
        let module = Arc::new(Mutex::new(Module::new(library.map(str::to_owned), definitions)));
        for name in names {
            let global = library.map_or_else(|| name.clone(), |library| global_of(library, &name));
            if in_child {
                let module = Arc::clone(&module);
                environment.add_function(global, move |arguments: Rest<ValueOrKwargs>| call(&module, &name, arguments));
            } else {
                environment.add_function(global, move |_: Rest<ValueOrKwargs>| refuse(&name));
            }
        }
    }
}

fn call(module: &Mutex<Module>, name: &str, arguments: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let mut budget = Budget::new(limits::OUTPUT_BYTES);
    let mut json = |value: &Value| {
        let value = to_json(value, name, &mut budget)?;
        if secrets::holds_marker(&value) { Err(secrets::transformed()) } else { Ok(value) }
    };
    let refused = |fault: Fault| Error::new(ErrorKind::InvalidOperation, "an argument was refused").with_source(fault);
    let (mut positional, mut named) = (Vec::new(), Map::new());
    for argument in arguments.into_values() {
        if argument.is_kwargs() {
            let pairs = Kwargs::try_from(argument)?;
            for key in pairs.args() {
                named.insert(key.to_owned(), json(&pairs.get::<Value>(key)?).map_err(refused)?);
            }
        } else {
            positional.push(json(&argument).map_err(refused)?);
        }
    }
    let mut module = module.lock().unwrap_or_else(PoisonError::into_inner);
    match module.call(name, &positional, &named) {
        Ok(value) => Ok(Value::from(minijinja::value::Serde(&value))),
        Err(fault) => Err(Error::new(ErrorKind::InvalidOperation, "a function failed").with_source(fault)),
    }
}

fn refuse(name: &str) -> Result<Value, Error> {
    let message = format!("the function `{name}` can only be called where the sandbox runs");
    Err(Error::new(ErrorKind::InvalidOperation, message))
}
