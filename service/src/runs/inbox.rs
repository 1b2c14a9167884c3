//! What comes into a run from outside: kept in the store, handed to the engine, taken out when it is journaled.
//!
//! Invariant: a letter is durable before it is acknowledged; the engine gets each once per drive, and it is taken in the
//! unit of work that journals it, so a crash in between hands it over again and nothing is lost.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use domain::{DeliveryId, RunId, TenantId};
use engine::event::Outside;
use engine::ports::{Delivery, Inbox, PortError};
use entities::{JsonText, Scope, StoreError, Unit, inbox};
use sea_orm::ColumnTrait;
use tokio::sync::Notify;

use super::desk::LocalRun;
use crate::{Actor, Weir};

/// Letters read at a time.
const AT_ONCE: u64 = 1_000;

/// The letters of a run that this process executes.
#[derive(Debug, Default)]
pub(super) struct Letters {
    waiting: Mutex<Waiting>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: VecDeque<Delivery>,
    /// Everything that was put in since the drive began: the store is read again and again.
    known: HashSet<String>,
}

impl Letters {
    pub(super) fn put(&self, letter: Delivery) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.known.insert(letter.id.clone()) {
            waiting.queue.push_back(letter);
            self.news.notify_one();
        }
    }

    /// The kill that lies here, if there is one.
    pub(super) fn kill(&self) -> Option<Delivery> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.queue.iter().find(|letter| matches!(letter.what, Outside::Kill { .. })).cloned()
    }

    fn take(&self) -> Option<Delivery> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).queue.pop_front()
    }
}

/// The engine's inbox of one run.
pub(super) struct RunInbox(pub(super) Arc<LocalRun>);

#[async_trait]
impl Inbox for RunInbox {
    async fn next(&self) -> Result<Delivery, PortError> {
        loop {
            if let Some(letter) = self.0.letters.take() {
                return Ok(letter);
            }
            self.0.letters.news.notified().await;
        }
    }
}

/// The row of a letter.
pub(super) fn row(weir: &Weir, actor: &Actor, run: RunId, what: &Outside) -> inbox::Model {
    inbox::Model {
        tenant_id: actor.tenant.uuid(),
        run_id: run.uuid(),
        id: weir.ids().delivery().uuid(),
        kind: kind(what).to_owned(),
        data: JsonText::of(what),
        sent_by: actor.name().to_owned(),
        created_at: weir.now(),
        taken_at: None,
    }
}

const fn kind(what: &Outside) -> &'static str {
    match what {
        Outside::Signal { .. } => "signal",
        Outside::Decision { .. } => "decision",
        Outside::Resolve { .. } => "resolve",
        Outside::Kill { .. } => "kill",
    }
}

/// A letter out of its row; `None` for one that this program cannot read.
pub(super) fn letter(row: &inbox::Model) -> Option<Delivery> {
    let what = row.data.read().ok()?;
    Some(Delivery { id: DeliveryId::from_uuid(row.id).to_string(), by: row.sent_by.clone(), what })
}

/// Puts what lies in the store into the hands of whoever executes the run here.
pub(super) async fn fetch(weir: &Weir, tenant: TenantId, run: RunId, local: &LocalRun) -> Result<(), StoreError> {
    let reader = weir.store().read(tenant).await?;
    let rows = open(&reader, run.uuid()).order_by_asc(inbox::Column::Id).limit(AT_ONCE).all().await?;
    drop(reader);
    for row in &rows {
        match letter(row) {
            Some(letter) => local.letters.put(letter),
            None => tracing::error!(%run, kind = row.kind, "something in a run's inbox cannot be read"),
        }
    }
    Ok(())
}

/// Whether something lies in a run's inbox that was not journaled yet.
pub(super) async fn has_open(unit: &Unit, run: uuid::Uuid) -> Result<bool, StoreError> {
    Ok(open(unit, run).one().await?.is_some())
}

/// Whether somebody killed the run, and it has not heard it yet.
pub(super) async fn has_kill(unit: &Unit, run: uuid::Uuid) -> Result<bool, StoreError> {
    Ok(open(unit, run).filter(inbox::Column::Kind.eq("kill")).one().await?.is_some())
}

fn open<S: Scope>(scope: &S, run: uuid::Uuid) -> entities::Find<'_, inbox::Entity> {
    let letters = scope.find::<inbox::Entity>().filter(inbox::Column::RunId.eq(run));
    letters.filter(inbox::Column::TakenAt.is_null())
}

/// Takes letters out, in the unit that journals them.
pub(super) async fn take(
    unit: &Unit,
    run: uuid::Uuid,
    letters: &[DeliveryId],
    at: chrono::DateTime<chrono::Utc>,
) -> Result<(), StoreError> {
    if letters.is_empty() {
        return Ok(());
    }
    unit.update::<inbox::Entity>()
        .set(inbox::Column::TakenAt, Some(at))
        .filter(inbox::Column::RunId.eq(run))
        .filter(inbox::Column::Id.is_in(letters.iter().map(|letter| letter.uuid())))
        .exec()
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: &str) -> Delivery {
        let what = Outside::Signal { name: "go".to_owned(), payload: serde_json::Value::Null };
        Delivery { id: id.to_owned(), by: "ann".to_owned(), what }
    }

    #[tokio::test]
    async fn a_letter_is_handed_over_once_however_often_it_is_read() {
        let stop = tokio_util::sync::CancellationToken::new();
        let local = Arc::new(LocalRun::new(TenantId::from_uuid(uuid::Uuid::nil()), "f".to_owned(), &stop));
        let inbox = RunInbox(Arc::clone(&local));
        for id in ["a", "b", "a"] {
            local.letters.put(letter(id));
        }
        assert_eq!(inbox.next().await.unwrap().id, "a");
        assert_eq!(inbox.next().await.unwrap().id, "b");
        let waiting = inbox.next();
        tokio::pin!(waiting);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        local.letters.put(letter("a"));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        local.letters.put(letter("c"));
        assert_eq!(waiting.await.unwrap().id, "c");
    }
}
