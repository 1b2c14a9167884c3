//! How large a suite is: part of every test run, ten minutes, or an hour.
use std::env;

/// The variable that chooses it.
const VARIABLE: &str = "WEIR_SUITE_SIZE";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Part of `make test`.
    Gate,
    Ci,
    Release,
}

impl Size {
    /// What `WEIR_SUITE_SIZE` says; `gate` without it.
    pub fn chosen() -> Self {
        match env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "gate") => Self::Gate,
            Ok("ci") => Self::Ci,
            Ok("release") => Self::Release,
            Ok(other) => panic!("{VARIABLE} is `{other}`; it may be `gate`, `ci` or `release`"),
        }
    }

    /// The value for this size.
    pub fn of<T>(self, gate: T, ci: T, release: T) -> T {
        match self {
            Self::Gate => gate,
            Self::Ci => ci,
            Self::Release => release,
        }
    }
}
