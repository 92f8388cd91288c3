//! Spans, their events and links as OTLP/JSON.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span,
        span::{Event, Link},
    },
};

use super::{attributes, id, list, long, member, number, object, resource, scope, text};

/// Appends the request as one line.
pub(crate) fn traces(out: &mut Vec<u8>, request: &ExportTraceServiceRequest) {
    object(out, |out| list(out, "resourceSpans", &request.resource_spans, resource_spans));
    out.push(b'\n');
}

fn resource_spans(out: &mut Vec<u8>, spans: &ResourceSpans) {
    object(out, |out| {
        resource(out, spans.resource.as_ref());
        list(out, "scopeSpans", &spans.scope_spans, scope_spans);
        text(out, "schemaUrl", &spans.schema_url);
    });
}

fn scope_spans(out: &mut Vec<u8>, spans: &ScopeSpans) {
    object(out, |out| {
        scope(out, spans.scope.as_ref());
        list(out, "spans", &spans.spans, span);
        text(out, "schemaUrl", &spans.schema_url);
    });
}

fn span(out: &mut Vec<u8>, span: &Span) {
    object(out, |out| {
        id(out, "traceId", &span.trace_id);
        id(out, "spanId", &span.span_id);
        text(out, "traceState", &span.trace_state);
        id(out, "parentSpanId", &span.parent_span_id);
        number(out, "flags", span.flags);
        text(out, "name", &span.name);
        number(out, "kind", span.kind);
        long(out, "startTimeUnixNano", span.start_time_unix_nano);
        long(out, "endTimeUnixNano", span.end_time_unix_nano);
        attributes(out, "attributes", &span.attributes);
        number(out, "droppedAttributesCount", span.dropped_attributes_count);
        list(out, "events", &span.events, event);
        number(out, "droppedEventsCount", span.dropped_events_count);
        list(out, "links", &span.links, link);
        number(out, "droppedLinksCount", span.dropped_links_count);
        member(out, "status", |out| {
            let Some(status) = &span.status else { return };
            text(out, "message", &status.message);
            number(out, "code", status.code);
        });
    });
}

fn event(out: &mut Vec<u8>, event: &Event) {
    object(out, |out| {
        long(out, "timeUnixNano", event.time_unix_nano);
        text(out, "name", &event.name);
        attributes(out, "attributes", &event.attributes);
        number(out, "droppedAttributesCount", event.dropped_attributes_count);
    });
}

fn link(out: &mut Vec<u8>, link: &Link) {
    object(out, |out| {
        id(out, "traceId", &link.trace_id);
        id(out, "spanId", &link.span_id);
        text(out, "traceState", &link.trace_state);
        attributes(out, "attributes", &link.attributes);
        number(out, "droppedAttributesCount", link.dropped_attributes_count);
        number(out, "flags", link.flags);
    });
}
