//! What pages read, out of the services, for the person at hand.
//!
//! Invariant: every method acts as the session's person; a tenant that is not theirs does not exist.

use std::sync::Arc;

use actix_web::web;
use app::data::{
    AuditFilter, Checklist, ConsoleData, ConsoleError, DayView, EventsView, OverviewView, RunFilter, RunView, RunsView,
    SetupView, Since,
};
use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use domain::wire::{
    ApprovalStatus, ApprovalView, AuditView, ConnectionView, DeviceView, ExperimentView, FlowDetail, FlowSummary,
    KeyView, MemberView, Page, TenantView, VersionSummary,
};
use domain::{RunId, RunStatus};
use service::paging::{PAGE_MOST, whole};
use service::runs::{self, ApprovalFilter};
use service::{Actor, Paging, ServiceError};

use super::Host;
use super::visitor::Visitor;

/// Runs shown on the start page, and on a page of the list.
const RECENT: u32 = 8;
const PAGE: u32 = 50;
/// Events on a page of a run's journal.
const EVENTS: u32 = 200;
/// Experiments of a flow that are shown; one takes traffic at a time.
const EXPERIMENTS: usize = 10;

pub(super) struct ServiceData {
    host: web::Data<Host>,
    visitor: Arc<Visitor>,
}

impl ServiceData {
    pub(super) const fn new(host: web::Data<Host>, visitor: Arc<Visitor>) -> Self {
        Self { host, visitor }
    }

    fn actor(&self, tenant: &str) -> Result<Actor, ConsoleError> {
        self.visitor.actor(tenant).map_err(|error| refused(&self.visitor, error))
    }

    fn done<T>(&self, answer: Result<T, ServiceError>) -> Result<T, ConsoleError> {
        answer.map_err(|error| refused(&self.visitor, error))
    }
}

/// The one mapping from services to pages.
fn refused(visitor: &Visitor, error: ServiceError) -> ConsoleError {
    match error {
        ServiceError::NotFound { .. } => ConsoleError::NotFound,
        ServiceError::Forbidden(_) => ConsoleError::Forbidden,
        ServiceError::Unauthenticated(_) => ConsoleError::Unauthenticated,
        ServiceError::Unavailable(_) | ServiceError::RateLimited { .. } => ConsoleError::Unavailable,
        ServiceError::Internal(source) => {
            tracing::error!(error = &*source as &dyn std::error::Error, request_id = %visitor.request_id, "a page could not be made");
            ConsoleError::Internal { request_id: visitor.request_id.clone() }
        }
        other => ConsoleError::Invalid { message: other.to_string() },
    }
}

#[async_trait]
impl ConsoleData for ServiceData {
    fn now(&self) -> DateTime<Utc> {
        self.host.weir.now()
    }

    async fn setup(&self, token: &str) -> Result<SetupView, ConsoleError> {
        let pending = self.done(service::links::pending(&self.host.weir, token).await)?;
        let facts = &self.host.setup;
        Ok(SetupView {
            version: self.host.weir.settings().version.to_owned(),
            data_folder: facts.data_folder.clone(),
            database: facts.database.clone(),
            key_location: facts.key_location.clone(),
            needs_tenant: pending.needs_tenant,
            email: pending.email,
        })
    }

