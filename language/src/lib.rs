//! The flow language: parse, check, plan. No I/O; compiles to wasm, so that one checker serves program and browser.
//!
//! Invariant: no text, however hostile, makes anything here panic, overflow or take long; [`limits`] says how.

mod build;
mod calls;
mod canonical;
pub mod catalogue;
mod check;
pub mod codes;
mod compose;
mod contract;
pub mod duration;
pub mod flow;
mod graph;
pub mod inputs;
pub mod json_schema;
pub mod limits;
pub mod names;
pub mod node;
pub mod plan;
pub mod problem;
mod read;
mod reader;
mod report;
mod schema;
mod schema_work;
pub mod source;
pub mod suggest;
mod templates;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use calls::{Call, Callee, Pinned, Tenancy, callees, calls, check_calls, check_references};
pub use canonical::canonical;
pub use catalogue::{Catalogue, Control, CostKind, DataKind, Effect, EffectRule, ExecutorSpec, MainInput, MarkedField};
pub use contract::{Change, contract_changes};
pub use flow::Flow;
pub use graph::graph;
pub use plan::Plan;
pub use problem::{Problem, Severity};
pub use read::is_flow_name;
pub use schema::schema;

use report::Report;

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

impl Folder {
    /// Takes in a flow that this one builds on; its files stand beside this folder's, as `../<name>/...`. A version of a
    /// flow is stored with them: what it builds on does not change under it.
    pub fn take_in(&mut self, neighbour: Self, name: &str) {
        self.files.insert(format!("{}{name}/{FLOW_FILE}", compose::BESIDE), neighbour.yaml);
        let own = neighbour.files.into_iter().filter(|(path, _)| !path.starts_with(compose::BESIDE));
        self.files.extend(own.map(|(path, text)| (format!("{}{name}/{path}", compose::BESIDE), text)));
    }

    /// Without the flows that it builds on: what an author wrote.
    #[must_use]
    pub fn own_files(&self) -> BTreeMap<String, String> {
        let own = self.files.iter().filter(|(path, _)| !path.starts_with(compose::BESIDE));
        own.map(|(path, text)| (path.clone(), text.clone())).collect()
    }

    /// The flows that this one builds on (`extends`, `imports`), or that those do, and that were not taken in yet.
    #[must_use]
    pub fn missing_neighbours(&self) -> BTreeSet<String> {
        let beside = self.files.iter().filter(|(path, _)| path.starts_with(compose::BESIDE));
        let flows = beside.filter(|(path, _)| path.ends_with(&format!("/{FLOW_FILE}"))).map(|(_, text)| text);
        let named = flows.take(limits::NEIGHBOURS).chain([&self.yaml]).flat_map(|yaml| compose::named(yaml));
        named
            .filter(|name| self.name.as_ref() != Some(name))
            .filter(|name| !self.files.contains_key(&format!("{}{name}/{FLOW_FILE}", compose::BESIDE)))
            .collect()
    }
}

/// Reads a flow as it is written: shapes, names, bounds.
#[must_use]
pub fn parse(folder: &Folder) -> (Option<Flow>, Vec<Problem>) {
    let mut report = Report::default();
    let composed = compose::compose(folder, &mut report);
    let flow = read_flow(folder, composed.root.as_ref(), &mut report);
    (flow, report.finish())
}

/// Reads a flow, checks it against the executors that there are, and plans it.
#[must_use]
pub fn compile(folder: &Folder, catalogue: &Catalogue) -> Compiled {
    let mut report = Report::default();
    let composed = compose::compose(folder, &mut report);
    let flow = read_flow(folder, composed.root.as_ref(), &mut report);
    let plan = flow.and_then(|flow| {
        let steps = flow.all_steps();
        let subject = check::Subject {
            flow: &flow,
            steps: &steps,
            catalogue,
            sources: &composed.sources,
            files: &composed.files,
            libraries: &composed.libraries,
        };
        let analysis = check::analyse(subject, &mut report);
        (!report.has_errors()).then(|| build::plan(analysis, subject, folder.name.clone()))
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
    let mut sources = source::Sources::default();
    let file = sources.add("file", bounded(text), &mut report);
    let root = yaml::parse(sources.get(file), text, &mut report);
    match report.finish().into_iter().next() {
        Some(problem) => Err(format!("line {}: {}", problem.line, problem.message)),
        None => Ok(root.map_or(serde_json::Value::Null, |root| root.to_json())),
    }
}

/// An overlong text is refused by the parser; its places need not be known.
fn bounded(text: &str) -> &str {
    if text.len() > limits::YAML_BYTES { "" } else { text }
}

fn read_flow(folder: &Folder, root: Option<&node::Node>, report: &mut Report) -> Option<Flow> {
    let Some(root) = root else {
        if !report.has_errors() {
            let message = "the file is empty; a flow needs `steps`";
            let hint = "steps:\n  - name: first\n    executor: ...";
            report.hint(source::Span::default(), codes::MISSING_KEY, (message, hint));
        }
        return None;
    };
    read::flow(&mut reader::Reader { report }, root, folder.name.as_deref())
}
