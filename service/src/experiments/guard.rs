//! Guards: an experiment whose variant does worse than the control is rolled back by itself.
//!
//! Invariant: nothing is rolled back below [`EXPOSURES`] settled runs on both sides, and only by a figure that was
//! limited; the roll-back is audited with its reason, and all traffic goes to `stable` from then on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::wire::{ExperimentState, Guards, Readout, VariantReadout};
use domain::{ExperimentId, TenantId};
use entities::{StoreError, experiment, run};
use sea_orm::ColumnTrait;
use serde_json::json;

use super::{find_by_id, guards, readout, word};
use crate::audit::{self, Entry};
use crate::{Actor, ServiceError, Weir};

/// Settled runs that both sides need before a guard looks.
const EXPOSURES: u64 = 100;
/// How long after a look the next one may come.
const REST: Duration = Duration::from_secs(1);

/// Which experiments are looked at now, and whether a run settled meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Watch(Mutex<BTreeMap<ExperimentId, bool>>);

impl Watch {
    /// Whether the caller is to look; otherwise whoever looks already will look again.
    fn begin(&self, id: ExperimentId) -> bool {
        let mut looking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match looking.get_mut(&id) {
            Some(again) => {
                *again = true;
                false
            }
            None => {
                looking.insert(id, false);
                true
            }
        }
    }

    /// Whether to look once more.
    fn again(&self, id: ExperimentId) -> bool {
        let mut looking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if looking.get_mut(&id).is_some_and(std::mem::take) {
            return true;
        }
        looking.remove(&id);
        false
    }
}

/// A run of an experiment came to its end: the guards look, in a task of their own.
pub(crate) fn settled(weir: &Weir, run: &run::Model) {
    let Some(id) = run.experiment_id.map(ExperimentId::from_uuid).filter(|_| run.depth == 0) else { return };
    if !weir.runs().experiments().begin(id) {
        return;
    }
    let (weir, tenant) = (weir.clone(), TenantId::from_uuid(run.tenant_id));
    tokio::spawn(async move {
        loop {
            if let Err(error) = look(&weir, tenant, id).await {
                tracing::warn!(%error, experiment = %id, "an experiment's guards could not look");
            }
            tokio::time::sleep(REST).await;
            if !weir.runs().experiments().again(id) {
                return;
            }
        }
    });
}

async fn look(weir: &Weir, tenant: TenantId, id: ExperimentId) -> Result<(), ServiceError> {
    let reader = weir.store().read(tenant).await?;
    let Some(row) = find_by_id(&reader, id).await? else { return Ok(()) };
    let guards = guards(&row);
    if super::state(&row) != ExperimentState::Running || guards == Guards::default() {
        return Ok(());
    }
    let readout = readout::of(&reader, &row).await?;
    drop(reader);
    match breach(&readout, &row.control, guards) {
        Some(reason) => roll_back(weir, tenant, row, reason).await,
        None => Ok(()),
    }
}

/// Why the experiment must end, in a sentence.
fn breach(readout: &Readout, control: &str, guards: Guards) -> Option<String> {
    let control = readout.variants.iter().find(|variant| variant.name == control)?;
    let others = readout.variants.iter().filter(|variant| variant.name != control.name);
    others
        .filter(|variant| variant.settled >= EXPOSURES && control.settled >= EXPOSURES)
        .find_map(|variant| too_many_errors(variant, control, guards).or_else(|| too_much(variant, control, guards)))
}

/// The increase must be above the limit, and more than chance.
fn too_many_errors(variant: &VariantReadout, control: &VariantReadout, guards: Guards) -> Option<String> {
    let limit = guards.max_error_rate_increase?;
    let (here, there) = (variant.success_rate?, control.success_rate?);
    let (errors, usual) = (1.0 - here.value, 1.0 - there.value);
    // The least that the variant's error rate can be, by its interval, is already above the control's.
    let more_than_chance = 1.0 - here.high > usual;
    (errors - usual > limit && more_than_chance).then(|| {
        format!(
            "{:.1} % of the runs of `{}` failed, {:.1} % of those of `{}`.",
            errors * 100.0,
            variant.name,
            usual * 100.0,
            control.name
        )
    })
}

