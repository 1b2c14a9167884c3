//! The `weir` program: one binary for the server, local work and the operator.
//!
//! Invariant: stdout is data and stderr is progress and notes; a command ends with one of the documented exit codes.

mod arguments;
mod commands;
mod exit;
mod output;

use std::process::ExitCode;

use clap::Parser as _;

use crate::arguments::{Arguments, Command};
use crate::exit::Exit;

/// Many small values live as long as a request: a fifth more requests a second than with the system's own.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return exit::of_usage(&error),
    };
    // A sandbox child has no runtime, no telemetry and no cryptography: it confines itself and reads jobs.
    if let Command::Sandbox = arguments.command {
        return commands::sandbox::child();
    }
    // Everything that this program writes (the store, blobs, sockets of its children) is its owner's alone.
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
    let output = output::Output::new(arguments.json);
    match run(arguments, &output) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(arguments: Arguments, output: &output::Output) -> Result<Exit, exit::Failure> {
    server::install_cryptography();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| exit::Failure::new(Exit::Failure, format!("the runtime cannot start: {error}")))?;
    runtime.block_on(commands::dispatch(arguments, output))
}
