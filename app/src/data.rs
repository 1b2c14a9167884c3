//! What the pages read: the types of each screen, and the port through which they are asked for.
//!
//! Invariant: pages never see a service or a row; every answer carries the server's time, so a page is of one moment.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use domain::wire::{
    ApprovalView, AuditView, CreatedKey, DeviceView, EventView, Page, RunDetail, RunSummary, StepView, TenantView,
    WhyView,
};
use domain::{FieldProblem, NanoUsd, RunStatus};
use serde::{Deserialize, Serialize};

/// Why a page cannot be shown. What one may not know of is `NotFound`, what one may not do is `Forbidden`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "error")]
pub enum ConsoleError {
    #[error("there is nothing here that you may see")]
    NotFound,
    #[error("your role does not allow this")]
    Forbidden,
    #[error("the session has ended")]
    Unauthenticated,
    #[error("{message}")]
    Invalid { message: String },
    #[error("not available at the moment")]
    Unavailable,
    #[error("something went wrong on our side")]
    Internal { request_id: String },
}

impl ConsoleError {
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::NotFound => 404,
            Self::Forbidden => 403,
            Self::Unauthenticated => 401,
            Self::Invalid { .. } => 422,
            Self::Unavailable => 503,
            Self::Internal { .. } => 500,
        }
    }
}

/// An answer with the server's time at which it was true.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct At<T> {
    pub now: DateTime<Utc>,
    pub value: T,
}

/// Everything a page knows before it asks for data. The host provides it as a context, once a request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct PageState {
    /// `None` for visitors.
    pub session: Option<SessionView>,
    /// For the hidden field of every form on the page.
    pub csrf: String,
    pub theme: Theme,
    /// Whether single keys do something (`?`, `g` and a letter).
    pub single_keys: SingleKeys,
    /// A sentence about what was just done, taken over a redirect.
    pub notice: Option<Notice>,
    /// A refused form with what was typed (never passwords or keys) and what does not fit.
    pub form: Option<FormState>,
    /// Only in the answer to the form that made the key.
    pub created_key: Option<CreatedKey>,
    pub request_id: String,
    /// The public base URL (`http://127.0.0.1:8080`), for `curl` lines.
    pub base_url: String,
    /// The program's version.
    pub version: String,
}

/// Who is signed in and where they may go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionView {
    pub email: String,
    /// Tenants of which this person is a member, last used first, each with their role.
    pub tenants: Vec<TenantView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// Whether keys without Ctrl or ⌘ are shortcuts. People whose software types for them turn these off (WCAG 2.1.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SingleKeys {
    #[default]
    On,
    Off,
}

impl SingleKeys {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    pub good: bool,
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FormState {
    pub values: BTreeMap<String, String>,
    /// `pointer` is the field's name.
    pub errors: Vec<FieldProblem>,
    /// What concerns the form as a whole.
    pub message: Option<String>,
}

impl FormState {
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&str> {
        self.values.get(field).map(String::as_str)
    }

    #[must_use]
    pub fn error(&self, field: &str) -> Option<&FieldProblem> {
        self.errors.iter().find(|problem| problem.pointer == field)
    }
}

/// What the first owner's page tells about the installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetupView {
    pub version: String,
    pub data_folder: String,
    pub database: String,
    pub key_location: String,
    /// Whether a tenant must still be named: the first person of all. Others join one.
    pub needs_tenant: bool,
    /// Whom the link was made for.
    pub email: Option<String>,
}

/// Which runs a list shows. In the URL: `status`, `flow`, `since`, `cursor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RunFilter {
    #[serde(default)]
    pub status: Option<RunStatus>,
    #[serde(default)]
    pub flow: Option<String>,
    /// Words of the fields that flows are searched by.
    #[serde(default)]
    pub search: Option<String>,
    #[serde(default)]
    pub since: Since,
    #[serde(default)]
    pub cursor: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    Hour,
    Day,
    #[default]
    Week,
    Month,
    All,
}

impl Since {
    pub const ALL: &'static [Self] = &[Self::Hour, Self::Day, Self::Week, Self::Month, Self::All];

    /// The word in the URL.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
            Self::All => "all",
        }
    }

    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hour => "Last hour",
            Self::Day => "Last 24 hours",
            Self::Week => "Last 7 days",
            Self::Month => "Last 30 days",
            Self::All => "All time",
        }
    }

    /// Hours back from now; `None` for no limit.
    #[must_use]
    pub const fn hours(self) -> Option<i64> {
        match self {
            Self::Hour => Some(1),
            Self::Day => Some(24),
            Self::Week => Some(24 * 7),
            Self::Month => Some(24 * 30),
            Self::All => None,
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|since| since.as_str() == text)
    }
}

/// One page of runs, newest first, with what the filter bar offers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunsView {
    pub page: Page<RunSummary>,
    /// Names of all flows of the tenant, sorted.
    pub flows: Vec<String>,
    /// How many runs each status has under the rest of the filter; absent statuses have none.
    pub counts: Vec<(RunStatus, u64)>,
}

