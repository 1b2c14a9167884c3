//! The console: Leptos pages rendered on the server and hydrated in the browser.
//!
//! Invariant: every page is whole without a script, every write is a plain form (see [`forms`]), and the browser half
//! sees nothing of the program but [`domain`] and the types in [`data`].

#![expect(unreachable_pub, reason = "the component macro writes `pub` for every component")]

mod components;
mod context;
pub mod data;
#[cfg(feature = "ssr")]
mod document;
pub mod forms;
mod graph;
mod load;
mod pages;
mod routes;
mod shell;

#[cfg(feature = "ssr")]
pub use document::{shell, start};
pub use routes::App;
