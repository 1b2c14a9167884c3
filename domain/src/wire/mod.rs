//! Request and response types shared by REST, console and clients. Rows never go on the wire; these do.

mod flow;
mod identity;
mod page;
mod run;

pub use flow::{CheckReport, FlowDetail, FlowSummary, GraphEdge, GraphNode, VersionSummary};
pub use identity::{
    ConnectionInput, ConnectionView, CreatedKey, KeyInput, KeyView, MemberView, SecretView, TenantPatch, TenantView,
};
pub use page::Page;
pub use run::{AttemptView, EventView, RunAccepted, RunAnswer, RunDetail, RunSummary, StepView, Usage, UsageTotals};
