//! News from other processes, where the store carries any.
//!
//! Invariant: news are hints; a lost one costs a moment, because whoever waits also looks.

use std::time::Duration;

use domain::{RunId, TenantId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::bus::Live;
use crate::Weir;

/// Says that a run waits in the queue.
pub(super) const QUEUED: &str = "queued";
/// Says that slots of steps may be free.
pub(super) const SLOTS: &str = "slots";
const RETRY: Duration = Duration::from_secs(2);

/// Says that a run's rows changed.
pub(super) fn changed(tenant: Uuid, run: Uuid) -> String {
    format!("changed {tenant} {run}")
}

/// Says that somebody asked to cancel a run.
pub(super) fn cancelled(tenant: Uuid, run: Uuid) -> String {
    format!("cancel {tenant} {run}")
}

/// Says that something lies in a run's inbox.
pub(super) fn letter(tenant: Uuid, run: Uuid) -> String {
    format!("letter {tenant} {run}")
}

/// Hears news until `over`.
pub(super) async fn listen(weir: Weir, over: CancellationToken) {
    loop {
        tokio::select! {
            () = over.cancelled() => return,
            heard = hear(&weir) => match heard {
                Ok(()) => return,
                Err(error) => tracing::warn!(%error, "news from other processes are not heard; trying again"),
            },
        }
        tokio::select! {
            () = over.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Ends only when the store carries no news.
async fn hear(weir: &Weir) -> Result<(), entities::StoreError> {
    let Some(mut listener) = weir.store().listen().await? else { return Ok(()) };
    loop {
        match listener.next().await? {
            Some(notice) => take(weir, &notice),
            None => {
                weir.runs().bus().tell_all_changed();
                weir.runs().wake();
            }
        }
    }
}

fn take(weir: &Weir, notice: &str) {
    let mut words = notice.split(' ');
    let (Some(kind), tenant, run) = (words.next(), words.next(), words.next()) else { return };
    if kind == QUEUED {
        weir.runs().wake();
        return;
    }
    if kind == SLOTS {
        weir.runs().offer_slots();
        return;
    }
    let (Some(Ok(tenant)), Some(Ok(run))) = (tenant.map(Uuid::parse_str), run.map(Uuid::parse_str)) else { return };
    let (tenant, run) = (TenantId::from_uuid(tenant), RunId::from_uuid(run));
    match (kind, weir.runs().find(run)) {
        ("cancel", Some(local)) => {
            let weir = weir.clone();
            // Who asked stands in the row.
            tokio::spawn(async move {
                // A kill that came before is heard before.
                if let Err(error) = super::inbox::fetch(&weir, tenant, run, &local).await {
                    tracing::warn!(%error, %run, "a run's inbox could not be read");
                }
                let row = super::find_row(&weir, tenant, run).await.ok().flatten();
                local.cancel(row.and_then(|row| row.cancel_reason));
            });
        }
        ("letter", Some(local)) => {
            let weir = weir.clone();
            tokio::spawn(async move {
                if let Err(error) = super::inbox::fetch(&weir, tenant, run, &local).await {
                    tracing::warn!(%error, %run, "a run's inbox could not be read");
                }
            });
        }
        ("cancel" | "letter", None) => weir.runs().wake(),
        // What this process did itself it has told already.
        (_, Some(_)) => {}
        (_, None) => {
            weir.runs().bus().tell(run, Live::Changed);
            weir.runs().bus().tell_tenant(tenant, run);
        }
    }
}
