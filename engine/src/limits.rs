//! The named limits of the engine, in one place. The docs' table is made from these.

/// Larger values go to the blob store.
pub const INLINE_BYTES: usize = 64 * 1024;
/// The largest output of a step, as JSON.
pub const OUTPUT_BYTES: usize = 16 * 1024 * 1024;
/// Depth of flows that call flows.
pub const CHILD_DEPTH: u32 = 8;
/// Retry waits up to this long stay with the worker; longer ones give the lease back.
pub const IN_PLACE_WAIT_MS: u64 = 2_000;
/// How long a cancelled attempt may take to stop.
pub const CANCEL_GRACE_MS: u64 = 30_000;
