//! The console: Leptos pages rendered on the server, with islands that are hydrated in the browser.
//!
//! Invariant: every page is whole without a script, every write is a plain form (see [`forms`]), and the browser half is
//! the islands alone: it sees no page, no data and no route.
// Views nest deeply, and each level is a type.
#![recursion_limit = "256"]
#![expect(unreachable_pub, reason = "the component macro writes `pub` for every component")]

#[cfg(feature = "ssr")]
mod components;
#[cfg(feature = "ssr")]
mod context;
#[cfg(feature = "ssr")]
pub mod data;
#[cfg(feature = "ssr")]
mod document;
pub mod forms;
#[cfg(feature = "ssr")]
mod graph;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod icon;
#[cfg(any(feature = "ssr", feature = "hydrate"))]
mod islands;
#[cfg(feature = "ssr")]
mod load;
#[cfg(feature = "ssr")]
mod pages;
#[cfg(feature = "ssr")]
mod routes;
#[cfg(feature = "ssr")]
mod shell;

#[cfg(feature = "ssr")]
pub use document::{shell, start};
