//! Runs: the list with its filters, and a run from every side.

mod acts;
mod bars;
mod detail;
mod journal;
mod list;
mod raw;
mod step;
pub(crate) mod table;

pub(crate) use detail::{Data, Steps, Timeline};
pub(crate) use journal::Journal;
pub(crate) use list::List;
pub(crate) use raw::Raw;
