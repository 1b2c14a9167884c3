//! Flows that build on others: `extends` and `imports`, merged as nodes before anything is read of them.
//!
//! Invariant: every node keeps the file and place where it was written; circles and long lines of flows are refused, and
//! what comes out is within the bounds of a single flow.

mod merge;

use std::collections::BTreeMap;

use crate::codes;
use crate::flow::{Function, Macro};
use crate::limits;
use crate::node::{Entry, Kind, Node};
use crate::read;
use crate::reader::{Reader, shorten};
use crate::report::Report;
use crate::source::{Anchor, Sources, Span};
use crate::suggest;
use crate::templates;
use crate::{FLOW_FILE, Folder};

/// Where a folder keeps the flows that it builds on: beside it, as they lie on a disk.
pub(crate) const BESIDE: &str = "../";

/// A text file that templates may load.
#[derive(Debug)]
pub(crate) struct TextFile {
    pub(crate) file: u16,
    pub(crate) text: String,
    /// The library that it belongs to: its own includes and calls mean that library's first.
    pub(crate) home: Option<String>,
}

/// Files by the path that templates know them by.
pub(crate) type Files = BTreeMap<String, TextFile>;

/// What an imported flow brings along.
#[derive(Debug)]
pub(crate) struct Library {
    pub(crate) name: String,
    pub(crate) functions: Vec<Function>,
    pub(crate) macros: Vec<Macro>,
}

impl Library {
    pub(crate) fn callables(&self) -> impl Iterator<Item = &str> {
        let functions = self.functions.iter().map(|function| function.name.value.as_str());
        functions.chain(self.macros.iter().map(|found| found.name.value.as_str()))
    }
}

/// A folder with all that it builds on.
#[derive(Debug, Default)]
pub(crate) struct Composed {
    pub(crate) root: Option<Node>,
    pub(crate) sources: Sources,
    pub(crate) files: Files,
    pub(crate) libraries: Vec<Library>,
}

/// The flows that a text names under `extends` and `imports`, as far as it can be read.
pub(crate) fn named(yaml: &str) -> Vec<String> {
    let mut report = Report::default();
    let mut sources = Sources::default();
    let file = sources.add(FLOW_FILE, crate::bounded(yaml), &mut report);
    let Some(root) = crate::yaml::parse(sources.get(file), yaml, &mut report) else { return Vec::new() };
    let extends = root.get("extends").and_then(Node::as_str);
    let imports = root.get("imports").map(Node::items).unwrap_or_default().iter().filter_map(Node::as_str);
    extends.into_iter().chain(imports).filter(|name| read::is_flow_name(name)).map(str::to_owned).collect()
}

/// Reads a folder's flow and everything that it builds on.
pub(crate) fn compose(folder: &Folder, report: &mut Report) -> Composed {
    let mut composer = Composer { folder, report, made: Composed::default() };
    let line = folder.name.iter().cloned().collect();
    let root = composer.flow(None, &folder.yaml, line);
    composer.files();
    if let Some(root) = &root {
        if size(root) > limits::YAML_NODES {
            let message = format!("more than {} YAML nodes together with what the flow extends", limits::YAML_NODES);
            composer.report.add(root.span.before(), codes::TOO_LARGE, message);
        }
        composer.imports(root);
    }
    Composed { root, ..composer.made }
}

struct Composer<'c> {
    folder: &'c Folder,
    report: &'c mut Report,
    made: Composed,
}

