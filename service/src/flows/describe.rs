//! A tenant's published flows as callers see them: name, schemas, words.

use domain::Permission;
use serde_json::Value;

use super::{Wanted, list, plans};
use crate::{Actor, ServiceError, Weir, authz};

/// One callable flow.
#[derive(Debug, Clone, PartialEq)]
pub struct CallableFlow {
    pub name: String,
    pub version: u32,
    pub description: Option<String>,
    pub input_schema: Value,
    pub output_schema: Value,
    /// Whether some input is a file, so that calls can be multipart.
    pub takes_files: bool,
}

/// The flows that the actor may start, by name.
///
/// # Errors
/// Faults of the store.
pub async fn callable(weir: &Weir, actor: &Actor) -> Result<Vec<CallableFlow>, ServiceError> {
    if authz::check_somewhere(actor, Permission::RunsStart).is_err() {
        return Ok(Vec::new());
    }
    let reader = weir.store().read(actor.tenant).await?;
    let rows = list::rows(&reader, actor, Permission::RunsStart).await?;
    drop(reader);
    let mut out = Vec::new();
    for row in rows {
        let resolved = match plans::resolve(weir, actor.tenant, &row.name, &Wanted::default()).await {
            Ok(resolved) => resolved,
            // Drafts alone, or a version that an older program checked: nothing to call.
            Err(ServiceError::NotFound { .. } | ServiceError::InvalidFlow { .. }) => continue,
            Err(other) => return Err(other),
        };
        let inputs = resolved.plan.inputs.as_deref();
        let is_file = |input: &language::plan::InputPlan| input.kind == language::plan::InputKind::File;
        out.push(CallableFlow {
            takes_files: inputs.is_none_or(|inputs| inputs.iter().any(is_file)),
            description: resolved.plan.description.clone(),
            input_schema: resolved.plan.input_schema.clone(),
            output_schema: resolved.plan.output_schema.clone(),
            version: resolved.number,
            name: resolved.name,
        });
    }
    Ok(out)
}
