//! The log: JSON or readable lines on stderr, one request id through all of them.
//!
//! Invariant: stdout is data and stays free; bodies, headers and query strings are never logged.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

use crate::config::{Config, LogFormat};
use crate::start::StartError;

/// Starts logging for this process. A second start (tests) is ignored.
///
/// # Errors
/// [`StartError::Configuration`] for a filter that cannot be read.
pub fn start(config: &Config) -> Result<(), StartError> {
    let filter =
        EnvFilter::try_new(&config.log).map_err(|error| StartError::Configuration(format!("WEIR_LOG: {error}")))?;
    // The store's driver logs statements at debug; they may hold values.
    let filter = ["sqlx=warn", "sea_orm=warn", "actix_server=warn", "leptos=warn"]
        .into_iter()
        .filter_map(|directive| directive.parse().ok())
        .fold(filter, EnvFilter::add_directive);
    let pretty = match config.log_format {
        LogFormat::Json => false,
        LogFormat::Pretty => true,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_span_events(FmtSpan::NONE);
    let started = if pretty {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).compact().try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(true).try_init()
    };
    if started.is_err() {
        tracing::debug!("logging was already started");
    }
    Ok(())
}
