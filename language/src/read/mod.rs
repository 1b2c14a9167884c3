//! From nodes to the flow as it was written: shapes, names and bounds, nothing that needs more than one step.
//!
//! Invariant: a key is either read, known to come later and refused by name, or unknown and refused with a hint.

mod flow;
mod input;
mod step;

pub(crate) use flow::flow;
pub use flow::is_flow_name;
#[cfg(test)]
pub(crate) use flow::{DEFAULTS_KEYS, FLOW_KEYS, ENDPOINT_KEYS, GROUP_KEYS};
#[cfg(test)]
pub(crate) use input::INPUT_KEYS;
#[cfg(test)]
pub(crate) use step::{RETRY_KEYS, STEP_KEYS};
