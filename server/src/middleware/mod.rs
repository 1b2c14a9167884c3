//! What surrounds every request: its id and log line, containment of panics, and the headers of every answer.

pub(crate) mod around;
pub(crate) mod context;
mod paced;
pub(crate) mod rate;
mod trace;
