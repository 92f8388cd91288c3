//! A trace context that is carried by something other than HTTP: a task keeps it in its row, as the texts of the two
//! headers of W3C Trace Context.
//!
//! Promises: read as strictly as headers are; what is malformed is no parent, and fails nothing.

use http::{HeaderMap, HeaderValue};
use opentelemetry::{Context, trace::SpanContext};

use crate::propagate::{self, Extracted, TRACEPARENT, TRACESTATE};

/// The values of `traceparent` and `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// 55 characters.
    pub traceparent: String,
    /// None where it would be empty.
    pub tracestate: Option<String>,
}

impl Carried {
    /// What carries the trace of `context` on, with its span as the parent; none where it has no valid span.
    pub fn of(context: &Context) -> Option<Carried> {
        let mut headers = HeaderMap::new();
        propagate::inject(context, &mut headers);
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        Some(Carried {
            traceparent: headers.get(TRACEPARENT).and_then(text)?,
            tracestate: headers.get(TRACESTATE).and_then(text),
        })
    }

    /// The span that it names, remote; none where it is malformed.
    pub fn span(&self) -> Option<SpanContext> {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_str(&self.traceparent).ok()?);
        let state = self.tracestate.as_deref().and_then(|state| HeaderValue::from_str(state).ok());
        state.and_then(|state| headers.insert(TRACESTATE, state));
        match propagate::extract(&headers) {
            Extracted::Parent(span) => Some(span),
            Extracted::Absent | Extracted::Malformed => None,
        }
    }

    /// 32 hex digits; none where it is malformed.
    pub fn trace_id(&self) -> Option<String> {
        self.span().map(|span| span.trace_id().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TraceContextExt as _;

    fn carried(traceparent: &str, tracestate: Option<&str>) -> Carried {
        Carried { traceparent: traceparent.into(), tracestate: tracestate.map(str::to_owned) }
    }

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn what_is_carried_is_read_back() {
        for state in [None, Some("a=1,b=2")] {
            let there = carried(PARENT, state);
            let span = there.span().expect("it is well formed");
            assert!(span.is_remote());
            let context = Context::new().with_remote_span_context(span);
            assert_eq!(Carried::of(&context), Some(there));
        }
        assert_eq!(carried(PARENT, None).trace_id().as_deref(), Some("0af7651916cd43dd8448eb211c80319c"));
    }

    #[test]
    fn nothing_is_carried_where_there_is_no_trace_and_nothing_malformed_is_a_parent() {
        assert_eq!(Carried::of(&Context::new()), None);
        for malformed in ["", "nonsense", "two\nlines", &PARENT[..54]] {
            assert_eq!(carried(malformed, None).span(), None, "{malformed:?}");
        }
        let span = carried(PARENT, Some("two\nlines")).span().expect("the state costs itself only");
        assert_eq!(span.trace_state().header(), "");
    }
}
