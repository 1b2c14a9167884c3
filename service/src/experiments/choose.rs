//! The version that an experiment gives to a call.
//!
//! Invariant: who names a version or a channel never comes here; a run by a test key takes no part.

use std::sync::Arc;

use domain::RunId;

use super::Running;
use crate::flows::{Resolved, Wanted};
use crate::{Actor, ServiceError, Subject, Weir};

/// The version that an experiment gives to this call, with the experiment and the variant's name. Runs by test keys take
/// no part.
pub(crate) async fn choose(
    weir: &Weir,
    actor: &Actor,
    resolved: Resolved,
    subject: Option<&str>,
    run: uuid::Uuid,
) -> Result<(Resolved, Option<(Arc<Running>, String)>), ServiceError> {
    let Some(experiment) = resolved.experiment.clone().filter(|_| !actor.test) else { return Ok((resolved, None)) };
    let subject = match (subject, &actor.subject) {
        (Some(subject), _) => subject.to_owned(),
        (None, Subject::User { id, .. }) => id.to_string(),
        (None, Subject::ApiKey { id, .. }) => id.to_string(),
        (None, Subject::System { .. }) => RunId::from_uuid(run).to_string(),
    };
    let Some(variant) = experiment.split.assign(&subject) else { return Ok((resolved, None)) };
    let name = variant.name.clone();
    if variant.version == resolved.number {
        return Ok((resolved, Some((experiment, name))));
    }
    let wanted = Wanted { version: Some(variant.version), ..Wanted::default() };
    let chosen = crate::flows::resolve(weir, actor.tenant, &resolved.name, &wanted).await?;
    // The history was read with the channel; the children of this run resolve against that.
    let chosen = Resolved { channel: resolved.channel, channel_position: resolved.channel_position, ..chosen };
    Ok((chosen, Some((experiment, name))))
}