    async fn overview(&self, tenant: &str) -> Result<OverviewView, ConsoleError> {
        let actor = self.actor(tenant)?;
        let figures = self.done(service::overview::overview(&self.host.weir, &actor).await)?;
        let newest = runs::RunFilter { limit: Some(RECENT), ..runs::RunFilter::default() };
        let recent = self.done(runs::list(&self.host.weir, &actor, &newest).await)?;
        let names = self.done(service::flows::names(&self.host.weir, &actor).await)?;
        let preferred = ["document_analysis", "ocr_analysis"];
        let suggested =
            preferred.iter().find(|wanted| names.iter().any(|name| name == *wanted)).map(ToString::to_string);
        Ok(OverviewView {
            runs: figures.runs,
            success_rate: figures.success_rate,
            p95_ms: figures.p95_ms,
            cost_nano_usd: figures.cost,
            flows: figures.flows,
            active: figures.active,
            days: figures.days.iter().map(day).collect(),
            recent: recent.data,
            checklist: Checklist {
                ran_a_flow: figures.ran_in_console,
                connected_a_model: figures.connected_a_model,
                made_a_key: figures.made_a_key,
                called_by_api: figures.called_by_api,
                suggested_flow: suggested.or_else(|| names.first().cloned()),
            },
        })
    }

