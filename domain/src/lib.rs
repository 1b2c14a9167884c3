//! The nouns every room shares: typed ids, roles and permissions, money, statuses, failures and the types on the wire.
//!
//! Invariant: no I/O, no clock and no randomness in here, so that the same types serve the program and the browser.

pub mod access;
pub mod code;
pub mod failure;
pub mod file;
pub mod id;
pub mod money;
pub mod problem;
pub mod status;
pub mod trace;
pub mod wire;

pub use access::{Permission, Role};
pub use code::ErrorCode;
pub use failure::{Failure, FailureKind};
pub use file::FileRef;
pub use id::{
    ApiKeyId, ApprovalId, AttemptId, AuditId, BlobId, ConnectionId, DeliveryId, ExperimentId, FeedbackId, FileId,
    FlowId, IdError, LedgerId, MemberId, RequestId, RunId, SecretId, SessionId, StepId, TenantId, UserId, VersionId,
};
pub use money::NanoUsd;
pub use problem::{FieldProblem, Problem};
pub use status::{RunStatus, StepStatus};
pub use trace::{SpanId, TraceContext, TraceId};
