//! The key of a `concurrency` limit: a template over the inputs, rendered in place.
//!
//! Invariant: a key is short, without control characters, and costs little to make.

use domain::{Failure, FailureKind};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Expressions, Scope, Weight};

/// Keys are kept as they are up to this length, and by their hash beyond it.
const KEY: usize = 120;

/// Renders the key of a limit.
///
/// # Errors
/// A fault of the flow: its template takes too much work, or reads what is not there.
pub fn limit_key(template: &str, flow: &str, inputs: &Value) -> Result<String, Failure> {
    let fault = |message: String| Failure::new(FailureKind::Flow, "concurrency_key", message);
    let mut expressions = Expressions::default();
    let handle = expressions.add(&Value::String(template.to_owned()));
    if expressions.weight() != Weight::Cheap {
        return Err(fault("The key of `concurrency` takes too much work; read a field of the inputs.".to_owned()));
    }
    let mut scope = Scope::default();
    scope.set_json("inputs", inputs);
    scope.set_json("flow", &serde_json::json!({ "name": flow }));
    let value = expressions
        .render(handle, &scope)
        .map_err(|error| fault(format!("The key of `concurrency` cannot be rendered: {}", error.message)))?;
    let text = match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    if text.len() <= KEY && !text.chars().any(char::is_control) {
        return Ok(text);
    }
    Ok(hex::encode(Sha256::digest(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_is_rendered_from_the_inputs_and_bounded() {
        let key = |template: &str, inputs: Value| limit_key(template, "intake", &inputs);
        assert_eq!(key("{{ inputs.customer }}", json!({"customer": "ada"})).unwrap(), "ada");
        assert_eq!(key("{{ flow.name }}-{{ inputs.number }}", json!({"number": 7})).unwrap(), "intake-7");
        let long = key("{{ inputs.customer }}", json!({"customer": "x".repeat(5_000)})).unwrap();
        assert_eq!(long.len(), 64);
        assert_eq!(key("{{ inputs.nobody }}", json!({})).unwrap_err().code, "concurrency_key");
        let costly = "{% for a in range(9) %}{{ a }}{% endfor %}";
        assert_eq!(key(costly, json!({})).unwrap_err().code, "concurrency_key");
    }
}
