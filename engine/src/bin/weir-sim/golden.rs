//! Journals that earlier versions wrote, kept for good: a newer engine must read each to the same outcome, or a run that
//! was under way during an upgrade is lost.
//!
//! Invariant: a file is never changed once its version was released; a new construct brings new files.

use std::path::Path;
use std::sync::Arc;

use engine::Entry;
use engine::dispatcher::{Graph, State};
use language::Plan;
use serde::{Deserialize, Serialize};

use crate::plans;
use crate::world::Simulated;

/// One run as it is kept.
#[derive(Serialize, Deserialize)]
struct Golden {
    plan: Plan,
    journal: Vec<Entry>,
    /// The run's status, and each step's, in written order.
    outcome: (String, Vec<String>),
}

fn outcome(state: &State) -> (String, Vec<String>) {
    let end = state.end.as_ref().map_or("resting", |end| end.status.as_str());
    (end.to_owned(), state.steps.iter().map(|step| step.unit.status.to_string()).collect())
}

/// Writes a run to `<folder>/<name>.json`, where no file of that name is.
pub(crate) fn write(folder: &Path, name: &str, graph: &Graph, run: &Simulated) -> Result<(), String> {
    let state = State::replay(graph, &run.journal).map_err(|misfit| misfit.to_string())?;
    let golden = Golden { plan: (**graph.plan()).clone(), journal: run.journal.clone(), outcome: outcome(&state) };
    let text = serde_json::to_string(&golden).map_err(|error| error.to_string())?;
    let path = folder.join(format!("{name}.json"));
    if path.exists() {
        return Err(format!("{} is there already, and golden journals do not change", path.display()));
    }
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads every journal of a folder; gives their number.
pub(crate) fn replay_all(folder: &Path) -> Result<usize, String> {
    let all = read(folder)?;
    let count = all.len();
    for (name, golden) in all {
        let graph = Graph::new(Arc::new(golden.plan), &plans::registry());
        let state = State::replay(&graph, &golden.journal).map_err(|misfit| format!("{name}: {misfit}"))?;
        if outcome(&state) != golden.outcome {
            return Err(format!("{name}: reads as {:?}, and was {:?}", outcome(&state), golden.outcome));
        }
    }
    Ok(count)
}

/// Everything that happened in the journals of a folder.
#[cfg(test)]
pub(crate) fn events(folder: &Path) -> Result<Vec<engine::Event>, String> {
    let journals = read(folder)?.into_iter().flat_map(|(_, golden)| golden.journal);
    Ok(journals.map(|entry| entry.event).collect())
}

fn read(folder: &Path) -> Result<Vec<(String, Golden)>, String> {
    let mut all = Vec::new();
    let files = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in files {
        let path = file.map_err(|error| error.to_string())?.path();
        let at = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|error| at(&error))?;
        all.push((path.display().to_string(), serde_json::from_str(&text).map_err(|error| at(&error))?));
    }
    Ok(all)
}
