//! Children as an attempt sees them: the driver hears of each, and what each used is the attempt's.
//!
//! Invariant: a child's usage is added to the attempt that waited for it, once, so that costs add up from the leaves to the
//! root; what was bought is booked where it was bought, in the child.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::wire::Usage;
use domain::{Failure, NanoUsd, RunId, RunStatus};
use tokio::sync::mpsc;

use crate::dispatcher::Place;
use crate::event::Settled;
use crate::ports::{Child, ChildRequest, Children, PortError};

/// What the driver hears of an attempt's child.
pub(super) struct ChildNote {
    pub(super) place: Place,
    pub(super) attempt: u32,
    pub(super) what: ChildNews,
}

pub(super) enum ChildNews {
    /// It was started or found again.
    Started(Child),
    /// The attempt waits for a child that gave its place back.
    Rests(RunStatus),
    /// It waits no more.
    Goes,
}

/// Children whose start the driver hears of, so that the journal knows them.
pub(super) struct NotedChildren {
    inner: Arc<dyn Children>,
    place: Place,
    attempt: u32,
    notes: mpsc::Sender<ChildNote>,
    spent: Arc<Spent>,
}

impl NotedChildren {
    pub(super) fn new(
        inner: Arc<dyn Children>,
        place: Place,
        attempt: u32,
        notes: mpsc::Sender<ChildNote>,
    ) -> (Arc<Self>, Arc<Spent>) {
        let spent = Arc::<Spent>::default();
        (Arc::new(Self { inner, place, attempt, notes, spent: Arc::clone(&spent) }), spent)
    }
}

impl NotedChildren {
    async fn tell(&self, what: ChildNews) {
        // A driver that is gone journals nothing any more.
        let _ = self.notes.send(ChildNote { place: self.place, attempt: self.attempt, what }).await;
    }
}

#[async_trait]
impl Children for NotedChildren {
    async fn start(&self, request: ChildRequest) -> Result<Child, Failure> {
        let child = self.inner.start(request).await?;
        self.tell(ChildNews::Started(child)).await;
        Ok(child)
    }

    async fn wait(&self, run: RunId) -> Result<Settled, PortError> {
        let mut settled = self.inner.wait(run);
        let settled = tokio::select! {
            biased;
            settled = &mut settled => settled,
            status = self.inner.rests(run) => {
                self.tell(ChildNews::Rests(status?)).await;
                let settled = settled.await;
                self.tell(ChildNews::Goes).await;
                settled
            }
        }?;
        self.spent.note(run, &settled);
        Ok(settled)
    }

    async fn cancel(&self, run: RunId, reason: &str) -> Result<(), PortError> {
        self.inner.cancel(run, reason).await
    }
}

/// What the children of one attempt used, by run.
#[derive(Default)]
pub(super) struct Spent(Mutex<BTreeMap<RunId, Used>>);

type Used = (BTreeMap<String, u64>, Option<NanoUsd>);

impl Spent {
    fn note(&self, run: RunId, settled: &Settled) {
        let used = (settled.usage.units.clone(), settled.cost);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(run, used);
    }

    /// What an attempt used with its children.
    pub(super) fn with(&self, own: Option<Usage>) -> Option<Usage> {
        let children = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if children.values().all(|(units, cost)| units.is_empty() && *cost == Some(NanoUsd::ZERO)) {
            return own;
        }
        let mut total = own.unwrap_or_default();
        // What was not bought costs nothing, known or not.
        let mut cost =
            if total.is_bought() { total.cost_nano_usd } else { Some(total.cost_nano_usd.unwrap_or_default()) };
        for (units, childs) in children.into_values() {
            for (kind, count) in units {
                let sum = total.units.entry(kind).or_default();
                *sum = sum.saturating_add(count);
            }
            cost = cost.zip(childs).map(|(sum, more)| sum.plus(more));
        }
        Some(Usage { cost_nano_usd: cost, ..total })
    }
}

#[cfg(test)]
mod tests {
    use domain::wire::UsageTotals;

    use super::*;

    fn child(tokens: u64, cost: Option<NanoUsd>) -> Settled {
        let units = if tokens == 0 { BTreeMap::new() } else { BTreeMap::from([("input_tokens".to_owned(), tokens)]) };
        Settled {
            status: RunStatus::Succeeded,
            outputs: serde_json::Value::Null,
            error: None,
            failed_step: None,
            handler_errors: Vec::new(),
            failed_attempt: None,
            usage: UsageTotals { units },
            cost,
        }
    }

    fn run(number: u128) -> RunId {
        RunId::from_uuid(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn children_are_added_once_each() {
        let spent = Spent::default();
        spent.note(run(1), &child(100, Some(NanoUsd(5))));
        spent.note(run(2), &child(10, Some(NanoUsd(7))));
        spent.note(run(1), &child(100, Some(NanoUsd(5))));
        let usage = spent.with(None).unwrap();
        assert_eq!((usage.units["input_tokens"], usage.cost_nano_usd), (110, Some(NanoUsd(12))));
        assert_eq!(spent.with(None), None, "what was given is given");
    }

    #[test]
    fn an_unknown_cost_stays_unknown_and_nothing_used_is_nothing() {
        let spent = Spent::default();
        spent.note(run(1), &child(100, None));
        assert_eq!(spent.with(None).unwrap().cost_nano_usd, None);
        spent.note(run(2), &child(0, Some(NanoUsd::ZERO)));
        assert_eq!(spent.with(None), None);
    }
}
