//! Spans and log records out of OTLP/JSON.

use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, trace::v1::ExportTraceServiceRequest},
    logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber},
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, Status,
        span::{Event, Link, SpanKind},
        status::StatusCode,
    },
};

use super::{Object, Result, any_value, document, resource, scope};

/// Reads `{"resourceSpans": […]}`.
pub(crate) fn traces(text: &[u8]) -> Result<ExportTraceServiceRequest> {
    let resource_spans = document(text)?.list("resourceSpans", |mut of| {
        Ok(ResourceSpans {
            resource: of.object("resource")?.map(resource).transpose()?,
            scope_spans: of.list("scopeSpans", scope_spans)?,
            schema_url: of.text("schemaUrl")?,
        })
    })?;
    Ok(ExportTraceServiceRequest { resource_spans })
}

fn scope_spans(mut of: Object) -> Result<ScopeSpans> {
    Ok(ScopeSpans {
        scope: of.object("scope")?.map(scope).transpose()?,
        spans: of.list("spans", span)?,
        schema_url: of.text("schemaUrl")?,
    })
}

fn span(mut span: Object) -> Result<Span> {
    let kind = |name: &str| SpanKind::from_str_name(name).map(|kind| kind as i32);
    Ok(Span {
        trace_id: span.id("traceId")?,
        span_id: span.id("spanId")?,
        trace_state: span.text("traceState")?,
        parent_span_id: span.id("parentSpanId")?,
        flags: span.count("flags")?,
        name: span.text("name")?,
        kind: span.enumeration("kind", kind)?,
        start_time_unix_nano: span.unsigned("startTimeUnixNano")?,
        end_time_unix_nano: span.unsigned("endTimeUnixNano")?,
        attributes: span.attributes("attributes")?,
        dropped_attributes_count: span.count("droppedAttributesCount")?,
        events: span.list("events", event)?,
        dropped_events_count: span.count("droppedEventsCount")?,
        links: span.list("links", link)?,
        dropped_links_count: span.count("droppedLinksCount")?,
        status: span.object("status")?.map(status).transpose()?,
    })
}

fn event(mut event: Object) -> Result<Event> {
    Ok(Event {
        time_unix_nano: event.unsigned("timeUnixNano")?,
        name: event.text("name")?,
        attributes: event.attributes("attributes")?,
        dropped_attributes_count: event.count("droppedAttributesCount")?,
    })
}

fn link(mut link: Object) -> Result<Link> {
    Ok(Link {
        trace_id: link.id("traceId")?,
        span_id: link.id("spanId")?,
        trace_state: link.text("traceState")?,
        attributes: link.attributes("attributes")?,
        dropped_attributes_count: link.count("droppedAttributesCount")?,
        flags: link.count("flags")?,
    })
}

fn status(mut status: Object) -> Result<Status> {
    let code = |name: &str| StatusCode::from_str_name(name).map(|code| code as i32);
    Ok(Status { message: status.text("message")?, code: status.enumeration("code", code)? })
}

/// Reads `{"resourceLogs": […]}`.
pub(crate) fn logs(text: &[u8]) -> Result<ExportLogsServiceRequest> {
    let resource_logs = document(text)?.list("resourceLogs", |mut of| {
        Ok(ResourceLogs {
            resource: of.object("resource")?.map(resource).transpose()?,
            scope_logs: of.list("scopeLogs", scope_logs)?,
            schema_url: of.text("schemaUrl")?,
        })
    })?;
    Ok(ExportLogsServiceRequest { resource_logs })
}

fn scope_logs(mut of: Object) -> Result<ScopeLogs> {
    Ok(ScopeLogs {
        scope: of.object("scope")?.map(scope).transpose()?,
        log_records: of.list("logRecords", record)?,
        schema_url: of.text("schemaUrl")?,
    })
}

fn record(mut record: Object) -> Result<LogRecord> {
    let severity = |name: &str| SeverityNumber::from_str_name(name).map(|severity| severity as i32);
    Ok(LogRecord {
        time_unix_nano: record.unsigned("timeUnixNano")?,
        observed_time_unix_nano: record.unsigned("observedTimeUnixNano")?,
        severity_number: record.enumeration("severityNumber", severity)?,
        severity_text: record.text("severityText")?,
        body: record.object("body")?.map(any_value).transpose()?,
        attributes: record.attributes("attributes")?,
        dropped_attributes_count: record.count("droppedAttributesCount")?,
        flags: record.count("flags")?,
        trace_id: record.id("traceId")?,
        span_id: record.id("spanId")?,
        event_name: record.text("eventName")?,
    })
}
