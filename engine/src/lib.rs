//! Runs a plan: a pure dispatcher and the driver around it.
//!
//! Invariant: `dispatcher` never renders, never waits and never reads a clock; the driver does what the dispatcher
//! commands and journals what happened before anybody outside can see it.

pub mod dispatcher;
pub mod driver;
pub mod effects;
pub mod event;
pub mod executor;
#[cfg(test)]
mod kit;
pub mod limits;
pub mod memory;
pub mod money;
pub mod ports;
pub mod prices;
pub mod retry;
pub mod run;
pub mod template;

pub use driver::{drive, drive_prepared};
pub use event::{Entry, Event, Settled, SkipReason, Stored};
pub use executor::{Call, Done, EarlierAttempt, Executor, Failed, Progress, Registry, STORAGE, Unwatched};
pub use run::{Control, DriveError, Outcome, Refusal, Run, Surroundings, Watcher};
pub use template::Prepared;
