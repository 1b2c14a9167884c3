//! `weir serve` and `weir work`: the long-running commands.

use serde_json::json;

use crate::arguments::Overrides;
use crate::exit::{Exit, Failure};
use crate::output::Output;

/// API, console and, unless told otherwise, workers, until SIGTERM or Ctrl-C.
pub(crate) async fn serve(overrides: &Overrides, workers: bool, output: Output) -> Result<Exit, Failure> {
    let mut config = super::configuration(overrides)?;
    config.workers = workers;
    server::telemetry::start(&config).map_err(start_failure)?;
    let weir = server::open(&config).await.map_err(start_failure)?;
    let ready = |ready: server::Ready| {
        if output.is_json() {
            output.object(&json!({"url": ready.url, "owner_link": ready.owner_link}));
            return;
        }
        output.line(&format!("listening on {}", ready.url));
        if let Some(link) = ready.owner_link {
            output.note(&format!(
                "This store is new. Open this link to make its first owner (good once, for a week):\n  {link}"
            ));
        }
    };
    server::serve(&config, weir, ready).await.map_err(start_failure)?;
    Ok(Exit::Ok)
}

/// Workers alone, on a store that several processes share.
pub(crate) async fn work(overrides: &Overrides, output: Output) -> Result<Exit, Failure> {
    let config = super::configuration(overrides)?;
    server::telemetry::start(&config).map_err(start_failure)?;
    if !config.database_url.starts_with("postgres") {
        let why = "the embedded store belongs to one process, and that is `weir serve`, which runs flows itself; \
                   `weir work` is for PostgreSQL (set DATABASE_URL)";
        return Err(Failure::new(Exit::Usage, why));
    }
    let weir = server::open(&config).await.map_err(start_failure)?;
    let ready = |ready: server::Ready| {
        if output.is_json() {
            output.object(&json!({"url": ready.url}));
        } else {
            output.line(&format!("listening on {}", ready.url));
        }
    };
    server::work(&config, weir, ready).await.map_err(start_failure)?;
    Ok(Exit::Ok)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
pub(crate) fn start_failure(error: server::StartError) -> Failure {
    let exit = if error.is_configuration() { Exit::Usage } else { Exit::Unavailable };
    Failure::new(exit, error.to_string())
}
