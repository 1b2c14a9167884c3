//! REST, a module a resource. A handler extracts, makes one service call and answers.
//!
//! Invariant: every operation stands in the OpenAPI document, because both come from [`configure`].

mod acts;
mod audit;
mod cache;
mod channels;
mod connections;
mod executors;
mod experiments;
pub(crate) mod files;
mod flows;
pub(crate) mod health;
mod keys;
mod members;
pub(crate) mod openapi;
pub(crate) mod run;
mod runs;
mod secrets;
mod tenant;
pub(crate) mod tenant_flows;

use domain::ErrorCode;
use serde::Deserialize;
use service::Paging;
use utoipa::IntoParams;
use utoipa_actix_web::service_config::ServiceConfig;

use crate::extract::Known;
use crate::problem::Fault;

/// Registers every operation. The order matters where one path could be read as another's parameter.
pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    config
        .service(flows::check)
        .service(flows::list)
        .service(flows::get)
        .service(flows::put)
        .service(flows::delete)
        .service(flows::versions)
        .service(flows::version)
        .service(flows::plan)
        .service(channels::list)
        .service(channels::get)
        .service(channels::put)
        .service(channels::delete)
        .service(experiments::list)
        .service(experiments::get)
        .service(experiments::put)
        .service(experiments::delete)
        .service(experiments::feedback)
        .service(experiments::feedback_of)
        .service(run::run_flow)
        .service(runs::list)
        .service(runs::get)
        .service(runs::steps)
        .service(runs::events)
        .service(runs::cancel)
        .service(runs::why)
        .service(acts::kill)
        .service(acts::signal)
        .service(acts::restart)
        .service(acts::replay)
        .service(acts::resolve)
        .service(acts::approvals)
        .service(acts::one_approval)
        .service(acts::decide)
        .service(keys::list)
        .service(keys::create)
        .service(keys::revoke)
        .service(files::upload)
        .service(files::get)
        .service(files::content)
        .service(connections::list)
        .service(connections::get)
        .service(connections::put)
        .service(connections::delete)
        .service(connections::test)
        .service(secrets::list)
        .service(secrets::put)
        .service(secrets::delete)
        .service(tenant::get)
        .service(tenant::patch)
        .service(members::list)
        .service(members::get)
        .service(members::patch)
        .service(members::delete)
        .service(audit::list)
        .service(cache::purge)
        .service(executors::list)
        .service(openapi::openapi)
        .service(health::live)
        .service(health::ready);
}

/// Where a page of a list begins, and how long it is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Rows a page: 50 unless said, at most 200.
    limit: Option<u32>,
}

impl Known for PageParams {
    const NAMES: &'static [&'static str] = &["cursor", "limit"];
}

impl PageParams {
    pub(crate) fn paging(self) -> Result<Paging, Fault> {
        Ok(Paging { cursor: self.cursor, limit: page_limit(self.limit)? })
    }
}

/// A page of nothing would never end.
pub(crate) fn page_limit(limit: Option<u32>) -> Result<Option<u32>, Fault> {
    if limit == Some(0) {
        let fault = Fault::new(ErrorCode::BadRequest, "A page has at least one row.");
        return Err(fault.field("limit", "This must be at least 1.".to_owned(), None));
    }
    Ok(limit)
}

/// A list that is given whole, in the shape of a page.
pub(crate) fn whole<T>(data: Vec<T>) -> domain::wire::Page<T> {
    domain::wire::Page { data, has_more: false, next_cursor: None }
}
