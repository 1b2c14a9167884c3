//! Surroundings without a store: for `weir run`, for tests, for whoever wants a run and nothing else.
//!
//! Invariant: everything ends with the [`World`]; nothing is shared between two of them.

mod blobs;
mod cache;
mod children;
mod inbox;
mod journal;
mod money;
mod slots;
mod values;
mod world;

pub use blobs::MemoryBlobs;
pub use cache::MemoryCache;
pub use children::FlowLoader;
pub use inbox::MemoryInbox;
pub use journal::{MemoryJournal, Observer, Unobserved};
pub use money::{MemoryMoney, Outer};
pub use slots::{MemoryPools, MemorySlots};
pub use values::MemoryValues;
pub use world::{Connection, Finished, FixedModels, FixedSecrets, Start, World, WorldParts, new_run_id};