fn too_much(variant: &VariantReadout, control: &VariantReadout, guards: Guards) -> Option<String> {
    let exceeds =
        |limit: Option<f64>, here: f64, usual: f64| limit.is_some_and(|limit| usual > 0.0 && here > usual * limit);
    let (p95, usual) = (milliseconds(variant.p95_ms?), milliseconds(control.p95_ms?));
    if exceeds(guards.max_p95_ratio, p95, usual) {
        return Some(format!(
            "The 95th percentile of `{}` is {p95:.0} ms, that of `{}` {usual:.0} ms.",
            variant.name, control.name
        ));
    }
    let (cost, usual) = (variant.mean_cost_nano_usd?, control.mean_cost_nano_usd?);
    exceeds(guards.max_cost_ratio, cost.value, usual.value).then(|| {
        format!(
            "A run of `{}` costs {:.6} US dollars in the mean, one of `{}` {:.6}.",
            variant.name,
            cost.value / 1e9,
            control.name,
            usual.value / 1e9
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "durations of runs are far below 2^52 ms")]
fn milliseconds(duration: u64) -> f64 {
    duration as f64
}

async fn roll_back(weir: &Weir, tenant: TenantId, row: experiment::Model, reason: String) -> Result<(), ServiceError> {
    tracing::warn!(experiment = %ExperimentId::from_uuid(row.id), reason, "an experiment is rolled back");
    let actor = Actor::system(tenant, "experiment_guard");
    let entry = Entry {
        action: "experiment.rolled_back",
        target_kind: "experiment",
        target_id: Some(ExperimentId::from_uuid(row.id).to_string()),
        target_name: &row.name,
        data: json!({ "reason": reason }),
    };
    let (entry, now) = (audit::row(weir, &actor, entry), weir.now());
    let kept = weir.store().write(tenant, move |unit| async move {
        use experiment::Column as C;
        let changed = unit
            .update::<experiment::Entity>()
            .set(C::State, word(ExperimentState::RolledBack))
            .set(C::Note, Some(reason))
            .set(C::UpdatedAt, now)
            .filter(C::Id.eq(row.id))
            .filter(C::State.eq(word(ExperimentState::Running)))
            .exec()
            .await?;
        // Another process may have been first.
        if changed == 1 {
            audit::write(&unit, entry).await?;
        }
        Ok::<_, StoreError>(())
    });
    kept.await?;
    weir.plans().changed();
    Ok(())
}

#[cfg(test)]
mod tests {
    use domain::NanoUsd;
    use domain::wire::{Estimate, SampleRatio};

    use super::super::statistics;
    use super::*;

    fn variant(name: &str, settled: u64, succeeded: u64, p95_ms: u64, cost: f64) -> VariantReadout {
        VariantReadout {
            name: name.to_owned(),
            version: 1,
            runs: settled,
            settled,
            succeeded,
            success_rate: statistics::wilson(succeeded, settled),
            p50_ms: Some(p95_ms / 2),
            p50_interval_ms: None,
            p95_ms: Some(p95_ms),
            p95_interval_ms: None,
            mean_cost_nano_usd: Some(Estimate { value: cost, low: cost, high: cost }),
            total_cost_nano_usd: NanoUsd::ZERO,
            feedback: 0,
            mean_score: None,
        }
    }

    fn readout(variant: VariantReadout) -> Readout {
        let control = self::variant("control", 200, 196, 1_000, 1_000.0);
        let sample_ratio = SampleRatio { chi_squared: 0.0, degrees_of_freedom: 1, p_value: 1.0, suspicious: false };
        Readout { variants: vec![control, variant], sample_ratio }
    }

    fn all() -> Guards {
        Guards { max_error_rate_increase: Some(0.05), max_p95_ratio: Some(1.5), max_cost_ratio: Some(1.5) }
    }

    #[test]
    fn nothing_is_rolled_back_below_a_hundred_exposures() {
        assert_eq!(breach(&readout(variant("new", 99, 0, 9_000, 9_000.0)), "control", all()), None);
        assert!(breach(&readout(variant("new", 100, 0, 9_000, 9_000.0)), "control", all()).is_some());
    }

    #[test]
    fn each_guard_looks_at_its_own_figure() {
        let of = |variant, guards| breach(&readout(variant), "control", guards);
        let errors = of(variant("new", 100, 80, 1_000, 1_000.0), all()).unwrap();
        assert!(errors.contains("20.0 %"), "{errors}");
        assert!(of(variant("new", 100, 98, 1_600, 1_000.0), all()).unwrap().contains("1600 ms"));
        assert!(of(variant("new", 100, 98, 1_000, 1_600.0), all()).unwrap().contains("costs"));
        assert_eq!(of(variant("new", 100, 97, 1_400, 1_400.0), all()), None);
        assert_eq!(of(variant("new", 100, 0, 9_000, 9_000.0), Guards::default()), None);
    }

    #[test]
    fn only_one_looks_at_a_time_and_a_run_in_between_is_looked_at_again() {
        let (watch, id) = (Watch::default(), ExperimentId::from_uuid(uuid::Uuid::from_u128(1)));
        assert!(watch.begin(id));
        assert!(!watch.begin(id));
        assert!(watch.again(id));
        assert!(!watch.again(id));
        assert!(watch.begin(id));
    }
}
