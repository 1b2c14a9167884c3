//! The flow language: parse, check, plan. No I/O; compiles to wasm, so that one checker serves program and browser.
//!
//! Invariant: no text, however hostile, makes anything here panic, overflow or take long; [`limits`] says how.

mod build;
pub mod catalogue;
mod check;
pub mod codes;
pub mod duration;
pub mod flow;
mod graph;
pub mod inputs;
mod json_schema;
pub mod limits;
pub mod names;
pub mod node;
pub mod plan;
pub mod problem;
mod read;
mod reader;
mod report;
mod schema;
pub mod source;
pub mod suggest;
mod templates;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use catalogue::{Catalogue, Control, CostKind, DataKind, Effect, EffectRule, ExecutorSpec, MainInput, MarkedField};
pub use flow::Flow;
pub use graph::graph;
pub use plan::Plan;
pub use problem::{Problem, Severity};
pub use read::is_flow_name;
pub use schema::schema;

use report::Report;
use source::Source;

/// The file that holds the flow, within its folder.
pub const FLOW_FILE: &str = "flow.yaml";

/// A flow's folder as text: `flow.yaml` and the files beside it, by path within the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// The folder's or the URL's name for the flow; `name:` in the YAML must agree.
    pub name: Option<String>,
    pub yaml: String,
    pub files: BTreeMap<String, String>,
}

/// What became of a folder: a plan if there are no errors, and all problems, by file and place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Compiled {
    pub plan: Option<Plan>,
    pub problems: Vec<Problem>,
}

/// Reads a flow as it is written: shapes, names, bounds.
#[must_use]
pub fn parse(folder: &Folder) -> (Option<Flow>, Vec<Problem>) {
    let mut report = Report::default();
    let source = Source::new(FLOW_FILE, bounded(&folder.yaml));
    let flow = read_flow(folder, &source, &mut report);
    (flow, report.finish())
}

/// Reads a flow, checks it against the executors that there are, and plans it.
#[must_use]
pub fn compile(folder: &Folder, catalogue: &Catalogue) -> Compiled {
    let mut report = Report::default();
    let source = Source::new(FLOW_FILE, bounded(&folder.yaml));
    let flow = read_flow(folder, &source, &mut report);
    let files = files(folder, &mut report);
    let plan = flow.and_then(|flow| {
        let subject = check::Subject { flow: &flow, catalogue, source: &source, files: &files, texts: &folder.files };
        let analysis = check::analyse(subject, &mut report);
        if report.has_errors() {
            return None;
        }
        Some(build::plan(analysis, folder.name.clone(), folder.files.clone()))
    });
    Compiled { plan, problems: report.finish() }
}

/// Why a text chains or nests too much to be parsed as a template at all: building, walking and dropping its tree is
/// recursive. An expression is asked about in braces.
#[must_use]
pub fn too_complex(template: &str) -> Option<String> {
    templates::too_complex(template).map(|fault| fault.message)
}

/// Reads a small YAML file that is no flow, by the same strict rules and within the same budgets.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn yaml_to_json(text: &str) -> Result<serde_json::Value, String> {
    let mut report = Report::default();
    let source = Source::new("file", bounded(text));
    let root = yaml::parse(&source, text, &mut report);
    match report.finish().into_iter().next() {
        Some(problem) => Err(format!("line {}: {}", problem.line, problem.message)),
        None => Ok(root.map_or(serde_json::Value::Null, |root| root.to_json())),
    }
}

/// An overlong text is refused by the parser; its places need not be known.
fn bounded(text: &str) -> &str {
    if text.len() > limits::YAML_BYTES { "" } else { text }
}

fn read_flow(folder: &Folder, source: &Source, report: &mut Report) -> Option<Flow> {
    let text = folder.yaml.strip_prefix('\u{feff}').unwrap_or(&folder.yaml);
    let Some(root) = yaml::parse(source, text, report) else {
        if !report.has_errors() {
            let message = "the file is empty; a flow needs `steps`";
            report.hint(
                &source.file,
                source.span(0, 0),
                codes::MISSING_KEY,
                (message, "steps:\n  - name: first\n    executor: ..."),
            );
        }
        return None;
    };
    read::flow(&mut reader::Reader { file: &source.file, report }, &root, folder.name.as_deref())
}

/// The texts beside the flow, within their limits.
fn files(folder: &Folder, report: &mut Report) -> BTreeMap<String, Source> {
    let nowhere = source::Span::default();
    let total: usize = folder.files.values().map(String::len).sum();
    if folder.files.len() > limits::FILES || total > limits::FOLDER_BYTES {
        let message = format!(
            "the folder holds {} files with {total} bytes; at most {} files and {} bytes are allowed",
            folder.files.len(),
            limits::FILES,
            limits::FOLDER_BYTES
        );
        report.add(FLOW_FILE, nowhere, codes::TOO_LARGE, message);
        return BTreeMap::new();
    }
    let mut sources = BTreeMap::new();
    for (path, text) in &folder.files {
        if text.len() > limits::FILE_BYTES {
            let message = format!("the file has {} bytes; at most {} are allowed", text.len(), limits::FILE_BYTES);
            report.add(path, nowhere, codes::TOO_LARGE, message);
        } else if let Some(fault) = templates::too_complex(text) {
            // Whether a flow uses the file or not: whoever reads the folder's templates must be safe.
            let source = Source::new(path, text);
            let span = source::Anchor { source: &source, text, scalar: None }.line(fault.line);
            report.add(path, span, codes::TEMPLATE_TOO_COMPLEX, fault.message);
        } else {
            sources.insert(path.clone(), Source::new(path, text));
        }
    }
    sources
}
