//! What `weir check` and `weir run` share: flows from this machine's folders, and how their problems are shown.
//!
//! Invariant: nothing here talks to a store or a server.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use language::{Compiled, Folder, Problem, Severity};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::output::Output;

const FLOW_FILE: &str = "flow.yaml";

/// A flow on this machine.
pub(super) struct LocalFlow {
    pub(super) name: String,
    /// What its files are shown under.
    pub(super) path: PathBuf,
    pub(super) folder: Folder,
}

/// Reads one flow: its folder, its `flow.yaml`, or a YAML file by itself.
pub(super) fn read_flow(path: &Path) -> Result<LocalFlow, Failure> {
    let whole = match path.parent() {
        // A flow.yaml stands for its folder: its prompts lie beside it.
        Some(parent) if path.is_file() && path.file_name().is_some_and(|name| name == FLOW_FILE) => {
            if parent.as_os_str().is_empty() { Path::new(".") } else { parent }
        }
        _ => path,
    };
    if !whole.exists() {
        return Err(Failure::new(Exit::NotFound, format!("{} does not exist", path.display())));
    }
    if whole.is_dir() && !whole.join(FLOW_FILE).is_file() {
        return Err(Failure::new(Exit::NotFound, format!("{} has no {FLOW_FILE}", path.display())));
    }
    let (name, folder) = service::flows::folder::read_path(whole)?;
    let folder = with_neighbours(whole, folder);
    Ok(LocalFlow { name, path: whole.to_owned(), folder })
}

/// The folder with the flows that it extends and imports, which lie beside it. What is not there the checker reports.
fn with_neighbours(path: &Path, mut folder: Folder) -> Folder {
    let own = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let Some(beside) = own.parent() else { return folder };
    let mut tried = std::collections::BTreeSet::new();
    while tried.len() < language::limits::NEIGHBOURS {
        let missing: Vec<String> = folder.missing_neighbours().difference(&tried).cloned().collect();
        if missing.is_empty() {
            break;
        }
        for name in missing {
            let path = beside.join(&name);
            if path.join(FLOW_FILE).is_file()
                && let Ok((_, neighbour)) = service::flows::folder::read_path(&path)
            {
                folder.take_in(neighbour, &name);
            }
            tried.insert(name);
        }
    }
    folder
}

/// Reads one flow, or all flows that lie in a folder side by side.
pub(super) fn read_flows(path: &Path) -> Result<Vec<LocalFlow>, Failure> {
    if !path.is_dir() || path.join(FLOW_FILE).is_file() {
        return Ok(vec![read_flow(path)?]);
    }
    let unreadable = |error: std::io::Error| Failure::new(Exit::NotFound, format!("{}: {error}", path.display()));
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let folder = entry.map_err(unreadable)?.path();
        if folder.join(FLOW_FILE).is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    if folders.is_empty() {
        return Err(Failure::new(
            Exit::NotFound,
            format!("{} holds no flows: no {FLOW_FILE} in it or one below", path.display()),
        ));
    }
    folders.iter().map(|folder| read_flow(folder)).collect()
}

/// The executors of this program, acting from this machine under the operator's egress rules.
pub(super) fn registry() -> Result<(engine::Registry, Arc<sandbox::Pool>), Failure> {
    let broken = |what: &str, error: &dyn std::fmt::Display| Failure::new(Exit::Failure, format!("{what}: {error}"));
    let allow = std::env::var("WEIR_EGRESS_ALLOW").unwrap_or_default();
    let proxy = std::env::var("WEIR_EGRESS_PROXY").ok();
    let policy = egress::Policy::parse(&allow, proxy.as_deref())
        .map_err(|error| Failure::new(Exit::Usage, format!("WEIR_EGRESS_ALLOW or WEIR_EGRESS_PROXY: {error}")))?;
    let egress = egress::Client::new(policy).map_err(|error| broken("the network client cannot start", &error))?;
    let sandbox = sandbox::Pool::of_this_program().map_err(|error| broken("the sandbox cannot start", &error))?;
    let sandbox = Arc::new(sandbox);
    let tools = executors::Tools { egress, sandbox: Arc::clone(&sandbox) };
    Ok((executors::registry(&tools), sandbox))
}

pub(super) fn compile(flow: &LocalFlow, registry: &engine::Registry) -> Compiled {
    language::compile(&flow.folder, &registry.catalogue())
}

/// All that can be said of a flow with those that lie beside it.
pub(super) fn check(flow: &LocalFlow, registry: &engine::Registry) -> Vec<Problem> {
    let Compiled { plan, mut problems } = compile(flow, registry);
    let Some(plan) = plan else { return problems };
    let own = flow.path.canonicalize().unwrap_or_else(|_| flow.path.clone());
    let beside = own.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let mut known = BTreeMap::new();
    let mut tried = std::collections::BTreeSet::from([flow.name.clone()]);
    let mut wanted = callees(&plan);
    while let Some(name) = wanted.pop() {
        let path = beside.join(&name);
        if !tried.insert(name.clone()) || !path.join(FLOW_FILE).is_file() {
            continue;
        }
        // A callee with problems has them shown when it is checked itself.
        if let Some(callee) = read_flow(&path).ok().and_then(|callee| compile(&callee, registry).plan) {
            wanted.extend(callees(&callee));
            known.insert(name, Arc::new(callee));
        }
    }
    problems.extend(language::check_calls(&flow.folder, (&flow.name, &plan), &known, &language::Pinned::new()));
    problems
}

