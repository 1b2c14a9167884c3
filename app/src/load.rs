//! The pages' questions, as server functions: the server asks its port, the browser asks the server.
//!
//! Invariant: all are reads by `GET`; each sets the response's status when it refuses.

use domain::wire::{ConnectionView, FlowDetail, FlowSummary, KeyView, MemberView, TenantView, VersionSummary};
use leptos::prelude::*;
use leptos::server_fn::codec::GetUrl;

use crate::data::{At, ConsoleError, OverviewView, RunView, RunsView, SetupView};

/// What a question gives.
pub(crate) type Answer<T> = Result<At<T>, ConsoleError>;

#[cfg(feature = "ssr")]
mod ask {
    use std::sync::Arc;

    use leptos::prelude::*;

    use super::Answer;
    use crate::data::{At, ConsoleData, ConsoleError};

    /// Asks the port. The status is taken before the first wait, while the request's context is at hand.
    pub(super) async fn ask<T, F>(question: impl FnOnce(Arc<dyn ConsoleData>) -> F) -> Answer<T>
    where
        F: Future<Output = Result<T, ConsoleError>>,
    {
        let response = use_context::<leptos_actix::ResponseOptions>();
        let answer = match use_context::<Arc<dyn ConsoleData>>() {
            None => Err(ConsoleError::Unauthenticated),
            Some(data) => {
                let now = data.now();
                question(data).await.map(|value| At { now, value })
            }
        };
        if let (Err(error), Some(response)) = (&answer, response)
            && let Ok(status) = actix_web::http::StatusCode::from_u16(error.status())
        {
            response.set_status(status);
        }
        answer
    }
}
#[cfg(feature = "ssr")]
use ask::ask;

#[server(prefix = "/_fn", endpoint = "setup", input = GetUrl)]
pub(crate) async fn setup(token: String) -> Answer<SetupView> {
    ask(|data| async move { data.setup(&token).await }).await
}

#[server(prefix = "/_fn", endpoint = "overview", input = GetUrl)]
pub(crate) async fn overview(tenant: String) -> Answer<OverviewView> {
    ask(|data| async move { data.overview(&tenant).await }).await
}

#[server(prefix = "/_fn", endpoint = "flows", input = GetUrl)]
pub(crate) async fn flows(tenant: String) -> Answer<Vec<FlowSummary>> {
    ask(|data| async move { data.flows(&tenant).await }).await
}

#[server(prefix = "/_fn", endpoint = "flow", input = GetUrl)]
pub(crate) async fn flow(tenant: String, flow: String) -> Answer<FlowDetail> {
    ask(|data| async move { data.flow(&tenant, &flow).await }).await
}

#[server(prefix = "/_fn", endpoint = "versions", input = GetUrl)]
pub(crate) async fn versions(tenant: String, flow: String) -> Answer<Vec<VersionSummary>> {
    ask(|data| async move { data.flow_versions(&tenant, &flow).await }).await
}

/// The filter's parts as they stand in the URL; an unknown word counts as absent.
#[server(prefix = "/_fn", endpoint = "runs", input = GetUrl)]
pub(crate) async fn runs(
    tenant: String,
    status: String,
    flow: String,
    since: String,
    cursor: String,
) -> Answer<RunsView> {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let filter = crate::data::RunFilter {
        status: domain::RunStatus::parse(&status),
        flow: some(flow),
        since: crate::data::Since::parse(&since).unwrap_or_default(),
        cursor: some(cursor),
    };
    ask(|data| async move { data.runs(&tenant, &filter).await }).await
}

#[server(prefix = "/_fn", endpoint = "run", input = GetUrl)]
pub(crate) async fn run(tenant: String, run: String) -> Answer<RunView> {
    ask(|data| async move { data.run(&tenant, &run).await }).await
}

#[server(prefix = "/_fn", endpoint = "keys", input = GetUrl)]
pub(crate) async fn keys(tenant: String) -> Answer<Vec<KeyView>> {
    ask(|data| async move { data.keys(&tenant).await }).await
}

#[server(prefix = "/_fn", endpoint = "connections", input = GetUrl)]
pub(crate) async fn connections(tenant: String) -> Answer<Vec<ConnectionView>> {
    ask(|data| async move { data.connections(&tenant).await }).await
}

/// The tenant with its connections: what the settings page needs to offer a default model.
#[server(prefix = "/_fn", endpoint = "settings", input = GetUrl)]
pub(crate) async fn settings(tenant: String) -> Answer<(TenantView, Vec<ConnectionView>)> {
    ask(|data| async move {
        let view = data.tenant(&tenant).await?;
        // Who may not see the connections still sees the setting.
        let connections = match data.connections(&tenant).await {
            Err(ConsoleError::Forbidden) => Vec::new(),
            other => other?,
        };
        Ok((view, connections))
    })
    .await
}

#[server(prefix = "/_fn", endpoint = "members", input = GetUrl)]
pub(crate) async fn members(tenant: String) -> Answer<Vec<MemberView>> {
    ask(|data| async move { data.members(&tenant).await }).await
}