impl Composer<'_> {
    /// A flow's text as a node, merged over the one that it extends. `line` holds the flows on the way here.
    fn flow(&mut self, name: Option<&str>, text: &str, line: Vec<String>) -> Option<Node> {
        let shown = name.map_or_else(|| FLOW_FILE.to_owned(), |name| format!("{BESIDE}{name}/{FLOW_FILE}"));
        let file = self.made.sources.add(&shown, crate::bounded(text), self.report);
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let root = crate::yaml::parse(self.made.sources.get(file), text, self.report)?;
        let Some(extends) = root.entries().iter().find(|entry| entry.key == "extends") else { return Some(root) };
        let Some(base) = self.base(extends, line) else {
            // Reading on would report every name of the other flow as unknown.
            return None;
        };
        Some(merge::merge(base, root, self.report))
    }

    fn base(&mut self, extends: &Entry, mut line: Vec<String>) -> Option<Node> {
        let span = extends.value.span;
        let Some(name) = extends.value.as_str() else {
            self.report.add(span, codes::WRONG_TYPE, "`extends` must be the name of a flow");
            return None;
        };
        if line.iter().any(|known| known == name) {
            line.push(name.to_owned());
            let message = format!("flows that extend each other in a circle: {}", line.join(" extends "));
            self.report.add(span, codes::NEIGHBOUR_CYCLE, message);
            return None;
        }
        if line.len() >= limits::DEPTH {
            let message = format!("more than {} flows extend each other in a line", limits::DEPTH);
            self.report.add(span, codes::TOO_LARGE, message);
            return None;
        }
        let text = self.text_of(name, span)?;
        line.push(name.to_owned());
        self.bring_files(name, false);
        self.flow(Some(name), &text, line)
    }

    /// The text of a flow beside this one.
    fn text_of(&mut self, name: &str, span: Span) -> Option<String> {
        let found = self.folder.files.get(&format!("{BESIDE}{name}/{FLOW_FILE}")).cloned();
        if found.is_none() {
            let message = format!("there is no flow `{}` beside this one", shorten(name));
            let known: Vec<&str> = self.beside().collect();
            self.report.hint(span, codes::UNKNOWN_NEIGHBOUR, (message, suggest::did_you_mean(name, known)));
        }
        found
    }

    fn beside(&self) -> impl Iterator<Item = &str> {
        let names = self.folder.files.keys().filter_map(|path| path.strip_prefix(BESIDE)?.strip_suffix(FLOW_FILE));
        names.map(|name| name.trim_end_matches('/'))
    }

    fn imports(&mut self, root: &Node) {
        for item in root.get("imports").map(Node::items).unwrap_or_default() {
            let Some(name) = item.as_str() else { continue };
            if self.made.libraries.iter().any(|library| library.name == name) {
                continue;
            }
            if !is_identifier(name) || crate::names::SCOPE.contains(&name) {
                let message = format!("a flow named `{}` cannot be imported", shorten(name));
                let hint = "Templates call its functions by its name: small letters, digits and `_`, a letter first.";
                self.report.hint(item.span, codes::INVALID_NAME, (message, hint));
                continue;
            }
            if self.made.libraries.len() >= limits::NEIGHBOURS {
                self.report.add(item.span, codes::TOO_LARGE, format!("more than {} imports", limits::NEIGHBOURS));
                return;
            }
            let Some(text) = self.text_of(name, item.span) else { continue };
            self.bring_files(name, true);
            let line = self.folder.name.iter().cloned().chain([name.to_owned()]).collect();
            let Some(library) = self.flow(Some(name), &text, line) else { continue };
            let (functions, macros) = read::callables(&mut Reader { report: self.report }, &library);
            if functions.is_empty() && macros.is_empty() {
                let message = format!("`{name}` has no functions and no macros");
                self.report.add(item.span, codes::IDLE, message);
            }
            self.made.libraries.push(Library { name: name.to_owned(), functions, macros });
        }
    }

    /// The folder's own files, within their limits.
    fn files(&mut self) {
        let own = self.folder.files.iter().filter(|(path, _)| !path.starts_with(BESIDE));
        let own: Vec<(&String, &String)> = own.collect();
        let total: usize = own.iter().map(|(_, text)| text.len()).sum();
        if own.len() > limits::FILES || total > limits::FOLDER_BYTES {
            let message = format!(
                "the folder holds {} files with {total} bytes; at most {} files and {} bytes are allowed",
                own.len(),
                limits::FILES,
                limits::FOLDER_BYTES
            );
            self.report.add(Span::default(), codes::TOO_LARGE, message);
            return;
        }
        for (path, text) in own {
            self.file(path, path, text, None);
        }
    }

    /// The files of a flow beside this one, under its name; those of a flow that is extended also under their own,
    /// where this folder has none of that name.
    fn bring_files(&mut self, name: &str, is_library: bool) {
        let prefix = format!("{BESIDE}{name}/");
        let mut total = 0;
        for (path, text) in self.folder.files.range(prefix.clone()..) {
            let Some(inner) = path.strip_prefix(&prefix) else { break };
            total += text.len();
            if inner == FLOW_FILE || total > limits::FOLDER_BYTES {
                continue;
            }
            let under = format!("{name}/{inner}");
            if !self.folder.files.contains_key(&under) && !self.made.files.contains_key(&under) {
                self.file(&under, path, text, is_library.then(|| name.to_owned()));
            }
            if !is_library && !self.folder.files.contains_key(inner) && !self.made.files.contains_key(inner) {
                self.file(inner, path, text, None);
            }
        }
    }

    fn file(&mut self, path: &str, shown: &str, text: &str, home: Option<String>) {
        let is_long = text.len() > limits::FILE_BYTES;
        let file = self.made.sources.add(shown, if is_long { "" } else { text }, self.report);
        let source = self.made.sources.get(file);
        if is_long {
            let message = format!("the file has {} bytes; at most {} are allowed", text.len(), limits::FILE_BYTES);
            self.report.add(source.span(0, 0), codes::TOO_LARGE, message);
        } else if let Some(fault) = templates::too_complex(text) {
            // Whether a flow uses the file or not: whoever reads the folder's templates must be safe.
            let span = Anchor { source, text, scalar: None }.line(fault.line);
            self.report.add(span, codes::TEMPLATE_TOO_COMPLEX, fault.message);
        } else {
            self.made.files.insert(path.to_owned(), TextFile { file, text: text.to_owned(), home });
        }
    }
}

