//! `weir check`: the problems of a flow, or of all flows in a folder.
//!
//! Invariant: nothing is run, and nothing but the flows' files is read.

use language::Severity;
use serde_json::{Value, json};

use super::local;
use crate::arguments::CheckArguments;
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) fn check(arguments: &CheckArguments, output: Output) -> Result<Exit, Failure> {
    let flows = local::read_flows(&arguments.path)?;
    let (registry, _) = local::registry()?;
    let mut problems: Vec<Value> = Vec::new();
    let (mut errors, mut warnings) = (0, 0);
    for flow in &flows {
        for problem in local::check(flow, &registry) {
            match problem.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
            if output.is_json() {
                problems.push(local::as_json(flow, &problem));
            } else {
                output.line(&local::as_text(flow, &problem));
                output.line("");
            }
        }
    }
    if output.is_json() {
        output.object(&json!({ "problems": problems }));
    } else {
        output.note(&summary(flows.len(), errors, warnings));
    }
    Ok(if errors > 0 { Exit::Validation } else { Exit::Ok })
}

fn summary(flows: usize, errors: usize, warnings: usize) -> String {
    let count = |number: usize, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let flows = count(flows, "flow");
    match (errors, warnings) {
        (0, 0) => format!("{flows} checked: no problems"),
        _ => format!("{flows} checked: {}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}
