//! The console's host: it knows who asks, hands the pages their data, takes their forms and streams what changes.
//!
//! Invariant: a page is rendered, and a form acts, only for the session that the cookie proves; a form also proves that it
//! came from a page of ours. Nothing here decides a right: the services do.

mod acts;
mod addresses;
mod around;
mod assets;
mod connections;
mod cookies;
mod data;
mod export;
mod files;
mod forms;
mod live;
mod people;
mod run_form;
mod visitor;

use std::sync::Arc;

use actix_web::middleware::from_fn;
use actix_web::{HttpMessage as _, web};
use app::data::{AssetNames, ConsoleData, PageState};
use leptos::context::provide_context;
use service::Weir;

use crate::Config;

/// What every console request needs besides its session.
pub(crate) struct Host {
    weir: Weir,
    /// Whether cookies are `Secure` and carry the `__Host-` prefix: everywhere but on plain loopback.
    secure: bool,
    base_url: String,
    assets: AssetNames,
    setup: SetupFacts,
}

/// What the first owner's page tells about the installation.
struct SetupFacts {
    data_folder: String,
    database: String,
    key_location: String,
}

impl Host {
    /// `base_url` is how the outside reaches this server.
    pub(crate) fn new(weir: Weir, config: &Config, base_url: &str) -> Self {
        let setup = SetupFacts {
            data_folder: config.data.display().to_string(),
            database: weir.settings().database.clone(),
            key_location: match &config.master_key {
                service::vault::MasterKeySource::Text(_) => "WEIR_MASTER_KEY".to_owned(),
                service::vault::MasterKeySource::File(path) => path.display().to_string(),
                service::vault::MasterKeySource::DataFolder => config.data.join("master.key").display().to_string(),
            },
        };
        Self {
            secure: base_url.starts_with("https://"),
            base_url: base_url.trim_end_matches('/').to_owned(),
            assets: assets::names(),
            weir,
            setup,
        }
    }
}

/// Mounts the console. Goes last: what nothing else answers is a page.
pub(crate) fn configure(services: &mut web::ServiceConfig) {
    services
        .route("/assets/{file:.*}", web::get().to(assets::asset))
        .route("/assets/{file:.*}", web::head().to(assets::asset))
        .route("/favicon.ico", web::get().to(assets::favicon))
        .route("/favicon.svg", web::get().to(assets::favicon))
        .service(
            web::scope("")
                .wrap(from_fn(around::around))
                .route("/t/{tenant}/runs.csv", web::get().to(export::csv))
                .route("/t/{tenant}/runs.json", web::get().to(export::json))
                .route("/t/{tenant}/runs/live", web::get().to(live::runs))
                .route("/t/{tenant}/runs/{run}/events", web::get().to(live::run))
                .route("/t/{tenant}/files/{file}", web::get().to(files::download))
                .route("/_fn/{tail:.*}", leptos_actix::handle_server_fns_with_context(provide_page))
                // A page for every address: the router inside says 404 itself. Whole pages, so that they work unscripted.
                .default_service(leptos_actix::render_app_async_with_context(
                    provide_page,
                    app::shell,
                    // A refused form is answered with its page, so POST renders too; the method here is only a guard.
                    leptos_router::Method::Get,
                )),
        );
}

/// Gives the page what [`around::around`] prepared for it.
fn provide_page() {
    let Some(request) = leptos::context::use_context::<leptos_actix::Request>() else { return };
    let extensions = request.extensions();
    if let Some(state) = extensions.get::<PageState>() {
        provide_context(state.clone());
    }
    if let Some(data) = extensions.get::<Arc<dyn ConsoleData>>() {
        provide_context(Arc::clone(data));
    }
    if let Some(assets) = extensions.get::<AssetNames>() {
        provide_context(assets.clone());
    }
}