fn callees(plan: &language::Plan) -> Vec<String> {
    language::calls(plan).iter().map(|call| call.name.to_owned()).collect()
}

/// A problem as `--json` shows it.
pub(super) fn as_json(flow: &LocalFlow, problem: &Problem) -> Value {
    json!({
        "code": problem.code, "severity": problem.severity, "message": problem.message, "hint": problem.hint,
        "file": shown_path(flow, problem), "line": problem.line, "column": problem.column,
        "end_line": problem.end_line, "end_column": problem.end_column,
    })
}

fn shown_path(flow: &LocalFlow, problem: &Problem) -> String {
    let path = if flow.path.is_dir() { flow.path.join(&problem.file) } else { flow.path.clone() };
    let path = path.to_string_lossy();
    path.strip_prefix("./").unwrap_or(&path).to_owned()
}

/// A problem for people: place and message, the line with its mark, the hint.
pub(super) fn as_text(flow: &LocalFlow, problem: &Problem) -> String {
    let severity = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let path = shown_path(flow, problem);
    let mut text =
        format!("{path}:{}:{}: {severity}[{}]: {}", problem.line, problem.column, problem.code, problem.message);
    let source = if problem.file == FLOW_FILE { Some(&flow.folder.yaml) } else { flow.folder.files.get(&problem.file) };
    let line = source.and_then(|source| source.lines().nth((problem.line as usize).checked_sub(1)?));
    if let Some(line) = line {
        let number = problem.line.to_string();
        let margin = " ".repeat(number.len());
        let _ = write!(text, "\n{margin} |\n{number} | {line}\n{margin} | {}", caret(line, problem));
    }
    if let Some(hint) = &problem.hint {
        for (index, part) in hint.lines().enumerate() {
            let lead = if index == 0 { "  hint: " } else { "        " };
            let _ = write!(text, "\n{lead}{part}");
        }
    }
    text
}

/// Tabs stay tabs, so that the mark stands under its text whatever their width.
fn caret(line: &str, problem: &Problem) -> String {
    let start = (problem.column as usize).saturating_sub(1);
    let length = line.chars().count();
    let end = if problem.end_line == problem.line { problem.end_column as usize } else { length + 1 };
    let width = end.saturating_sub(problem.column as usize).clamp(1, (length + 1).saturating_sub(start).max(1));
    let lead: String = line.chars().take(start).map(|letter| if letter == '\t' { '\t' } else { ' ' }).collect();
    format!("{lead}{}", "^".repeat(width))
}

/// Shows the problems of one flow that is to be run.
pub(super) fn show_problems(flow: &LocalFlow, problems: &[Problem], output: Output) {
    for problem in problems {
        output.note(&as_text(flow, problem));
    }
}

/// Other flows beside this one, by folder name, read when they are called.
pub(super) struct Siblings {
    folder: PathBuf,
    registry: engine::Registry,
    plans: std::sync::Mutex<BTreeMap<String, Arc<language::Plan>>>,
}

impl Siblings {
    pub(super) fn of(flow: &LocalFlow, registry: engine::Registry) -> Self {
        let own = flow.path.canonicalize().unwrap_or_else(|_| flow.path.clone());
        let folder = own.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
        Self { folder, registry, plans: std::sync::Mutex::default() }
    }
}

impl engine::memory::FlowLoader for Siblings {
    fn load(&self, name: &str) -> Result<Arc<language::Plan>, domain::Failure> {
        let fault = |code: &str, message: String| domain::Failure::new(domain::FailureKind::Flow, code, message);
        if !language::is_flow_name(name) {
            return Err(fault("unknown_flow", format!("`{name}` is no flow's name.")));
        }
        let mut plans = self.plans.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(plan) = plans.get(name) {
            return Ok(Arc::clone(plan));
        }
        let path = self.folder.join(name);
        let flow = read_flow(&path).map_err(|_| {
            fault("unknown_flow", format!("There is no flow `{name}` beside this one ({}).", path.display()))
        })?;
        let compiled = compile(&flow, &self.registry);
        let Some(plan) = compiled.plan else {
            let first = compiled.problems.iter().find(|problem| problem.severity == Severity::Error);
            let why = first.map_or_else(String::new, |problem| as_text(&flow, problem));
            return Err(fault("invalid_flow", format!("The flow `{name}` has problems.\n{why}")));
        };
        let plan = Arc::new(plan);
        plans.insert(name.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_shown_with_its_line_mark_and_hint() {
        let yaml = "steps:\n  - name: a\n    executor: actt\n";
        let flow = LocalFlow {
            name: "x".to_owned(),
            path: PathBuf::from("flows/x.yaml"),
            folder: Folder { name: None, yaml: yaml.to_owned(), files: BTreeMap::new() },
        };
        let problem = Problem {
            code: "F012".to_owned(),
            severity: Severity::Error,
            message: "there is no executor `actt`".to_owned(),
            hint: Some("did you mean `act`?".to_owned()),
            file: FLOW_FILE.to_owned(),
            line: 3,
            column: 15,
            end_line: 3,
            end_column: 19,
        };
        let shown = "flows/x.yaml:3:15: error[F012]: there is no executor `actt`\n  |\n3 |     executor: actt\n  |               ^^^^\n  hint: did you mean `act`?";
        assert_eq!(as_text(&flow, &problem), shown);
    }
}
