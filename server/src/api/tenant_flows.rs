//! A tenant's flows as typed operations of its OpenAPI document.
//!
//! Invariant: a schema is put into the document as the language made it (JSON Schema 2020-12, which OpenAPI 3.1 takes).

use serde_json::{Value, json};
use service::flows::CallableFlow;

/// Adds one operation a flow.
pub(crate) fn add(document: &mut Value, flows: &[CallableFlow]) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for flow in flows {
        paths.insert(format!("/api/v1/flows/{}/run", flow.name), json!({ "post": operation(flow) }));
    }
}

fn operation(flow: &CallableFlow) -> Value {
    let mut content = json!({ "application/json": { "schema": flow.input_schema } });
    if flow.takes_files
        && let Some(content) = content.as_object_mut()
    {
        content.insert("multipart/form-data".to_owned(), json!({ "schema": multipart(&flow.input_schema) }));
    }
    let description = flow.description.clone().unwrap_or_default();
    json!({
        "tags": ["Your flows"],
        "operationId": format!("run_flow_{}", flow.name.replace('-', "_")),
        "summary": format!("Run {}", flow.name),
        "description": format!("{description}\n\nVersion {} is published.", flow.version).trim(),
        "requestBody": { "required": true, "content": content },
        "responses": {
            "200": {
                "description": "The run succeeded",
                "content": { "application/json": { "schema": answer(&flow.output_schema) } },
            },
            "202": {
                "description": "Goes on",
                "content": { "application/json": { "schema": { "$ref": "#/components/schemas/RunAccepted" } } },
            },
            "default": super::openapi::problem_response(),
        },
    })
}

fn answer(outputs: &Value) -> Value {
    json!({
        "type": "object",
        "required": ["run_id", "status", "outputs", "usage", "cost_nano_usd"],
        "properties": {
            "run_id": { "type": "string" },
            "status": { "$ref": "#/components/schemas/RunStatus" },
            "outputs": outputs,
            "usage": { "$ref": "#/components/schemas/UsageTotals" },
            "cost_nano_usd": { "type": ["integer", "null"] },
        },
    })
}

/// In a form a file is its bytes.
fn multipart(inputs: &Value) -> Value {
    let mut schema = inputs.clone();
    for property in
        schema.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten().map(|(_, value)| value)
    {
        if property.get("format").and_then(Value::as_str) == Some("weir-file") {
            *property = json!({ "type": "string", "format": "binary", "description": property.get("description") });
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_becomes_an_operation_with_its_own_schemas() {
        let mut document = super::super::openapi::as_json(&super::super::openapi::of_routes());
        let flow = CallableFlow {
            name: "invoice".to_owned(),
            version: 3,
            description: Some("Reads an invoice.".to_owned()),
            input_schema: json!({"type": "object", "properties": {"scan": {"type": "object", "format": "weir-file"}}}),
            output_schema: json!({"type": "object", "properties": {"total": {"type": "number"}}}),
            takes_files: true,
        };
        add(&mut document, &[flow]);
        let operation = &document["paths"]["/api/v1/flows/invoice/run"]["post"];
        let body = &operation["requestBody"]["content"];
        assert_eq!(body["multipart/form-data"]["schema"]["properties"]["scan"]["format"], "binary");
        assert_eq!(body["application/json"]["schema"]["properties"]["scan"]["format"], "weir-file");
        let answer = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        assert_eq!(answer["properties"]["outputs"]["properties"]["total"]["type"], "number");
        for schema in ["RunAccepted", "RunStatus", "UsageTotals"] {
            assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
        }
    }
}