/// A run with its steps in the order of the flow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunView {
    pub run: RunDetail,
    pub steps: Vec<StepView>,
    /// What it waits for, while it goes on.
    pub why: Option<WhyView>,
    /// What it asks people now.
    pub questions: Vec<ApprovalView>,
}

/// A piece of a run's journal, oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EventsView {
    pub events: Vec<EventView>,
    /// The position to go on after, where there are more.
    pub next: Option<u64>,
}

/// Which entries of the audit log a list shows. In the URL: `actor`, `action`, `target`, `since`, `cursor`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AuditFilter {
    pub actor: Option<String>,
    pub action: Option<String>,
    pub target: Option<String>,
    pub since: Since,
    pub cursor: Option<String>,
}

/// The tenant at a glance, over the last seven days.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct OverviewView {
    pub runs: u64,
    /// Share of settled runs that succeeded, 0 to 1; `None` when none settled.
    pub success_rate: Option<f64>,
    pub p95_ms: Option<u64>,
    pub cost_nano_usd: Option<NanoUsd>,
    pub flows: u64,
    /// Runs that are queued, running, waiting or need attention now.
    pub active: u64,
    /// The last 14 days, oldest first, days without runs included.
    pub days: Vec<DayView>,
    /// Newest first, at most eight.
    pub recent: Vec<RunSummary>,
    pub checklist: Checklist,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DayView {
    /// `2026-11-22`.
    pub day: String,
    pub succeeded: u64,
    /// Failed, timed out, cancelled and killed.
    pub failed: u64,
    pub other: u64,
}

/// The first steps of a tenant; each ticks itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checklist {
    /// A run started by a person in the console.
    pub ran_a_flow: bool,
    /// A connection and a default model that is not the demo's simulated one.
    pub connected_a_model: bool,
    pub made_a_key: bool,
    /// A run started over the API.
    pub called_by_api: bool,
    /// A flow to suggest for the first run.
    pub suggested_flow: Option<String>,
}

/// The port to the services, bound to the request's session. The host provides `Arc<dyn ConsoleData>` as a context.
///
/// Every method checks the actor's right to it; a tenant that the actor is no member of is `NotFound`.
#[async_trait::async_trait]
pub trait ConsoleData: Send + Sync {
    fn now(&self) -> DateTime<Utc>;
    /// A setup link that is used up or unknown is `NotFound`. For visitors.
    async fn setup(&self, token: &str) -> Result<SetupView, ConsoleError>;
    async fn overview(&self, tenant: &str) -> Result<OverviewView, ConsoleError>;
    /// A page by name, behind a cursor.
    async fn flows(&self, tenant: &str, cursor: Option<&str>) -> Result<Page<domain::wire::FlowSummary>, ConsoleError>;
    async fn flow(&self, tenant: &str, flow: &str) -> Result<domain::wire::FlowDetail, ConsoleError>;
    async fn flow_versions(&self, tenant: &str, flow: &str) -> Result<Vec<domain::wire::VersionSummary>, ConsoleError>;
    /// With their readouts.
    async fn experiments(&self, tenant: &str, flow: &str) -> Result<Vec<domain::wire::ExperimentView>, ConsoleError>;
    async fn runs(&self, tenant: &str, filter: &RunFilter) -> Result<RunsView, ConsoleError>;
    async fn run(&self, tenant: &str, run: &str) -> Result<RunView, ConsoleError>;
    /// The events after a position, a page of them.
    async fn events(&self, tenant: &str, run: &str, after: u64) -> Result<EventsView, ConsoleError>;
    /// Open questions first, then those decided last.
    async fn approvals(&self, tenant: &str) -> Result<Vec<ApprovalView>, ConsoleError>;
    async fn approval(&self, tenant: &str, approval: &str) -> Result<ApprovalView, ConsoleError>;
    async fn keys(&self, tenant: &str) -> Result<Vec<domain::wire::KeyView>, ConsoleError>;
    async fn connections(&self, tenant: &str) -> Result<Vec<domain::wire::ConnectionView>, ConsoleError>;
    async fn tenant(&self, tenant: &str) -> Result<TenantView, ConsoleError>;
    async fn members(&self, tenant: &str) -> Result<Vec<domain::wire::MemberView>, ConsoleError>;
    async fn audit(&self, tenant: &str, filter: &AuditFilter) -> Result<Page<AuditView>, ConsoleError>;
    /// The signed-in person's own sessions, this one first.
    async fn devices(&self) -> Result<Vec<DeviceView>, ConsoleError>;
}

/// The addresses of the built assets. The host provides it as a context; an empty one leaves the scripts out.
#[derive(Debug, Clone, Default)]
pub struct AssetNames {
    /// `/assets/console.<hash>.css`
    pub css: String,
    /// `/assets/console.<hash>.js`; empty when no client was built.
    pub js: String,
    /// `/assets/console.<hash>.wasm`; empty when no client was built.
    pub wasm: String,
    /// `/assets/favicon.<hash>.svg`
    pub favicon: String,
    /// `/assets/fonts/geist.<hash>.woff2`, preloaded; empty leaves the preload out.
    pub font: String,
}
