//! The flows of a pipeline, and the templates between them. The step itself does not render these: they are rendered when the
//! flow before has given its output.
//!
//! Invariant: such a template sees `output` and `inputs`, and nothing else of the flow.

use serde_json::{Map, Value, json};

use super::Way;
use super::scope::{Closed, Scope, Templates};
use crate::codes;
use crate::node::{Kind, Node};
use crate::templates;

pub(super) fn check(templates: &mut Templates<'_, '_>, way: &Way<'_>, outside: &Scope) {
    let (Some(config), "flow_pipeline") = (way.config, way.executor.value.as_str()) else { return };
    let inputs = inputs(templates, config.get("inputs"), outside);
    for (index, stage) in config.get("flows").map(Node::items).unwrap_or_default().iter().enumerate() {
        if let Some(name) = stage.get("flow_name").or(Some(stage))
            && name.as_str().is_some_and(templates::is_template)
        {
            let message = "the flows of a pipeline are named, not computed";
            let hint = "Choose among flows with `flow_router`, in steps one behind the other.";
            templates.report.hint(name.span, codes::CONFIG_MISFIT, (message, hint));
        }
        let Some(mapping) = stage.get("inputs") else { continue };
        // The first flow is given what the pipeline is given. What the others are given is known where they are.
        let output = if index == 0 { inputs.clone() } else { Value::Bool(true) };
        let scope = Scope {
            closed: Some(Closed::Pipeline),
            extra: [("output".to_owned(), output), ("inputs".to_owned(), inputs.clone())].into(),
            ..Scope::default()
        };
        super::steps::node(templates, mapping, &scope);
    }
}

/// What is known of the pipeline's inputs, where their keys are written.
fn inputs(templates: &Templates<'_, '_>, written: Option<&Node>, scope: &Scope) -> Value {
    let Some(Node { kind: Kind::Map(entries), .. }) = written else { return Value::Bool(true) };
    let fields = entries.iter().map(|entry| (entry.key.clone(), templates.value_schema(&entry.value, scope)));
    let properties: Map<String, Value> = fields.collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}
