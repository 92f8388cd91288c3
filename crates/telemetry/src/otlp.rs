//! Spans, lines and metric points as OTLP messages: encoded once, on the exporting thread, and sent as often as needed.
//!
//! Spans and lines, of which every request makes some, are written straight into the message. The numbers of their
//! fields are those of OTLP's `.proto` files, version 1; the tests read back what is written by the types that are made of these.

#[cfg(test)]
mod tests;

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use opentelemetry::{
    Array, KeyValue, SpanId, Value,
    trace::{Event, Link, SpanContext, Status, TraceState},
};
use opentelemetry_proto::{
    tonic::{
        collector::metrics::v1::ExportMetricsServiceRequest,
        common::v1::InstrumentationScope as ScopeMessage,
        logs::v1::SeverityNumber,
        metrics::v1::{Metric, metric::Data},
        resource::v1::Resource,
        trace::v1::{SpanFlags, span, status},
    },
    transform::common::tonic::ResourceAttributesWithSchema,
};
use opentelemetry_sdk::trace::SpanData;
use prost::Message;
use tracing::Level;

use crate::{
    names,
    protobuf::Writer,
    record::{Datum, Record, wire_name},
};

/// Bytes that most spans and lines take at most.
const TYPICAL: usize = 1024;

/// A message on its way, and how many items it carries.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    pub(crate) message: Bytes,
    pub(crate) items: u64,
}

/// Texts longer than `value_length` bytes are cut off.
pub(crate) fn spans(
    spans: &[SpanData],
    resource: &ResourceAttributesWithSchema,
    value_length: usize,
) -> Batch {
    let mut scopes = Scopes::new(spans.len());
    for span in spans {
        let writer = scopes.of(&span.instrumentation_scope);
        writer.message(2, |writer| write_span(writer, span, value_length));
    }
    let message = scopes.message(resource, |scope| {
        (ScopeMessage::from((scope, None)), scope.schema_url().unwrap_or_default().to_owned())
    });
    Batch { message, items: spans.len() as u64 }
}

/// `id` is the first half of every line's `uid`.
pub(crate) fn lines(records: &[Arc<Record>], resource: &ResourceAttributesWithSchema, id: &str) -> Batch {
    let mut scopes = Scopes::new(records.len());
    for record in records {
        scopes.of(&record.logger).message(2, |writer| write_line(writer, record, id));
    }
    let message = scopes.message(resource, |logger| {
        (ScopeMessage { name: (*logger).to_owned(), ..Default::default() }, String::new())
    });
    Batch { message, items: records.len() as u64 }
}

/// None where nothing was collected.
pub(crate) fn metrics(request: &ExportMetricsServiceRequest) -> Option<Batch> {
    let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
    let items = scopes.flat_map(|scope| &scope.metrics).map(points).sum();
    (items > 0).then(|| Batch { message: request.encode_to_vec().into(), items })
}

/// Items by who made them, in the order in which they first speak.
struct Scopes<K> {
    items: Vec<(K, Writer)>,
    /// Bytes to make room for.
    expected: usize,
}

impl<K: Clone + PartialEq> Scopes<K> {
    fn new(items: usize) -> Self {
        Scopes { items: Vec::new(), expected: items * TYPICAL }
    }

    /// Where the items of one are written, of which there are a handful.
    fn of(&mut self, scope: &K) -> &mut Writer {
        let place = self.items.iter().position(|(known, _)| known == scope).unwrap_or_else(|| {
            self.items.push((scope.clone(), Writer::with_capacity(self.expected)));
            self.items.len() - 1
        });
        &mut self.items[place].1
    }

    /// `Export…ServiceRequest`, `Resource…` and `Scope…`, which have the same fields for spans and for log records.
    fn message(
        self,
        resource: &ResourceAttributesWithSchema,
        scope: impl Fn(&K) -> (ScopeMessage, String),
    ) -> Bytes {
        let attributes = resource.attributes.0.clone();
        let mut resources = Writer::default();
        resources.bytes(1, &Resource { attributes, ..Default::default() }.encode_to_vec());
        let mut scopes = Writer::with_capacity(self.expected);
        for (key, items) in self.items {
            let (scope, schema) = scope(&key);
            let (mut before, mut after) = (Writer::default(), Writer::default());
            before.bytes(1, &scope.encode_to_vec());
            after.text(3, &schema);
            scopes.parts(2, &[&before.into_bytes(), &items.into_bytes(), &after.into_bytes()]);
        }
        let mut schema = Writer::default();
        schema.text(3, resource.schema_url.as_deref().unwrap_or_default());
        let mut whole = Writer::with_capacity(self.expected);
        whole.parts(1, &[&resources.into_bytes(), &scopes.into_bytes(), &schema.into_bytes()]);
        whole.into_bytes().into()
    }
}

/// `Span`.
fn write_span(writer: &mut Writer, span: &SpanData, value_length: usize) {
    write_place(writer, &span.span_context);
    if span.parent_span_id != SpanId::INVALID {
        writer.bytes(4, &span.parent_span_id.to_bytes());
    }
    writer.text(5, &span.name);
    writer.number(6, span::SpanKind::from(span.span_kind.clone()) as u64);
    writer.fixed64(7, nanoseconds(span.start_time));
    writer.fixed64(8, nanoseconds(span.end_time));
    write_attributes(writer, 9, &span.attributes, value_length);
    write_count(writer, 10, span.dropped_attributes_count);
    for event in &span.events.events {
        writer.message(11, |writer| write_event(writer, event, value_length));
    }
    write_count(writer, 12, span.events.dropped_count);
    for link in &span.links.links {
        writer.message(13, |writer| write_link(writer, link, value_length));
    }
    write_count(writer, 14, span.links.dropped_count);
    writer.message(15, |writer| {
        if let Status::Error { description } = &span.status {
            writer.text(2, description);
        }
        writer.number(3, status::StatusCode::from(&span.status) as u64);
    });
    writer.fixed32(16, flags(&span.span_context, span.parent_span_is_remote));
}

