//! The sandbox child that this crate's suites start: the real jobs, without the rest of the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    let handlers = engine::template::handlers(sandbox::Handlers::new());
    sandbox::child_main(executors::sandbox_handlers(handlers))
}
