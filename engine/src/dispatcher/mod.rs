//! The dispatcher: what happens next in a run, as a pure state machine.
//!
//! Invariant: [`step`] never renders, waits, reads a clock or draws a random number; time and jitter come in with the
//! signal, and the same history followed by the same signals gives the same entries and commands. A settled step costs
//! work in proportion to its edges, so that a run of n steps costs O(n + edges).

mod apply;
mod cache;
mod ending;
mod graph;
mod items;
mod lineage;
mod outcome;
mod restart;
mod resume;
mod signal;
mod slots;
mod state;
mod stopping;
mod travel;
mod turn;
mod unit;
mod waiting;

pub(crate) use graph::effect_by_method;
pub use graph::{Graph, Node};
pub use lineage::Line;
pub use signal::{
    AttemptResult, CacheHit, Command, Configured, Decision, FailedAttempt, Input, Listed, Reused, Signal,
    SucceededAttempt, Timer,
};
pub use state::{GroupState, Handling, Misfit, RunEnd, State, StepState};
pub use turn::step;
pub use unit::{Items, Place, Unit};
