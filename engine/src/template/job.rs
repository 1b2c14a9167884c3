//! A render as a job for a sandbox child.
//!
//! Invariant: the job carries all that the render reads and nothing else; the child keeps nothing of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::environment::{Place, environment};
use super::fault::Fault;
use super::scope::ScopeParts;
use super::shape::Shape;

/// The job's name in the sandbox.
pub const JOB: &str = "engine.render";

#[derive(Debug, Serialize, Deserialize)]
pub struct RenderJob {
    pub(super) shape: Shape,
    pub(super) scope: ScopeParts,
    pub(super) files: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) functions: Vec<python::Definition>,
}

/// The handler of [`JOB`]: a fault of the template is an answer, not a refusal.
pub fn render_job(job: Json) -> Result<Json, sandbox::JobError> {
    let job: RenderJob =
        serde_json::from_value(job).map_err(|error| sandbox::JobError::new("bad_job", error.to_string()))?;
    let answer = job.render();
    serde_json::to_value(answer).map_err(|error| sandbox::JobError::new("bad_answer", error.to_string()))
}

impl RenderJob {
    pub(super) fn render(mut self) -> Result<Json, Fault> {
        let mut environment = environment(&self.files, &self.functions, Place::Child);
        self.shape.add_to(&mut environment);
        self.shape.render(&environment, &self.scope.scope())
    }
}

/// Adds the engine's jobs to a sandbox child's.
#[must_use]
pub fn handlers(handlers: sandbox::Handlers) -> sandbox::Handlers {
    python::handlers(handlers).with(JOB, |job, _| Ok((render_job(job)?, bytes::Bytes::new())))
}
