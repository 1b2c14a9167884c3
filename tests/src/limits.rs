//! How long the harness waits for the program before it says that something hangs. Never a measure of speed.
use std::time::Duration;

pub(crate) const START: Duration = Duration::from_secs(60);
pub(crate) const STOP: Duration = Duration::from_secs(30);
pub(crate) const COMMAND: Duration = Duration::from_secs(120);
pub(crate) const REQUEST: Duration = Duration::from_secs(120);

/// Waits for something with a limit; the message names what was waited for.
///
/// # Panics
/// Where it takes longer.
pub async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(limit, work).await {
        Ok(value) => value,
        Err(_) => panic!("{what} did not happen within {limit:?}"),
    }
}
