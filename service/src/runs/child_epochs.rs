//! Children that go on: a parent that is begun again goes on with the run that it had started, in that run's next epoch.
//!
//! Invariant: of the children that were started under an attempt's earlier keys the newest becomes the attempt's own, in one
//! unit with its next epoch, so that a resumed attempt finds it under its own key and begins no further epoch.

use domain::wire::UsageTotals;
use domain::{Failure, NanoUsd, RunId, RunStatus, VersionId};
use engine::Settled;
use engine::ports::{Child, ChildRequest, Children as _};
use entities::{JsonText, Scope as _, StoreError, Unit, run};
use sea_orm::ColumnTrait;
use serde::{Deserialize, Serialize};

use super::children::{RunChildren, ours};
use super::{again, inbox};

/// What a child had used when it began to go on. Its parent counted that already.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Counted {
    usage: UsageTotals,
    cost: Option<NanoUsd>,
}

/// What became of a look for a child from before.
enum Found {
    None,
    Own(Box<run::Model>),
    /// It is on its way to its end; the next epoch begins behind that.
    Ending(RunId),
}

impl RunChildren {
    /// The child that the attempt goes on with, if there is one. It keeps the inputs that it was started with: what it did
    /// with them is done. A step that calls another flow now has a new child.
    pub(super) async fn go_on(&self, request: &ChildRequest) -> Result<Option<Child>, Failure> {
        if request.earlier.is_empty() {
            return Ok(None);
        }
        let row = loop {
            let (request, parent, now) = (request.clone(), self.parent.id, self.weir.now());
            let found = self
                .weir
                .store()
                .write(self.tenant(), move |unit| async move { adopt(&unit, &request, parent, now).await });
            match found.await.map_err(ours::<StoreError>)? {
                Found::None => return Ok(None),
                Found::Own(row) => break row,
                Found::Ending(child) => {
                    let ended = self.wait(child).await;
                    ended.map_err(|error| ours(crate::ServiceError::Unavailable(error.to_string())))?;
                }
            }
        };
        let (run, tenant) = (RunId::from_uuid(row.id), self.tenant());
        self.weir.runs().bus().tell_tenant(tenant, run);
        // Whoever waits for it has it executed.
        let plan = crate::flows::plan(&self.weir, tenant, VersionId::from_uuid(row.version_id)).await.map_err(ours)?;
        Ok(Some(Child { run, effect: self.strictest(plan).await.map_err(ours)? }))
    }
}

async fn adopt(
    unit: &Unit,
    request: &ChildRequest,
    parent: uuid::Uuid,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Found, StoreError> {
    use run::Column as C;
    let keys: Vec<&String> = std::iter::once(&request.key).chain(&request.earlier).collect();
    let runs = unit.find::<run::Entity>().filter(C::StartKey.is_in(keys.iter().copied()));
    // A replay that reuses keys finds the runs of another parent under them.
    let runs = runs.filter(C::ParentRunId.eq(parent)).filter(C::ParentStep.is_not_null());
    let runs = runs.for_update().all().await?;
    let age = |run: &run::Model| keys.iter().position(|key| Some(*key) == run.start_key.as_ref());
    let Some(row) = runs.into_iter().min_by_key(age) else { return Ok(Found::None) };
    if row.start_key.as_ref() == Some(&request.key) {
        return Ok(Found::Own(Box::new(row)));
    }
    if row.flow_name != request.flow {
        return Ok(Found::None);
    }
    let status = RunStatus::parse(&row.status).unwrap_or(RunStatus::Running);
    let ends = row.cancel_requested_at.is_some() || inbox::has_kill(unit, row.id).await?;
    if !status.is_terminal() && ends {
        return Ok(Found::Ending(RunId::from_uuid(row.id)));
    }
    if status.is_terminal() && status != RunStatus::Succeeded {
        again::reopen(unit, &row, Some("its parent".to_owned()), now).await?;
    }
    let mut own = unit.update::<run::Entity>().set(C::StartKey, Some(request.key.clone())).filter(C::Id.eq(row.id));
    if status.is_terminal() {
        let usage = super::wait::usage(row.usage.as_ref());
        own = own.set(C::Counted, Some(JsonText::of(&Counted { usage, cost: row.cost_nano_usd.map(NanoUsd) })));
    }
    own.exec().await?;
    Ok(Found::Own(Box::new(row)))
}

/// What a child used that its parent has not counted yet.
pub(super) fn uncounted(mut settled: Settled, counted: Option<&JsonText>) -> Settled {
    let Some(counted) = counted.and_then(|counted| counted.read::<Counted>().ok()) else { return settled };
    for (kind, units) in &mut settled.usage.units {
        *units = units.saturating_sub(counted.usage.units.get(kind).copied().unwrap_or_default());
    }
    settled.usage.units.retain(|_, units| *units > 0);
    settled.cost = match (settled.cost, counted.cost) {
        (Some(cost), Some(before)) => Some(NanoUsd(cost.0.saturating_sub(before.0))),
        // It was unknown before, and nothing was used since.
        (None, None) if settled.usage.units.is_empty() => Some(NanoUsd::ZERO),
        (cost, _) => cost,
    };
    settled
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn settled(tokens: u64, cost: Option<i64>) -> Settled {
        Settled {
            status: RunStatus::Succeeded,
            outputs: serde_json::Value::Null,
            error: None,
            failed_step: None,
            handler_errors: Vec::new(),
            failed_attempt: None,
            usage: UsageTotals { units: BTreeMap::from([("input_tokens".to_owned(), tokens)]) },
            cost: cost.map(NanoUsd),
        }
    }

    #[test]
    fn what_a_parent_has_counted_is_not_counted_again() {
        let counted = |tokens, cost| {
            let Settled { usage, cost, .. } = settled(tokens, cost);
            JsonText::of(&Counted { usage, cost })
        };
        for (now, before, rest) in [
            ((150, Some(15)), Some((100, Some(10))), (50, Some(15 - 10))),
            ((100, Some(10)), Some((100, Some(10))), (0, Some(0))),
            ((100, Some(10)), None, (100, Some(10))),
            ((150, None), Some((100, Some(10))), (50, None)),
            ((150, None), Some((100, None)), (50, None)),
            ((100, None), Some((100, None)), (0, Some(0))),
        ] {
            let before = before.map(|(tokens, cost)| counted(tokens, cost));
            let left = uncounted(settled(now.0, now.1), before.as_ref());
            let tokens = left.usage.units.get("input_tokens").copied().unwrap_or_default();
            assert_eq!((tokens, left.cost), (rest.0, rest.1.map(NanoUsd)), "{now:?} after {before:?}");
        }
    }
}
