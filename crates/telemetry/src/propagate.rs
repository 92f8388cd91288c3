//! W3C trace context.
use http::HeaderMap;
use opentelemetry::Context;
/// What a message's headers said of its trace.
#[derive(Clone, Debug)]
pub enum Extracted {
    /// No `traceparent`.
    Absent,
    /// Unreadable: a new trace must start.
    Malformed,
    /// A remote parent.
    Parent(opentelemetry::trace::SpanContext),
}
/// Reads `traceparent` and `tracestate`.
pub fn extract(_headers: &HeaderMap) -> Extracted {
    todo!()
}
/// Replaces `traceparent` and `tracestate` by those of `context`; removes stale ones where it has no valid span.
pub fn inject(_context: &Context, _headers: &mut HeaderMap) {
    todo!()
}
