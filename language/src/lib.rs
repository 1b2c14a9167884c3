//! The flow language: parse, check, plan. No I/O; compiles to wasm, so that one checker serves program and browser.

pub mod catalogue;
pub mod plan;
pub mod problem;

pub use catalogue::{Catalogue, CostKind, DataKind, Effect, EffectRule, ExecutorSpec, MainInput, MarkedField};
pub use plan::Plan;
pub use problem::{Problem, Severity};

use std::collections::BTreeMap;

/// A flow's folder as text: `flow.yaml` and the files beside it, by path within the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folder {
    /// The folder's or the URL's name for the flow; `name:` in the YAML must agree.
    pub name: Option<String>,
    pub yaml: String,
    pub files: BTreeMap<String, String>,
}
