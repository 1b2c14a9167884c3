//! Build steps that are more than a line of shell. Each is skipped when its inputs are unchanged.
//!
//! - `cargo xtask assets [--profile dev]` builds the console's client and packs it with styles and public files.
//! - `cargo xtask wasm CARGO-ARGS...` runs cargo for wasm32 with the right standard library and linker.
//! - `cargo xtask budget` fails when what a browser must load is larger than promised.
//! - `cargo xtask guards` fails when the dependency graph holds what it must not hold.
mod assets;
mod budget;
mod client;
mod failure;
mod guards;
mod inputs;
mod say;
mod toolchain;
mod workspace;

use failure::Failure;
use std::process::ExitCode;
use workspace::Workspace;

const USAGE: &str = "usage: cargo xtask assets [--profile wasm-release|dev] | wasm CARGO-ARGS... | budget | guards";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Usage) => {
            say::line(USAGE);
            ExitCode::from(2)
        }
        Err(failure) => {
            say::failure(&failure);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Failure> {
    let workspace = Workspace::from_environment()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["assets"] => assets::build(&workspace, "wasm-release"),
        ["assets", "--profile", profile] => assets::build(&workspace, profile),
        ["wasm", rest @ ..] if !rest.is_empty() => toolchain::WasmToolchain::find(&workspace)?.cargo(&workspace, rest),
        ["budget"] => budget::check(&workspace),
        ["guards"] => guards::check(&workspace),
        _ => Err(Failure::Usage),
    }
}
