//! A request's place in its caller's trace, by W3C's trace context.
//!
//! Invariant: what a caller sends is no reason to refuse: where it cannot be read, a new trace begins with the request.

use actix_web::http::header::{HeaderMap, HeaderName};
use domain::TraceContext;
use service::Ids;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// How the coming Level 3 of the standard names it in answers; Level 1 and 2 have no word for that.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The caller's trace, or a new one.
pub(super) fn of(headers: &HeaderMap) -> TraceContext {
    let lines = |name| headers.get_all(name).map(|value| value.to_str().unwrap_or("\0"));
    // Two parents are none.
    let mut parents = lines(TRACEPARENT);
    let given = match (parents.next(), parents.next()) {
        (Some(parent), None) => TraceContext::read(parent, lines(TRACESTATE)),
        _ => None,
    };
    given.unwrap_or_else(|| TraceContext::begin(Ids.trace()))
}

/// Tells the caller where the request stands: its trace, and the span that it is itself.
pub(super) fn tell(trace: &TraceContext, set: &mut impl FnMut(HeaderName, &str)) {
    let here = trace.traceparent(Ids.span());
    set(TRACERESPONSE, &here);
    // Many tools look for the name of the request's header in answers, too.
    set(TRACEPARENT, &here);
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn read(lines: &[(&'static str, &[u8])]) -> TraceContext {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap());
        }
        of(&headers)
    }

    #[test]
    fn a_callers_trace_goes_on_with_all_lines_of_its_state() {
        let parent = PARENT.as_bytes();
        let trace = read(&[("traceparent", parent), ("tracestate", b"a=1,b=2"), ("tracestate", b"c=3")]);
        assert_eq!(trace.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!((trace.tracestate(), trace.parent_id.is_some()), ("a=1,b=2,c=3", true));
        assert_eq!(read(&[("traceparent", parent), ("tracestate", b"a=\xff")]).tracestate(), "");
    }

    #[test]
    fn what_is_no_parent_begins_a_trace_without_its_state() {
        let other = "00-11111111111111111111111111111111-00f067aa0ba902b7-01".as_bytes();
        for lines in [
            &[("tracestate", b"a=1".as_slice())][..],
            &[("traceparent", b"nonsense".as_slice()), ("tracestate", b"a=1")],
            &[("traceparent", b"\xff".as_slice())],
            &[("traceparent", PARENT.as_bytes()), ("traceparent", other)],
        ] {
            let trace = read(lines);
            assert_eq!((trace.parent_id, trace.tracestate(), trace.flags()), (None, "", 1));
            assert_ne!(trace.trace_id, read(lines).trace_id);
        }
    }
}
