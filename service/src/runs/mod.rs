//! Runs: the durable half of the engine. Starting, queueing, executing, watching, cancelling, recovering.
//!
//! Invariant: a run that was acknowledged is in the store, reaches exactly one terminal status, and is written to by one
//! holder at a time: whoever holds the newest fencing token.
//!
//! The way of a run: [`start`] makes its row (with its idempotency key, in one unit) and hands it to this process's worker
//! where one is free, else leaves it in the queue; [`worker`] claims what waits, under a lease; `execute` replays the
//! journal into the engine and drives on; `journal` makes each step durable with its rows. Whoever waits is answered from
//! memory ([`wait()`]), whoever watches hears the [`Bus`] and reads the journal ([`events`]).

mod acts;
mod admission;
mod again;
mod approvals;
mod bus;
mod cancel;
mod child_epochs;
mod children;
mod claimed;
mod desk;
mod entries;
mod events;
mod execute;
mod fairness;
mod inbox;
mod inputs;
mod journal;
mod leave;
mod list;
mod listen;
mod money;
mod pace;
mod past;
mod ports;
mod questions;
mod record;
mod room;
mod slots;
mod start;
mod step_slots;
mod steps;
mod trace;
mod tree;
mod unbegun;
mod wait;
mod ways;
mod why;
mod words;
pub mod worker;

pub use acts::{Resolve, kill, resolve, signal};
pub use again::{Replay, replay, restart};
pub use approvals::{ApprovalFilter, approval, approvals, decide};
pub use bus::{Bus, Live, Speaker};
pub use cancel::{abandon, cancel};
pub use desk::Runs;
pub use events::{WatchItem, events, events_page};
pub(crate) use inputs::parsed_inputs;
pub use inputs::{INPUT_BYTES, Inputs};
pub use list::{PAGE_MOST, PAGE_USUAL, RunFilter, get, list};
pub(crate) use past::{PastRun, act_out};
pub(crate) use slots::{at_limit, executing};
pub(crate) use start::refuse_library;
pub use start::{Answer, StartRun, Started, start};
pub use steps::{STEPS_MOST, steps, steps_page};
pub use wait::{SettledRun, Waited, wait, wait_for, wait_unless};
pub use why::why;
pub use worker::WorkerOptions;

use domain::{RunId, TenantId};
use entities::{Scope, run};
use sea_orm::ColumnTrait;

use crate::{ServiceError, Weir};

/// Rows that no time makes claimable: until somebody acts.
fn far_future() -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(253_370_764_800, 0).unwrap_or(chrono::DateTime::<chrono::Utc>::MAX_UTC)
}

async fn find_row(weir: &Weir, tenant: TenantId, id: RunId) -> Result<Option<run::Model>, ServiceError> {
    let reader = weir.store().read(tenant).await?;
    Ok(reader.find::<run::Entity>().filter(run::Column::Id.eq(id.uuid())).one().await?)
}

pub(crate) async fn row(weir: &Weir, tenant: TenantId, id: RunId) -> Result<run::Model, ServiceError> {
    find_row(weir, tenant, id).await?.ok_or_else(|| ServiceError::not_found("run", id))
}
