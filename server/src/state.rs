//! What every handler shares.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::web;
use service::Weir;
use tokio_util::sync::CancellationToken;

use crate::middleware::rate::Rates;

/// Handed to handlers as `web::Data<State>`.
pub(crate) struct State {
    pub(crate) weir: Weir,
    /// Requests of one key.
    pub(crate) key_rates: Rates,
    /// Requests without good credentials of one address.
    pub(crate) address_rates: Rates,
    pub(crate) trusted_proxies: Vec<IpAddr>,
    /// Ends open streams when the server drains; they would hold it up otherwise.
    pub(crate) draining: CancellationToken,
    /// The OpenAPI document of the routes, without any tenant's flows.
    pub(crate) openapi: Arc<utoipa::openapi::OpenApi>,
}

pub(crate) type Shared = web::Data<State>;
