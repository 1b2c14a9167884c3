//! The child that the suites start: the real `child_main` with the engine's jobs.

use std::process::ExitCode;

fn main() -> ExitCode {
    sandbox::child_main(engine::template::handlers(sandbox::Handlers::new()))
}
