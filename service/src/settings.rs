//! What the operator decided, as far as services act on it.
//!
//! Invariant: no secret in here; those live in the vault.

use std::path::PathBuf;

#[derive(Debug, Clone)]
pub struct Settings {
    pub data: PathBuf,
    /// For people: which database this is, without credentials.
    pub database: String,
    /// The base of links, without a slash at its end.
    pub public_url: String,
    /// Starts nothing: for incidents.
    pub paused: bool,
    /// The program's version.
    pub version: &'static str,
}
