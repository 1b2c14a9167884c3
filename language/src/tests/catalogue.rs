//! A small catalogue in the shape of the real one.

use serde_json::{Value, json};

use crate::catalogue::{
    Catalogue, Control, CostKind, DataKind, Effect, EffectRule, ExecutorSpec, MainInput, MarkedField,
};

fn spec(name: &str, config: Value, output: Value) -> ExecutorSpec {
    ExecutorSpec {
        name: name.to_owned(),
        version: 1,
        summary: format!("The {name}."),
        config,
        output,
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

#[expect(clippy::needless_pass_by_value, reason = "reads better where it is called")]
fn closed(properties: Value) -> Value {
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn main(field: &str, kind: DataKind) -> Option<MainInput> {
    Some(MainInput { field: field.to_owned(), kind, list: false, required: true, needed_unless: Vec::new() })
}

/// A model can be asked without a text, if it is asked something.
fn instead_of_text() -> Option<MainInput> {
    let needed_unless = vec!["prompt".to_owned(), "prompt_file".to_owned()];
    Some(MainInput { field: "text".to_owned(), kind: DataKind::Text, list: false, required: false, needed_unless })
}

fn text_field() -> Vec<MarkedField> {
    vec![MarkedField { field: "text".to_owned(), kind: DataKind::Text }]
}

pub(super) fn catalogue() -> Catalogue {
    let text = json!({ "type": "string" });
    let file = json!({ "type": "object" });
    let analyzer = ExecutorSpec {
        main_input: main("file", DataKind::File),
        ..spec(
            "file_analyzer",
            closed(json!({ "file": file })),
            closed(json!({ "file_type": text, "size_bytes": { "type": "integer" } })),
        )
    };
    let extractor = ExecutorSpec {
        main_input: main("file", DataKind::File),
        marked: text_field(),
        ..spec(
            "document_extractor",
            closed(
                json!({ "file": file, "pages": text, "tables": { "type": "boolean" }, "allow_empty": { "type": "boolean" } }),
            ),
            closed(json!({
                "text": text, "tables": { "type": "array" },
                "pages": { "type": "array", "items": closed(json!({ "number": { "type": "integer" }, "text": text })) },
                "metadata": closed(json!({ "title": text })),
            })),
        )
    };
    let ocr = ExecutorSpec {
        main_input: main("file", DataKind::File),
        marked: text_field(),
        ..spec(
            "ocr_processor",
            closed(
                json!({ "file": file, "languages": { "type": "array", "items": text }, "min_confidence": { "type": "number", "minimum": 0, "maximum": 1 } }),
            ),
            closed(json!({ "text": text, "confidence": { "type": "number" } })),
        )
    };
    let generic = ExecutorSpec {
        main_input: main("file", DataKind::File),
        marked: text_field(),
        ..spec("generic_processor", closed(json!({ "file": file })), closed(json!({ "text": text, "file_type": text })))
    };
    let mut llm_output = closed(json!({ "text": text, "model": text }));
    llm_output["x-schema-from"] = json!("schema");
    let llm = ExecutorSpec {
        main_input: instead_of_text(),
        marked: text_field(),
        open_config: true,
        default_attempts: 3,
        file_fields: vec!["prompt_file".to_owned()],
        cost: CostKind::Tokens,
        streams: true,
        ..spec(
            "llm_analyzer",
            closed(json!({
                "text": text, "prompt": text, "prompt_file": text, "system": text, "model": text,
                "schema": { "type": "object" }, "temperature": { "type": "number", "minimum": 0, "maximum": 2 },
            })),
            llm_output,
        )
    };
    let combiner = ExecutorSpec {
        main_input: Some(MainInput {
            field: "sources".to_owned(),
            kind: DataKind::Data,
            list: true,
            required: true,
            needed_unless: Vec::new(),
        }),
        ..spec(
            "data_combiner",
            closed(
                json!({ "sources": { "type": ["array", "object"] }, "mode": { "enum": ["object", "merge", "concat"] } }),
            ),
            json!({ "type": "object", "x-gives": { "named": "sources", "unless": ["mode"] } }),
        )
    };
    let transformer = ExecutorSpec {
        main_input: main("data", DataKind::Data),
        ..spec(
            "data_transformer",
            closed(json!({ "data": {}, "jmespath": text })),
            json!({ "x-gives": { "field": "data", "unless": ["jmespath"] } }),
        )
    };
    let conditional = spec(
        "conditional",
        closed(json!({
            "cases": { "type": "array", "items": closed(json!({ "condition": { "x-weir-type": "condition" }, "value": {} })) },
            "default": {},
        })),
        json!({ "x-gives": { "cases": "cases", "value": "value", "otherwise": "default" } }),
    );
    let request = ExecutorSpec {
        effect: EffectRule::ByMethod { field: "method".to_owned() },
        secret_fields: ["url", "headers", "json"].map(str::to_owned).to_vec(),
        ..spec(
            "api_request",
            json!({
                "type": "object", "required": ["url"], "additionalProperties": false,
                "properties": {
                    "url": { "type": "string", "description": "Where to." },
                    "method": { "enum": ["GET", "POST", "PUT", "DELETE"] },
                    "headers": { "type": "object", "additionalProperties": text },
                    "json": {}
                }
            }),
            closed(json!({ "http_status": { "type": "integer" }, "body": {}, "headers": { "type": "object" } })),
        )
    };
    let flow = ExecutorSpec {
        effect: EffectRule::StrictestChild,
        cost: CostKind::Child,
        ..spec(
            "flow_executor",
            json!({
                "type": "object", "required": ["flow_name"], "additionalProperties": false,
                "properties": { "flow_name": text, "inputs": { "type": "object" }, "version": { "type": "integer" }, "channel": text }
            }),
            json!(true),
        )
    };
    let pipeline = ExecutorSpec {
        effect: EffectRule::StrictestChild,
        cost: CostKind::Child,
        raw_fields: vec!["flows".to_owned()],
        ..spec(
            "flow_pipeline",
            json!({
                "type": "object", "required": ["flows"], "additionalProperties": false,
                "properties": { "inputs": {}, "flows": { "type": "array", "items": {} } }
            }),
            json!(true),
        )
    };
    let waiting = |name: &str, control: Control| ExecutorSpec {
        control: Some(control),
        ..spec(
            name,
            closed(
                json!({ "for": text, "until": text, "signal": text, "roles": { "type": "array" }, "message": text }),
            ),
            closed(json!({ "approved": { "type": "boolean" }, "by": text })),
        )
    };
    let (mut wait, approval) = (waiting("wait", Control::Wait), waiting("approval", Control::Approval));
    wait.config["anyOf"] = json!([{ "required": ["for"] }, { "required": ["until"] }, { "required": ["signal"] }]);
    let log = spec("log", closed(json!({ "message": text })), json!(true));
    let fail = spec("fail", closed(json!({ "message": text })), json!(true));
    let choose = spec(
        "chooser",
        closed(json!({ "among": { "type": "array", "items": text }, "most": { "type": "integer" } })),
        closed(
            json!({ "chosen": { "enum": ["red", "green"] }, "count": { "type": "integer" }, "list": { "type": "array", "items": closed(json!({ "id": text })) } }),
        ),
    );
    Catalogue::new([
        analyzer,
        extractor,
        ocr,
        generic,
        llm,
        combiner,
        transformer,
        conditional,
        request,
        flow,
        pipeline,
        wait,
        approval,
        log,
        fail,
        choose,
    ])
}
