//! The named limits of the engine, in one place. The docs' table is made from these.

/// Larger values go to the blob store.
pub const INLINE_BYTES: usize = 64 * 1024;
/// The largest output of a step, as JSON.
pub const OUTPUT_BYTES: usize = 16 * 1024 * 1024;
/// Depth of flows that call flows.
pub const CHILD_DEPTH: u32 = 8;

/// Runs below one root, however deep.
pub const TREE_RUNS: u64 = language::limits::TREE_RUNS as u64;

/// What a step fails with that would make the tree larger.
#[must_use]
pub fn too_large_a_tree() -> domain::Failure {
    let message = format!(
        "The run, and the runs that it started, have started {TREE_RUNS} runs, and may not start more. Do with one run what \
         many do now, or start parts of it by themselves."
    );
    domain::Failure::new(domain::FailureKind::Limit, "tree_too_large", message)
}

/// What a step fails with that would make the line longer.
#[must_use]
pub fn too_deep() -> domain::Failure {
    let message = format!("At most {CHILD_DEPTH} flows may call each other in a line. Look for a circle.");
    domain::Failure::new(domain::FailureKind::Limit, "child_depth", message)
}
/// Retry waits up to this long stay with the worker; longer ones give the lease back.
pub const IN_PLACE_WAIT_MS: u64 = 2_000;
/// Attempts that a run tries one after another without a task of their own, before it looks whether it is cancelled, out of
/// time or told something.
pub const AT_ONCE: u32 = 64;
/// How long a cancelled attempt may take to stop.
pub const CANCEL_GRACE_MS: u64 = 30_000;
/// How much later than the limit of a step, group or run its executors give up by themselves.
pub const OUTER_MARGIN_MS: u64 = 1_000;
/// How long an attempt whose time is over may tidy up; it is settled already.
pub const ABORT_GRACE_MS: u64 = 1_000;
/// Work that one template may do, in the template engine's units (an instruction, or 64 bytes made).
pub const TEMPLATE_FUEL: u64 = 10_000_000;
/// Depth of includes, macros and blocks.
pub const TEMPLATE_RECURSION: usize = 100;
/// Time of a render in a sandbox child.
pub const TEMPLATE_WALL_MS: u64 = 5_000;
/// Memory of a render in a sandbox child, on top of the child's own.
pub const TEMPLATE_MEMORY_BYTES: u64 = 256 * 1024 * 1024;
/// Entries that nobody outside has seen are made durable at least this often while something runs.
pub const FLUSH_MS: u64 = 100;
/// Attempts of one `for_each` step that are under way at the same time.
pub const ITEMS_IN_FLIGHT: usize = 64;
/// How long compensations may take together, and likewise `on_error`, and `finally`.
pub const HANDLERS_MS: u64 = 60_000;
