//! From nodes to the flow as it was written: shapes, names and bounds, nothing that needs more than one step.
//!
//! Invariant: a key is either read, known to come later and refused by name, or unknown and refused with a hint.

mod flow;
mod input;
mod step;

pub(crate) use flow::flow;
pub use flow::is_flow_name;

/// The keys that are read, as a test compares them with the JSON Schema: its definition's name and the keys.
#[cfg(test)]
pub(crate) const KEYS: &[(&str, &[&str])] = &[
    ("Flow", flow::FLOW_KEYS),
    ("Defaults", flow::DEFAULTS_KEYS),
    ("Group", flow::GROUP_KEYS),
    ("Endpoint", flow::ENDPOINT_KEYS),
    ("Step", step::STEP_KEYS),
    ("Retry", step::RETRY_KEYS),
    ("InputFile", input::INPUT_KEYS),
];
