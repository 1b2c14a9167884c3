//! Templates: native values, strict names, and limits that hold.
//!
//! Invariant: a template that the analysis cannot prove cheap is rendered in a sandbox child under memory and time
//! limits; the others run here, on fuel. Secrets never enter a render: a marker stands for them that nobody can guess.

mod analysis;
mod callables;
mod cases;
mod dates;
mod environment;
mod expressions;
mod fault;
mod filters;
mod job;
mod json;
mod limit_key;
mod prepared;
mod scope;
mod secrets;
mod shape;
mod syntax;
mod tables;

pub(crate) use analysis::ITEM;
pub use analysis::{Reads, Weight};
pub use expressions::{Expressions, Handle};
pub use fault::Fault;
pub use job::{JOB, RenderJob, handlers, render_job};
pub use limit_key::limit_key;
pub(crate) use prepared::way;
pub use prepared::{Prepared, PreparedEntry, PreparedStep, Ready};
pub use scope::{GroupParts, RecordParts, Scope, ScopeParts};
pub use secrets::{MASK, Masker, fill, made, names};
pub use shape::{Shape, Template};

#[cfg(test)]
mod tests;
