//! Python of a flow's author: compiled and called by an interpreter that can reach nothing.
//!
//! «CONTRACT» The interpreter runs inside a sandbox child and nowhere else: [`Module`] is called by the renders that
//! happen there, and [`JOB`] is the whole of the `python` executor. It has no files, network or clock, and its random
//! numbers are the same every time.
//!
//! Invariant: what a call gives is JSON within its limits, or a [`Fault`] that names the function and the line; nothing
//! of a call is kept for the next job.

mod convert;
mod fault;
mod job;
mod module;

pub use fault::Fault;
pub use job::{JOB, Job, handlers};
pub use module::{Definition, Module};
