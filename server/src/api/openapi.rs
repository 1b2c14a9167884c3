//! The OpenAPI document: the routes' own, and with a key that tenant's flows as typed operations.

use actix_web::{App, HttpResponse, get};
use serde_json::{Value, json};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, SecurityRequirement};
use utoipa_actix_web::AppExt;

use super::tenant_flows;
use crate::extract::{MaybeCaller, NoParams, Params};
use crate::problem::Fault;
use crate::state::Shared;

const DESCRIPTION: &str = "Runs AI workflows written as YAML: durable, metered, typed. Authenticate with \
`Authorization: Bearer <API key>`. Refusals and failures are RFC 9457 problem documents with a stable `code` and a \
`request_id`.";

/// The document of all routes. Its paths come from the registered handlers and from nowhere else.
pub(crate) fn of_routes() -> OpenApi {
    let (_, mut document) = App::new().into_utoipa_app().openapi(head()).configure(super::configure).split_for_parts();
    let components = document.components.get_or_insert_with(Components::new);
    components.add_security_scheme("api_key", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
    let problem = <domain::Problem as utoipa::PartialSchema>::schema();
    components.schemas.insert("Problem".to_owned(), problem);
    let field = <domain::FieldProblem as utoipa::PartialSchema>::schema();
    components.schemas.insert("FieldProblem".to_owned(), field);
    document
}

fn head() -> OpenApi {
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Weir")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(license))
        .build();
    let security = SecurityRequirement::new("api_key", Vec::<String>::new());
    OpenApiBuilder::new().info(info).security(Some(vec![security])).build()
}

/// The document as JSON, with what every operation has in common.
pub(crate) fn as_json(document: &OpenApi) -> Value {
    let mut value = serde_json::to_value(document).unwrap_or_default();
    let paths = value.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            let Some(operation) = operation.as_object_mut() else { continue };
            if path.starts_with("/health") || path == "/api/v1/openapi.json" {
                operation.insert("security".to_owned(), json!([]));
            }
            if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
                responses.insert("default".to_owned(), problem_response());
            }
        }
    }
    value
}

pub(super) fn problem_response() -> Value {
    json!({
        "description": "A problem document",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    })
}

/// This document
///
/// With a key, the flows that it may start are operations of their own, with their input and output schemas.
#[utoipa::path(operation_id = "get_openapi", tag = "Documentation", responses((status = 200, body = Object)))]
#[get("/api/v1/openapi.json")]
pub(crate) async fn openapi(
    caller: MaybeCaller,
    params: Params<NoParams>,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    params.read()?;
    let mut document = as_json(&state.openapi);
    if let Some(actor) = caller.0 {
        let flows = service::flows::callable(&state.weir, &actor).await?;
        tenant_flows::add(&mut document, &flows);
    }
    Ok(HttpResponse::Ok().json(document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_an_id_a_summary_and_the_problem_as_its_default_answer() {
        let document = as_json(&of_routes());
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no id"));
                assert!(ids.insert(id.to_owned()), "{id} is there twice");
                assert!(operation["summary"].is_string(), "{method} {path} has no summary");
                assert!(operation["responses"]["default"].is_object(), "{method} {path}");
            }
        }
        assert!(ids.len() > 25, "{ids:?}");
        assert_eq!(document["openapi"], "3.1.0");
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = as_json(&of_routes());
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(reference)) = fields.get("$ref") {
                        let pointer = reference.trim_start_matches('#');
                        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
                    }
                    open.extend(fields.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
    }
}