    async fn flows(&self, tenant: &str, cursor: Option<&str>) -> Result<Page<FlowSummary>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let paging = Paging { cursor: cursor.map(ToOwned::to_owned), limit: None };
        self.done(service::flows::list(&self.host.weir, &actor, &paging).await)
    }

    async fn flow(&self, tenant: &str, flow: &str) -> Result<FlowDetail, ConsoleError> {
        let actor = self.actor(tenant)?;
        self.done(service::flows::get(&self.host.weir, &actor, flow).await.map(|(detail, _)| detail))
    }

    async fn flow_versions(&self, tenant: &str, flow: &str) -> Result<Vec<VersionSummary>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let (weir, actor) = (&self.host.weir, &actor);
        self.done(whole(|paging| async move { service::flows::versions(weir, actor, flow, &paging).await }).await)
    }

    async fn experiments(&self, tenant: &str, flow: &str) -> Result<Vec<ExperimentView>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let first = Paging { cursor: None, limit: Some(PAGE_MOST) };
        let listed = self.done(service::experiments::list(&self.host.weir, &actor, flow, &first).await)?.data;
        let mut whole = Vec::with_capacity(listed.len().min(EXPERIMENTS));
        for experiment in listed.iter().take(EXPERIMENTS) {
            let found = service::experiments::get(&self.host.weir, &actor, flow, &experiment.name).await;
            whole.push(self.done(found)?);
        }
        Ok(whole)
    }

    async fn runs(&self, tenant: &str, filter: &RunFilter) -> Result<RunsView, ConsoleError> {
        let actor = self.actor(tenant)?;
        let since = after(filter.since, self.now());
        let wanted = wanted(filter, self.now(), PAGE);
        let page = self.done(runs::list(&self.host.weir, &actor, &wanted).await)?;
        let flows = self.done(service::flows::names(&self.host.weir, &actor).await)?;
        let counts = service::overview::status_counts(&self.host.weir, &actor, filter.flow.as_deref(), since).await;
        Ok(RunsView { page, flows, counts: self.done(counts)? })
    }

    async fn run(&self, tenant: &str, run: &str) -> Result<RunView, ConsoleError> {
        let actor = self.actor(tenant)?;
        let run: RunId = run.parse().map_err(|_| ConsoleError::NotFound)?;
        let detail = self.done(runs::get(&self.host.weir, &actor, run).await)?;
        let steps = self.done(runs::steps(&self.host.weir, &actor, run).await)?;
        let going = !detail.summary.status.is_terminal();
        let why = if going { Some(self.done(runs::why(&self.host.weir, &actor, run).await)?) } else { None };
        let open = ApprovalFilter { status: Some(ApprovalStatus::Open), run: Some(run), ..ApprovalFilter::default() };
        let questions =
            if going { self.done(runs::approvals(&self.host.weir, &actor, &open).await)?.data } else { Vec::new() };
        Ok(RunView { run: detail, steps, why, questions })
    }

    async fn events(&self, tenant: &str, run: &str, after: u64) -> Result<EventsView, ConsoleError> {
        let actor = self.actor(tenant)?;
        let run: RunId = run.parse().map_err(|_| ConsoleError::NotFound)?;
        let page = runs::events_page(&self.host.weir, &actor, run, after, EVENTS).await;
        let (events, more) = self.done(page)?;
        let next = events.last().filter(|_| more).map(|event| event.position);
        Ok(EventsView { events, next })
    }

    async fn approvals(&self, tenant: &str) -> Result<Vec<ApprovalView>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let open = ApprovalFilter { status: Some(ApprovalStatus::Open), ..ApprovalFilter::default() };
        let mut questions = self.done(runs::approvals(&self.host.weir, &actor, &open).await)?.data;
        let newest = self.done(runs::approvals(&self.host.weir, &actor, &ApprovalFilter::default()).await)?.data;
        questions.extend(newest.into_iter().filter(|question| question.status != ApprovalStatus::Open));
        Ok(questions)
    }

    async fn approval(&self, tenant: &str, approval: &str) -> Result<ApprovalView, ConsoleError> {
        let actor = self.actor(tenant)?;
        let id = approval.parse().map_err(|_| ConsoleError::NotFound)?;
        self.done(runs::approval(&self.host.weir, &actor, id).await)
    }

    async fn keys(&self, tenant: &str) -> Result<Vec<KeyView>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let (weir, actor) = (&self.host.weir, &actor);
        self.done(whole(|paging| async move { service::keys::list(weir, actor, &paging).await }).await)
    }

    async fn connections(&self, tenant: &str) -> Result<Vec<ConnectionView>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let (weir, actor) = (&self.host.weir, &actor);
        self.done(whole(|paging| async move { service::connections::list(weir, actor, &paging).await }).await)
    }

    async fn tenant(&self, tenant: &str) -> Result<TenantView, ConsoleError> {
        let actor = self.actor(tenant)?;
        let mut view = self.done(service::tenants::get(&self.host.weir, &actor).await)?;
        view.role = Some(actor.role);
        Ok(view)
    }

    async fn members(&self, tenant: &str) -> Result<Vec<MemberView>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let (weir, actor) = (&self.host.weir, &actor);
        self.done(whole(|paging| async move { service::members::list(weir, actor, &paging).await }).await)
    }

    async fn audit(&self, tenant: &str, filter: &AuditFilter) -> Result<Page<AuditView>, ConsoleError> {
        let actor = self.actor(tenant)?;
        let wanted = service::audit::AuditFilter {
            actor: filter.actor.clone(),
            action: filter.action.clone(),
            target: filter.target.clone(),
            created_after: after(filter.since, self.now()),
            cursor: filter.cursor.clone(),
            limit: Some(PAGE),
            ..service::audit::AuditFilter::default()
        };
        self.done(service::audit::list(&self.host.weir, &actor, &wanted).await)
    }

    async fn devices(&self) -> Result<Vec<DeviceView>, ConsoleError> {
        let session = self.visitor.session.as_ref().ok_or(ConsoleError::Unauthenticated)?;
        self.done(service::sessions::list(&self.host.weir, session).await)
    }
}

/// The start of a stretch of time that ends now; `None` for all time.
fn after(since: Since, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    since.hours().map(|hours| now - Duration::hours(hours))
}

/// The list's filter in the services' terms.
pub(super) fn wanted(filter: &RunFilter, now: DateTime<Utc>, limit: u32) -> runs::RunFilter {
    runs::RunFilter {
        status: filter.status.into_iter().collect(),
        flow: filter.flow.clone(),
        search: filter.search.clone(),
        created_after: after(filter.since, now),
        cursor: filter.cursor.clone(),
        limit: Some(limit),
        ..runs::RunFilter::default()
    }
}

fn day(day: &service::overview::Day) -> DayView {
    let failed = |status: RunStatus| status.is_terminal() && status != RunStatus::Succeeded;
    DayView {
        day: day.day.clone(),
        succeeded: day.count(|status| status == RunStatus::Succeeded),
        failed: day.count(failed),
        other: day.count(|status| !status.is_terminal()),
    }
}
