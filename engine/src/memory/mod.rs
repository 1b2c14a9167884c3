//! Surroundings without a store: for `weir run`, for tests, for whoever wants a run and nothing else.
//!
//! Invariant: everything ends with the [`World`]; nothing is shared between two of them.

mod blobs;
mod children;
mod journal;
mod world;

pub use blobs::MemoryBlobs;
pub use children::FlowLoader;
pub use journal::{MemoryJournal, Observer, Unobserved};
pub use world::{Connection, Finished, FixedModels, FixedSecrets, Start, World, WorldParts, new_run_id};
