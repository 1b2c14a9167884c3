//! `weir sandbox`: the child side of the sandbox, with every kind of job that this program hands out.

use std::process::ExitCode;

/// Confines itself and answers jobs until its stdin ends.
pub(crate) fn child() -> ExitCode {
    sandbox::child_main(server::sandbox_handlers())
}
