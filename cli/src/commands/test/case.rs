//! What a test file says.
//!
//! Invariant: an unknown key is an error; a file holds at least one case, and their names differ.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::{Failure as RunFailure, FailureKind, RunStatus, StepStatus};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::exit::{Exit, Failure};

/// One case: a run of the flow and what must come of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) name: String,
    #[serde(default)]
    pub(super) inputs: Map<String, Value>,
    /// File inputs by name: a path within the flow's folder, or `{name, text}`.
    #[serde(default)]
    pub(super) files: BTreeMap<String, Source>,
    /// By step: what happens instead of its executor.
    #[serde(default)]
    pub(super) mocks: BTreeMap<String, Mock>,
    #[serde(default)]
    pub(super) secrets: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) expect: Expect,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Source {
    Path(String),
    Written(Written),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    pub(super) name: String,
    pub(super) text: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mock {
    /// What the step gives.
    pub(super) output: Option<Value>,
    /// What it gives one call after the other; the last one stays. For a step with `for_each`, by item.
    pub(super) outputs: Option<Vec<Value>>,
    /// How it fails: a kind, or more about it. With `times`, only so many calls do.
    pub(super) error: Option<MockError>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum MockError {
    Kind(FailureKind),
    Full(FullError),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FullError {
    kind: FailureKind,
    code: Option<String>,
    message: Option<String>,
    retryable: Option<bool>,
    pub(super) times: Option<usize>,
}

impl MockError {
    pub(super) fn failure(&self) -> RunFailure {
        match self {
            Self::Kind(kind) => RunFailure::new(*kind, kind.as_str(), "The test says so."),
            Self::Full(error) => {
                let code = error.code.as_deref().unwrap_or(error.kind.as_str());
                let message = error.message.as_deref().unwrap_or("The test says so.");
                let failure = RunFailure::new(error.kind, code, message);
                match error.retryable {
                    Some(retryable) => failure.retryable(retryable),
                    None => failure,
                }
            }
        }
    }

    pub(super) const fn times(&self) -> usize {
        match self {
            Self::Kind(_) | Self::Full(FullError { times: None, .. }) => usize::MAX,
            Self::Full(FullError { times: Some(times), .. }) => *times,
        }
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// How the run ends; `succeeded` unless said.
    #[serde(default = "succeeded")]
    pub(super) status: RunStatus,
    /// The outputs hold at least this.
    pub(super) outputs: Option<Value>,
    /// The outputs are this and nothing else.
    pub(super) outputs_exactly: Option<Value>,
    /// By JSON pointer into the outputs (`/lines/0/total`).
    #[serde(default)]
    pub(super) at: BTreeMap<String, Value>,
    /// How each of these steps ended.
    #[serde(default)]
    pub(super) steps: BTreeMap<String, StepStatus>,
    /// How often each of these steps was executed, or the configs that it was executed with.
    #[serde(default)]
    pub(super) calls: BTreeMap<String, Calls>,
    /// The run's error holds at least this: `{code, kind, message}`.
    pub(super) error: Option<Value>,
    pub(super) failed_step: Option<String>,
}

impl Default for Expect {
    fn default() -> Self {
        Self {
            status: succeeded(),
            outputs: None,
            outputs_exactly: None,
            at: BTreeMap::new(),
            steps: BTreeMap::new(),
            calls: BTreeMap::new(),
            error: None,
            failed_step: None,
        }
    }
}

const fn succeeded() -> RunStatus {
    RunStatus::Succeeded
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Calls {
    Count(usize),
    Configs(Vec<Value>),
}

/// The cases in `tests/*.yaml` of a flow's folder, each with the file that it stands in.
pub(super) fn read(folder: &Path) -> Result<Vec<(PathBuf, Case)>, Failure> {
    let tests = folder.join("tests");
    let Ok(entries) = std::fs::read_dir(&tests) else { return Ok(Vec::new()) };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .collect();
    paths.sort();
    let mut cases: Vec<(PathBuf, Case)> = Vec::new();
    for path in paths {
        for case in file(&path)? {
            if cases.iter().any(|(_, other)| other.name == case.name) {
                return Err(wrong(&path, &format!("two cases are called `{}`", case.name)));
            }
            cases.push((path.clone(), case));
        }
    }
    Ok(cases)
}

fn file(path: &Path) -> Result<Vec<Case>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| wrong(path, &error.to_string()))?;
    let value = language::yaml_to_json(&text).map_err(|problem| wrong(path, &problem))?;
    let written = match value {
        Value::Array(cases) => cases,
        one => vec![one],
    };
    if written.is_empty() {
        return Err(wrong(path, "it holds no case"));
    }
    let case = |value: Value| {
        let name = value.get("name").and_then(Value::as_str).unwrap_or("without a name").to_owned();
        serde_json::from_value(value).map_err(|error| wrong(path, &format!("case `{name}`: {error}")))
    };
    written.into_iter().map(case).collect()
}

fn wrong(path: &Path, what: &str) -> Failure {
    Failure::new(Exit::Validation, format!("{}: {what}", path.display()))
}
