//! One module a command: read the arguments, make one call, say the answer.

pub(crate) mod sandbox;

mod bootstrap;
mod check;
mod config;
mod demo;
mod local;
mod plan;
mod run;
mod serve;
mod test;

use clap::CommandFactory as _;

use crate::arguments::{Arguments, Command, Overrides};
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) async fn dispatch(arguments: Arguments, output: &Output) -> Result<Exit, Failure> {
    let overrides = &arguments.overrides;
    match arguments.command {
        Command::Demo { reset } => demo::demo(overrides, reset, *output).await,
        Command::Serve { no_workers } => serve::serve(overrides, !no_workers, *output).await,
        Command::Work => serve::work(overrides, *output).await,
        Command::Migrate { check } => bootstrap::migrate(overrides, check, *output).await,
        Command::Tenant(command) => bootstrap::tenant(overrides, command, *output).await,
        Command::Member(command) => bootstrap::member(overrides, command, *output).await,
        Command::Key(command) => bootstrap::key(overrides, command, *output).await,
        Command::Flow(command) => bootstrap::flow(overrides, command, *output).await,
        Command::Connection(command) => bootstrap::connection(overrides, command, *output).await,
        Command::Config(command) => config::config(overrides, &command, *output),
        Command::Check(arguments) => check::check(&arguments, *output),
        Command::Run(arguments) => run::run(arguments, *output).await,
        Command::Plan(arguments) => plan::plan(arguments, *output).await,
        Command::Test(arguments) => test::test(arguments, *output).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "weir", &mut std::io::stdout());
            Ok(Exit::Ok)
        }
        Command::Sandbox => Ok(Exit::Usage),
    }
}

/// The configuration under this call's flags.
fn configuration(overrides: &Overrides) -> Result<server::Config, Failure> {
    server::Config::load(&overrides.by_key(), |name| std::env::var(name).ok(), overrides.config.as_deref())
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}
