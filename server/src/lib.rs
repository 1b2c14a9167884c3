//! Assembly: configuration, telemetry, actix-web, REST, console host, workers.
//!
//! Invariant: no decision of the product is made here; a handler extracts, makes one service call and answers.

pub mod config;
pub mod telemetry;

mod api;
mod console;
mod docs;
mod extract;
mod fallback;
mod http;
mod middleware;
mod nearest;
mod problem;
mod queue_threads;
mod sse;
mod start;
mod state;
mod trial;

pub use config::{Config, ConfigError};
pub use http::{Ready, serve, work};
pub use start::{
    StartError, free_address, install_cryptography, migrate, open, pending_migrations, sandbox_handlers, tools,
};
