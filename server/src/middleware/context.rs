//! The request at hand, for those who answer without holding it: id and path.
//!
//! Invariant: set for the whole life of a request by [`super::around`]; outside of one, the id is empty.

use std::cell::RefCell;
use std::rc::Rc;

use domain::TraceContext;
use tokio_util::sync::CancellationToken;

use crate::middleware::rate::Standing;

#[derive(Debug, Default)]
pub(crate) struct Context {
    pub(crate) request_id: String,
    pub(crate) path: String,
    /// The caller's trace, or one that begins with this request; none outside of one.
    pub(crate) trace: Option<TraceContext>,
    /// The rate's standing, for the headers of the answer.
    pub(crate) rate: RefCell<Option<Standing>>,
    /// Who asked, for the log line.
    pub(crate) actor: RefCell<Option<String>>,
    /// Cancelled when the caller closed its connection before the answer was made.
    pub(crate) gone: CancellationToken,
}

tokio::task_local! {
    pub(crate) static CONTEXT: Rc<Context>;
}

pub(crate) fn request_id() -> String {
    CONTEXT.try_with(|context| context.request_id.clone()).unwrap_or_default()
}

pub(crate) fn trace() -> Option<TraceContext> {
    CONTEXT.try_with(|context| context.trace.clone()).ok().flatten()
}

pub(crate) fn path() -> Option<String> {
    CONTEXT.try_with(|context| context.path.clone()).ok()
}

/// Whether the caller is still there; outside of a request it always is.
pub(crate) fn gone() -> CancellationToken {
    CONTEXT.try_with(|context| context.gone.clone()).unwrap_or_default()
}

pub(crate) fn note_rate(standing: Standing) {
    // Outside a request (a test of an extractor alone) there is no answer to put it on.
    CONTEXT.try_with(|context| context.rate.replace(Some(standing))).ok();
}

pub(crate) fn note_actor(actor: String) {
    CONTEXT.try_with(|context| context.actor.replace(Some(actor))).ok();
}