/// A library's file with the library's own files and functions under its name.
pub(crate) fn file_at_home(text: &str, home: &str, libraries: &[Library], files: &Files) -> String {
    let Ok(found) = templates::scan(text) else { return text.to_owned() };
    let library = libraries.iter().find(|library| library.name == home);
    let is_own = |name: &str| library.is_some_and(|library| library.callables().any(|known| known == name));
    let mut changes: Changes = Vec::new();
    for call in found.calls.iter().filter(|call| call.library.is_none() && is_own(&call.name)) {
        let start = call.range.start;
        if text.get(start..).is_some_and(|rest| rest.starts_with(&call.name)) {
            changes.push((start..start, format!("{home}.")));
        }
    }
    replaced(text, changes.into_iter().chain(inclusions(&found, home, files)).collect())
}

/// A library's macro with the library's own files under its name. The functions and macros beside it keep theirs: it is
/// loaded together with them, and under the library's name they would load it in turn.
pub(crate) fn macro_at_home(text: &str, home: &str, files: &Files) -> String {
    let Ok(found) = templates::scan(text) else { return text.to_owned() };
    replaced(text, inclusions(&found, home, files))
}

type Changes = Vec<(std::ops::Range<usize>, String)>;

fn inclusions(found: &templates::Found, home: &str, files: &Files) -> Changes {
    let mut changes = Vec::new();
    for file in &found.files {
        let under = file.name.as_ref().map(|name| format!("{home}/{name}"));
        if let Some(under) = under.filter(|under| files.contains_key(under)) {
            changes.push((file.range.clone(), format!("{under:?}")));
        }
    }
    changes
}

fn replaced(text: &str, mut changes: Changes) -> String {
    changes.sort_by_key(|(range, _)| range.start);
    let mut out = text.to_owned();
    for (range, new) in changes.into_iter().rev() {
        if out.get(range.clone()).is_some() {
            out.replace_range(range, &new);
        }
    }
    out
}

fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase())
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= limits::NAME_CHARS
}

fn size(node: &Node) -> usize {
    let children = match &node.kind {
        Kind::List(items) => items.iter().map(size).sum(),
        Kind::Map(entries) => entries.iter().map(|entry| 1 + size(&entry.value)).sum(),
        _ => 0,
    };
    1 + children
}
