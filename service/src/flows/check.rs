//! Checks a flow without saving, running or reaching anything.

use domain::Permission;
use domain::wire::CheckReport;
use language::Folder;

use crate::{Actor, ServiceError, Weir, authz};

/// # Errors
/// [`ServiceError::Forbidden`].
pub fn check(weir: &Weir, actor: &Actor, folder: &Folder) -> Result<CheckReport, ServiceError> {
    authz::check_somewhere(actor, Permission::FlowsRead)?;
    Ok(report(&language::compile(folder, weir.catalogue()).problems))
}

pub(super) fn report(problems: &[language::Problem]) -> CheckReport {
    CheckReport { problems: problems.iter().filter_map(|problem| serde_json::to_value(problem).ok()).collect() }
}
