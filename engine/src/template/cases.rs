//! Cases of a config: conditions that are asked in order, of which the first that is true decides.
//!
//! Invariant: nothing of a case is rendered but its condition, unless it is the one; nothing behind that is rendered at
//! all. What is left out of the rendered list stands behind the case that was chosen, so that numbers of cases stay.

use minijinja::Environment;
use serde_json::{Map, Value as Json, json};

use super::fault::Fault;
use super::scope::Scope;
use super::shape::Shape;

const CONDITION: &str = "condition";

/// The keyword of a config's schema that says how a field is rendered.
const KEYWORD: &str = "x-weir-type";
/// A list of cases: mappings with a `condition`.
const CASES: &str = "cases";
/// Counts where none of the cases beside it holds.
const OTHERWISE: &str = "otherwise";

fn says(schema: &Json, word: &str) -> bool {
    schema[KEYWORD] == word
}

/// Marks the cases in a config, as its executor's schema has them.
pub(super) fn mark(config: Shape, schema: &Json) -> Shape {
    let Shape::Map(fields) = config else { return config };
    let marked = fields.into_iter().map(|(name, shape)| {
        let field = &schema["properties"][&name];
        let shape = match shape {
            Shape::List(items) if says(field, CASES) => Shape::Cases(items),
            shape if says(field, OTHERWISE) => Shape::Otherwise(Box::new(shape)),
            shape => shape,
        };
        (name, shape)
    });
    Shape::Map(marked.collect())
}

/// Every case up to the one that is chosen: those before it are their conditions alone.
pub(super) fn render(items: &[Shape], environment: &Environment<'_>, scope: &Scope) -> Result<Json, Fault> {
    let mut cases = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let within = |fault: Fault| fault.within(&index.to_string());
        let Some(condition) = condition_of(item, environment, scope).map_err(within)? else {
            cases.push(item.render(environment, scope).map_err(within)?);
            continue;
        };
        if condition == true {
            cases.push(item.render(environment, scope).map_err(within)?);
            break;
        }
        let is_asked = condition == false;
        cases.push(json!({ CONDITION: condition }));
        if !is_asked {
            // Neither true nor false: the executor says so, and which case it was.
            break;
        }
    }
    Ok(Json::Array(cases))
}

fn condition_of(item: &Shape, environment: &Environment<'_>, scope: &Scope) -> Result<Option<Json>, Fault> {
    match item {
        Shape::Literal(item) => Ok(item.get(CONDITION).cloned()),
        Shape::Map(fields) => {
            let condition = fields.iter().find(|(name, _)| name == CONDITION);
            let render = |(_, shape): &(String, Shape)| shape.render(environment, scope);
            condition.map(render).transpose().map_err(|fault| fault.within(CONDITION))
        }
        _ => Ok(None),
    }
}

/// Whether a rendered value is a list of cases of which one was chosen.
pub(super) fn has_chosen(value: &Json) -> bool {
    value.as_array().is_some_and(|cases| cases.iter().any(|case| case[CONDITION] == true))
}

/// The schema that a rendered config fits: a case that was not chosen is its condition alone.
pub(super) fn rendered_schema(schema: &Json) -> Json {
    let mut schema = schema.clone();
    for field in schema["properties"].as_object_mut().map(Map::values_mut).into_iter().flatten() {
        if says(field, CASES) {
            let case = field["items"].take();
            field["items"] = json!({
                "if": { "required": [CONDITION], "properties": { CONDITION: { "const": true } } },
                "then": case,
                "else": { "required": [CONDITION] },
            });
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::analysis::Names;
    use super::super::environment::{Place, environment};
    use super::*;

    fn schema() -> Json {
        json!({"type": "object", "required": ["routes"], "additionalProperties": false, "properties": {
            "routes": {"type": "array", "minItems": 1, "x-weir-type": "cases", "items": {
                "type": "object", "required": ["condition", "flow_name"], "additionalProperties": false,
                "properties": {
                    "condition": {"x-weir-type": "condition"}, "flow_name": {"type": "string"}, "inputs": {}
                }
            }},
            "default": {"x-weir-type": "otherwise"}
        }})
    }

    fn rendered(config: &Json, inputs: &Json) -> Result<Json, Fault> {
        let mut environment = environment(&BTreeMap::new(), &[], Place::Here);
        let mut shape = mark(Shape::new(config, "t", Names::plain(&|_| None)), &schema());
        shape.add_to(&mut environment);
        let mut scope = Scope::default();
        scope.set_json("inputs", inputs);
        shape.render(&environment, &scope)
    }

    fn config() -> Json {
        json!({"default": {"flow_name": "{{ inputs.other }}"}, "routes": [
            {"condition": "{{ inputs.a is defined }}", "flow_name": "one", "inputs": {"x": "{{ inputs.a.x }}"}},
            {"condition": "{{ inputs.k > 1 }}", "flow_name": "{{ inputs.two }}"},
            {"condition": "{{ inputs.k + 1 }}", "flow_name": "three"},
        ]})
    }

    #[test]
    fn conditions_are_asked_in_order_and_only_what_is_chosen_is_rendered() {
        let validator = jsonschema::validator_for(&rendered_schema(&schema())).expect("a schema");
        for (inputs, routes) in [
            (json!({"a": {"x": 7}}), json!([{"condition": true, "flow_name": "one", "inputs": {"x": 7}}])),
            (json!({"k": 2, "two": "t"}), json!([{"condition": false}, {"condition": true, "flow_name": "t"}])),
        ] {
            let config = rendered(&config(), &inputs).expect("the others are not rendered");
            assert_eq!(config, json!({ "routes": routes }));
            assert!(validator.is_valid(&config), "{config}");
        }
        let mut none = config();
        none["routes"].as_array_mut().expect("routes").truncate(2);
        assert_eq!(
            rendered(&none, &json!({"k": 0, "other": "o"})).expect("the default is rendered"),
            json!({"routes": [{"condition": false}, {"condition": false}], "default": {"flow_name": "o"}})
        );
    }

    #[test]
    fn what_is_wrong_with_a_case_is_found_at_its_place() {
        // Neither true nor false: the executor names the case.
        let mut config = config();
        config["default"] = json!(null);
        let routes = json!([{"condition": false}, {"condition": false}, {"condition": 2}]);
        let found = rendered(&config, &json!({"k": 1})).expect("left to the executor");
        assert_eq!(found["routes"], routes);
        let fault = rendered(&config, &json!({"k": 2})).expect_err("`two` is missing");
        assert_eq!((fault.code.as_str(), fault.pointer.as_str()), ("undefined_name", "/routes/1/flow_name"));
        let fault = rendered(&config, &json!({})).expect_err("`k` is missing");
        assert_eq!(fault.pointer, "/routes/1/condition");
        // What was chosen still has to fit.
        let validator = jsonschema::validator_for(&rendered_schema(&schema())).expect("a schema");
        for wrong in
            [json!([{"condition": true}]), json!([{"condition": true, "flow_name": 1}]), json!([{}]), json!([])]
        {
            assert!(!validator.is_valid(&json!({ "routes": wrong })), "{wrong}");
        }
    }
}
