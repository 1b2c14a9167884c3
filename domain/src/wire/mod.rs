//! Request and response types shared by REST, console and clients. Rows never go on the wire; these do.

mod act;
mod audit;
mod experiment;
mod flow;
mod forecast;
mod identity;
mod page;
mod queue;
mod run;

pub use act::{
    ApprovalStatus, ApprovalView, DecisionInput, KillInput, ReplayInput, ResolveAction, ResolveInput, SignalInput,
    Verdict,
};
pub use audit::AuditView;
pub use experiment::{
    ChannelInput, ChannelView, DurationInterval, Estimate, ExperimentInput, ExperimentState, ExperimentView,
    FeedbackInput, FeedbackView, Guards, Readout, SampleRatio, Variant, VariantReadout, VersionDetail,
};
pub use flow::{CachePurged, CheckReport, FlowDetail, FlowSummary, GraphEdge, GraphNode, VersionSummary};
pub use forecast::{Forecast, ForecastInput, LimitForecast, Outlook, Spread, StepForecast};
pub use identity::{
    ConnectionInput, ConnectionTest, ConnectionView, CreatedKey, DeviceView, KeyInput, KeyView, MemberPatch,
    MemberView, ModelRate, SecretView, TenantPatch, TenantView,
};
pub use page::Page;
pub use queue::{WhyKind, WhyView};
pub use run::{AttemptView, EventView, RunAccepted, RunAnswer, RunDetail, RunSummary, StepView, Usage, UsageTotals};
