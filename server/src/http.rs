//! The HTTP server: listens, serves, drains.
//!
//! Invariant: plain HTTP stays on loopback unless a proxy in front does TLS; a drain ends open streams, lets requests
//! finish and gives unfinished runs back.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use actix_web::middleware::{Compress, from_fn};
use actix_web::{App, HttpServer, web};
use service::Weir;
use service::runs::{WorkerOptions, worker};
use tokio_util::sync::CancellationToken;
use utoipa_actix_web::AppExt;

use crate::config::Config;
use crate::middleware::around::around;
use crate::middleware::rate::Rates;
use crate::queue_threads::QueueThreads;
use crate::start::StartError;
use crate::state::State;
use crate::{api, console, docs, fallback};

/// What is known once the server listens.
#[derive(Debug, Clone)]
pub struct Ready {
    pub url: String,
    /// With a new store: the link that makes the first owner.
    pub owner_link: Option<String>,
}

/// Failed authentications of one address per minute before it has to wait.
const BAD_KEYS_PER_MINUTE: u32 = 600;
/// How long requests may go on after the drain began, in seconds.
const DRAIN_SECONDS: u64 = 25;

/// API, console and, unless told otherwise, workers, until SIGTERM or Ctrl-C.
///
/// # Errors
/// [`StartError`].
pub async fn serve(config: &Config, weir: Weir, on_ready: impl FnOnce(Ready)) -> Result<(), StartError> {
    let concurrency = if config.workers && !config.paused { WorkerOptions::default().concurrency } else { 0 };
    run(config, weir, concurrency, true, on_ready).await
}

/// Workers alone, with the health endpoints.
///
/// # Errors
/// [`StartError`].
pub async fn work(config: &Config, weir: Weir, on_ready: impl FnOnce(Ready)) -> Result<(), StartError> {
    let concurrency = if config.paused { 0 } else { WorkerOptions::default().concurrency };
    run(config, weir, concurrency, false, on_ready).await
}

async fn run(
    config: &Config,
    weir: Weir,
    concurrency: usize,
    whole: bool,
    on_ready: impl FnOnce(Ready),
) -> Result<(), StartError> {
    refuse_open_http(config)?;
    let _alone = alone(config)?;
    if config.redis_url.is_some() {
        tracing::warn!("REDIS_URL is set, but nothing uses it yet: nodes hear of each other through PostgreSQL");
    }
    let (listener, address) = listen(config.addr)?;
    let base_url = base_url(config, address);
    let owner_link = match whole && !service::tenants::any(&weir).await? {
        true => Some(format!("{base_url}{}", service::links::first_owner(&weir).await?)),
        false => None,
    };
    // Pages spawn on an executor that must be known before the first one.
    app::start();
    let draining = CancellationToken::new();
    let state = web::Data::new(state(config, weir.clone(), &draining));
    let host = web::Data::new(console::Host::new(weir.clone(), config, &base_url));
    let routes = web::Data::new(fallback::Routes::of(&state.openapi));
    let options = WorkerOptions { concurrency, ..WorkerOptions::default() };
    let queue = QueueThreads::start().map_err(StartError::Server)?;
    let worker = queue.within(|| worker::spawn(weir, options, draining.clone()));
    let server = HttpServer::new(move || {
        let app = App::new()
            .app_data(state.clone())
            .app_data(host.clone())
            .app_data(routes.clone())
            .wrap(Compress::default())
            .wrap(from_fn(around));
        if !whole {
            return app.configure(|config| {
                config
                    .service(api::health::live)
                    .service(api::health::ready)
                    .default_service(web::to(fallback::fallback));
            });
        }
        let (app, _document) = app.into_utoipa_app().configure(api::configure).split_for_parts();
        app.configure(docs::configure)
            .service(web::scope("/api").default_service(web::to(fallback::fallback)))
            .service(web::scope("/health").default_service(web::to(fallback::fallback)))
            .configure(console::configure)
    })
    // A caller that closed its connection does not wait for an answer: what was done for it is told.
    .h1_allow_half_closed(false)
    .disable_signals()
    .shutdown_timeout(DRAIN_SECONDS)
    .listen(listener)
    .map_err(StartError::Server)?
    .run();
    let handle = server.handle();
    let serving = tokio::spawn(server);
    on_ready(Ready { url: base_url_of(address), owner_link });
    tracing::info!(%address, "listening");
    let ended = until_told(serving).await;
    tracing::info!("draining");
    draining.cancel();
    // A run that was called executes on the thread that took the call, and would be gone with it: the threads that serve end
    // when the runs have ended or were given back. Until then they say that this server drains, and what they are asked to
    // run waits in the queue for another worker, or for the next start.
    if let Err(error) = worker.await {
        tracing::error!(%error, "the worker ended badly");
    }
    handle.stop(true).await;
    ended
}

/// Waits for SIGTERM, Ctrl-C, or the server's own end.
async fn until_told(serving: tokio::task::JoinHandle<std::io::Result<()>>) -> Result<(), StartError> {
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(StartError::Server)?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
        ended = serving => match ended {
            Ok(result) => result.map_err(StartError::Server),
            Err(error) => Err(StartError::Server(std::io::Error::other(error))),
        },
    }
}

fn state(config: &Config, weir: Weir, draining: &CancellationToken) -> State {
    State {
        weir,
        key_rates: Rates::new(config.requests_per_minute),
        address_rates: Rates::new(if config.requests_per_minute == 0 { 0 } else { BAD_KEYS_PER_MINUTE }),
        trusted_proxies: config.trusted_proxies.clone(),
        draining: draining.clone(),
        openapi: Arc::new(api::openapi::of_routes()),
    }
}

/// The embedded store belongs to one server: a second one would take its runs away. Held until the process ends, however
/// it ends.
fn alone(config: &Config) -> Result<Option<std::fs::File>, StartError> {
    if !config.database_url.starts_with("sqlite") {
        return Ok(None);
    }
    let path = config.data.join("serve.lock");
    let fault = |source| StartError::Data { path: path.display().to_string(), source };
    let file = std::fs::File::create(&path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Err(StartError::Configuration(format!(
            "another server already runs on {}; stop it, or give this one a data folder of its own (WEIR_DATA)",
            config.data.display()
        ))),
        Err(std::fs::TryLockError::Error(source)) => Err(fault(source)),
    }
}

fn refuse_open_http(config: &Config) -> Result<(), StartError> {
    let behind_tls = config.public_url.as_ref().is_some_and(|url| url.scheme() == "https");
    if config.addr.ip().is_loopback() || behind_tls {
        return Ok(());
    }
    Err(StartError::Configuration(format!(
        "{} is not loopback and plain HTTP would be open to others; put a TLS proxy in front and say so with \
         WEIR_PUBLIC_URL=https://...",
        config.addr
    )))
}

fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let fault = |source| StartError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).map_err(fault)?;
    let address = listener.local_addr().map_err(fault)?;
    Ok((listener, address))
}

/// The base of links: the public address where there is one.
fn base_url(config: &Config, address: SocketAddr) -> String {
    if config.public_url.is_some() { config.base_url() } else { base_url_of(address) }
}

fn base_url_of(address: SocketAddr) -> String {
    format!("http://{address}")
}
