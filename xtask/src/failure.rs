//! What can go wrong in a build step, each with what to do about it.
use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("unknown command")]
    Usage,
    #[error("cannot read or write {path}")]
    File { path: PathBuf, source: io::Error },
    #[error("cannot start `{program}`; run scripts/setup")]
    Start { program: String, source: io::Error },
    #[error("`{command}` failed ({status})")]
    Command { command: String, status: String },
    #[error("no wasm linker: run scripts/setup, or install lld (wasm-ld)")]
    NoLinker,
    #[error(
        "no standard library for wasm32 and no source to build it from: run scripts/setup, or `rustup target add wasm32-unknown-unknown`, or install rust-web-src"
    )]
    NoStandardLibrary,
    #[error("wasm-bindgen refused the client")]
    Bindgen(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{file}: {problem}")]
    Style { file: PathBuf, problem: String },
    #[error("the client came with script snippets ({0}); pack them in xtask/src/client.rs before using such a crate")]
    Snippets(PathBuf),
    #[error("the manifest of the assets is unreadable; run `cargo xtask assets`")]
    Manifest(#[source] serde_json::Error),
    #[error("{0}")]
    Rule(String),
}

impl Failure {
    /// For `map_err`: names the file an I/O error is about.
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
