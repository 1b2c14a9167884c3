//! Child processes for untrusted work: pool, limits, protocol.
//!
//! «CONTRACT» The parent holds a [`Pool`]; the child is this very program, started as `weir sandbox`, which answers jobs
//! by the names its handlers are registered under (`engine.render`, `executors.extract` ...).
//!
//! Invariant: a job that overruns its memory, CPU or wall limit costs its child and nothing else.

/// Warm children of our own program. Filled in by this room.
#[derive(Debug)]
pub struct Pool {
    _private: (),
}
