//! What the outputs of child flows depend on: the versions of all flows that would run, and the tenant's settings.
//!
//! Invariant: names resolve as the run's children would resolve them, at its pinned position; what only the run can tell
//! (a computed name), and what must happen each time (an unsafe step), has no tree.

use std::collections::BTreeSet;

use domain::{RunId, TenantId};
use entities::run;
use language::{Callee, Effect, callees};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::flows::Wanted;
use crate::{ServiceError, Weir};

/// Flows that one tree may hold; what calls more of them is not cached.
const MOST_FLOWS: usize = 200;

pub(super) async fn of(weir: &Weir, parent: &run::Model, wanted: &[Callee]) -> Result<Option<Value>, ServiceError> {
    let tenant = TenantId::from_uuid(parent.tenant_id);
    let mut seen: BTreeSet<Callee> = wanted.iter().cloned().collect();
    let mut open: Vec<Callee> = seen.iter().cloned().collect();
    let mut versions = BTreeSet::new();
    while let Some(callee) = open.pop() {
        let version = match (callee.version, &callee.channel) {
            (None, None) => variant_of(weir, parent, &callee.flow).await?,
            (version, _) => version,
        };
        let at = Wanted { version, channel: callee.channel, position: Some(parent.channel_position) };
        let resolved = match crate::flows::resolve(weir, tenant, &callee.flow, &at).await {
            Ok(resolved) => resolved,
            Err(ServiceError::NotFound { .. } | ServiceError::InvalidFlow { .. }) => return Ok(None),
            Err(other) => return Err(other),
        };
        versions.insert(resolved.version_id.to_string());
        for step in &resolved.plan.steps {
            let fallbacks = step.fallbacks.iter().map(|way| (&way.executor, &way.config, way.effect));
            for (executor, config, effect) in
                std::iter::once((&step.executor, &step.config, step.effect)).chain(fallbacks)
            {
                if effect == Some(Effect::Unsafe) {
                    return Ok(None);
                }
                if executor.starts_with("flow_") {
                    let Some(called) = callees(config) else { return Ok(None) };
                    open.extend(called.into_iter().filter(|callee| seen.insert(callee.clone())));
                }
            }
        }
        if seen.len() > MOST_FLOWS {
            return Ok(None);
        }
    }
    // Which of them the flows read, templates say; any change of any of them makes anew what was kept.
    let settings = (
        crate::secrets::versions(weir, tenant).await?,
        crate::connections::revisions(weir, tenant).await?,
        crate::flows::default_model(weir, tenant).await?,
    );
    let settings = hex::encode(Sha256::digest(format!("{settings:?}")));
    Ok(Some(json!({ "versions": versions, "settings": settings })))
}

/// The version that an experiment gave to the tree, where its own flow is called again from inside.
pub(super) async fn variant_of(weir: &Weir, parent: &run::Model, flow: &str) -> Result<Option<u32>, ServiceError> {
    if parent.variant.is_none() {
        return Ok(None);
    }
    let root = if parent.depth == 0 {
        parent.clone()
    } else {
        let tenant = TenantId::from_uuid(parent.tenant_id);
        super::row(weir, tenant, RunId::from_uuid(parent.root_run_id)).await?
    };
    Ok((root.flow_name == flow).then(|| u32::try_from(root.version_number).unwrap_or_default()))
}
