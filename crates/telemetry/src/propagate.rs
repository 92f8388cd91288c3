//! W3C Trace Context Level 2 over HTTP headers: reading what a message says of its trace, and saying it to the next hop.
//!
//! Promises: strict where the standard is ([`crate::traceparent`], [`crate::tracestate`]); a stale header never goes
//! out; the random flag goes on as it came, and is set on a trace that begins here, whose ids are random.
//! Refuses: `baggage`. It is an ordinary header to us; the server layer removes a stranger's.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    trace::{SpanContext, TraceContextExt as _, TraceFlags, TraceId},
};

use crate::{Scope, traceparent, tracestate};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
pub(crate) const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// What a message's headers said of its trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extracted {
    /// No `traceparent`.
    Absent,
    /// Unreadable: a new trace must start.
    Malformed,
    /// A remote parent.
    Parent(SpanContext),
}

/// Reads `traceparent` and `tracestate`. Two `traceparent` headers are malformed: nobody can say which one is meant.
pub fn extract(headers: &HeaderMap) -> Extracted {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let Some(value) = values.next() else { return Extracted::Absent };
    if values.next().is_some() {
        return Extracted::Malformed;
    }
    let state = || tracestate::parse(headers.get_all(TRACESTATE));
    match traceparent::parse(value.as_bytes().trim_ascii(), state) {
        Some(parent) => Extracted::Parent(parent),
        None => Extracted::Malformed,
    }
}

/// Replaces `traceparent` and `tracestate` by those of `context`; removes stale ones where it has no valid span.
pub fn inject(context: &Context, headers: &mut HeaderMap) {
    let span = context.span();
    let span = span.span_context();
    if !span.is_valid() {
        headers.remove(TRACEPARENT);
        headers.remove(TRACESTATE);
        return;
    }
    let value = traceparent::write(span, flags(context, span));
    let value = HeaderValue::from_bytes(&value).expect("hexadecimal digits and dashes are a header's value");
    headers.insert(TRACEPARENT, value);
    match tracestate::write(span.trace_state()) {
        Some(value) => headers.insert(TRACESTATE, value),
        None => headers.remove(TRACESTATE),
    };
}

/// A trace that began in this process outside of any request. The SDK knows only `sampled` for it, although its
/// generator's ids are random, so the context remembers.
struct Begun(TraceId);

/// The context, remembering that the trace of its span began here.
pub(crate) fn begun_here(context: &Context) -> Context {
    context.with_value(Begun(context.span().span_context().trace_id()))
}

/// The context, remembering what its remote span's flags said of the trace id: the SDK's spans below it forget.
pub(crate) fn carried_on(context: &Context) -> Context {
    let is_random = context.span().span_context().trace_flags() & traceparent::RANDOM == traceparent::RANDOM;
    if is_random { begun_here(context) } else { context.clone() }
}

/// The trace-flags that go out with `span`: the SDK's `sampled`, and whether the trace id is random.
pub(crate) fn flags(context: &Context, span: &SpanContext) -> TraceFlags {
    let is_random =
        context.get::<Scope>().is_some_and(|scope| scope.is_random() && scope.is_of_trace(span.trace_id()))
            || context.get::<Begun>().is_some_and(|begun| begun.0 == span.trace_id());
    if is_random { span.trace_flags() | traceparent::RANDOM } else { span.trace_flags() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::TraceState;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn context_of(span: SpanContext) -> Context {
        Context::new().with_remote_span_context(span)
    }

    #[test]
    fn headers_are_a_parent_or_malformed_or_absent() {
        let Extracted::Parent(parent) =
            extract(&headers(&[("traceparent", PARENT), ("tracestate", "a=1"), ("tracestate", "b=2")]))
        else {
            panic!("a parent was expected")
        };
        assert_eq!(parent.trace_flags().to_u8(), 3);
        assert!(parent.is_remote());
        assert_eq!(parent.trace_state().header(), "a=1,b=2");

        assert_eq!(extract(&headers(&[("tracestate", "a=1")])), Extracted::Absent);
        assert_eq!(extract(&headers(&[("traceparent", "")])), Extracted::Malformed);
        assert_eq!(
            extract(&headers(&[("traceparent", &format!("{PARENT},{PARENT}"))])),
            Extracted::Malformed
        );
        assert_eq!(
            extract(&headers(&[("traceparent", PARENT), ("traceparent", PARENT)])),
            Extracted::Malformed
        );
        assert!(matches!(
            extract(&headers(&[("traceparent", &format!(" \t{PARENT}\t "))])),
            Extracted::Parent(_)
        ));
    }

    #[test]
    fn a_malformed_tracestate_costs_itself_only() {
        let found = extract(&headers(&[("traceparent", PARENT), ("tracestate", "nonsense")]));
        let Extracted::Parent(parent) = found else { panic!("{found:?}") };
        assert_eq!(parent.trace_state(), &TraceState::NONE);
    }

    #[test]
    fn stale_headers_do_not_go_out() {
        let mut stale = headers(&[("traceparent", "x"), ("traceparent", "y"), ("tracestate", "a=1")]);
        inject(&Context::new(), &mut stale);
        assert!(stale.is_empty(), "{stale:?}");

        let mut stale = headers(&[("traceparent", "x"), ("traceparent", "y"), ("tracestate", "a=1")]);
        let span = SpanContext::new(1.into(), 2.into(), TraceFlags::SAMPLED, true, TraceState::NONE);
        inject(&context_of(span), &mut stale);
        let expected = headers(&[("traceparent", "00-00000000000000000000000000000001-0000000000000002-01")]);
        assert_eq!(stale, expected);
    }

    #[test]
    fn a_trace_begun_here_is_random() {
        let span = SpanContext::new(1.into(), 2.into(), TraceFlags::SAMPLED, false, TraceState::NONE);
        let context = begun_here(&context_of(span));
        let other = SpanContext::new(3.into(), 2.into(), TraceFlags::SAMPLED, true, TraceState::NONE);
        let mut sent = HeaderMap::new();
        inject(&context, &mut sent);
        assert!(sent[TRACEPARENT].as_bytes().ends_with(b"-03"));
        inject(&context.with_remote_span_context(other), &mut sent);
        assert!(sent[TRACEPARENT].as_bytes().ends_with(b"-01"), "another trace's flags are its own");
    }

    proptest! {
        #[test]
        fn what_is_injected_is_extracted(
            trace in 1u128.., parent in 1u64.., flags in 0u8..4, vendors in proptest::collection::btree_map("[a-z]{1,8}", "[a-z0-9]{1,8}", 0..9)
        ) {
            let state = TraceState::from_key_value(vendors).unwrap();
            let span = SpanContext::new(trace.into(), parent.into(), TraceFlags::new(flags), true, state);
            let mut headers = HeaderMap::new();
            inject(&context_of(span.clone()), &mut headers);
            prop_assert_eq!(extract(&headers), Extracted::Parent(span));
        }

        #[test]
        fn no_header_panics(value in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let headers: HeaderMap = [(TRACEPARENT, value.clone()), (TRACESTATE, value)].into_iter().collect();
                extract(&headers);
            }
        }
    }
}
