//! Checks a flow without saving or running anything, beside the tenant's other flows.

use domain::Permission;
use domain::wire::CheckReport;
use language::Folder;

use super::neighbours;
use crate::{Actor, ServiceError, Weir, authz};

/// # Errors
/// [`ServiceError::Forbidden`].
pub async fn check(weir: &Weir, actor: &Actor, folder: Folder) -> Result<CheckReport, ServiceError> {
    authz::check_somewhere(actor, Permission::FlowsRead)?;
    let folder = neighbours::with_neighbours(weir, actor, folder).await?;
    let compiled = language::compile(&folder, weir.catalogue());
    let mut problems = compiled.problems;
    if let Some(plan) = &compiled.plan {
        let name = folder.name.as_deref().or(plan.name.as_deref()).unwrap_or_default();
        problems.extend(neighbours::check_calls(weir, actor, &folder, (name, plan)).await?);
    }
    problems.extend(neighbours::check_references(weir, actor, &folder).await?);
    Ok(report(&problems))
}

pub(super) fn report(problems: &[language::Problem]) -> CheckReport {
    CheckReport { problems: problems.iter().filter_map(|problem| serde_json::to_value(problem).ok()).collect() }
}
