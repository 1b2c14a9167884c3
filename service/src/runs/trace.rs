//! The trace of a run, as its row keeps it.
//!
//! Invariant: a run's trace never changes, whoever executes it and however often it is restarted.

use domain::{RunId, SpanId, TraceContext, TraceId};
use entities::run;

/// Puts a new run into a trace: the one that was handed over, or one that begins with the run.
pub(super) fn keep(row: &mut run::Model, given: Option<&TraceContext>) {
    let own = || TraceContext::of_run(RunId::from_uuid(row.id));
    let trace = given.cloned().unwrap_or_else(own);
    row.trace_id = Some(trace.trace_id.to_string());
    row.parent_span_id = trace.parent_id.map(|span| span.to_string());
    row.trace_flags = Some(i32::from(trace.flags()));
    row.trace_state = Some(trace.tracestate()).filter(|state| !state.is_empty()).map(str::to_owned);
}

/// The trace of a run; what is from before it was kept gets one of its own, always the same.
pub(super) fn of(row: &run::Model) -> TraceContext {
    let Some(trace_id) = row.trace_id.as_deref().and_then(TraceId::parse) else {
        return TraceContext::of_run(RunId::from_uuid(row.id));
    };
    let parent = row.parent_span_id.as_deref().and_then(SpanId::parse);
    let flags = row.trace_flags.and_then(|flags| u8::try_from(flags).ok()).unwrap_or_default();
    TraceContext::kept(trace_id, parent, flags, row.trace_state.as_deref().unwrap_or_default())
}
