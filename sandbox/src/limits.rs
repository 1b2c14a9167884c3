//! What one job may use.
//!
//! Invariant: every limit has a value; there is no "unlimited".

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of one job. What the warm child holds already does not count against `memory_bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the moment a child takes the job to its answer; waiting for a free child does not count.
    pub wall: Duration,
    /// CPU time of the child, rounded up to whole seconds.
    pub cpu: Duration,
    /// Address space on top of what the child has before the job.
    pub memory_bytes: u64,
    /// Input value (as JSON) and payload together.
    pub input_bytes: u64,
    /// Output value (as JSON) and payload together.
    pub output_bytes: u64,
}

impl Default for Limits {
    /// For small pure work such as a template.
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(5),
            cpu: Duration::from_secs(4),
            memory_bytes: 256 << 20,
            input_bytes: 64 << 20,
            output_bytes: 16 << 20,
        }
    }
}

impl Limits {
    /// For reading a document.
    #[must_use]
    pub fn document() -> Self {
        Self {
            wall: Duration::from_secs(60),
            cpu: Duration::from_secs(50),
            memory_bytes: 1 << 30,
            input_bytes: 128 << 20,
            output_bytes: 64 << 20,
        }
    }
}