/// `Span.Event`.
fn write_event(writer: &mut Writer, event: &Event, value_length: usize) {
    writer.fixed64(1, nanoseconds(event.timestamp));
    writer.text(2, &event.name);
    write_attributes(writer, 3, &event.attributes, value_length);
    write_count(writer, 4, event.dropped_attributes_count);
}

/// `Span.Link`.
fn write_link(writer: &mut Writer, link: &Link, value_length: usize) {
    write_place(writer, &link.span_context);
    write_attributes(writer, 4, &link.attributes, value_length);
    write_count(writer, 5, link.dropped_attributes_count);
    writer.fixed32(6, flags(&link.span_context, link.span_context.is_remote()));
}

/// The ids and the state of `Span` and `Span.Link`.
fn write_place(writer: &mut Writer, span: &SpanContext) {
    writer.bytes(1, &span.trace_id().to_bytes());
    writer.bytes(2, &span.span_id().to_bytes());
    if *span.trace_state() != TraceState::NONE {
        writer.text(3, &span.trace_state().header());
    }
}

fn flags(span: &SpanContext, is_remote: bool) -> u32 {
    let remote = if is_remote { SpanFlags::ContextIsRemoteMask as u32 } else { 0 };
    u32::from(span.trace_flags().to_u8()) | SpanFlags::ContextHasIsRemoteMask as u32 | remote
}

fn write_count(writer: &mut Writer, field: u32, count: u32) {
    if count > 0 {
        writer.number(field, count.into());
    }
}

/// `LogRecord`.
fn write_line(writer: &mut Writer, record: &Record, id: &str) {
    let time = nanoseconds(record.time);
    writer.fixed64(1, time);
    writer.number(2, severity(record.level) as u64);
    writer.text(3, record.level.as_str());
    writer.message(5, |writer| write_datum(writer, Datum::Text(&record.message)));
    for (name, datum) in record.fields() {
        write_attribute(writer, 6, &wire_name(name), |writer| write_datum(writer, datum));
    }
    let uid = format!("{id}-{:x}", record.number);
    write_attribute(writer, 6, names::LOG_RECORD_UID, |writer| write_datum(writer, Datum::Text(&uid)));
    write_count(writer, 7, record.dropped_fields);
    if let Some(ids) = &record.ids {
        writer.fixed32(8, ids.flags.to_u8().into());
        writer.bytes(9, &ids.trace.to_bytes());
        writer.bytes(10, &ids.span.to_bytes());
    }
    writer.fixed64(11, time);
}

fn write_attributes(writer: &mut Writer, field: u32, attributes: &[KeyValue], value_length: usize) {
    for KeyValue { key, value, .. } in attributes {
        write_attribute(writer, field, key.as_str(), |writer| write_value(writer, value, value_length));
    }
}

/// `KeyValue`, its `AnyValue` by what writes that.
fn write_attribute(writer: &mut Writer, field: u32, key: &str, value: impl FnOnce(&mut Writer)) {
    writer.message(field, |writer| {
        writer.text(1, key);
        writer.message(2, value);
    });
}

/// `AnyValue`, of a span's attribute.
fn write_value(writer: &mut Writer, value: &Value, value_length: usize) {
    match value {
        Value::Bool(value) => write_datum(writer, Datum::Bool(*value)),
        Value::I64(value) => write_datum(writer, Datum::Int(*value)),
        Value::F64(value) => write_datum(writer, Datum::Float(*value)),
        Value::String(value) => write_datum(writer, Datum::Text(shortened(value.as_str(), value_length))),
        Value::Array(array) => writer.message(5, |writer| match array {
            Array::Bool(values) => write_array(writer, values, |value| Datum::Bool(*value)),
            Array::I64(values) => write_array(writer, values, |value| Datum::Int(*value)),
            Array::F64(values) => write_array(writer, values, |value| Datum::Float(*value)),
            Array::String(values) => write_array(writer, values, |value| Datum::Text(value.as_str())),
            // There are no others; one that will be says nothing until it is known here.
            _ => {}
        }),
        other => write_datum(writer, Datum::Text(&other.as_str())),
    }
}

fn shortened(text: &str, length: usize) -> &str {
    let mut end = length.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// `ArrayValue`.
fn write_array<T>(writer: &mut Writer, values: &[T], datum: impl Fn(&T) -> Datum<'_>) {
    for value in values {
        writer.message(1, |writer| write_datum(writer, datum(value)));
    }
}

/// `AnyValue`. Which one it is is said by its being there, so that an empty one is written as well.
fn write_datum(writer: &mut Writer, datum: Datum<'_>) {
    match datum {
        Datum::Text(value) => writer.bytes(1, value.as_bytes()),
        Datum::Bool(value) => writer.number(2, value.into()),
        Datum::Int(value) => writer.number(3, value as u64),
        Datum::Float(value) | Datum::Millis(value) => writer.double(4, value),
    }
}

fn severity(level: Level) -> SeverityNumber {
    match level {
        Level::TRACE => SeverityNumber::Trace,
        Level::DEBUG => SeverityNumber::Debug,
        Level::INFO => SeverityNumber::Info,
        Level::WARN => SeverityNumber::Warn,
        Level::ERROR => SeverityNumber::Error,
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    // Before 1970 the clock was never set; after 2554 nanoseconds no longer fit the format.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn points(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    points as u64
}
