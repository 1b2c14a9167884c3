//! How specs are written: schemas come from the Rust types that read the config and make the output.
//!
//! Invariant: a spec's config schema refuses exactly the keys that its type refuses.

use language::{CostKind, DataKind, Effect, EffectRule, ExecutorSpec, MainInput};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Value;

/// A spec of a pure, free executor without a main input. Name what differs with `..`.
pub(crate) fn plain<C: JsonSchema, O: JsonSchema>(name: &str, summary: &str) -> ExecutorSpec {
    ExecutorSpec {
        name: name.to_owned(),
        version: 1,
        summary: summary.to_owned(),
        config: schema_of::<C>(),
        output: closed(schema_of::<O>()),
        main_input: None,
        marked: Vec::new(),
        effect: EffectRule::Always(Effect::Pure),
        cost: CostKind::Free,
        streams: false,
        open_config: false,
        default_attempts: 1,
        file_fields: Vec::new(),
        raw_fields: Vec::new(),
        secret_fields: Vec::new(),
        control: None,
    }
}

/// [`plain`] for an executor that reads one file: its main input, in the field `file`.
pub(crate) fn of_file<C: JsonSchema, O: JsonSchema>(name: &str, summary: &str) -> ExecutorSpec {
    let field = "file".to_owned();
    let main_input = MainInput { field, kind: DataKind::File, list: false, required: true, needed_unless: Vec::new() };
    ExecutorSpec { main_input: Some(main_input), ..plain::<C, O>(name, summary) }
}

/// JSON Schema 2020-12 of a type. Null stays out of optional fields: in a flow, a key that is not there is left out.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    let settings =
        schemars::generate::SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.remove("$schema");
        object.remove("title");
    }
    schema
}

/// The schema of an output that is what its type says and nothing more, all the way down: who reads another field has
/// mistyped it, and the check can say so. Maps, and types that say what else they hold, stay open.
fn closed(mut schema: Value) -> Value {
    close(&mut schema);
    schema
}

fn close(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(close),
        Value::Object(map) => {
            let parted = ["anyOf", "oneOf", "allOf", "additionalProperties"].iter().any(|key| map.contains_key(*key));
            if map.get("properties").is_some_and(Value::is_object) && !parted {
                map.insert("additionalProperties".to_owned(), Value::Bool(false));
            }
            map.values_mut().for_each(close);
        }
        _ => {}
    }
}

/// A stored file, as a value.
pub(crate) fn file_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "format": "weir-file",
        "x-weir-type": "file",
        "description": "A file: an input of type `file`, or the file output of a step.",
        "required": ["file_id"],
        "properties": {
            "file_id": {"type": "string"},
            "name": {"type": "string"},
            "media_type": {"type": "string"},
            "size_bytes": {"type": "integer", "minimum": 0},
            "sha256": {"type": "string"},
        },
    })
}

/// Any JSON value at all.
pub(crate) fn any_value(_: &mut SchemaGenerator) -> Schema {
    json_schema!({})
}

/// True or false; in a flow an expression with or without braces, as in a step's own `condition`.
pub(crate) fn condition(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-weir-type": "condition"})
}

/// Any value, for when none of the cases beside it holds: rendered only then.
pub(crate) fn otherwise(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"x-weir-type": "otherwise"})
}

/// The output of an executor that gives back whatever it was given.
pub(crate) struct Anything;

impl JsonSchema for Anything {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Anything".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        any_value(generator)
    }
}
