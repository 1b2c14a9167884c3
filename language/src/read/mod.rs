//! From nodes to the flow as it was written: shapes, names and bounds, nothing that needs more than one step.
//!
//! Invariant: a key is either read, known to come later and refused by name, or unknown and refused with a hint.

mod failure;
mod flow;
mod functions;
mod input;
mod items;
mod settings;
mod step;

pub use flow::is_flow_name;
pub(crate) use flow::{callables, flow};

/// The keys that are read, as a test compares them with the JSON Schema: its definition's name and the keys.
#[cfg(test)]
pub(crate) const KEYS: &[(&str, &[&str])] = &[
    ("Flow", flow::FLOW_KEYS),
    ("Defaults", flow::DEFAULTS_KEYS),
    ("Group", flow::GROUP_KEYS),
    ("Endpoint", flow::ENDPOINT_KEYS),
    ("Step", step::STEP_KEYS),
    ("Retry", failure::RETRY_KEYS),
    ("OnErrorSettings", failure::ON_ERROR_KEYS),
    ("Fallback", failure::FALLBACK_KEYS),
    ("Compensate", step::COMPENSATE_KEYS),
    ("Repeat", items::REPEAT_KEYS),
    ("Cache", settings::CACHE_KEYS),
    ("Concurrency", settings::CONCURRENCY_KEYS),
    ("Resources", settings::RESOURCES_KEYS),
    ("MaxCostSettings", settings::MAX_COST_KEYS),
    ("Function", functions::FUNCTION_KEYS),
    ("InputFile", input::INPUT_KEYS),
];
