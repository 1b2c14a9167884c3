//! A piece of Python as a job for a sandbox child: what the `python` executor runs.
//!
//! Invariant: the job carries all that the code sees and nothing else; the child keeps nothing of it.

use monty_types::{ExcType, MontyException, MontyObject, NamedValues, PrintWriter};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::convert::{to_json, to_python};
use crate::fault::Fault;
use crate::module::session;

/// The job's name in the sandbox.
pub const JOB: &str = "python.run";

/// What the code may give, as JSON.
const OUTPUT_BYTES: usize = 16 << 20;
const WHAT: &str = "The code";

#[derive(Debug, Serialize, Deserialize)]
pub struct Job {
    pub code: String,
    /// In scope as `data`.
    pub data: Json,
}

impl Job {
    /// Runs the code. It gives what it returns; without a `return`, what its function `main` gives for the data; without
    /// that, the value of its last expression.
    ///
    /// # Errors
    /// The code is broken, failed, or needed more than it may use.
    pub fn run(&self) -> Result<Json, Fault> {
        let mut session = session();
        let mut values = NamedValues::new();
        values.push("data", to_python(&self.data));
        let fault = |error: &MontyException| Fault::of(error, WHAT, line(error));
        let result = match session.feed_run(&self.code, values.clone(), PrintWriter::Disabled) {
            Err(error) if returns(&error) => {
                let body = as_function(&self.code).ok_or_else(|| fault(&error))?;
                session.feed_run(&body, NamedValues::new(), PrintWriter::Disabled).map_err(|error| fault(&error))?;
                call(&mut session, BODY, &values)
            }
            Ok(_) if session.has_function("main") => call(&mut session, "main", &values),
            done => done,
        };
        to_json(&result.map_err(|error| fault(&error))?, WHAT, OUTPUT_BYTES)
    }
}

const BODY: &str = "__weir_body";

fn call(session: &mut monty::MontyRepl, name: &str, values: &NamedValues) -> Result<MontyObject, MontyException> {
    session.feed_run(&format!("{name}(data)"), values.clone(), PrintWriter::Disabled)
}

fn returns(error: &MontyException) -> bool {
    error.exc_type() == ExcType::SyntaxError && error.message().is_some_and(|text| text.contains("outside function"))
}

/// The code as the body of a function. `None` where moving its lines to the right would change a text of several lines.
fn as_function(code: &str) -> Option<String> {
    if code.contains("\"\"\"") || code.contains("'''") {
        return None;
    }
    let body: Vec<String> = code.lines().map(|line| format!(" {line}")).collect();
    // On the first line of its own, so that the numbers of the code's lines are one too high and nothing else.
    Some(format!("def {BODY}(data):\n{}\n", body.join("\n")))
}

/// The innermost line of the code that the error came from.
fn line(error: &MontyException) -> Option<u32> {
    error.traceback().iter().rev().find_map(|frame| match frame.filename.as_str() {
        "<python-input-0>" => Some(frame.start.line),
        // The code within a function of ours.
        "<python-input-1>" if frame.frame_name.as_deref() == Some(BODY) => frame.start.line.checked_sub(1),
        _ => None,
    })
}

/// Adds the jobs of this crate to a sandbox child's.
#[must_use]
pub fn handlers(handlers: sandbox::Handlers) -> sandbox::Handlers {
    handlers.with(JOB, |job, _| {
        let job: Job =
            serde_json::from_value(job).map_err(|error| sandbox::JobError::new("bad_job", error.to_string()))?;
        let answer = serde_json::to_value(job.run());
        let answer = answer.map_err(|error| sandbox::JobError::new("bad_answer", error.to_string()))?;
        Ok((answer, bytes::Bytes::new()))
    })
}
