//! Child processes for untrusted work: pool, limits, protocol.
//!
//! «CONTRACT» The parent holds a [`Pool`], of which every tenant has its [`Share`]; the child is this very program, started as `weir sandbox`, which calls
//! [`child_main`] and answers jobs by the names its handlers are registered under (`engine.render`,
//! `executors.extract` ...).
//!
//! Invariant: a job that overruns its memory, CPU or wall limit costs its child and nothing else.

mod child;
mod confine;
mod error;
mod frame;
mod limits;
mod pool;
mod process;
mod turns;

pub use child::{Handlers, child_main};
pub use error::{JobError, SandboxError};
pub use limits::Limits;
pub use pool::{Answer, Pool, PoolConfig, Share};
pub use turns::{Turn, Turns};
