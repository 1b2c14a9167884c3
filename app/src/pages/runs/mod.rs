//! Runs: the list with its filters, and a run from every side.

mod acts;
mod bars;
mod detail;
mod list;
mod step;
pub(crate) mod table;

pub(crate) use detail::{Data, Steps, Timeline};
pub(crate) use list::List;
