//! What runs ask people: approvals as rows, projected from the journal.
//!
//! Invariant: pure but for the writes; a question has one row, made when it is asked, and is closed by a decision, by its
//! time, or with its step.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::{DeliveryId, StepStatus};
use engine::{Entry, Event};
use entities::{JsonText, StoreError, Unit, approval, run};
use language::{Catalogue, Control, Plan};
use sea_orm::{ColumnTrait, Condition};
use sha2::{Digest, Sha256};

/// Steps of a plan that ask somebody.
pub(super) fn asking(plan: &Plan, catalogue: &Catalogue) -> BTreeSet<String> {
    let asks = |executor: &str| catalogue.get(executor).is_some_and(|spec| spec.control == Some(Control::Approval));
    plan.steps.iter().filter(|step| asks(&step.executor)).map(|step| step.name.clone()).collect()
}

/// What an append changes about questions and letters.
#[derive(Debug, Default)]
pub(super) struct Outward {
    asked: Vec<approval::Model>,
    /// Steps (and items) whose question is over, and with which word.
    closed: Vec<(String, Option<i32>, &'static str)>,
    all_over: bool,
    taken: Vec<DeliveryId>,
    at: Option<DateTime<Utc>>,
}

/// What entries change.
pub(super) fn outward(run: &run::Model, asking: &BTreeSet<String>, entries: &[Entry]) -> Outward {
    let mut change = Outward::default();
    for entry in entries {
        change.at = Some(entry.at);
        match &entry.event {
            Event::OutsideReceived { delivery, .. } => change.taken.extend(delivery.parse::<DeliveryId>().ok()),
            Event::StepWaiting { step, item, waiting } => {
                if let Some(asked) = &waiting.approval {
                    change.asked.push(approval::Model {
                        tenant_id: run.tenant_id,
                        id: id_of(run.id, entry),
                        run_id: run.id,
                        flow_id: run.flow_id,
                        flow_name: run.flow_name.clone(),
                        step: step.clone(),
                        item: item.and_then(|item| i32::try_from(item).ok()),
                        status: "open".to_owned(),
                        message: asked.message.clone(),
                        roles: JsonText::of(&asked.roles),
                        form: asked.form.clone().map(JsonText),
                        asked_at: entry.at,
                        expires_at: waiting.until,
                        decided_at: None,
                        decided_by: None,
                        comment: None,
                        answer: None,
                    });
                }
            }
            Event::ItemSettled { step, item, status, .. } if asking.contains(step) => {
                change.closed.push((step.clone(), i32::try_from(*item).ok(), how(*status)));
            }
            Event::StepSettled { step, status, .. } if asking.contains(step) => {
                change.closed.push((step.clone(), None, how(*status)));
            }
            Event::RunSettled { .. } => change.all_over = !asking.is_empty(),
            _ => {}
        }
    }
    change
}

/// A question that is closed without a decision was too late, or was not needed any more.
const fn how(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Cancelled | StepStatus::Skipped => "withdrawn",
        _ => "expired",
    }
}

/// The same question has the same id in every projection, and carries its time like any other id.
fn id_of(run: uuid::Uuid, entry: &Entry) -> uuid::Uuid {
    let digest = Sha256::new().chain_update(run.as_bytes()).chain_update(entry.position.to_be_bytes()).finalize();
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    let millis = u64::try_from(entry.at.timestamp_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

impl Outward {
    /// Whether nothing but the run's own rows changes.
    pub(super) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.closed.is_empty() && self.taken.is_empty() && !self.all_over
    }

    pub(super) async fn write(self, unit: &Unit, run: uuid::Uuid) -> Result<(), StoreError> {
        use approval::Column as C;
        let Some(at) = self.at else { return Ok(()) };
        super::inbox::take(unit, run, &self.taken, at).await?;
        for question in self.asked {
            unit.insert_if_absent(question).await?;
        }
        let open = || Condition::all().add(C::RunId.eq(run)).add(C::Status.eq("open"));
        for (step, item, word) in self.closed {
            let mut of_step = open().add(C::Step.eq(step.as_str()));
            if let Some(item) = item {
                of_step = of_step.add(C::Item.eq(item));
            }
            unit.update::<approval::Entity>()
                .set(C::Status, word)
                .set(C::DecidedAt, Some(at))
                .filter(of_step)
                .exec()
                .await?;
        }
        if self.all_over {
            unit.update::<approval::Entity>()
                .set(C::Status, "withdrawn")
                .set(C::DecidedAt, Some(at))
                .filter(open())
                .exec()
                .await?;
        }
        Ok(())
    }
}
